import Storage
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite(.offThePool) struct GzipReaderTests {
    /// gzip of "hello, skerry\n" with a zero time stamp.
    static let hello: [UInt8] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03,
        0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0x28, 0xce, 0x4e, 0x2d, 0x2a, 0xaa, 0xe4, 0x02, 0x00, 0x65, 0xda, 0x20, 0xd1, 0x0e, 0x00,
        0x00, 0x00,
    ]
    static let text = Array("hello, skerry\n".utf8)

    /// Reads bytes back through a file of their own.
    static func read(_ bytes: [UInt8]) throws -> [UInt8] {
        var template = Array("/tmp/skerry-gzip-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        let path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        defer { unlink(path) }
        #expect(write(descriptor, bytes, bytes.count) == bytes.count)
        close(descriptor)
        let reader = try GzipReader(path: path)
        var content: [UInt8] = []
        while let chunk = try reader.next() { content += chunk }
        #expect(reader.bytesRead == content.count)
        return content
    }

    @Test func `a plain file reads as it is`() throws {
        #expect(try Self.read(Self.text) == Self.text)
    }

    @Test func `a compressed file reads as its content`() throws {
        #expect(try Self.read(Self.hello) == Self.text)
    }

    @Test func `two members in one file read as one stream`() throws {
        #expect(try Self.read(Self.hello + Self.hello) == Self.text + Self.text)
    }

    @Test func `a truncated stream is refused at every length`() throws {
        for length in 2..<Self.hello.count {
            #expect { try Self.read(Array(Self.hello.prefix(length))) } throws: {
                guard case FileReadError.truncated = $0 else { return false }
                return true
            }
        }
    }

    @Test func `a flipped bit in the content is refused by the checksum`() throws {
        var broken = Self.hello
        broken[14] ^= 0x10
        #expect { try Self.read(broken) } throws: {
            guard case FileReadError.corrupt = $0 else { return false }
            return true
        }
    }

    @Test func `a file that is not there is named`() {
        #expect(throws: FileReadError.cannotOpen(path: "/nonexistent/a.csv", reason: "No such file or directory")) {
            try GzipReader(path: "/nonexistent/a.csv")
        }
    }
}
