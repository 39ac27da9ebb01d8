import CZlib

/// Header blocks of SPDY/3 (draft 3.1, section 2.6.10): names and values, compressed over the whole connection with a dictionary that both
/// sides know.
enum SPDYHeaders {
    private static let words = """
        options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|accept-ranges|age|allow|autho\
        rization|cache-control|connection|content-base|content-encoding|content-language|content-length|content-location|conte\
        nt-md5|content-range|content-type|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range\
        |if-unmodified-since|last-modified|location|max-forwards|pragma|proxy-authenticate|proxy-authorization|range|referer|r\
        etry-after|server|te|trailer|transfer-encoding|upgrade|user-agent|vary|via|warning|www-authenticate|method|get|status|\
        200 OK|version|HTTP/1.1|url|public|set-cookie|keep-alive|origin
        """
    private static let rest = """
        100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Inform\
        ation204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server E\
        rror501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed,\
         Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/pla\
        in,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.
        """

    /// The draft's: each word behind its length, then text that has none.
    static let dictionary: [UInt8] =
        words.split(separator: "|").flatMap { word in bytes(UInt32(word.utf8.count)) + Array(word.utf8) } + Array(rest.utf8)

    /// An empty block, as one deflate block that is stored and not packed, and an empty one behind it, at which readers hand out what they have:
    /// the first of a connection has zlib's head and the dictionary's checksum before it.
    static func empty(isFirst: Bool) -> [UInt8] {
        let head: [UInt8] = isFirst ? [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2] : []
        return head + [0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0] + [0x00, 0x00, 0x00, 0xff, 0xff]
    }

    /// Reads a block that is unpacked: names in lower case; a name that comes twice is refused.
    static func read(_ block: [UInt8]) throws(SPDYError) -> [String: String] {
        var rest = block[...]
        func number() throws(SPDYError) -> Int {
            guard rest.count >= 4 else { throw SPDYError("a header block ends in the middle of a length") }
            defer { rest = rest.dropFirst(4) }
            return Int(rest.prefix(4).reduce(0 as UInt32) { $0 << 8 | UInt32($1) })
        }
        func text() throws(SPDYError) -> String {
            let count = try number()
            guard count <= rest.count else { throw SPDYError("a header of \(count) bytes is announced where \(rest.count) are left") }
            defer { rest = rest.dropFirst(count) }
            return String(decoding: rest.prefix(count), as: UTF8.self)
        }
        let count = try number()
        guard count <= block.count / 8 else { throw SPDYError("\(count) headers are announced in \(block.count) bytes") }
        var found: [String: String] = [:]
        for _ in 0..<count {
            let (name, value) = (try text(), try text())
            guard !name.isEmpty, found.updateValue(value, forKey: name) == nil else {
                throw SPDYError("header \"\(name)\" is empty or there twice")
            }
        }
        return found
    }

    static func bytes(_ number: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }
}

/// Unpacks the header blocks of one connection, in their order.
final class SPDYInflater {
    private let stream: UnsafeMutablePointer<z_stream>

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let status = inflateInit_(stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib has no memory for a connection")
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// - Parameter bytesMax: of the block when it is unpacked.
    func unpack(_ bytes: [UInt8], bytesMax: Int) throws(SPDYError) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: bytesMax + 1)
        let (status, left, room) = bytes.withUnsafeBufferPointer { source in
            result.withUnsafeMutableBufferPointer { target -> (Int32, UInt32, UInt32) in
                stream.pointee.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
                stream.pointee.avail_in = UInt32(source.count)
                stream.pointee.next_out = target.baseAddress
                stream.pointee.avail_out = UInt32(target.count)
                var status = inflate(stream, Z_SYNC_FLUSH)
                if status == Z_NEED_DICT {
                    status = inflateSetDictionary(stream, SPDYHeaders.dictionary, UInt32(SPDYHeaders.dictionary.count))
                    if status == Z_OK { status = inflate(stream, Z_SYNC_FLUSH) }
                }
                return (status, stream.pointee.avail_in, stream.pointee.avail_out)
            }
        }
        guard status == Z_OK, left == 0 else { throw SPDYError("a header block is not packed as SPDY/3 has it (zlib \(status))") }
        guard room > 0 else { throw SPDYError("a header block has more than \(bytesMax) bytes") }
        result.removeLast(Int(room))
        return result
    }
}
