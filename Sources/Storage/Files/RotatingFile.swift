import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A log that only its owner may read: lines are appended to PATH; when it is full it becomes PATH.1, PATH.1 becomes PATH.2, and so on.
///
/// A line is written whole in one call and is in the hands of the operating system when `append` returns: it survives the program, not the
/// machine. May be used from any thread.
package final class RotatingFile: Sendable {
    private struct State {
        var descriptor: Int32
        var byteCount: Int
    }

    private let path: String
    private let bytesMax: Int
    private let filesMax: Int
    private let state: Mutex<State>

    /// Opens the file and goes on where it ends.
    ///
    /// - Parameters:
    ///   - bytesMax: size at which a file is full; a longer line has a file of its own.
    ///   - filesMax: files that are kept, the current one among them; at least 1. The oldest beyond is deleted.
    /// - Throws: `FileWriteError.cannotCreate`.
    package init(path: String, bytesMax: Int, filesMax: Int) throws(FileWriteError) {
        precondition(filesMax >= 1, "the current file is kept in any case")
        self.path = path
        self.bytesMax = bytesMax
        self.filesMax = filesMax
        state = Mutex(try Self.open(path))
    }

    deinit { state.withLock { _ = Self.close($0.descriptor) } }

    private static func close(_ descriptor: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.close(descriptor)
        #else
            Darwin.close(descriptor)
        #endif
    }

    private static func open(_ path: String) throws(FileWriteError) -> State {
        #if canImport(Glibc)
            let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        #else
            let descriptor = Darwin.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        #endif
        guard descriptor >= 0 else { throw .cannotCreate(path: path, reason: String(cString: strerror(errno))) }
        // A file that was there may have been readable for others.
        fchmod(descriptor, 0o600)
        return State(descriptor: descriptor, byteCount: Int(lseek(descriptor, 0, SEEK_END)))
    }

    /// Appends one line, which brings its own newline.
    ///
    /// - Throws: `FileWriteError`; the line is then not there, or in part where the disk became full in its middle.
    package func append(_ line: [UInt8]) throws(FileWriteError) {
        try state.withLock { (state) throws(FileWriteError) in
            if state.byteCount > 0, state.byteCount + line.count > bytesMax { try rotate(&state) }
            let written = line.withUnsafeBytes { write(state.descriptor, $0.baseAddress, $0.count) }
            state.byteCount += max(0, written)
            guard written == line.count else {
                let reason = written < 0 ? String(cString: strerror(errno)) : "no space left"
                throw .cannotWrite(path: path, bytesWritten: max(0, written), reason: reason)
            }
        }
    }

    private func rotate(_ state: inout State) throws(FileWriteError) {
        for number in stride(from: filesMax - 1, to: 0, by: -1) {
            rename(number == 1 ? path : "\(path).\(number - 1)", "\(path).\(number)")
        }
        if filesMax == 1 { unlink(path) }
        let next = try Self.open(path)
        _ = Self.close(state.descriptor)
        state = next
    }
}
