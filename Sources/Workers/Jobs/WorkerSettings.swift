/// What went wrong with a job's own input, as opposed to the machine: the same work would fail again.
package struct WorkerInputError: Error, Equatable, CustomStringConvertible {
    /// One sentence: the variable or file, the value found, the remedy.
    package var description: String

    /// Made where variables and files of a job are read.
    package init(_ description: String) { self.description = description }
}

/// What a job's controller tells a built-in worker: Sedna's environment variables by their exact names, and ours.
package struct WorkerSettings: Sendable {
    /// As a process has them; an empty value counts as none.
    package let variables: [String: String]

    /// Nothing is checked before a value is read.
    package init(variables: [String: String]) { self.variables = variables.filter { !$0.value.isEmpty } }

    /// Nil where the variable is not set, or empty.
    package subscript(_ name: String) -> String? { variables[name] }

    /// - Throws: naming the variable and what it is for.
    package func required(_ name: String, _ meaning: String) throws(WorkerInputError) -> String {
        guard let value = variables[name] else {
            throw WorkerInputError(
                "the environment variable \(name) (\(meaning)) is not set; the job's controller sets it, or do so by hand")
        }
        return value
    }

    /// Parts between the given characters, without blanks around them.
    package func list(_ name: String, separator: Character) -> [String] {
        (variables[name] ?? "").split(separator: separator).map { part in
            String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }.filter { !$0.isEmpty }
    }

    /// - Throws: naming the variable, the value and the range.
    package func integer(_ name: String, default usual: Int?, in range: ClosedRange<Int>) throws(WorkerInputError) -> Int? {
        guard let text = variables[name] else { return usual }
        guard let value = Int(text), range.contains(value) else {
            throw WorkerInputError("\(name)=\(text.prefix(40)): expected a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// - Throws: naming the variable, the value and what is allowed.
    package func choice(_ name: String, of allowed: [String]) throws(WorkerInputError) -> String {
        guard let text = variables[name] else { return allowed[0] }
        guard allowed.contains(text) else {
            throw WorkerInputError("\(name)=\(text.prefix(40)): expected one of \(allowed.joined(separator: ", "))")
        }
        return text
    }

    /// `true` or `false`, in either case of letters, as Sedna writes them.
    package func flag(_ name: String, default usual: Bool) throws(WorkerInputError) -> Bool {
        guard let text = variables[name] else { return usual }
        switch text.lowercased() {
        case "true", "1": return true
        case "false", "0": return false
        default: throw WorkerInputError("\(name)=\(text.prefix(40)): expected true or false")
        }
    }
}

extension WorkerSettings {
    /// How rows become a model's inputs.
    package enum Learner: String, CaseIterable, Sendable {
        /// Any table.
        case tabular
        /// Votes of the thermal-comfort database.
        case thermalComfort = "thermal-comfort"
    }

    /// `LEARNER`.
    package func learner() throws(WorkerInputError) -> Learner {
        Learner(rawValue: try choice("LEARNER", of: Learner.allCases.map(\.rawValue)))!
    }

    /// `SEED`, 27 where not set.
    package func seed() throws(WorkerInputError) -> UInt64 { UInt64(try integer("SEED", default: 27, in: 0...Int(Int32.max))!) }

    /// The job's own name.
    package var jobName: String { "\(self["NAMESPACE"] ?? "default")/\(self["JOB_NAME"] ?? self["SERVICE_NAME"] ?? "job")" }

    /// The Pod: `WORKER_NAME` without the part that is the worker's secret.
    package var podName: String {
        guard let name = self["WORKER_NAME"] else { return "by-hand" }
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count > 1, let last = parts.last, last.count == 16, last.allSatisfy(\.isHexDigit) else { return name }
        return parts.dropLast().joined(separator: "-")
    }
}
