import Resources

/// Whether a trained model takes over, and why.
struct GateRuling: Sendable, Hashable {
    var deploys: Bool
    /// One sentence with the figures compared.
    var reason: String
}

/// The quality gate of jobs: a new model serves only if it is no worse on the held-out rows than the one that serves, of no task surely
/// worse, and keeps the job's own rules. Pure.
struct JobGate: Sendable {
    /// A job's own, over figures of the evaluation: `accuracy`, `accuracy_delta`, `accuracy.Summer_1`.
    var rules: [JobTrigger.Condition]

    /// - Parameters:
    ///   - new: figures of the trained model on the held-out rows.
    ///   - standing: figures of the one that serves on the same rows; nil where none serves yet.
    func rule(new: JSONObject, standing: JSONObject?) -> GateRuling {
        if let refusal = brokenRule(new, standing) { return GateRuling(deploys: false, reason: refusal) }
        guard let standing else { return GateRuling(deploys: true, reason: "nothing serves yet\(Self.told(new))") }
        guard let figure = Self.figure(new, standing) else {
            return GateRuling(deploys: false, reason: "the two models have no figure in common, as accuracy or rmse, to be compared by")
        }
        let (name, isLoss) = figure
        let (before, after) = (standing[name]?.number ?? 0, new[name]?.number ?? 0)
        let text = "\(name) \(Self.digits(after)) against \(Self.digits(before)) of the model that serves"
        if isLoss ? after > before : after < before { return GateRuling(deploys: false, reason: "worse: \(text)") }
        if let task = worseTask(new, standing) { return GateRuling(deploys: false, reason: task) }
        return GateRuling(deploys: true, reason: "no worse: \(text)")
    }

    /// Where nothing was held out: the trainer's own figures of rows that its parts did not see, and its word whether there is a new model.
    ///
    /// - Parameters:
    ///   - trained: the trainer's figures; `trained` is 0 where it says that no new model is worth it.
    ///   - standing: what the trainer said of the version that serves, for differences; nil where none serves yet.
    func rule(trained: JSONObject, standing: JSONObject?) -> GateRuling {
        if let refusal = brokenRule(trained, standing) { return GateRuling(deploys: false, reason: refusal) }
        guard trained["trained"]?.number ?? 1 != 0 else {
            return GateRuling(deploys: false, reason: "the trainer made no new model of the round's rows\(Self.told(trained))")
        }
        let tasks = trained["deployed_tasks"]?.number.map { ", better for \(Int($0)) of its tasks" } ?? ""
        return GateRuling(
            deploys: true, reason: "nothing is held out: judged by the trainer on rows its parts did not see\(Self.told(trained))\(tasks)")
    }

    // MARK: Rules

    private func brokenRule(_ new: JSONObject, _ standing: JSONObject?) -> String? {
        for condition in rules {
            // Without a model that serves there is no difference to ask for.
            if condition.metric.hasSuffix("_delta"), standing == nil { continue }
            guard let figure = Self.value(condition.metric, new, standing) else {
                return "rule \(condition.text): the evaluation reported no \(condition.metric)"
            }
            if !condition.holds(figure) { return "rule \(condition.text) does not hold: it is \(Self.column(figure))" }
        }
        return nil
    }

    private static func column(_ figure: JSON) -> String { figure.number.map(digits) ?? figure.text }

    /// A figure by its name: itself, the difference to the standing model's, or that of a task.
    private static func value(_ name: String, _ new: JSONObject, _ standing: JSONObject?) -> JSON? {
        if let own = new[name] { return own }
        if name.hasSuffix("_delta") {
            let base = String(name.dropLast("_delta".count))
            guard let after = value(base, new, nil), let before = standing.flatMap({ value(base, $0, nil) }) else { return nil }
            return difference(after, before)
        }
        let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return nil }
        return new[parts[0]]?[parts[1]] ?? (parts[0] == "accuracy" ? Self.task(new["tasks"]?[parts[1]]).map { .number($0) } : nil)
    }

    private static func difference(_ after: JSON, _ before: JSON) -> JSON? {
        if let after = after.array, let before = before.array, after.count == before.count {
            let items = zip(after, before).compactMap { pair in difference(pair.0, pair.1) }
            return items.count == after.count ? .array(items) : nil
        }
        guard let after = after.number, let before = before.number else { return nil }
        return .number(after - before)
    }

    // MARK: No worse

    /// Figures that models are compared by, the first that both have; of losses less is better.
    private static let figures: [(name: String, isLoss: Bool)] = [
        ("accuracy", false), ("macro_f1", false), ("f1", false), ("precision_score", false), ("auc", false), ("r2", false),
        ("log_loss", true), ("rmse", true), ("mae", true), ("loss", true),
    ]

    private static func figure(_ new: JSONObject, _ standing: JSONObject) -> (name: String, isLoss: Bool)? {
        figures.first { new[$0.name]?.number != nil && standing[$0.name]?.number != nil }
    }

    /// Names a task whose accuracy fell by more than chance: two proportions of the task's rows, one-sided at 5 %.
    private func worseTask(_ new: JSONObject, _ standing: JSONObject) -> String? {
        for (task, before) in standing["tasks"]?.object ?? [:] {
            guard let before = Self.task(before), let told = new["tasks"]?[task], let after = Self.task(told), after < before else {
                continue
            }
            let rows = max(1, told["n"]?.number ?? new["task_rows"]?[task]?.number ?? 1)
            let mean = (before + after) / 2
            let spread = (2 * mean * (1 - mean) / rows).squareRoot()
            if before - after > 1.645 * spread {
                return
                    "worse at task \(task): \(Self.digits(after)) against \(Self.digits(before)) on \(Int(rows)) rows, more than chance explains"
            }
        }
        return nil
    }

    /// Accuracy of a task, alone or beside other figures of it.
    private static func task(_ figure: JSON?) -> Double? { figure?.number ?? figure?["accuracy"]?.number }

    private static func told(_ new: JSONObject) -> String {
        guard let found = figures.first(where: { new[$0.name]?.number != nil }), let value = new[found.name]?.number else { return "" }
        return "; \(found.name) \(digits(value))"
    }

    /// Four decimals.
    static func digits(_ value: Double) -> String { ModelVersions.digits(value) }
}
