/// Says which task each row belongs to. A task is what knowledge is kept, judged and deployed for.
package protocol TaskDefinition: Sendable {
    /// - Returns: the name of each row's task.
    func tasks(of rows: LifelongSamples) throws -> [String]
}

/// One task for each combination of some attributes; its name joins their words by "_", as Sedna's do.
package struct TaskDefinitionByDataAttr: TaskDefinition {
    /// In the order of the words in a task's name.
    package let attributes: [String]

    /// At least one attribute, which is checked where a job names them.
    package init(attributes: [String]) { self.attributes = attributes }

    /// Words without spaces, "_" written as "-"; an unknown word is "unknown".
    ///
    /// - Throws: `StageError.unknownAttribute`.
    package func tasks(of rows: LifelongSamples) throws -> [String] {
        let columns = try attributes.map { try rows.keys($0) }
        return (0..<rows.count).map { row in columns.map { Self.word($0[row]) }.joined(separator: "_") }
    }

    /// Spaces go and "_" becomes "-", so that a name can be taken apart again.
    private static func word(_ value: String?) -> String {
        guard let value else { return "unknown" }
        return String(value.compactMap { $0 == " " ? nil : $0 == "_" ? "-" : $0 })
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> any TaskDefinition {
        let attributes = try parameters.list("attribute", default: ["season", "cooling"])
        try parameters.require(!attributes.isEmpty, "attribute", "at least one attribute")
        return TaskDefinitionByDataAttr(attributes: attributes)
    }
}

/// All rows are one task: lifelong learning without tasks, for comparison.
package struct SingleTaskDefinition: TaskDefinition {
    /// Without parameters.
    package init() {}

    /// The name "all" for every row.
    package func tasks(of rows: LifelongSamples) -> [String] { Array(repeating: "all", count: rows.count) }
}
