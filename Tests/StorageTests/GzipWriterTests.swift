import Storage
import TestKit
import Testing

@Suite(.offThePool) struct GzipWriterTests {
    private func compressed(_ pieces: [[UInt8]]) -> [UInt8] {
        let writer = GzipWriter()
        return pieces.flatMap { writer.compress($0) } + writer.finish()
    }

    @Test(arguments: [0, 1, 70_000, 1_000_000]) func `what is written reads back equal`(count: Int) throws {
        var state: UInt32 = 7
        let bytes = (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 28)
        }
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/content.gz"
        let file = try WholeFile(path: path)
        let pieces = stride(from: 0, to: count, by: 33_333).map { Array(bytes[$0..<min($0 + 33_333, count)]) }
        try file.write(compressed(pieces))
        try file.commit()
        let reader = try GzipReader(path: path)
        var back: [UInt8] = []
        while let chunk = try reader.next() { back += chunk }
        #expect(back == bytes)
    }

    @Test func `the same bytes give the same file, without a time or a name in its header`() {
        let bytes = Array("record_id,round\n1,0\n".utf8)
        let first = compressed([bytes])
        #expect(first == compressed([bytes]))
        // RFC 1952: magic, deflate, no flags, time 0.
        #expect(Array(first.prefix(8)) == [0x1f, 0x8b, 8, 0, 0, 0, 0, 0])
    }
}
