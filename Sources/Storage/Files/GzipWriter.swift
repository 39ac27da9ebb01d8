import CZlib

/// Compresses bytes into one gzip member, piece by piece, in bounded memory.
///
/// The header carries no time, and a name only where one is given, so equal input gives equal output with the same zlib. Not shared between
/// threads.
package final class GzipWriter {
    private static let chunkBytes = 64 << 10
    private var stream = z_stream()
    private var isFinished = false

    private let header: GzipHeader?

    /// - Parameter name: of the content, kept in the header (RFC 1952, FNAME): what `file` shows and `gunzip -N` restores. Latin-1, no NUL.
    package init(name: String? = nil) {
        header = name.map(GzipHeader.init)
        // 15 window bits, +16: gzip framing; 8: zlib's default memory.
        let status = deflateInit2_(
            &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib cannot start: status \(status)")
        if let header { deflateSetHeader(&stream, header.pointer) }
    }

    deinit { deflateEnd(&stream) }

    /// - Returns: what can be written of the compressed stream so far; often empty.
    package func compress(_ bytes: [UInt8]) -> [UInt8] {
        precondition(!isFinished, "a finished gzip member takes no more bytes")
        return run(bytes, Z_NO_FLUSH)
    }

    /// - Returns: the rest of the compressed stream with its checksum; nothing may be compressed afterwards.
    package func finish() -> [UInt8] {
        precondition(!isFinished, "a gzip member is finished once")
        isFinished = true
        return run([], Z_FINISH)
    }

    private func run(_ bytes: [UInt8], _ flush: Int32) -> [UInt8] {
        var output: [UInt8] = []
        var input = bytes
        input.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            var status: Int32
            repeat {
                var room = 0
                status = Z_OK
                output += [UInt8](unsafeUninitializedCapacity: Self.chunkBytes) { out, count in
                    stream.next_out = out.baseAddress
                    stream.avail_out = UInt32(out.count)
                    status = deflate(&stream, flush)
                    room = Int(stream.avail_out)
                    count = out.count - room
                }
                // Room left over means that everything given was taken.
                if room > 0 { break }
            } while status == Z_OK || status == Z_BUF_ERROR
        }
        return output
    }
}

/// Memory that zlib reads while the first bytes are written.
private final class GzipHeader {
    let pointer: UnsafeMutablePointer<gz_header>
    private let name: UnsafeMutablePointer<UInt8>

    init(_ text: String) {
        let bytes = text.unicodeScalars.map { UInt8($0.value < 256 && $0.value > 0 ? $0.value : 63) } + [0]
        name = .allocate(capacity: bytes.count)
        name.initialize(from: bytes, count: bytes.count)
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: gz_header())
        // 255: unknown, which zlib otherwise takes from the machine it was built for.
        pointer.pointee.os = 255
        pointer.pointee.name = name
    }

    deinit {
        pointer.deallocate()
        name.deallocate()
    }
}
