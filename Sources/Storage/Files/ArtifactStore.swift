import Crypto
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why a file could not be taken or given; each case names the artifact and the remedy.
package enum ArtifactError: Error, Sendable, Equatable, CustomStringConvertible {
    case missing(ArtifactDigest)
    /// What arrived is not what its name says; nothing of it is kept.
    case wrongContent(ArtifactDigest, found: ArtifactDigest)
    /// A part does not begin where the parts before it ended.
    case wrongOffset(ArtifactDigest, found: Int64, expected: Int64)
    /// Another size than that of the parts before, or less than nothing, or more than the size.
    case wrongSize(ArtifactDigest, size: Int64, expected: Int64)
    case tooLarge(ArtifactDigest, size: Int64, max: Int64)
    /// The store's own bound, or the disk's; whatever of the file had come is removed so that the disk is free for others.
    case noSpace(ArtifactDigest, size: Int64, free: Int64)
    /// Another writer is at the same artifact.
    case busy(ArtifactDigest)
    case tooManyParts(max: Int)
    case failed(path: String, reason: String)

    /// One sentence with the artifact, what was found, and the remedy.
    package var description: String {
        switch self {
        case .missing(let digest): "there is no artifact \(digest)"
        case .wrongContent(let digest, let found):
            "what was sent as artifact \(digest) is \(found); nothing of it was kept; send the file again from its beginning"
        case .wrongOffset(let digest, let found, let expected):
            "a part of artifact \(digest) begins at byte \(found), expected \(expected); go on from there"
        case .wrongSize(let digest, let size, let expected):
            "artifact \(digest) is said to have \(size) bytes, expected \(expected); send it again from its beginning"
        case .tooLarge(let digest, let size, let max): "artifact \(digest) has \(size) bytes, at most \(max) are taken"
        case .noSpace(let digest, let size, let free):
            "artifact \(digest) has \(size) bytes, there is room for \(max(0, free)); remove what refers to others, or give the data directory more space"
        case .busy(let digest): "artifact \(digest) is being written by another; try again"
        case .tooManyParts(let max): "\(max) artifacts have arrived in part; wait until some are whole, or are forgotten"
        case .failed(let path, let reason): "cannot use \(path): \(reason); check the data directory and its disk"
        }
    }

    /// Whether the same may work later.
    package var isRetryable: Bool {
        switch self {
        case .busy, .noSpace, .tooManyParts, .wrongOffset, .wrongContent: true
        case .missing, .wrongSize, .tooLarge, .failed: false
        }
    }
}

/// Files named by their SHA-256 in one folder: whole ones, and those that are still arriving.
///
///     (nothing) ─append─► part ─append, all bytes, right digest─► whole ─collect─► (nothing)
///                           └──── wrong digest, no space, collect ──► (nothing)
///
/// A name appears only when every byte is verified and forced to the disk. A part survives a crash and is gone on with; what a power cut has
/// torn out of it shows in the digest. May be used from any thread; calls block for the disk. One process uses a folder.
package final class ArtifactStore: Sendable {
    /// Bounds; each says what happens at it.
    package struct Limits: Sendable {
        /// Bytes of one artifact; beyond: `.tooLarge`.
        package var bytesMax: Int64 = 16 << 30
        /// Bytes of all artifacts, parts with what they will have; beyond: `.noSpace`.
        package var totalBytesMax: Int64 = 256 << 30
        /// Bytes that stay free on the disk; an artifact that would take them is `.noSpace`.
        package var freeBytesMin: Int64 = 64 << 20
        /// Artifacts that may have arrived in part; beyond: `.tooManyParts`.
        package var partsMax = 256
        /// Seconds that a part is kept without going on.
        package var partSecondsMax: Int64 = 7 * 86400

        /// Every bound at the value that stands here.
        package init() {}
    }

    /// Of a whole artifact.
    package struct Entry: Sendable, Equatable {
        /// Its name.
        package let digest: ArtifactDigest
        /// Bytes.
        package let size: Int64
        /// When it arrived or was last asked for, seconds since 1970.
        package let usedAt: Int64
    }

    /// An artifact that arrives: what is known of it without reading it again.
    private struct Part {
        var hash: SHA256
        var byteCount: Int64
        /// What it will have.
        var size: Int64
        var usedAt: Int64
    }

    private struct State {
        /// Sizes of all whole artifacts.
        var whole: [ArtifactDigest: Int64] = [:]
        var parts: [ArtifactDigest: Part] = [:]
        /// Parts in the hands of a writer.
        var busy: Set<ArtifactDigest> = []
        var wholeBytes: Int64 = 0

        /// Bytes that are taken or promised.
        var promisedBytes: Int64 { wholeBytes + parts.values.reduce(0) { $0 + $1.size } }
    }

    /// Bytes that are read at once.
    private static let pieceBytes = 256 << 10
    /// Bytes after which what was written is forced to the disk.
    private static let syncedBytes: Int64 = 32 << 20
    private let folder: String
    private let partsFolder: String
    private let limits: Limits
    private let now: @Sendable () -> Int64
    private let state: Mutex<State>

    /// Opens the folder, makes it where it is not, and finds what is in it. Parts are read once, to know how far they are.
    ///
    /// - Parameters:
    ///   - folder: used by this store alone; only its owner may look into it.
    ///   - now: seconds since 1970.
    /// - Throws: `ArtifactError.failed`.
    package init(folder: String, limits: Limits = Limits(), now: @escaping @Sendable () -> Int64) throws(ArtifactError) {
        self.folder = folder
        partsFolder = folder + "/parts"
        self.limits = limits
        self.now = now
        for path in [folder, partsFolder] where mkdir(path, 0o700) != 0 && errno != EEXIST {
            throw .failed(path: path, reason: Self.reason)
        }
        var found = State()
        for name in try Self.names(in: folder) {
            guard let digest = ArtifactDigest(hex: name), let facts = Self.facts("\(folder)/\(name)") else { continue }
            found.whole[digest] = facts.size
            found.wholeBytes += facts.size
        }
        for name in try Self.names(in: partsFolder) {
            let path = "\(partsFolder)/\(name)"
            let words = name.split(separator: ".", maxSplits: 1)
            guard words.count == 2, let digest = ArtifactDigest(hex: words[0]), let size = Int64(words[1]), let facts = Self.facts(path),
                facts.size <= size, found.whole[digest] == nil, found.parts[digest] == nil
            else {
                unlink(path)
                continue
            }
            found.parts[digest] = Part(
                hash: try Self.hash(path), byteCount: facts.size, size: size, usedAt: facts.time)
        }
        state = Mutex(found)
    }

    private static var reason: String { String(cString: strerror(errno)) }

    private static func names(in folder: String) throws(ArtifactError) -> [String] {
        guard let handle = opendir(folder) else { throw .failed(path: folder, reason: reason) }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
            }
            if name != "." && name != ".." && name != "parts" { names.append(name) }
        }
        return names
    }

    /// Size and time of change; nil for what is no regular file.
    private static func facts(_ path: String) -> (size: Int64, time: Int64)? {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        #if os(Linux)
            return (Int64(status.st_size), Int64(status.st_mtim.tv_sec))
        #else
            return (Int64(status.st_size), Int64(status.st_mtimespec.tv_sec))
        #endif
    }

    private static func hash(_ path: String) throws(ArtifactError) -> SHA256 {
        let descriptor = systemOpen(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw .failed(path: path, reason: reason) }
        defer { close(descriptor) }
        var hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: pieceBytes)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .failed(path: path, reason: reason) }
            if count == 0 { return hash }
            buffer.withUnsafeBytes { hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
    }

    private func path(_ digest: ArtifactDigest) -> String { "\(folder)/\(digest.hex)" }

    /// The size stands in the name, so that it is known after a crash.
    private func partPath(_ digest: ArtifactDigest, _ size: Int64) -> String { "\(partsFolder)/\(digest.hex).\(size)" }

    // MARK: Asking

    /// Whole artifacts.
    package var count: Int { state.withLock { $0.whole.count } }

    /// Bytes of whole artifacts.
    package var byteCount: Int64 { state.withLock { $0.wholeBytes } }

    /// Bytes of a whole artifact, which then counts as used now; nil if it is not there.
    package func size(_ digest: ArtifactDigest) -> Int64? {
        state.withLock { state in
            guard let size = state.whole[digest] else { return nil }
            touch(path(digest))
            return size
        }
    }

    /// Bytes that have come of an artifact that is not whole, and what it will have; nil if nothing has.
    package func progress(_ digest: ArtifactDigest) -> (byteCount: Int64, size: Int64)? {
        state.withLock { state in state.parts[digest].map { ($0.byteCount, $0.size) } }
    }

    /// Marks a file as used now: collection looks at this time.
    private func touch(_ path: String) {
        let time = timespec(tv_sec: Int(now()), tv_nsec: 0)
        _ = utimensat(AT_FDCWD, path, [time, time], 0)
    }

    /// Opens a whole artifact for reading; it stays readable whatever becomes of its name.
    ///
    /// - Parameter isUse: whether it counts as used now, which puts off its collection.
    /// - Throws: `.missing`, `.failed`.
    package func open(_ digest: ArtifactDigest, isUse: Bool = true) throws(ArtifactError) -> ArtifactReader {
        let found = try state.withLock { (state) throws(ArtifactError) -> (Int32, Int64) in
            guard let size = state.whole[digest] else { throw .missing(digest) }
            let descriptor = systemOpen(path(digest), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else { throw .failed(path: path(digest), reason: Self.reason) }
            if isUse { touch(path(digest)) }
            return (descriptor, size)
        }
        return ArtifactReader(descriptor: found.0, size: found.1, path: path(digest))
    }

    // MARK: Writing

    /// Takes the next bytes of an artifact; with the last ones it is verified, forced to the disk and gets its name.
    ///
    /// - Parameters:
    ///   - offset: where the bytes begin; must be where the bytes before ended (`progress`), or 0 to begin.
    ///   - size: of the whole artifact, the same with every part.
    /// - Returns: bytes there are now; equal to `size` when the artifact is whole. One that was whole before takes nothing.
    /// - Throws: `ArtifactError`; after `.wrongContent` and `.noSpace` nothing of the artifact is kept, after every other error what came before.
    @discardableResult
    package func append(_ bytes: [UInt8], to digest: ArtifactDigest, at offset: Int64, of size: Int64) throws(ArtifactError) -> Int64 {
        if let size = self.size(digest) { return size }
        guard size >= 0, offset >= 0, Int64(bytes.count) <= size - min(offset, size) else {
            throw .wrongSize(digest, size: size, expected: max(0, min(offset, .max - Int64(bytes.count))) + Int64(bytes.count))
        }
        guard size <= limits.bytesMax else { throw .tooLarge(digest, size: size, max: limits.bytesMax) }
        var part = try begin(digest, offset: offset, size: size)
        do throws(ArtifactError) {
            try write(bytes, part, digest)
        } catch {
            // A full disk is no place for half a file; every other failure leaves what was there before.
            if case .noSpace = error { return try abandon(digest, part.size, error) }
            finish(digest, part)
            throw error
        }
        bytes.withUnsafeBytes { part.hash.update(bufferPointer: $0) }
        part.byteCount += Int64(bytes.count)
        guard part.byteCount == size else {
            finish(digest, part)
            return part.byteCount
        }
        let found = ArtifactDigest(part.hash.finalize())
        guard found == digest else { return try abandon(digest, size, .wrongContent(digest, found: found)) }
        do throws(ArtifactError) { try name(digest, size) } catch {
            if case .noSpace = error { return try abandon(digest, size, error) }
            finish(digest, part)
            throw error
        }
        state.withLock { state in
            state.busy.remove(digest)
            state.parts[digest] = nil
            state.whole[digest] = size
            state.wholeBytes += size
        }
        return size
    }

    /// Makes the caller the only writer of a part.
    private func begin(_ digest: ArtifactDigest, offset: Int64, size: Int64) throws(ArtifactError) -> Part {
        try state.withLock { (state) throws(ArtifactError) -> Part in
            guard !state.busy.contains(digest) else { throw .busy(digest) }
            let part: Part
            if let known = state.parts[digest], offset > 0 || known.size == size && known.byteCount == 0 {
                guard known.size == size else { throw .wrongSize(digest, size: size, expected: known.size) }
                part = known
            } else {
                // From the beginning: what came before, if anything, is not gone on with.
                if let known = state.parts[digest] { unlink(partPath(digest, known.size)) }
                state.parts[digest] = nil
                part = Part(hash: SHA256(), byteCount: 0, size: size, usedAt: now())
            }
            guard offset == part.byteCount else { throw .wrongOffset(digest, found: offset, expected: part.byteCount) }
            if state.parts[digest] == nil {
                guard state.parts.count < limits.partsMax else { throw .tooManyParts(max: limits.partsMax) }
                let free = min(limits.totalBytesMax - state.promisedBytes, freeBytes - limits.freeBytesMin)
                guard size <= free else { throw .noSpace(digest, size: size, free: free) }
                state.parts[digest] = part
            }
            state.busy.insert(digest)
            return part
        }
    }

    private var freeBytes: Int64 {
        var facts = statvfs()
        guard statvfs(folder, &facts) == 0 else { return .max }
        return Int64(clamping: UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize)).partialValue)
    }

    private func finish(_ digest: ArtifactDigest, _ part: Part) {
        var part = part
        part.usedAt = now()
        state.withLock { state in
            state.parts[digest] = part
            state.busy.remove(digest)
        }
    }

    /// Forgets what has come of an artifact that is not whole and that nobody is writing.
    package func drop(_ digest: ArtifactDigest) {
        state.withLock { state in
            guard !state.busy.contains(digest), let part = state.parts.removeValue(forKey: digest) else { return }
            unlink(partPath(digest, part.size))
        }
    }

    /// Removes a part and tells why.
    private func abandon(_ digest: ArtifactDigest, _ size: Int64, _ error: ArtifactError) throws(ArtifactError) -> Int64 {
        state.withLock { state in
            unlink(partPath(digest, size))
            state.parts[digest] = nil
            state.busy.remove(digest)
        }
        throw error
    }

    private func failure(_ path: String, _ digest: ArtifactDigest, _ size: Int64) -> ArtifactError {
        [ENOSPC, EDQUOT, EFBIG].contains(errno) ? .noSpace(digest, size: size, free: freeBytes) : .failed(path: path, reason: Self.reason)
    }

    private func write(_ bytes: [UInt8], _ part: Part, _ digest: ArtifactDigest) throws(ArtifactError) {
        let path = partPath(digest, part.size)
        let descriptor = systemOpen(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure(path, digest, part.size) }
        defer { close(descriptor) }
        // What a failed write left behind the bytes that count.
        guard ftruncate(descriptor, off_t(part.byteCount)) == 0 else { throw failure(path, digest, part.size) }
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress! + start, $0.count - start, off_t(part.byteCount) + off_t(start))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure(path, digest, part.size) }
            start += count
        }
        // A little now and then, so that forcing the whole at the end holds nobody up.
        let end = part.byteCount + Int64(bytes.count)
        if part.byteCount / Self.syncedBytes != end / Self.syncedBytes, fdatasync(descriptor) != 0 {
            throw failure(path, digest, part.size)
        }
    }

    /// Takes a whole file from an open descriptor, from its beginning to `size`. One that the store has already is not read.
    ///
    /// - Throws: as `append`; `.wrongContent` for a file that is another than its digest says, also because it changes while it is read.
    package func take(_ digest: ArtifactDigest, from descriptor: Int32, size: Int64) throws(ArtifactError) {
        if self.size(digest) != nil { return }
        var offset = progress(digest).flatMap { $0.size == size ? $0.byteCount : nil } ?? 0
        if offset == 0 { drop(digest) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        repeat {
            let wanted = Int(min(Int64(buffer.count), size - offset))
            var count = 0
            while count < wanted {
                let got = buffer.withUnsafeMutableBytes {
                    pread(descriptor, $0.baseAddress! + count, wanted - count, off_t(offset) + off_t(count))
                }
                if got < 0, errno == EINTR { continue }
                guard got >= 0 else { throw .failed(path: "artifact \(digest)", reason: Self.reason) }
                if got == 0 {
                    drop(digest)
                    throw .wrongSize(digest, size: offset + Int64(count), expected: size)
                }
                count += got
            }
            offset = try append(Array(buffer[..<wanted]), to: digest, at: offset, of: size)
        } while offset < size
    }

    /// Forces a verified part to the disk and gives it its name.
    private func name(_ digest: ArtifactDigest, _ size: Int64) throws(ArtifactError) {
        let part = partPath(digest, size)
        let descriptor = systemOpen(part, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw failure(part, digest, size) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure(part, digest, size) }
        fchmod(descriptor, 0o400)
        touch(part)
        guard rename(part, path(digest)) == 0 else { throw failure(part, digest, size) }
        let handle = systemOpen(folder, O_RDONLY | O_CLOEXEC)
        guard handle >= 0 else { return }
        fsync(handle)
        close(handle)
    }

    // MARK: Forgetting

    /// What a collection has removed.
    package struct Collected: Sendable, Equatable {
        /// Whole artifacts.
        package var count = 0
        /// Their bytes.
        package var byteCount: Int64 = 0
        /// Artifacts that had arrived in part.
        package var partCount = 0
    }

    /// Removes whole artifacts that nobody refers to and that nobody has asked for lately, and parts that do not go on.
    ///
    /// - Parameters:
    ///   - referenced: names that something refers to; taken before this call, so that what was named meanwhile is young enough to stay.
    ///   - graceSeconds: what was written or asked for since then stays; longer than it takes to name an artifact after sending it.
    package func collect(keeping referenced: Set<ArtifactDigest>, graceSeconds: Int64) -> Collected {
        var collected = Collected()
        let moment = now()
        let candidates = state.withLock { state in state.whole.keys.filter { !referenced.contains($0) } }
        for digest in candidates {
            state.withLock { state in
                // Looked at within the lock, which every use takes: one that is used now is kept.
                guard let size = state.whole[digest], let facts = Self.facts(path(digest)), facts.time + graceSeconds <= moment,
                    unlink(path(digest)) == 0
                else { return }
                state.whole[digest] = nil
                state.wholeBytes -= size
                collected.count += 1
                collected.byteCount += size
            }
        }
        state.withLock { state in
            for (digest, part) in state.parts where !state.busy.contains(digest) && part.usedAt + limits.partSecondsMax <= moment {
                unlink(partPath(digest, part.size))
                state.parts[digest] = nil
                collected.partCount += 1
            }
        }
        return collected
    }

    /// Every whole artifact, by name.
    package func entries() -> [Entry] {
        let sizes = state.withLock { $0.whole }
        return sizes.keys.sorted().map { Entry(digest: $0, size: sizes[$0]!, usedAt: Self.facts(path($0))?.time ?? 0) }
    }

    /// Where a whole artifact lies, for a program that reads it by path; it may be collected unless something refers to it.
    ///
    /// - Throws: `.missing`.
    package func file(_ digest: ArtifactDigest) throws(ArtifactError) -> String {
        guard size(digest) != nil else { throw .missing(digest) }
        return path(digest)
    }
}

/// A whole artifact, open for reading. May be used from any thread; closed when the last reference goes.
package final class ArtifactReader: Sendable {
    /// Bytes there are.
    package let size: Int64
    private let descriptor: Int32
    private let path: String

    fileprivate init(descriptor: Int32, size: Int64, path: String) {
        self.descriptor = descriptor
        self.size = size
        self.path = path
    }

    deinit { close(descriptor) }

    /// Some bytes; fewer than asked for only at the end.
    ///
    /// - Throws: `.failed` for a disk that cannot be read, or a file that was cut.
    package func read(at offset: Int64, count: Int) throws(ArtifactError) -> [UInt8] {
        let wanted = Int(max(0, min(Int64(count), size - offset)))
        var start = 0
        var failure = ""
        let bytes = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, filled in
            while start < wanted {
                let count = pread(descriptor, buffer.baseAddress! + start, wanted - start, off_t(offset) + off_t(start))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else {
                    failure = count < 0 ? String(cString: strerror(errno)) : "the file is shorter than it was"
                    break
                }
                start += count
            }
            filled = start
        }
        guard failure.isEmpty else { throw .failed(path: path, reason: failure) }
        return bytes
    }
}

/// `open` of the C library; inside the store that name is taken.
private func systemOpen(_ path: String, _ flags: Int32, _ mode: mode_t = 0) -> Int32 { open(path, flags, mode) }
