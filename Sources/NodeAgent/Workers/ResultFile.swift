import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#endif

/// Where a container sees a folder of the machine.
struct MountPlace: Sendable, Hashable {
    /// As the container sees it.
    var target: String
    /// On the machine.
    var source: String
    var volume: String
    /// The Pod may leave files there: an emptyDir or hostPath that is not mounted for reading only.
    var isWritable: Bool
    /// Of a volume that the agent has filled: digests of its files by name, as far as the Pod names them; nil for every other.
    var given: [String: String]?
}

/// Why a file that a worker claims to have left is not taken; one sentence.
struct ResultFault: Error, Sendable, Hashable {
    let message: String
}

/// A file that a worker says it has left, as the node finds it: only in the Pod's own writable volumes, and through no symbolic link.
///
/// The agent may read more than the worker: what the worker names is opened part by part below the volume, so that nothing else of the
/// machine can be had published by naming it.
struct ResultFile: Sendable, Hashable {
    /// Bytes of a file.
    static let bytesMax: Int64 = 2 << 30

    /// The volume's folder on the machine.
    let root: String
    /// Parts of the path below it.
    let parts: [String]
    /// As the worker names it.
    let url: String

    // MARK: Where

    /// - Parameters:
    ///   - places: of the container that reports.
    init(url: String, places: [MountPlace]) throws(ResultFault) {
        self.url = url
        var path = url
        if path.hasPrefix("file://") { path = String(path.dropFirst(7)) }
        guard path.hasPrefix("/") else {
            throw ResultFault(
                message:
                    "\(Self.shown(url)): expected the path of a file as the worker sees it; other places are not fetched from, leave the file in a volume of the Pod"
            )
        }
        let words = path.split(separator: "/").filter { $0 != "." }.map(String.init)
        guard !words.contains(".."), !path.contains("\0"), path.utf8.count <= 4000 else {
            throw ResultFault(message: "\(Self.shown(url)): expected a path without ..")
        }
        guard let (place, rest) = Self.place(words, places), !rest.isEmpty else {
            throw ResultFault(
                message: "\(Self.shown(url)): lies in none of the container's volumes; write results to an emptyDir or hostPath volume")
        }
        guard place.isWritable else {
            throw ResultFault(
                message:
                    "\(Self.shown(url)): lies in volume \"\(place.volume)\", which is for reading only; write results to an emptyDir or hostPath volume"
            )
        }
        root = place.source
        parts = rest
    }

    /// The innermost volume that a path lies in, and the path below it.
    private static func place(_ words: [String], _ places: [MountPlace]) -> (MountPlace, [String])? {
        places.compactMap { place -> (MountPlace, [String])? in
            let target = place.target.split(separator: "/").map(String.init)
            return words.starts(with: target) ? (place, Array(words.dropFirst(target.count))) : nil
        }.max { $0.0.target.utf8.count < $1.0.target.utf8.count }
    }

    /// The digest of something that the worker was given and has only judged, as evaluation does; empty where its Pod names none. Nil for
    /// what is no such thing.
    static func given(_ url: String, places: [MountPlace]) -> String? {
        let words = url.split(separator: "/").map(String.init)
        guard url.hasPrefix("/"), !words.contains(".."), let (place, rest) = Self.place(words, places), let given = place.given else {
            return nil
        }
        return given[rest.joined(separator: "/")] ?? ""
    }

    private static func shown(_ url: String) -> String { url.utf8.count <= 300 ? url : "\(url.prefix(300))…" }

    // MARK: What

    /// Opens the file; to be closed by the caller.
    ///
    /// - Parameter user: whom the container runs as: a file with several names must be this user's own.
    /// - Returns: a descriptor and the size.
    func open(user: UInt32) throws(ResultFault) -> (descriptor: Int32, size: Int64) {
        var folder = Glibc.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw ResultFault(message: "\(Self.shown(url)): its volume cannot be opened: \(Self.reason)") }
        defer { close(folder) }
        for part in parts.dropLast() {
            let next = openat(folder, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard next >= 0 else { throw fault() }
            close(folder)
            folder = next
        }
        // Without waiting: a pipe would hold us up for ever.
        let file = openat(folder, parts.last!, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else { throw fault() }
        do throws(ResultFault) { return (file, try size(file, user)) } catch {
            close(file)
            throw error
        }
    }

    private static var reason: String { String(cString: strerror(errno)) }

    private func fault() -> ResultFault {
        switch errno {
        case ENOENT: ResultFault(message: "\(Self.shown(url)): there is no such file; report a file once it is written")
        case ELOOP, ENOTDIR:
            ResultFault(message: "\(Self.shown(url)): a symbolic link stands in the way, and such are not followed; report the file itself")
        default: ResultFault(message: "\(Self.shown(url)): cannot be opened: \(Self.reason)")
        }
    }

    private func size(_ file: Int32, _ user: UInt32) throws(ResultFault) -> Int64 {
        var facts = stat()
        guard fstat(file, &facts) == 0 else { throw ResultFault(message: "\(Self.shown(url)): cannot be read: \(Self.reason)") }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw ResultFault(message: "\(Self.shown(url)): is no plain file; report each file by itself")
        }
        guard facts.st_nlink == 1 || facts.st_uid == user else {
            throw ResultFault(
                message: "\(Self.shown(url)): is another name of a file that belongs to user \(facts.st_uid); copy it, and report the copy")
        }
        guard facts.st_size <= Self.bytesMax else {
            throw ResultFault(message: "\(Self.shown(url)): has \(facts.st_size) bytes, at most \(Self.bytesMax) are taken")
        }
        return Int64(facts.st_size)
    }

    /// Opens a file, and finds its digest and whether it is what it is said to be.
    ///
    /// - Parameters:
    ///   - claimed: what the worker says of it; empty digest and no size for nothing.
    /// - Returns: the file's digest and size.
    func examine(format: String, claimed: (digest: String, size: Int64?), user: UInt32) throws(ResultFault) -> (ArtifactDigest, Int64) {
        let (file, size) = try open(user: user)
        defer { close(file) }
        if let claim = claimed.size, claim != size {
            throw ResultFault(message: "\(Self.shown(url)): has \(size) bytes, reported were \(claim)")
        }
        if format.lowercased() == "onnx",
            let fault = OnnxOutline.fault(size: size, read: { Self.read(file, at: $0, count: $1) })
        {
            throw ResultFault(message: "\(Self.shown(url)): is no ONNX model: \(fault)")
        }
        var digest = RollingDigest()
        while digest.byteCount < size {
            guard let bytes = Self.read(file, at: digest.byteCount, count: 1 << 20), !bytes.isEmpty else {
                throw ResultFault(message: "\(Self.shown(url)): became shorter while it was read; report a file once it is written")
            }
            bytes.withUnsafeBytes { digest.update($0) }
        }
        let found = digest.value
        if !claimed.digest.isEmpty, claimed.digest != found.description {
            throw ResultFault(message: "\(Self.shown(url)): has digest \(found), reported was \(Self.shown(claimed.digest))")
        }
        return (found, size)
    }

    private static func read(_ file: Int32, at offset: Int64, count: Int) -> [UInt8]? {
        var isFailed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = pread(file, buffer.baseAddress! + filled, count - filled, off_t(offset) + off_t(filled))
                if got < 0, errno == EINTR { continue }
                if got < 0 { isFailed = true }
                if got <= 0 { break }
                filled += got
            }
        }
        return isFailed ? nil : bytes
    }
}
