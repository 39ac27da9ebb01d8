#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A file descriptor that carries frames. Does not close it.
struct Descriptor {
    let number: Int32

    enum Failure: Error, Equatable {
        /// The other end is gone.
        case ended
        /// Nothing came for the time given.
        case silent
        case malformed(String)
    }

    /// Waits for a whole frame.
    ///
    /// - Parameter milliseconds: the longest silence; negative: any.
    /// - Returns: the body, without the length.
    func readFrame(milliseconds: Int32 = -1) throws(Failure) -> [UInt8] {
        let length = try read(InferenceFrame.lengthBytes, milliseconds).withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
        guard length <= UInt32(InferenceFrame.bytesMax) else {
            throw .malformed("a frame of \(length) bytes; at most \(InferenceFrame.bytesMax) are read")
        }
        return try read(Int(length), milliseconds)
    }

    private func read(_ count: Int, _ milliseconds: Int32) throws(Failure) -> [UInt8] {
        var (got, failure): (Int, Failure?) = (0, nil)
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { memory, filled in
            while got < count, failure == nil {
                if milliseconds >= 0 { failure = wait(Int16(POLLIN), milliseconds) }
                guard failure == nil else { break }
                #if canImport(Glibc)
                    let read = Glibc.read(number, memory.baseAddress! + got, count - got)
                #else
                    let read = Darwin.read(number, memory.baseAddress! + got, count - got)
                #endif
                if read > 0 { got += read } else if read == 0 || errno != EINTR { failure = .ended }
            }
            filled = got
        }
        if let failure { throw failure }
        return bytes
    }

    /// Writes everything. To a socket, so that an end that is gone is an error and no signal; to a pipe where there is none.
    func write(_ bytes: [UInt8], milliseconds: Int32 = -1) throws(Failure) {
        var sent = 0
        while sent < bytes.count {
            if milliseconds >= 0, let failure = wait(Int16(POLLOUT), milliseconds) { throw failure }
            let count = bytes.withUnsafeBytes { memory in
                let rest = UnsafeRawBufferPointer(rebasing: memory[sent...])
                #if canImport(Glibc)
                    let written = send(number, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
                    return written < 0 && errno == ENOTSOCK ? Glibc.write(number, rest.baseAddress, rest.count) : written
                #else
                    return Darwin.write(number, rest.baseAddress, rest.count)
                #endif
            }
            if count >= 0 { sent += count } else if errno != EINTR { throw .ended }
        }
    }

    private func wait(_ events: Int16, _ milliseconds: Int32) -> Failure? {
        var request = pollfd(fd: number, events: events, revents: 0)
        while true {
            let ready = poll(&request, 1, milliseconds)
            if ready > 0 { return nil }
            if ready == 0 { return .silent }
            if errno != EINTR { return .ended }
        }
    }
}
