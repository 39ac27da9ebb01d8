import Network
package import Resources

/// Files of a cloud by their SHA-256, and answers that are taken as they come.
extension RESTClient {
    /// Bytes of a file that are sent or asked for at a time; servers take 3 MiB.
    private static let partBytes = 2 << 20

    private func path(ofFile digest: String) -> String {
        "/artifacts/sha256/\(digest.hasPrefix("sha256:") ? digest.dropFirst(7) : digest[...])"
    }

    /// Sends a file, from where an earlier sending broke off; nothing is sent of one that the cloud has.
    ///
    /// - Parameters:
    ///   - digest: its `sha256:…`, which the cloud checks.
    ///   - sent: told how many bytes are there after each part.
    /// - Returns: whether the cloud had it already.
    /// - Throws: the cloud's refusal; 422 for bytes of another digest.
    @discardableResult
    package func upload(
        _ bytes: [UInt8], digest: String, sent: @Sendable (Int) -> Void = { _ in }
    ) async throws(APIStatus) -> Bool {
        let path = path(ofFile: digest)
        var offset = try await told(put(path, [], range: "bytes */\(bytes.count)"))
        if offset >= bytes.count, !bytes.isEmpty { return true }
        var failures = 0
        while offset < bytes.count || bytes.isEmpty {
            let end = min(offset + Self.partBytes, bytes.count)
            let range = bytes.isEmpty ? nil : "bytes \(offset)-\(end - 1)/\(bytes.count)"
            let answer = try await put(path, Array(bytes[offset..<end]), range: range)
            if answer.status == 409, let known = answer.headers["upload-offset"].flatMap({ Int($0) }), (0...bytes.count).contains(known),
                failures < 8
            {
                // Somebody else sends the same file.
                (offset, failures) = (known, failures + 1)
                continue
            }
            offset = try told(answer)
            sent(offset)
            if bytes.isEmpty || answer.status != 202 { break }
        }
        return false
    }

    private func put(_ path: String, _ bytes: [UInt8], range: String?) async throws(APIStatus) -> HTTPAnswer {
        var request = try request("PUT", path)
        request.headers["Content-Type"] = "application/octet-stream"
        if let range { request.headers["Content-Range"] = range }
        request.body = bytes
        return try await send(request)
    }

    /// How many bytes of a file the cloud says it has.
    private func told(_ answer: HTTPAnswer) throws(APIStatus) -> Int {
        guard (200..<300).contains(answer.status) else { throw AnsweredStatus.read(answer, from: "\(access)") }
        guard let offset = answer.headers["upload-offset"].flatMap({ Int($0) }), offset >= 0 else {
            throw alien("an answer to a part of a file without Upload-Offset")
        }
        return offset
    }

    /// A file, whole. That it is the one that was asked for is the caller's to check.
    ///
    /// - Parameter bytesMax: a larger one is refused before it is read.
    /// - Throws: 404 for a file that the cloud does not have, 413 for one that is too large.
    package func download(_ digest: String, bytesMax: Int) async throws(APIStatus) -> [UInt8] {
        let path = path(ofFile: digest)
        var bytes: [UInt8] = []
        while true {
            var request = try request("GET", path)
            request.headers["Range"] = "bytes=\(bytes.count)-\(bytes.count + Self.partBytes - 1)"
            let answer = try await send(request)
            // An empty file has no range.
            if answer.status == 416, bytes.isEmpty { return [] }
            guard answer.status == 206 || answer.status == 200 else { throw AnsweredStatus.read(answer, from: "\(access)") }
            guard let size = answer.headers["content-range"]?.split(separator: "/").last.flatMap({ Int($0) }) else {
                guard answer.status == 200, answer.body.count <= bytesMax else { throw alien("a part of \(digest) without its size") }
                return answer.body
            }
            guard size <= bytesMax else {
                throw APIStatus(
                    code: 413, reason: "RequestEntityTooLarge", message: "\(digest) has \(size) bytes, at most \(bytesMax) are read")
            }
            bytes += answer.body
            if bytes.count >= size { return bytes }
            guard !answer.body.isEmpty else { throw alien("an empty part of \(digest)") }
        }
    }

    /// Hands out what the server answers at a path as it comes, as the log of a Pod.
    ///
    /// - Parameter query: `follow=true&tailLines=10`, as it stands in a URL.
    /// - Throws: the server's refusal, a server that is not reached, what `take` throws.
    package func follow(_ path: String, query: String, _ take: ([UInt8]) throws -> Void) async throws {
        var request = try request("GET", path)
        request.query = query
        request.headers["Accept"] = "*/*"
        let stream: HTTPAnswerStream
        // Ended by the other side, or by the person who asked.
        do throws(HTTPClientError) { stream = try await http.open(request, timeLimit: .seconds(365 * 86400)) } catch {
            throw unreachable(error)
        }
        guard stream.status == 200 else { throw AnsweredStatus.read(try await whole(stream), from: "\(access)") }
        while let bytes = try await stream.next() { try take(bytes) }
    }
}
