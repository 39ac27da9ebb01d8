import Storage
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

/// Files that workers claim to have left.
@Suite(.offThePool) struct ResultFileTests {
    /// A volume with a few things in it, as a worker sees it at /out.
    private struct World {
        let folder: TemporaryFolder
        let places: [MountPlace]
        var volume: String { "\(folder.path)/volume" }

        init() throws {
            folder = try TemporaryFolder()
            let root = folder.path
            try SystemFiles.makeFolder("\(root)/volume/sub")
            places = [
                MountPlace(target: "/out", source: "\(root)/volume", volume: "out", isWritable: true),
                MountPlace(target: "/out/data", source: "\(root)/data", volume: "data", isWritable: false),
            ]
            try write("secret", "\(root)/secret")
            try write("hello", "\(root)/volume/sub/file.txt")
        }

        func write(_ text: String, _ path: String) throws {
            let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            defer { close(file) }
            try #require(SystemFiles.write(Array(text.utf8), to: file))
        }

        /// The sentence by which a file is refused; nil if it is taken.
        func fault(_ url: String, format: String = "csv", digest: String = "", size: Int64? = nil) -> String? {
            do throws(ResultFault) {
                _ = try ResultFile(url: url, places: places).examine(format: format, claimed: (digest, size), user: geteuid())
            } catch { return error.message }
            return nil
        }
    }

    @Test func `a file of the Pod's own volume is found with its digest`() throws {
        let world = try World()
        let found = try ResultFile(url: "file:///out/./sub//file.txt", places: world.places)
            .examine(format: "csv", claimed: ("", nil), user: geteuid())
        #expect(found.0 == ArtifactDigest(of: Array("hello".utf8)))
        #expect(found.1 == 5)
        #expect(world.fault("/out/sub/file.txt", digest: found.0.description, size: 5) == nil)
    }

    @Test func `a claim that is not true is refused by name`() throws {
        let world = try World()
        let other = "sha256:" + String(repeating: "0", count: 64)
        #expect(world.fault("/out/sub/file.txt", digest: other)?.contains("reported was \(other)") == true)
        #expect(world.fault("/out/sub/file.txt", size: 6)?.contains("has 5 bytes, reported were 6") == true)
        #expect(world.fault("/out/none.onnx")?.contains("/out/none.onnx: there is no such file") == true)
        #expect(world.fault("/out/sub")?.contains("no plain file") == true)
        #expect(world.fault("/out/sub/file.txt", format: "onnx")?.contains("is no ONNX model") == true)
    }

    @Test func `nothing outside of the writable volumes can be named`() throws {
        let world = try World()
        #expect(world.fault("/etc/passwd")?.contains("none of the container's volumes") == true)
        #expect(world.fault("/outside")?.contains("none of the container's volumes") == true)
        #expect(world.fault("/out")?.contains("none of the container's volumes") == true)
        #expect(world.fault("/out/../secret")?.contains("without ..") == true)
        #expect(world.fault("s3://bucket/model")?.contains("other places are not fetched from") == true)
        #expect(world.fault("model.onnx")?.contains("expected the path of a file") == true)
        #expect(world.fault("/out/data/x.csv")?.contains("for reading only") == true)
    }

    @Test func `what a worker was given is judged, not left`() throws {
        let digest = ArtifactDigest(of: [1]).description
        var place = MountPlace(target: "/models/new", source: "/x", volume: "models", isWritable: false)
        place.given = ["model.onnx": digest]
        let places = try World().places + [place]
        #expect(ResultFile.given("/models/new/model.onnx", places: places) == digest)
        #expect(ResultFile.given("/models/new", places: places) == "")
        #expect(ResultFile.given("/models/new/../new/model.onnx", places: places) == nil)
        #expect(ResultFile.given("/out/sub/file.txt", places: places) == nil)
        #expect(ResultFile.given("/out/data/x.csv", places: places) == nil)
    }

    @Test func `no symbolic link is followed, be it the file or a folder on the way`() throws {
        let world = try World()
        symlink("\(world.folder.path)/secret", "\(world.volume)/link")
        symlink(world.folder.path, "\(world.volume)/away")
        symlink("sub", "\(world.volume)/inside")
        for url in ["/out/link", "/out/away/secret", "/out/inside/file.txt"] {
            #expect(world.fault(url)?.contains("a symbolic link stands in the way") == true, "\(url): \(world.fault(url) ?? "taken")")
        }
    }

    @Test func `a pipe holds nobody up`() throws {
        let world = try World()
        mkfifo("\(world.volume)/pipe", 0o600)
        #expect(world.fault("/out/pipe")?.contains("no plain file") == true)
    }

    @Test func `the outline of an ONNX file is a message with a graph that ends where the file ends`() {
        // ir_version 8, a graph of three bytes.
        let good: [UInt8] = [0x08, 0x08, 0x3A, 0x03, 1, 2, 3]
        func fault(_ bytes: [UInt8]) -> String? {
            OnnxOutline.fault(size: Int64(bytes.count)) { offset, count in Array(bytes[Int(offset)...].prefix(count)) }
        }
        #expect(fault(good) == nil)
        #expect(fault([])?.contains("empty") == true)
        #expect(fault([0x08, 0x08])?.contains("no graph") == true)
        #expect(
            fault(Array(good.dropLast()))?.contains("longer than the file") == true
                || fault(Array(good.dropLast()))?.contains("ends within") == true)
        for text in ["{\"a\":1}", "hello", "\u{80}\u{4}]q\u{0}."] { #expect(fault(Array(text.utf8)) != nil, "\(text)") }
        for cut in 1..<good.count { #expect(fault(Array(good.prefix(cut))) != nil) }
    }
}
