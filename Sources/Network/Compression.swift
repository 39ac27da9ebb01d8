import CZlib

/// gzip for answers.
enum Compression {
    /// Fast rather than small: it runs while a client waits.
    private static let level: Int32 = 1

    /// The bytes as one gzip member; nil when zlib has no memory, and then they are sent as they are.
    static func gzip(_ bytes: [UInt8]) -> [UInt8]? {
        var stream = z_stream()
        // 16 beyond the largest window asks for a gzip header.
        guard
            deflateInit2_(
                &stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
        else { return nil }
        defer { deflateEnd(&stream) }
        var result = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(bytes.count))))
        let status = bytes.withUnsafeBufferPointer { source in
            result.withUnsafeMutableBufferPointer { target in
                stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
                stream.avail_in = UInt32(source.count)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(target.count)
                return deflate(&stream, Z_FINISH)
            }
        }
        guard status == Z_STREAM_END else { return nil }
        result.removeLast(Int(stream.avail_out))
        return result
    }

    /// Whether an Accept-Encoding names gzip and does not refuse it.
    static func isAccepted(_ header: String?) -> Bool {
        (header ?? "").split(separator: ",").contains { part in
            let pieces = part.split(separator: ";").map { $0.filter { $0 != " " } }
            return pieces.first == "gzip" && !pieces.dropFirst().contains { $0 == "q=0" || $0 == "q=0.0" }
        }
    }

    /// The answer with its body compressed, where it is long enough and the peer accepts it.
    static func apply(to response: HTTPResponse, for request: HTTPRequest, _ limits: HTTPLimits) -> HTTPResponse {
        guard case .bytes(let bytes) = response.body, bytes.count >= limits.compressedFromBytes,
            isAccepted(request.headers["accept-encoding"]), response.headers["content-encoding"] == nil,
            let packed = gzip(bytes)
        else { return response }
        var result = response
        result.body = .bytes(packed)
        result.headers["Content-Encoding"] = "gzip"
        result.headers.add("Vary", "Accept-Encoding")
        return result
    }
}
