/// Events in their two forms, of which `v1` is stored and `events.k8s.io/v1` is shown, and the checks of both.
enum EventRules {
    /// Names of the fields that the two forms call differently: as stored, as shown.
    private static let names = [
        ("message", "note"), ("involvedObject", "regarding"), ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"), ("count", "deprecatedCount"), ("reportingComponent", "reportingController"),
    ]
    private static let shownNames = Dictionary(uniqueKeysWithValues: names)
    private static let storedNames = Dictionary(uniqueKeysWithValues: names.map { ($1, $0) })

    static let selectableFields = [
        "reason", "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "regarding.apiVersion",
        "regarding.resourceVersion", "regarding.fieldPath", "reportingController", "type",
    ]

    private static func renamed(_ event: JSON, _ names: [String: String], _ apiVersion: JSON) -> JSON {
        var result: JSONObject = ["kind": "Event", "apiVersion": apiVersion]
        for (key, value) in event.object ?? [:] where key != "kind" && key != "apiVersion" { result[names[key] ?? key] = value }
        return .object(result)
    }

    /// Who tells of old events stands in their source only.
    static func shown(_ stored: JSON) -> JSON {
        var result = renamed(stored, shownNames, "events.k8s.io/v1")
        for (field, part) in [("reportingController", "component"), ("reportingInstance", "host")]
        where (result[field]?.string ?? "").isEmpty {
            if let word = stored["source"]?[part]?.string, !word.isEmpty { result[field] = .string(word) }
        }
        return result
    }

    static func stored(_ shown: JSON) -> JSON { renamed(shown, storedNames, "v1") }

    // MARK: Checks

    private static let wordBytesMax = 128
    private static let noteBytesMax = 1024

    /// An event lies in the namespace of what it is about, or in `default` if that has none.
    private static func placeErrors(_ event: JSON, _ field: String) -> [FieldError] {
        let own = event["metadata"]?["namespace"]?.string ?? ""
        let other = event[field]?["namespace"]?.string ?? ""
        let fits = other.isEmpty ? ["", "default", "kube-system"].contains(own) : own == other
        return fits ? [] : [.invalid("\(field).namespace", .string(other), "does not match event.namespace")]
    }

    static func coreErrors(_ new: JSON, _ old: JSON?) -> [FieldError] { placeErrors(new, "involvedObject") }

    static func errors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        var errors = placeErrors(new, "regarding")
        for field in ["reportingController", "reportingInstance", "action", "reason"] {
            let word = new[field]?.string ?? ""
            // What was told in the old form may lack some of these words.
            if word.isEmpty, old == nil { errors.append(.required(field)) }
            if word.utf8.count > wordBytesMax {
                errors.append(.invalid(field, .string(word), "can have at most \(wordBytesMax) characters"))
            }
        }
        if (new["note"]?.string ?? "").utf8.count > noteBytesMax {
            errors.append(.invalid("note", new["note"] ?? "", "can have at most \(noteBytesMax) characters"))
        }
        if !["Normal", "Warning"].contains(new["type"]?.string ?? "") {
            errors.append(.invalid("type", new["type"] ?? "", "has invalid value, expected Normal or Warning"))
        }
        if let series = new["series"] {
            if series["count"]?.integer ?? 0 < 2 { errors.append(.invalid("series.count", series["count"] ?? 0, "should be at least 2")) }
            if (series["lastObservedTime"]?.string ?? "").isEmpty { errors.append(.required("series.lastObservedTime")) }
        }
        return errors + (old.map { changeErrors(new, $0) } ?? newErrors(new))
    }

    /// New events say when by `eventTime`, and how often by `series`.
    private static func newErrors(_ new: JSON) -> [FieldError] {
        var errors: [FieldError] = (new["eventTime"]?.string ?? "").isEmpty ? [.required("eventTime")] : []
        for field in ["deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount"] {
            guard let value = new[field], value != 0, value != [:] else { continue }
            errors.append(.invalid(field, value, "needs to be unset"))
        }
        return errors
    }

    private static func changeErrors(_ new: JSON, _ old: JSON) -> [FieldError] {
        let fixed = [
            "regarding", "reason", "note", "deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount",
            "type", "eventTime", "action", "related", "reportingController", "reportingInstance",
        ]
        return fixed.filter { new[$0] != old[$0] }.map { .invalid($0, new[$0] ?? .null, "field is immutable") }
    }
}
