extension APIStatus {
    /// Reads a `Status` object, as one side of a link tells it to the other; what is missing or beyond its range is replaced by something
    /// harmless.
    package init(reading body: JSON) {
        let code = body["code"]?.integer.flatMap { (400..<600).contains($0) ? Int($0) : nil } ?? 500
        self.init(
            code: code, reason: body["reason"]?.string ?? "Unknown",
            message: body["message"]?.string ?? "the other side says nothing of its error \(code)")
        let details = body["details"]
        name = details?["name"]?.string ?? ""
        group = details?["group"]?.string ?? ""
        kind = details?["kind"]?.string ?? ""
        uid = details?["uid"]?.string ?? ""
        causes = (details?["causes"]?.array ?? []).map {
            Cause(reason: $0["reason"]?.string ?? "", message: $0["message"]?.string ?? "", field: $0["field"]?.string ?? "")
        }
        retryAfterSeconds = Int(max(0, min(details?["retryAfterSeconds"]?.integer ?? 0, 3600)))
    }
}
