import Learning
import Resources
import Synchronization

/// Corrects what a model says of the node's own sites and persons, by labels that come to the node: appended to a data set of it, or told
/// over HTTP. Nothing leaves the node, and no cloud is needed.
///
/// A version of the model that comes later is asked about all kept labels again. One that has learned them says them already: next to nothing
/// is then left to correct.
final class LabelAdaptation: Sendable {
    /// Of one judge: what it says of the labels so far.
    private struct Fitted {
        var judge: ObjectIdentifier?
        var classCount = 0
        /// By number of the label; nil for one that does not fit the model.
        var examples: [Int: LocalCorrections.Example?] = [:]
        var corrections: LocalCorrections?
    }

    private struct State {
        var keeper: LabelKeeper
        var fitted = Fitted()
        var fits = 0
    }

    private let state: Mutex<State>
    /// CSV that labelled rows are appended to.
    let dataset: String?

    /// - Returns: nil unless `ADAPT=true`.
    /// - Throws: what is wrong with the job's variables and files.
    init?(_ settings: WorkerSettings) throws {
        guard try settings.flag("ADAPT", default: false) else { return nil }
        dataset = settings["ADAPT_DATASET_URL"]
        let isComfort = try settings.learner() == .thermalComfort
        let label = isComfort ? ComfortJob.roles.label : settings["LABEL_COLUMN"] ?? "label"
        let keeper = try LabelKeeper(
            label: label, id: isComfort ? "record_id" : settings["ID_COLUMN"], folder: settings["ADAPT_URL"] ?? settings["OUTPUT_URL"])
        state = Mutex(State(keeper: keeper))
    }

    /// What reports say of it.
    var info: JSONObject {
        let (corrections, count) = state.withLock { ($0.fitted.corrections, $0.keeper.rows.count) }
        var info: JSONObject = [
            "adaptationLabels": .integer(Int64(count)), "adaptedSites": .integer(Int64(corrections?.siteCount ?? 0)),
        ]
        if let gain = corrections?.gain { info["adaptationGain"] = .decimal("\((gain * 10_000).rounded() / 10_000)") }
        return info
    }

    /// How often corrections were made in this life.
    var fits: Int { state.withLock { $0.fits } }

    /// Rows that were appended to the data set.
    ///
    /// - Returns: whether there were labels among them.
    func take(_ table: TextTable) -> Bool { state.withLock { $0.keeper.take(table) > 0 } }

    /// Rows with labels that were told; on the disk when it returns.
    ///
    /// - Returns: how many labels were taken.
    /// - Throws: `InferenceRefusal`.
    func told(_ table: TextTable) throws -> Int {
        try state.withLock { try $0.keeper.told(table) }
    }

    /// A judge that does not serve yet gets the corrections of all labels so far.
    func begin(_ judge: RowJudge) {
        state.withLock { $0.fitted = Fitted(judge: ObjectIdentifier(judge)) }
        ask(judge)
        judge.corrections = fit()
    }

    /// Asks the judge about labels that it has not been asked about; nothing is done for another than `begin` was given last. Only who may ask
    /// the judge may call this.
    func ask(_ judge: RowJudge) {
        let asked = ObjectIdentifier(judge)
        let rows = state.withLock { state in
            state.fitted.judge == asked ? state.keeper.ordered.filter { state.fitted.examples[$0.number] == nil } : []
        }
        var found: [Int: LocalCorrections.Example?] = [:]
        for (columns, group) in Dictionary(grouping: rows, by: \.row.columns) {
            let examples = Self.examples(columns, group.map(\.row.fields), judge)
            for (place, example) in examples.enumerated() { found.updateValue(example, forKey: group[place].number) }
        }
        let answers = found
        let classCount = judge.classNames.count
        state.withLock { state in
            guard state.fitted.judge == asked else { return }
            let kept = Set(state.keeper.rows.values.map(\.number))
            state.fitted.classCount = classCount
            state.fitted.examples = state.fitted.examples.merging(answers) { $1 }.filter { kept.contains($0.key) }
        }
    }

    /// Corrections by all that was asked; takes up to some tenths of a second for thousands of labels.
    func fit() -> LocalCorrections? {
        let (examples, classCount) = state.withLock { state in
            (state.fitted.examples.sorted { $0.key < $1.key }.compactMap(\.value), state.fitted.classCount)
        }
        let made = examples.isEmpty ? nil : LocalCorrections(examples, classCount: classCount)
        state.withLock { state in
            state.fitted.corrections = made
            state.fits += 1
        }
        return made
    }

    /// One row that does not fit must not hide the others.
    private static func examples(_ columns: [String], _ rows: [[String]], _ judge: RowJudge) -> [LocalCorrections.Example?] {
        var table = TextTable(columns: columns, source: "labels")
        for (place, row) in rows.enumerated() { table.append(row, line: place + 1) }
        if let all = try? judge.examples(table) { return all }
        return rows.indices.map { (try? judge.examples(table.rows([$0])))?.first ?? nil }
    }
}
