import Storage
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite(.offThePool) struct WholeFileTests {
    private func names(_ folder: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }
    private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    @Test func `the new content is in place only after the commit`() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/results.json"
        let first = try WholeFile(path: path)
        try first.write(Array("old".utf8))
        try first.commit()
        let second = try WholeFile(path: path)
        try second.write(Array("n".utf8))
        #expect(try text(path) == "old")
        try second.write(Array("ew".utf8))
        try second.prepare()
        #expect(try text(path) == "old")
        try second.commit()
        #expect(try text(path) == "new")
        #expect(try names(folder.path) == ["results.json"])
    }

    @Test func `a file that is dropped leaves nothing, prepared or not`() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/results.json"
        for isPrepared in [false, true] {
            let file = try WholeFile(path: path)
            try file.write([1, 2, 3])
            if isPrepared { try file.prepare() }
        }
        #expect(try names(folder.path).isEmpty)
    }

    @Test func `what a crash left under the hidden name is in nobody's way`() throws {
        let folder = try TemporaryFolder()
        try "left over".write(toFile: "\(folder.path)/.results.json.tmp", atomically: false, encoding: .utf8)
        let file = try WholeFile(path: "\(folder.path)/results.json")
        try file.write(Array("whole".utf8))
        try file.commit()
        #expect(try text("\(folder.path)/results.json") == "whole")
        #expect(try names(folder.path) == ["results.json"])
    }

    @Test func `a folder that does not exist is named`() {
        #expect(throws: FileWriteError.cannotCreate(path: "/nonexistent/results.json", reason: "No such file or directory")) {
            try WholeFile(path: "/nonexistent/results.json")
        }
    }

    @Test func `a folder in the file's place is not replaced`() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/results.json"
        try FileManager.default.createDirectory(atPath: "\(path)/inside", withIntermediateDirectories: true)
        let file = try WholeFile(path: path)
        try file.write([1])
        #expect(throws: FileWriteError.self) { try file.commit() }
        #expect(try names(path) == ["inside"])
    }

    #if os(Linux)
        @Test(.enabled(if: geteuid() == 0, "mounting a small file system needs root"))
        func `a full disk is reported and keeps the former file`() throws {
            let folder = try TemporaryFolder()
            // Some containers give root no right to mount.
            guard mount("tmpfs", folder.path, "tmpfs", 0, "size=64k") == 0 else {
                try Test.cancel("this machine gives root no right to mount")
            }
            // The descriptor of the dropped file may still be open.
            defer { umount2(folder.path, Int32(MNT_DETACH)) }
            let path = "\(folder.path)/predictions.csv.gz"
            let former = try WholeFile(path: path)
            try former.write(Array("former".utf8))
            try former.commit()
            let file = try WholeFile(path: path)
            #expect {
                for _ in 0..<100 { try file.write([UInt8](repeating: 1, count: 4096)) }
            } throws: {
                guard case FileWriteError.cannotWrite(path, let bytes, let reason) = $0 else { return false }
                return bytes > 0 && bytes < 64 << 10 && reason == "No space left on device"
            }
            #expect(try text(path) == "former")
            #expect(try names(folder.path) == ["predictions.csv.gz"])
        }
    #endif
}
