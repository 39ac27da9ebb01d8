/// Bounds of a round record.
package enum RoundLimits {
    /// Rows with a state in one round; their references, not their content.
    package static let samplesMax = 2_000_000
    /// Each of tasks, models, data sets, decisions.
    package static let itemsMax = 100_000
    /// Each of adapters and relations.
    package static let linksMax = 1_000_000
    /// A name, in bytes.
    package static let nameBytesMax = 256
    /// Longest reason of a decision, in bytes.
    package static let reasonBytesMax = 4096
    /// Names of metrics, attributes or figures at one object.
    package static let figuresMax = 1000
    /// Numbers of one adapter.
    package static let weightsMax = 100_000
}

extension RoundRecord {
    /// The record with everything in one order, after checking it whole.
    ///
    /// - Throws: `.invalidRecord` naming the object: a doubled or unknown name, a number that is not finite or negative where it counts,
    ///   a digest that is none, a name that is empty, too long or holds control characters, more than `RoundLimits`.
    package func canonical() throws(KnowledgeError) -> RoundRecord {
        let checker = Checker(record: self)
        try checker.checkCounts()
        var result = self
        result.datasets.sort { $0.name < $1.name }
        result.tasks.sort { $0.name < $1.name }
        result.models = models.map(\.sorted).sorted { $0.digest < $1.digest }
        result.adapters.sort { ($0.kind, $0.subject) < ($1.kind, $1.subject) }
        result.samples.sort { ($0.dataset, $0.key) < ($1.dataset, $1.key) }
        result.relations.sort { ($0.kind, $0.from, $0.to) < ($1.kind, $1.from, $1.to) }
        try checker.checkUnique(result)
        try checker.check()
        return result
    }

    /// The first part in which two canonical records differ, for people.
    func difference(from other: RoundRecord) -> String? {
        func part<Item: Equatable>(_ name: String, _ own: [Item], _ others: [Item]) -> String? {
            if own == others { return nil }
            if own.count != others.count { return "\(name) (\(own.count), not \(others.count))" }
            return "\(name), entry \(zip(own, others).enumerated().first { $1.0 != $1.1 }!.offset + 1) of \(own.count) in order of name"
        }
        return part("datasets", datasets, other.datasets) ?? part("tasks", tasks, other.tasks) ?? part("models", models, other.models)
            ?? part("adapters", adapters, other.adapters) ?? part("samples", samples, other.samples)
            ?? part("relations", relations, other.relations) ?? part("decisions", decisions, other.decisions)
            ?? (metrics == other.metrics ? nil : "metrics")
    }
}

extension RoundRecord.Model {
    fileprivate var sorted: Self {
        var result = self
        result.tasks.sort()
        result.parents.sort()
        result.datasets.sort()
        return result
    }
}

/// Judges a record before it comes near the file.
private struct Checker {
    let record: RoundRecord
    let tasks: Set<String>
    let datasets: Set<String>

    init(record: RoundRecord) {
        self.record = record
        tasks = Set(record.tasks.map(\.name))
        datasets = Set(record.datasets.map(\.name))
    }

    func refusal(_ message: String) -> KnowledgeError {
        KnowledgeError(.invalidRecord, "round \(record.round) of \(record.job), pod \"\(record.pod)\": \(message)")
    }

    func check() throws(KnowledgeError) {
        guard (0...Int(Int32.max)).contains(record.round) else { throw refusal("the number of a round is 0 to \(Int32.max)") }
        try name(record.pod, "pod")
        try figures(record.metrics, "metrics")
        for dataset in record.datasets { try check(dataset) }
        for task in record.tasks { try check(task) }
        for model in record.models { try check(model) }
        for adapter in record.adapters { try check(adapter) }
        for sample in record.samples { try check(sample) }
        for relation in record.relations { try check(relation) }
        for (index, decision) in record.decisions.enumerated() { try check(decision, index) }
    }

    /// On the canonical form, where equals are neighbours.
    func checkUnique(_ sorted: RoundRecord) throws(KnowledgeError) {
        func doubled<Item>(_ items: [Item], _ same: (Item, Item) -> Bool) -> Item? {
            zip(items, items.dropFirst()).first { same($0, $1) }?.0
        }
        if let twice = doubled(sorted.datasets, { $0.name == $1.name }) { throw refusal("the data set \"\(twice.name)\" appears twice") }
        if let twice = doubled(sorted.tasks, { $0.name == $1.name }) { throw refusal("the task \"\(twice.name)\" appears twice") }
        if let twice = doubled(sorted.models, { $0.digest == $1.digest }) { throw refusal("the model \(twice.digest) appears twice") }
        if let twice = doubled(sorted.adapters, { $0.kind == $1.kind && $0.subject == $1.subject }) {
            throw refusal("the adapter of the \(twice.kind) \"\(twice.subject)\" appears twice")
        }
        if let twice = doubled(sorted.samples, { $0.key == $1.key && $0.dataset == $1.dataset }) {
            throw refusal("the sample \(twice.key) of \"\(twice.dataset)\" appears twice; give it one state")
        }
        if let twice = doubled(sorted.relations, { $0.kind == $1.kind && $0.from == $1.from && $0.to == $1.to }) {
            throw refusal("the relation \(twice.kind) from \"\(twice.from)\" to \"\(twice.to)\" appears twice")
        }
    }

    func checkCounts() throws(KnowledgeError) {
        let bounds = [
            ("samples", record.samples.count, RoundLimits.samplesMax), ("tasks", record.tasks.count, RoundLimits.itemsMax),
            ("models", record.models.count, RoundLimits.itemsMax), ("datasets", record.datasets.count, RoundLimits.itemsMax),
            ("decisions", record.decisions.count, RoundLimits.itemsMax), ("adapters", record.adapters.count, RoundLimits.linksMax),
            ("relations", record.relations.count, RoundLimits.linksMax),
        ]
        for (part, count, most) in bounds where count > most {
            throw refusal("\(count) \(part), at most \(most) fit into one round; report the rest as another round")
        }
    }

    private func check(_ dataset: RoundRecord.Dataset) throws(KnowledgeError) {
        try name(dataset.name, "the name of a data set")
        try digest(dataset.digest, "data set \"\(dataset.name)\"")
        try count(dataset.rowCount, "rows of data set \"\(dataset.name)\"")
    }

    private func check(_ task: RoundRecord.Task) throws(KnowledgeError) {
        try name(task.name, "the name of a task")
        try count(task.sampleCount, "samples of task \"\(task.name)\"")
        try figures(task.metrics, "task \"\(task.name)\"")
        guard task.attributes.count <= RoundLimits.figuresMax else {
            throw refusal("task \"\(task.name)\" has \(task.attributes.count) attributes, at most \(RoundLimits.figuresMax) are kept")
        }
        for (key, value) in task.attributes {
            try name(key, "an attribute of task \"\(task.name)\"")
            try text(value, "attribute \"\(key)\" of task \"\(task.name)\"", bytesMax: RoundLimits.nameBytesMax)
        }
    }

    private func check(_ model: RoundRecord.Model) throws(KnowledgeError) {
        try digest(model.digest, "model \"\(model.name)\"")
        let place = "model \(model.digest.prefix(12))"
        try name(model.name, "the name of \(place)")
        try name(model.format, "the format of \(place)")
        try count(model.sizeBytes, "bytes of \(place)")
        try figures(model.metrics, place)
        for task in model.tasks { try known(task, place) }
        for dataset in model.datasets { try knownDataset(dataset, place) }
        for parent in model.parents { try digest(parent, "a parent of \(place)") }
        guard !model.parents.contains(model.digest) else { throw refusal("\(place) is named as its own parent") }
        for (list, part) in [(model.tasks, "tasks"), (model.parents, "parents"), (model.datasets, "datasets")]
        where Set(list).count < list.count {
            throw refusal("\(place) names one of its \(part) twice")
        }
    }

    private func check(_ adapter: RoundRecord.Adapter) throws(KnowledgeError) {
        try name(adapter.kind, "the kind of an adapter")
        try name(adapter.subject, "the subject of an adapter")
        let place = "adapter of the \(adapter.kind) \"\(adapter.subject)\""
        try count(adapter.sampleCount, "samples of the \(place)")
        if let task = adapter.task { try known(task, place) }
        if let model = adapter.model { try digest(model, place) }
        guard adapter.weights.count <= RoundLimits.weightsMax, adapter.weights.allSatisfy(\.isFinite) else {
            throw refusal("the \(place) needs at most \(RoundLimits.weightsMax) weights, all finite")
        }
    }

    private func check(_ sample: RoundRecord.Sample) throws(KnowledgeError) {
        if case .text(let key) = sample.key { try name(key, "the key of a sample") }
        try knownDataset(sample.dataset, "sample \(sample.key)")
        if let task = sample.task { try known(task, "sample \(sample.key)") }
        if let score = sample.score { try finite(score, "the score of sample \(sample.key)") }
    }

    private func check(_ relation: RoundRecord.Relation) throws(KnowledgeError) {
        try name(relation.kind, "the kind of a relation")
        try known(relation.from, "relation \(relation.kind)")
        try known(relation.to, "relation \(relation.kind)")
        try finite(relation.value, "relation \(relation.kind) from \"\(relation.from)\" to \"\(relation.to)\"")
        if let rows = relation.rowCount { try count(rows, "rows of relation \(relation.kind)") }
    }

    private func check(_ decision: RoundRecord.Decision, _ index: Int) throws(KnowledgeError) {
        let place = "decision \(index + 1)"
        try name(decision.action, "the action of \(place)")
        guard !decision.reason.isEmpty else { throw refusal("\(place) has no reason; say why in a sentence") }
        try text(decision.reason, "the reason of \(place)", bytesMax: RoundLimits.reasonBytesMax)
        if let subject = decision.subject { try name(subject, "the subject of \(place)") }
        if let task = decision.task { try known(task, place) }
        if let model = decision.model { try digest(model, "the model of \(place)") }
        for value in [decision.before, decision.after] { if let value { try finite(value, place) } }
        try figures(decision.figures, place)
    }

    private func figures(_ figures: [String: Double], _ place: @autoclosure () -> String) throws(KnowledgeError) {
        guard figures.count <= RoundLimits.figuresMax else {
            throw refusal("\(place()) has \(figures.count) figures, at most \(RoundLimits.figuresMax) are kept")
        }
        for (key, value) in figures {
            try name(key, "the name of a figure of \(place())")
            try finite(value, "figure \"\(key)\" of \(place())")
        }
    }

    private func known(_ task: String, _ place: @autoclosure () -> String) throws(KnowledgeError) {
        guard tasks.contains(task) else {
            throw refusal("\(place()) names the task \"\(task)\", which is not in the record's tasks; add it there")
        }
    }

    private func knownDataset(_ dataset: String, _ place: @autoclosure () -> String) throws(KnowledgeError) {
        guard datasets.contains(dataset) else {
            throw refusal("\(place()) names the data set \"\(dataset)\", which is not in the record's datasets; add it there")
        }
    }

    private func name(_ value: String, _ place: @autoclosure () -> String) throws(KnowledgeError) {
        guard !value.isEmpty else { throw refusal("\(place()) is empty; name it") }
        try text(value, place(), bytesMax: RoundLimits.nameBytesMax)
    }

    /// Control characters would be obeyed by a terminal that shows them.
    private func text(_ value: String, _ place: @autoclosure () -> String, bytesMax: Int) throws(KnowledgeError) {
        guard value.utf8.count <= bytesMax else { throw refusal("\(place()) has \(value.utf8.count) bytes, at most \(bytesMax) are kept") }
        let isPlain = value.utf8.allSatisfy { (0x20..<0x7f).contains($0) }
        guard isPlain || !value.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw refusal("\(place()) holds control characters; remove them")
        }
    }

    private func digest(_ value: String, _ place: @autoclosure () -> String) throws(KnowledgeError) {
        guard value.utf8.count == 64, value.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else {
            throw refusal("\(place()): \"\(value.prefix(80))\" is no SHA-256; give 64 lower-case hexadecimal digits")
        }
    }

    private func count(_ value: Int, _ place: @autoclosure () -> String) throws(KnowledgeError) {
        guard value >= 0 else { throw refusal("\(value) \(place()); a count is 0 or more") }
    }

    private func finite(_ value: Double, _ place: @autoclosure () -> String) throws(KnowledgeError) {
        guard value.isFinite else { throw refusal("\(place()) is \(value); leave it out where there is no figure") }
    }
}
