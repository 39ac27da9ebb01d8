import CZlib

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why a file could not be read; each case names the file and the remedy.
package enum FileReadError: Error, Equatable, CustomStringConvertible {
    case cannotOpen(path: String, reason: String)
    /// The operating system failed while reading.
    case cannotRead(path: String, reason: String)
    /// The compressed stream ends before its end mark.
    case truncated(path: String, bytesRead: Int)
    /// The compressed stream is not valid gzip, or its checksum does not match its content.
    case corrupt(path: String, bytesRead: Int, reason: String)

    /// One sentence: the file, what happened to it, and the remedy.
    package var description: String {
        switch self {
        case .cannotOpen(let path, let reason): "cannot open \(path): \(reason); check the path and its permissions"
        case .cannotRead(let path, let reason): "cannot read \(path): \(reason)"
        case .truncated(let path, let bytes):
            "\(path) is truncated: its gzip stream ends after \(bytes) uncompressed bytes; fetch the file again"
        case .corrupt(let path, let bytes, let reason):
            "\(path) is corrupt after \(bytes) uncompressed bytes (\(reason)); fetch the file again"
        }
    }
}

/// Reads a plain or gzip-compressed file in chunks of bounded size; gzip is recognised by its two first bytes, not by the name.
///
/// Memory stays at one chunk whatever the size of the file. Several gzip members in one file read as one stream. Not shared between threads.
package final class GzipReader {
    private static let chunkBytes = 256 << 10
    private let path: String
    private let descriptor: Int32
    private let isCompressed: Bool
    private var stream = z_stream()
    private var pending: [UInt8]
    private var pendingStart = 0
    private var memberEnded = false
    /// Bytes delivered so far, uncompressed.
    package private(set) var bytesRead = 0

    /// - Throws: `FileReadError.cannotOpen`, `.cannotRead`.
    package init(path: String) throws(FileReadError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .cannotOpen(path: path, reason: String(cString: strerror(errno))) }
        do {
            pending = try Self.readChunk(descriptor, path)
        } catch {
            close(descriptor)
            throw error
        }
        isCompressed = pending.count >= 2 && pending[0] == 0x1f && pending[1] == 0x8b
        if isCompressed {
            // 15 window bits, +16: gzip framing with its checksum verified by zlib.
            inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        }
    }

    deinit {
        if isCompressed { inflateEnd(&stream) }
        close(descriptor)
    }

    /// The next bytes of the uncompressed content; nil at its end.
    package func next() throws(FileReadError) -> [UInt8]? {
        while true {
            if pendingStart == pending.count {
                pending = try Self.readChunk(descriptor, path)
                pendingStart = 0
            }
            if pending.isEmpty {
                if isCompressed && !memberEnded { throw .truncated(path: path, bytesRead: bytesRead) }
                return nil
            }
            let bytes = isCompressed ? try inflateSome() : takePending()
            if !bytes.isEmpty {
                bytesRead += bytes.count
                return bytes
            }
        }
    }

    private func takePending() -> [UInt8] {
        pendingStart = pending.count
        return pending
    }

    private func inflateSome() throws(FileReadError) -> [UInt8] {
        if memberEnded {
            inflateReset(&stream)
            memberEnded = false
        }
        var status: Int32 = Z_OK
        let start = pendingStart
        let output = [UInt8](unsafeUninitializedCapacity: Self.chunkBytes) { out, count in
            pending.withUnsafeMutableBufferPointer { input in
                stream.next_in = input.baseAddress! + start
                stream.avail_in = UInt32(input.count - start)
                stream.next_out = out.baseAddress!
                stream.avail_out = UInt32(out.count)
                status = inflate(&stream, Z_NO_FLUSH)
                pendingStart = input.count - Int(stream.avail_in)
                count = out.count - Int(stream.avail_out)
            }
        }
        switch status {
        case Z_OK, Z_BUF_ERROR: break
        case Z_STREAM_END: memberEnded = true
        default:
            let reason = stream.msg.map { String(cString: $0) } ?? "zlib status \(status)"
            throw .corrupt(path: path, bytesRead: bytesRead + output.count, reason: reason)
        }
        return output
    }

    private static func readChunk(_ descriptor: Int32, _ path: String) throws(FileReadError) -> [UInt8] {
        var result = 0
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: chunkBytes) { buffer, count in
            repeat {
                result = read(descriptor, buffer.baseAddress!, buffer.count)
                failure = errno
            } while result < 0 && failure == EINTR
            count = max(result, 0)
        }
        guard result >= 0 else { throw .cannotRead(path: path, reason: String(cString: strerror(failure))) }
        return bytes
    }
}
