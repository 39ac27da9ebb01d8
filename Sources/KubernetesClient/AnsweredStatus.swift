import Network
import Resources

/// What a server means by an answer that is no success.
enum AnsweredStatus {
    /// Characters of a body that is no `Status` that go into a message.
    private static let quotedMax = 200
    private static let reasons: [Int: String] = [
        400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed", 406: "NotAcceptable",
        409: "Conflict", 410: "Expired", 413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 422: "Invalid",
        429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
    ]

    /// The `Status` in an answer's body, or one made of its code by the words of HTTP.
    static func read(_ answer: HTTPAnswer, from server: String) -> APIStatus {
        var status: APIStatus
        if let body = try? JSONParser.parse(answer.body), body["kind"] == "Status" {
            status = read(body, httpCode: answer.status)
        } else {
            // Redirects are not followed: they could lead a token to another server.
            let isRedirect = (300..<400).contains(answer.status)
            let text = String(decoding: answer.body.prefix(quotedMax), as: UTF8.self)
                .map { $0.isNewline || $0.asciiValue.map { $0 < 0x20 } ?? false ? " " : $0 }
            status = APIStatus(
                code: isRedirect ? 502 : answer.status, reason: reasons[answer.status] ?? (isRedirect ? "BadGateway" : "Unknown"),
                message: isRedirect
                    ? "\(server) sends us to \(answer.headers["location"] ?? "nowhere") (\(answer.status)); name that server in the kubeconfig"
                    : "\(server) answers \(answer.status)\(text.isEmpty ? "" : ": \(String(text))")")
        }
        if let seconds = answer.headers["retry-after"].flatMap({ Int($0) }), seconds > 0 {
            status.retryAfterSeconds = max(status.retryAfterSeconds, min(seconds, 3600))
        }
        return status
    }

    /// A `Status` object, as in a body or an `ERROR` of a watch.
    static func read(_ body: JSON, httpCode: Int) -> APIStatus {
        let code = body["code"]?.integer.flatMap { (400..<600).contains($0) ? Int($0) : nil } ?? max(400, min(httpCode, 599))
        var status = APIStatus(
            code: code, reason: body["reason"]?.string ?? reasons[code] ?? "Unknown",
            message: body["message"]?.string ?? "the server says nothing of its error \(code)")
        let details = body["details"]
        status.name = details?["name"]?.string ?? ""
        status.group = details?["group"]?.string ?? ""
        status.kind = details?["kind"]?.string ?? ""
        status.uid = details?["uid"]?.string ?? ""
        status.causes = (details?["causes"]?.array ?? []).map {
            APIStatus.Cause(
                reason: $0["reason"]?.string ?? "", message: $0["message"]?.string ?? "", field: $0["field"]?.string ?? "")
        }
        status.retryAfterSeconds = Int(max(0, min(details?["retryAfterSeconds"]?.integer ?? 0, 3600)))
        return status
    }
}
