#if canImport(FoundationEssentials)
    package import FoundationEssentials
#else
    package import Foundation
#endif

/// The JSON that `RoundRecord.init(json:name:)` reads: what is empty is left out.
extension RoundRecord: Encodable {
    /// The whole record as a file; equal records give equal bytes.
    ///
    /// - Throws: `.invalidRecord` for a figure that is not finite, which JSON cannot hold.
    package func json() throws(KnowledgeError) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return try encoder.encode(self)
        } catch {
            throw KnowledgeError(.invalidRecord, "round \(self.round) of \(job), pod \"\(pod)\": a figure is no finite number")
        }
    }

    /// As `init(from:)` reads it.
    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode("\(job)", forKey: .job)
        try fields.encode(round, forKey: .round)
        try fields.encode(pod, forKey: .pod)
        try fields.encodeList(datasets, .datasets)
        try fields.encodeList(tasks, .tasks)
        try fields.encodeList(models, .models)
        try fields.encodeList(adapters, .adapters)
        try fields.encodeList(samples, .samples)
        try fields.encodeList(relations, .relations)
        try fields.encodeList(decisions, .decisions)
        try fields.encodeFigures(metrics, .metrics)
    }
}

extension RoundRecord.Dataset: Encodable {
    /// As `init(from:)` reads it.
    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(name, forKey: .name)
        try fields.encode(digest, forKey: .digest)
        try fields.encode(rowCount, forKey: .rowCount)
    }
}

extension RoundRecord.Task: Encodable {
    /// As `init(from:)` reads it.
    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(name, forKey: .name)
        if !attributes.isEmpty { try fields.encode(attributes, forKey: .attributes) }
        try fields.encode(sampleCount, forKey: .sampleCount)
        try fields.encodeFigures(metrics, .metrics)
    }
}

extension RoundRecord.Model: Encodable {
    /// As `init(from:)` reads it.
    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(digest, forKey: .digest)
        try fields.encode(name, forKey: .name)
        try fields.encode(format, forKey: .format)
        try fields.encode(sizeBytes, forKey: .sizeBytes)
        try fields.encodeList(tasks, .tasks)
        try fields.encodeList(parents, .parents)
        try fields.encodeList(datasets, .datasets)
        try fields.encodeFigures(metrics, .metrics)
    }
}

extension RoundRecord.Adapter: Encodable {
    /// As `init(from:)` reads it.
    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(kind, forKey: .kind)
        try fields.encode(subject, forKey: .subject)
        try fields.encodeIfPresent(task, forKey: .task)
        try fields.encodeIfPresent(model, forKey: .model)
        try fields.encode(sampleCount, forKey: .sampleCount)
        try fields.encode(weights, forKey: .weights)
    }
}

extension RoundRecord.Sample: Encodable {
    /// As `init(from:)` reads it.
    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(dataset, forKey: .dataset)
        try fields.encode(key, forKey: .key)
        try fields.encode(state.name, forKey: .state)
        try fields.encodeIfPresent(task, forKey: .task)
        try fields.encodeIfPresent(score, forKey: .score)
    }
}

extension RoundRecord.Sample.Key: Encodable {
    /// A number or a text.
    package func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .number(let number): try value.encode(number)
        case .text(let text): try value.encode(text)
        }
    }
}

extension RoundRecord.Relation: Encodable {
    /// As `init(from:)` reads it.
    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(kind, forKey: .kind)
        try fields.encode(from, forKey: .from)
        try fields.encode(to, forKey: .to)
        try fields.encode(value, forKey: .value)
        try fields.encodeIfPresent(rowCount, forKey: .rowCount)
    }
}

extension RoundRecord.Decision: Encodable {
    /// As `init(from:)` reads it.
    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encode(action, forKey: .action)
        try fields.encodeIfPresent(task, forKey: .task)
        try fields.encodeIfPresent(model, forKey: .model)
        try fields.encodeIfPresent(subject, forKey: .subject)
        try fields.encodeIfPresent(before, forKey: .before)
        try fields.encodeIfPresent(after, forKey: .after)
        try fields.encode(reason, forKey: .reason)
        try fields.encodeFigures(figures, .figures)
    }
}

extension KeyedEncodingContainer {
    fileprivate mutating func encodeList<Item: Encodable>(_ items: [Item], _ key: Key) throws {
        if !items.isEmpty { try encode(items, forKey: key) }
    }

    fileprivate mutating func encodeFigures(_ figures: [String: Double], _ key: Key) throws {
        if !figures.isEmpty { try encode(figures, forKey: key) }
    }
}
