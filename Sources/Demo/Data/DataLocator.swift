package import ThermalComfort

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The thermal-comfort files, or word that they cannot be had.
package enum LocatedData: Sendable, Equatable {
    case real(RealData)
    /// Neither found nor fetched; each line says what was tried and why it failed.
    case synthetic(reasons: [String])
}

/// Two files on this machine, verified.
package struct RealData: Sendable, Equatable {
    /// Paths.
    package var measurements: String
    /// Path of the table of buildings.
    package var metadata: String
    /// Of the files as found; with `--accept-digest` not always the card's.
    package var digests: ComfortResults.Digests
}

/// What happens while data are looked for.
package enum DataProgress: Sendable, Equatable {
    /// A place was looked at and does not have the files.
    case passed(place: String, reason: String)
    case found(place: String)
    case fetching(file: String, bytes: Int, total: Int)
    /// Another program fetches into the same cache.
    case waiting(folder: String)
    case warning(String)
}

/// Looks for the thermal-comfort files: the folder the user named, the folder beside the repository, a cache, their public home.
///
/// A file whose digest is not the card's is refused wherever it lies. Blocks; calling it twice is harmless.
package struct DataLocator: Sendable {
    /// The folder given by `--data`.
    package var folder: String?
    /// The folder beside the repository.
    package var shared = "../shared/datasets/atcii"
    /// Where fetched files are kept; nil where the user has no home folder, and then nothing is fetched.
    package var cache: String?
    /// Address of the folder with both files; nil to stay offline.
    package var home: String? = ComfortFiles.home
    /// Take files whose digest is not the card's, with a warning.
    package var acceptsDigest = false
    /// Bounds on time and attempts of fetching.
    package var limits = TransferLimits()
    /// The program that fetches.
    package var curl = "curl"
    /// The files by their card.
    package var measurements = ComfortFiles.measurements
    /// Its counterpart with the buildings.
    package var metadata = ComfortFiles.metadata

    /// The usual places and limits; nothing is touched before `locate`.
    package init(folder: String? = nil, cache: String?, acceptsDigest: Bool = false) {
        self.folder = folder
        self.cache = cache
        self.acceptsDigest = acceptsDigest
    }

    /// The cache folder of a user: below `XDG_CACHE_HOME` where that is an absolute path, else below `~/.cache`.
    package static func cacheFolder(environment: [String: String]) -> String? {
        if let base = environment["XDG_CACHE_HOME"], base.hasPrefix("/") { return "\(base)/skerry/atcii" }
        guard let home = environment["HOME"], !home.isEmpty else { return nil }
        return "\(home)/.cache/skerry/atcii"
    }

    /// - Throws: `DataError` for files that are not what they should be; `CancellationError` when the task is cancelled.
    package func locate(progress: (DataProgress) -> Void) throws -> LocatedData {
        var reasons: [String] = []
        for place in [folder, shared, cache].compactMap({ $0 }) {
            let missing = [measurements, metadata].filter { access("\(place)/\($0.name)", F_OK) != 0 }.map(\.name)
            if missing.isEmpty { return .real(try verified(place, progress)) }
            let reason = "has no \(missing.joined(separator: " and no "))"
            reasons.append("\(place) \(reason)")
            progress(.passed(place: place, reason: reason))
        }
        guard let home else { return .synthetic(reasons: reasons) }
        guard let cache else { return .synthetic(reasons: reasons + ["\(home): no folder to fetch into; HOME is not set"]) }
        if let reason = try fetch(from: home, into: cache, progress) {
            progress(.passed(place: home, reason: reason))
            return .synthetic(reasons: reasons + [reason])
        }
        return .real(try verified(cache, progress))
    }

    private func verified(_ place: String, _ progress: (DataProgress) -> Void) throws -> RealData {
        let data = RealData(
            measurements: "\(place)/\(measurements.name)", metadata: "\(place)/\(metadata.name)",
            digests: .init(
                measurements: try verify("\(place)/\(measurements.name)", measurements, "fetch the file again", progress),
                metadata: try verify("\(place)/\(metadata.name)", metadata, "fetch the file again", progress)))
        progress(.found(place: place))
        return data
    }

    /// - Returns: the digest found.
    private func verify(_ path: String, _ file: ComfortFiles, _ remedy: String, _ progress: (DataProgress) -> Void) throws -> String {
        let found = try FileDigest(path: path).sha256
        if found == file.sha256 { return found }
        guard acceptsDigest else {
            throw DataError.wrongDigest(path: path, found: found, expected: file.sha256, remedy: remedy)
        }
        progress(.warning("\(path): SHA-256 is \(found), the data set's card says \(file.sha256); taken because of --accept-digest"))
        return found
    }

    /// - Returns: nil once both files are in the cache, else why not.
    private func fetch(from home: String, into cache: String, _ progress: (DataProgress) -> Void) throws -> String? {
        try makeFolder(cache)
        let lock = try FolderLock(cache) { progress(.waiting(folder: cache)) }
        defer { lock.release() }
        for file in [metadata, measurements] where access("\(cache)/\(file.name)", F_OK) != 0 {
            if let reason = try fetch(file, from: home, into: cache, progress) { return reason }
        }
        return nil
    }

    private func fetch(_ file: ComfortFiles, from home: String, into cache: String, _ progress: (DataProgress) -> Void) throws -> String? {
        let part = "\(cache)/\(file.name).part"
        let download = Download(
            curl: curl, address: "\(home)/\(file.name)", part: part, bytes: file.bytes, acceptsOtherSize: acceptsDigest, limits: limits)
        // A wrong digest after a resumed transfer may come from an old beginning: once more from nothing.
        let attempts = access(part, F_OK) == 0 ? 2 : 1
        for attempt in 1...attempts {
            let outcome = try download.run { progress(.fetching(file: file.name, bytes: $0, total: file.bytes)) }
            if case .unavailable(let reason) = outcome { return reason }
            do {
                _ = try verify(part, file, "its public home may have changed: get the file by its DOI and pass --data", progress)
                break
            } catch let error as DataError {
                unlink(part)
                if attempt == attempts { throw error }
            }
        }
        return place(part, as: "\(cache)/\(file.name)")
    }

    /// Puts a verified file in place in one step, its bytes on the disk first.
    private func place(_ part: String, as path: String) -> String? {
        let descriptor = open(part, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        if descriptor >= 0 && fsync(descriptor) == 0 && rename(part, path) == 0 { return nil }
        return "\(path): \(String(cString: strerror(errno)))"
    }

    private func makeFolder(_ path: String) throws {
        var current = path.hasPrefix("/") ? "" : "."
        for name in path.split(separator: "/") {
            current += "/\(name)"
            if mkdir(current, 0o755) != 0 && errno != EEXIST {
                throw DataError.cannotPrepareCache(path: path, reason: String(cString: strerror(errno)))
            }
        }
    }
}

/// Keeps two programs from fetching into one folder at a time.
private struct FolderLock {
    private let descriptor: Int32

    /// Blocks while another program holds the folder.
    ///
    /// - Parameter whenBusy: called once, before waiting.
    init(_ folder: String, whenBusy: () -> Void) throws {
        let path = "\(folder)/.lock"
        // Inherited by curl on purpose: the folder stays locked while an orphaned transfer still writes.
        descriptor = open(path, O_RDWR | O_CREAT, 0o644)
        guard descriptor >= 0 else { throw DataError.cannotPrepareCache(path: folder, reason: String(cString: strerror(errno))) }
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return }
        whenBusy()
        while flock(descriptor, LOCK_EX) != 0 {
            guard errno == EINTR else {
                let reason = String(cString: strerror(errno))
                close(descriptor)
                throw DataError.cannotPrepareCache(path: folder, reason: reason)
            }
        }
    }

    func release() { close(descriptor) }
}
