import Storage
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif
#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite(.offThePool) struct RotatingFileTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "skerry-rotating-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path)
    }

    private func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

    @Test func `a full file makes place for a new one, and the oldest goes`() throws {
        try withFolder { folder in
            let path = folder + "/a.log"
            let file = try RotatingFile(path: path, bytesMax: 10, filesMax: 3)
            for number in 0..<8 { try file.append(Array("line\(number)\n".utf8)) }
            #expect(text(path) == "line7\n" && text(path + ".1") == "line6\n" && text(path + ".2") == "line5\n")
            #expect(text(path + ".3") == nil)
            try file.append(Array("longer than a file\n".utf8))
            #expect(text(path) == "longer than a file\n")
        }
    }

    @Test func `a file is its owner's, and goes on after the program's end`() throws {
        try withFolder { folder in
            let path = folder + "/a.log"
            try "old\n".write(toFile: path, atomically: true, encoding: .utf8)
            chmod(path, 0o644)
            try RotatingFile(path: path, bytesMax: 100, filesMax: 2).append(Array("a\n".utf8))
            try RotatingFile(path: path, bytesMax: 100, filesMax: 2).append(Array("b\n".utf8))
            #expect(text(path) == "old\na\nb\n")
            var status = stat()
            #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        }
    }

    @Test func `a folder that is not there is told with its name`() {
        #expect(throws: FileWriteError.cannotCreate(path: "/nowhere/a.log", reason: "No such file or directory")) {
            try RotatingFile(path: "/nowhere/a.log", bytesMax: 1, filesMax: 1)
        }
    }
}
