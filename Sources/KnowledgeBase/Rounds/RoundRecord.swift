/// Everything one worker found out in one round of a job: what the knowledge base remembers, in one transaction.
///
/// Data sets are referred to by name, tasks by name, models by digest. `canonical()` is the form in which two records are compared.
package struct RoundRecord: Equatable, Sendable {
    /// Made known to the file by its first record.
    package var job: JobName
    /// Counted from 0.
    package var round: Int
    /// The worker that reports; a round may have several.
    package var pod: String
    /// At most `RoundLimits.itemsMax`; names are unique.
    package var datasets: [Dataset] = []
    /// At most `RoundLimits.itemsMax`; names are unique. Whatever else names a task names one of these.
    package var tasks: [Task] = []
    /// At most `RoundLimits.itemsMax`; digests are unique.
    package var models: [Model] = []
    /// At most `RoundLimits.linksMax`; one for each kind and subject.
    package var adapters: [Adapter] = []
    /// The states that this round gave, one for each key of a data set; at most `RoundLimits.samplesMax`.
    package var samples: [Sample] = []
    /// At most `RoundLimits.linksMax`; one of each kind from one task to another.
    package var relations: [Relation] = []
    /// In the order in which they were taken.
    package var decisions: [Decision] = []
    /// Figures of the round as a whole, by name; finite.
    package var metrics: [String: Double] = [:]

    /// An empty record to be filled; `canonical()` checks it.
    package init(job: JobName, round: Int, pod: String) {
        self.job = job
        self.round = round
        self.pod = pod
    }
}

extension RoundRecord {
    /// Data that the round used.
    package struct Dataset: Equatable, Sendable {
        /// Unique in the record; data of another digest may have the same name in another round.
        package var name: String
        /// SHA-256 of the data, 64 lower-case hexadecimal digits.
        package var digest: String
        /// All rows of the data, used or not; 0 or more.
        package var rowCount: Int

        /// Checked by `RoundRecord.canonical()`, not here.
        package init(name: String, digest: String, rowCount: Int) {
            self.name = name
            self.digest = digest
            self.rowCount = rowCount
        }
    }

    /// A task that the round met.
    package struct Task: Equatable, Sendable {
        /// Unique in the job.
        package var name: String
        /// What defines the task. The same in every round that names it.
        package var attributes: [String: String]
        /// Labelled samples of the task that the round learned from.
        package var sampleCount: Int
        /// Figures of the task after the round, by name.
        package var metrics: [String: Double]

        /// Checked by `RoundRecord.canonical()`, not here.
        package init(name: String, attributes: [String: String] = [:], sampleCount: Int = 0, metrics: [String: Double] = [:]) {
            self.name = name
            self.attributes = attributes
            self.sampleCount = sampleCount
            self.metrics = metrics
        }
    }

    /// A model that the round made or judged.
    package struct Model: Equatable, Sendable {
        /// SHA-256 of the file, 64 lower-case hexadecimal digits.
        package var digest: String
        /// For people; need not be unique.
        package var name: String
        /// As "onnx". The same wherever the digest appears in the job.
        package var format: String
        /// Of the file; the same wherever the digest appears in the job.
        package var sizeBytes: Int
        /// Tasks it serves; names of `RoundRecord.tasks`.
        package var tasks: [String]
        /// Digests of the models it was made from: of this record, or recorded before.
        package var parents: [String]
        /// Data it learned from; names of `RoundRecord.datasets`.
        package var datasets: [String]
        /// Figures of the model in this round, by name.
        package var metrics: [String: Double]

        /// Checked by `RoundRecord.canonical()`, not here.
        package init(
            digest: String, name: String, format: String = "onnx", sizeBytes: Int, tasks: [String] = [], parents: [String] = [],
            datasets: [String] = [], metrics: [String: Double] = [:]
        ) {
            self.digest = digest
            self.name = name
            self.format = format
            self.sizeBytes = sizeBytes
            self.tasks = tasks
            self.parents = parents
            self.datasets = datasets
            self.metrics = metrics
        }
    }

    /// A small correction for one subject on top of a model, as a bias for a site or a person.
    package struct Adapter: Equatable, Sendable {
        /// What the subject is: "site", "person", …
        package var kind: String
        /// Unique in the round for its kind.
        package var subject: String
        /// The task it belongs to; nil where it belongs to none.
        package var task: String?
        /// Digest of the model it corrects; nil where it goes with any.
        package var model: String?
        /// Labelled samples of the subject.
        package var sampleCount: Int
        /// Finite numbers, one a class for a bias; at most `RoundLimits.weightsMax`.
        package var weights: [Float]

        /// Checked by `RoundRecord.canonical()`, not here.
        package init(
            kind: String, subject: String, task: String? = nil, model: String? = nil, sampleCount: Int = 0, weights: [Float]
        ) {
            self.kind = kind
            self.subject = subject
            self.task = task
            self.model = model
            self.sampleCount = sampleCount
            self.weights = weights
        }
    }

    /// A row of a data set, by reference, and what it is to the job after the round.
    package struct Sample: Equatable, Sendable {
        /// A row's name in its data set. Numbers take less room in the file.
        package enum Key: Hashable, Sendable {
            case number(Int64)
            case text(String)
        }

        /// What a sample is to the job. The raw value is the number in the file.
        package enum State: Int, CaseIterable, Sendable {
            /// Its label is known and learned from.
            case labelled = 1
            /// It belongs to no known task.
            case unseen = 2
            /// Its task is known, but the models are not sure of it.
            case hard = 3
            /// Kept out of learning: it looks wrong.
            case quarantine = 4

            /// The word in JSON, listings and queries.
            package var name: String { "\(self)" }
            /// Nil for a word that is no state; case counts.
            package init?(name: String) {
                guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
                self = found
            }
        }

        /// A name of `RoundRecord.datasets`.
        package var dataset: String
        /// Unique in its data set.
        package var key: Key
        /// Replaces the state an earlier round gave the sample; that one stays in the history.
        package var state: State
        /// A name of `RoundRecord.tasks`; nil where it belongs to none.
        package var task: String?
        /// What the state was decided by, as the uncertainty of a hard sample; nil where nothing was measured.
        package var score: Double?

        /// Checked by `RoundRecord.canonical()`, not here.
        package init(dataset: String, key: Key, state: State, task: String? = nil, score: Double? = nil) {
            self.dataset = dataset
            self.key = key
            self.state = state
            self.task = task
            self.score = score
        }
    }

    /// What one task has to do with another.
    package struct Relation: Equatable, Sendable {
        /// As "transfer", "same-site".
        package var kind: String
        /// The task that gives, where the kind has a direction; one of `RoundRecord.tasks`.
        package var from: String
        /// The task that receives; one of `RoundRecord.tasks`.
        package var to: String
        /// Its strength, in the unit of its kind.
        package var value: Double
        /// Rows it was measured on; nil where it was not measured.
        package var rowCount: Int?

        /// Checked by `RoundRecord.canonical()`, not here.
        package init(kind: String, from: String, to: String, value: Double, rowCount: Int? = nil) {
            self.kind = kind
            self.from = from
            self.to = to
            self.value = value
            self.rowCount = rowCount
        }
    }

    /// A decision and why it was taken.
    package struct Decision: Equatable, Sendable {
        /// `deploy`, `keep`, `update`, …
        package var action: String
        /// The task decided upon; nil where it is none, or all.
        package var task: String?
        /// Digest of the model that serves after it, of this record or recorded before: the new one of `deploy`, the one that stays of `keep`.
        package var model: String?
        /// What was decided upon when it is neither a task nor a model, as a site; nil otherwise.
        package var subject: String?
        /// The figure the rule compared, before and after; nil where there was none.
        package var before: Double?
        /// See `before`.
        package var after: Double?
        /// For people; never empty.
        package var reason: String
        /// The statistics behind it, by name.
        package var figures: [String: Double]

        /// Checked by `RoundRecord.canonical()`, not here.
        package init(
            action: String, task: String? = nil, model: String? = nil, subject: String? = nil, before: Double? = nil, after: Double? = nil,
            reason: String, figures: [String: Double] = [:]
        ) {
            self.action = action
            self.task = task
            self.model = model
            self.subject = subject
            self.before = before
            self.after = after
            self.reason = reason
            self.figures = figures
        }
    }
}

extension RoundRecord.Sample.Key: Comparable, CustomStringConvertible {
    /// Numbers before texts.
    package static func < (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.number(let left), .number(let right)): left < right
        case (.number, .text): true
        case (.text, .number): false
        case (.text(let left), .text(let right)): left < right
        }
    }

    /// The key alone; a text that is a number looks like that number.
    package var description: String {
        switch self {
        case .number(let number): "\(number)"
        case .text(let text): text
        }
    }
}
