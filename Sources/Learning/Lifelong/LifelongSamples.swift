/// Rows as the stages of lifelong learning see them: what is known of each before anyone labels it.
package struct LifelongSamples: Sendable {
    /// Who each row is, unlike every other row of the job.
    package let ids: [Int]
    /// One row a sample, in the order of `ids`.
    package let features: FeatureMatrix
    /// Columns of words by name, one word a row, "" where unknown: season, site, person, …
    package let attributes: [String: [String]]
    /// Cross-fitting fold of each row; rows that belong together share one.
    package let folds: [Int]

    /// Traps unless there is one id, one fold and one word of each attribute a row.
    package init(ids: [Int], features: FeatureMatrix, attributes: [String: [String]], folds: [Int]) {
        precondition(features.rowCount == ids.count && folds.count == ids.count, "one id, one fold a row")
        precondition(attributes.values.allSatisfy { $0.count == ids.count }, "one word a row in every attribute")
        self.ids = ids
        self.features = features
        self.attributes = attributes
        self.folds = folds
    }

    /// Rows, not columns.
    package var count: Int { ids.count }

    /// The rows at the given positions, in the given order.
    package func rows(_ positions: [Int]) -> LifelongSamples {
        LifelongSamples(
            ids: positions.map { ids[$0] }, features: features.rows(positions),
            attributes: attributes.mapValues { words in positions.map { words[$0] } }, folds: positions.map { folds[$0] })
    }

    /// The words of an attribute, nil where unknown.
    ///
    /// - Throws: `StageError.unknownAttribute`.
    package func keys(_ attribute: String) throws(StageError) -> [String?] {
        guard let words = attributes[attribute] else {
            throw .unknownAttribute(attribute, known: attributes.keys.sorted())
        }
        return words.map { $0.isEmpty ? nil : $0 }
    }
}

/// Rows with their classes.
package struct LabelledSamples: Sendable {
    /// What is known of them without labels.
    package let rows: LifelongSamples
    /// Class indices, one a row.
    package let labels: [Int]
    /// A second target learned beside the class, about −3 ... 3; NaN where unknown.
    package let auxiliary: [Float]

    /// Traps unless there is one label and one auxiliary value a row.
    package init(rows: LifelongSamples, labels: [Int], auxiliary: [Float]) {
        precondition(rows.count == labels.count && auxiliary.count == labels.count, "one label and one auxiliary value a row")
        self.rows = rows
        self.labels = labels
        self.auxiliary = auxiliary
    }

    /// Labelled rows.
    package var count: Int { labels.count }

    /// The rows at the given positions, in the given order.
    package func rows(_ positions: [Int]) -> LabelledSamples {
        LabelledSamples(rows: rows.rows(positions), labels: positions.map { labels[$0] }, auxiliary: positions.map { auxiliary[$0] })
    }

    var training: TrainingRows {
        TrainingRows(features: rows.features, labels: labels, auxiliary: auxiliary, folds: rows.folds)
    }
}

/// Why a stage cannot be made or cannot do its work.
package enum StageError: Error, Equatable, CustomStringConvertible {
    case unknownStage(kind: String, name: String, known: [String])
    case unknownKind(String, known: [String])
    case unknownParameter(stage: String, name: String, known: [String])
    case badParameter(stage: String, name: String, expected: String, found: String)
    case unknownAttribute(String, known: [String])
    case badText(String, reason: String)

    /// One sentence: the stage, parameter or attribute at fault, the value found, and what would do.
    package var description: String {
        switch self {
        case .unknownStage(let kind, let name, let known):
            "no \(kind) is called \"\(name)\"; known: \(known.joined(separator: ", "))"
        case .unknownKind(let kind, let known):
            "lifelong learning has no stage \"\(kind)\"; its stages: \(known.joined(separator: ", "))"
        case .unknownParameter(let stage, let name, let known):
            "\(stage) has no parameter \"\(name)\"; " + (known.isEmpty ? "it has none" : "it has: \(known.joined(separator: ", "))")
        case .badParameter(let stage, let name, let expected, let found):
            "parameter \"\(name)\" of \(stage) must be \(expected), found \(found)"
        case .unknownAttribute(let name, let known):
            "the samples have no attribute \"\(name)\"; they have: \(known.joined(separator: ", "))"
        case .badText(let text, let reason):
            "stage \"\(text)\": \(reason); write NAME or NAME:{\"parameter\": value}, for a stage KIND= before it"
        }
    }
}
