#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why a file could not be written; each case names the file and the remedy. The file that was there before is untouched.
package enum FileWriteError: Error, Equatable, CustomStringConvertible {
    case cannotCreate(path: String, reason: String)
    case cannotWrite(path: String, bytesWritten: Int, reason: String)
    case cannotReplace(path: String, reason: String)

    /// One sentence: the file, what happened to it, and whether the former one is still there.
    package var description: String {
        switch self {
        case .cannotCreate(let path, let reason): "cannot create \(path): \(reason); check the folder and its permissions"
        case .cannotWrite(let path, let bytes, let reason):
            "cannot write \(path) after \(bytes) bytes: \(reason); nothing was replaced; free space there or choose another folder"
        case .cannotReplace(let path, let reason): "cannot put the new \(path) in place: \(reason); the old one is untouched"
        }
    }
}

/// A file that appears whole or not at all: written beside its place without a name, forced to the disk, then put in place in one step.
///
/// A crash, a full disk or a signal before `commit()` leaves the former file as it was. Where the file system knows unnamed files (Linux:
/// ext4, xfs, btrfs, tmpfs, overlayfs) it leaves nothing else either; elsewhere a hidden `.NAME.tmp` may stay until the next write. One
/// process writes one path at a time. Not shared between threads.
package final class WholeFile {
    /// Where the file will appear.
    package let path: String
    /// Bytes written so far.
    package private(set) var bytesWritten = 0
    private let temporary: String
    private var descriptor: Int32
    private var isNamed: Bool

    /// - Parameter isPrivate: only the owner may read the file (mode 0600).
    /// - Throws: `FileWriteError.cannotCreate`.
    package init(path: String, isPrivate: Bool = false) throws(FileWriteError) {
        let mode: mode_t = isPrivate ? 0o600 : 0o644
        self.path = path
        let cut = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        let folder = cut == path.startIndex ? "." : String(path[..<cut])
        temporary = "\(path[..<cut]).\(path[cut...]).tmp"
        descriptor = Self.openUnnamed(folder, mode)
        isNamed = descriptor < 0
        if isNamed { descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode) }
        guard descriptor >= 0 else { throw .cannotCreate(path: path, reason: String(cString: strerror(errno))) }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if isNamed { unlink(temporary) }
    }

    /// - Throws: `FileWriteError.cannotWrite`; the file can then only be dropped.
    package func write(_ bytes: [UInt8]) throws(FileWriteError) {
        let failure: Int32 = bytes.withUnsafeBytes { buffer in
            var start = 0
            while start < buffer.count {
                let count = systemWrite(descriptor, buffer.baseAddress! + start, buffer.count - start)
                if count < 0 && errno == EINTR { continue }
                if count < 0 { return errno }
                start += count
                bytesWritten += count
            }
            return 0
        }
        if failure != 0 { throw .cannotWrite(path: path, bytesWritten: bytesWritten, reason: String(cString: strerror(failure))) }
    }

    /// Forces the content to the disk under a hidden name, so that `commit()` has only a name left to change. Calling it twice is harmless.
    ///
    /// - Throws: `FileWriteError.cannotWrite`, `.cannotReplace`.
    package func prepare() throws(FileWriteError) {
        guard fsync(descriptor) == 0 else {
            throw .cannotWrite(path: path, bytesWritten: bytesWritten, reason: String(cString: strerror(errno)))
        }
        guard !isNamed else { return }
        // Left by a crash between naming and renaming.
        unlink(temporary)
        guard linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) == 0 else {
            throw .cannotReplace(path: path, reason: String(cString: strerror(errno)))
        }
        isNamed = true
    }

    /// Puts the file in place of whatever was there.
    ///
    /// - Throws: as `prepare()`; then the former file is untouched.
    package func commit() throws(FileWriteError) {
        try prepare()
        guard rename(temporary, path) == 0 else { throw .cannotReplace(path: path, reason: String(cString: strerror(errno))) }
        isNamed = false
        close(descriptor)
        descriptor = -1
        syncFolder()
    }

    /// Makes the new name survive a power cut. The file is whole either way, so a folder that can't be opened is no failure.
    private func syncFolder() {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let handle = open(folder, O_RDONLY | O_CLOEXEC)
        guard handle >= 0 else { return }
        fsync(handle)
        close(handle)
    }

    /// - Returns: a descriptor of a file without a name in the folder, or −1 where that does not exist.
    private static func openUnnamed(_ folder: String, _ mode: mode_t) -> Int32 {
        #if os(Linux)
            // O_TMPFILE: its macro is too involved for the importer.
            let withoutName: Int32 = 0o20_000_000 | O_DIRECTORY
            return open(folder, O_WRONLY | withoutName | O_CLOEXEC, mode)
        #else
            return -1
        #endif
    }
}

/// `write` of the C library; inside `WholeFile` that name is taken.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int { write(descriptor, bytes, count) }
