/// How many rows of a data set have been learned from: an annotation of the Dataset, written by controllers or by hand, read by the node that has
/// the rows, which compares the rows behind them with these.
package struct TrainedRows: Sendable, Equatable, Comparable {
    /// Of the Dataset.
    package static let annotation = "jobs.skerry.io/trained-rows"
    /// The first rows.
    package var count: Int64
    /// Of the Dataset's file; nil for whichever is there.
    package var version: Int64?

    /// Traps for nothing; a count below 0 is of no row.
    package init(count: Int64, version: Int64?) { (self.count, self.version) = (max(0, count), version) }

    /// `400`, or `400@2` of version 2; nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard let count = Int64(parts[0]), count >= 0 else { return nil }
        var version: Int64?
        if parts.count == 2 {
            guard let number = Int64(parts[1]) else { return nil }
            version = number
        }
        self.init(count: count, version: version)
    }

    /// As it is written.
    package var text: String { version.map { "\(count)@\($0)" } ?? "\(count)" }

    /// What is said of a later version says more.
    package static func < (left: TrainedRows, right: TrainedRows) -> Bool {
        (left.version ?? 0, left.count) < (right.version ?? 0, right.count)
    }
}

/// How many labels a job asks for, before its next round, of the rows of a data set: an annotation of the Dataset, read by the node that has the rows.
package struct LabelWish: Sendable, Equatable {
    /// Of the Dataset.
    package static let annotation = "jobs.skerry.io/asks-labels"
    /// Name of the job, in the Dataset's namespace.
    package var job: String
    /// Under which the job's workers serve; they say which rows are worth a label.
    package var model: String
    /// Labels at most, from 0.
    package var budget: Int64
    /// Labels that stand in rows before this one were given for earlier rounds.
    package var from: Int64

    /// A wish is written as it is.
    package init(job: String, model: String, budget: Int64, from: Int64) {
        (self.job, self.model, self.budget, self.from) = (job, model, budget, from)
    }

    /// Reads what `text` has written; nil for anything else.
    package init?(_ text: String) {
        guard text.utf8.count <= 4096, let json = try? JSON(parsing: text), let job = json["job"]?.string,
            let model = json["model"]?.string, let budget = json["budget"]?.integer, budget >= 0, let from = json["from"]?.integer,
            from >= 0
        else { return nil }
        self.init(job: job, model: model, budget: budget, from: from)
    }

    /// As it is written.
    package var text: String {
        let json: JSON = ["job": .string(job), "model": .string(model), "budget": .integer(budget), "from": .integer(from)]
        return json.text
    }
}
