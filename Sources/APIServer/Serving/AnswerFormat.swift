import Resources

/// What a client wants to be answered in: the first of its Accept header that this server has.
enum AnswerFormat: Sendable, Equatable {
    case json
    /// Rows for people, as kubectl prints them.
    case table(version: String)
    /// Metadata only.
    case partial
    /// Aggregated discovery, in this version.
    case discovery(version: String)

    /// - Throws: `APIStatus` 406.
    init(accept: String?) throws(APIStatus) {
        let text = accept ?? ""
        let ranges = text == "application/json" || text == "*/*" ? [] : text.split(separator: ",").prefix(32)
        guard !ranges.isEmpty else {
            self = .json
            return
        }
        for range in ranges {
            let parts = range.split(separator: ";").map { $0.filter { $0 != " " } }
            let parameters = Dictionary(
                parts.dropFirst().compactMap { part -> (String, String)? in
                    let sides = part.split(separator: "=", maxSplits: 1)
                    return sides.count == 2 ? (String(sides[0]), String(sides[1])) : nil
                }, uniquingKeysWith: { first, _ in first })
            guard ["application/json", "*/*", "application/*"].contains(parts.first) else { continue }
            switch (parameters["as"], parameters["g"]) {
            case ("Table", "meta.k8s.io"):
                self = .table(version: parameters["v"] ?? "v1")
                return
            case ("PartialObjectMetadata", "meta.k8s.io"), ("PartialObjectMetadataList", "meta.k8s.io"):
                self = .partial
                return
            case ("APIGroupDiscoveryList", "apidiscovery.k8s.io"):
                self = .discovery(version: parameters["v"] ?? "v2")
                return
            case (nil, _):
                self = .json
                return
            default: continue
            }
        }
        var status = APIStatus(
            code: 406, reason: "NotAcceptable",
            message: "406: Not Acceptable\n\nAvailable representations: application/json, application/json;stream=watch")
        status.kind = ""
        throw status
    }
}
