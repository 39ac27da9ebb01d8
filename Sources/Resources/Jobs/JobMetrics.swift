/// Jobs that learn in rounds, and what they know, in Prometheus' text format: all of it stands in their status. Pure.
package enum JobMetrics {
    /// Jobs that are told of; further ones are only counted, in `skerry_jobs_left_out`.
    package static let jobsMax = 1000
    /// Values that one field of a status is told of by, as samples by state.
    private static let valuesMax = 16

    /// One figure of all jobs.
    private struct Figure: Sendable {
        let name: String
        var type = "gauge"
        let help: String
        /// The figure's own labels and its value; none of a job that does not have it.
        let values: @Sendable (JSON) -> [(labels: [(String, String)], value: JSON)]

        /// One value without labels of its own.
        static func plain(_ name: String, _ help: String, _ value: @escaping @Sendable (JSON) -> JSON?) -> Figure {
            Figure(name: name, help: help) { job in value(job["status"] ?? [:]).map { [([], $0)] } ?? [] }
        }
    }

    /// - Parameters:
    ///   - jobs: `LifelongLearningJob`s and `IncrementalLearningJob`s; of more than `jobsMax` the first are told.
    ///   - count: how many there are.
    package static func text(_ jobs: [JSON], of count: Int) -> String {
        let told = jobs.prefix(jobsMax)
        var text = "# HELP skerry_jobs_left_out Jobs beyond the first \(jobsMax), of which nothing is told here.\n"
        text += "# TYPE skerry_jobs_left_out gauge\nskerry_jobs_left_out \(max(0, count - told.count))\n"
        for figure in figures {
            var lines = ""
            for job in told {
                for (labels, value) in figure.values(job).prefix(valuesMax) {
                    guard let number = number(value) else { continue }
                    lines += "\(figure.name){\(labelled(job, labels))} \(number)\n"
                }
            }
            guard !lines.isEmpty else { continue }
            text += "# HELP \(figure.name) \(figure.help)\n# TYPE \(figure.name) \(figure.type)\n" + lines
        }
        return text
    }

    // MARK: Figures

    private static let figures: [Figure] =
        [
            .plain("skerry_job_round", "Number of the newest round that has ended.") { $0["round"] },
            Figure(name: "skerry_job_rounds_total", type: "counter", help: "Rounds that have ended, by result.") { job in
                counts(job["status"]?["results"], "result")
            },
            Figure(name: "skerry_job_stage", help: "1 for the stage and the phase in which the job is.") { job in
                guard let condition = standing(job["status"]), let phase = condition["type"]?.string else { return [] }
                return [([("stage", condition["stage"]?.string ?? ""), ("phase", phase)], 1)]
            },
            .plain("skerry_job_transition_timestamp_seconds", "When the job came into its stage and phase, in Unix seconds.") { status in
                standing(status)?["lastTransitionTime"]?.string.flatMap { Timestamp($0) }.map { .integer($0.seconds) }
            },
            .plain("skerry_job_samples", "Samples that deployed rounds have learned from.") { $0["samples"] },
            .plain("skerry_job_accuracy", "Accuracy of the last evaluation, 0 to 1, whatever became of its model.") { $0["accuracy"] },
            .plain("skerry_job_serving_accuracy", "Accuracy of the version that serves when its round judged it, 0 to 1.", servingAccuracy),
            .plain("skerry_job_gain", "Relative gain of the last evaluation over what served before.") { $0["gain"] },
            .plain("skerry_job_backward_transfer", "Mean accuracy that earlier rounds have gained since they were learned.") {
                $0["matrix"]?["backwardTransfer"]
            },
            .plain("skerry_job_forward_transfer", "Mean accuracy that rounds gained before they were learned.") {
                $0["matrix"]?["forwardTransfer"]
            },
            .plain("skerry_job_forgetting", "Mean accuracy that earlier rounds have lost since their best.") {
                $0["matrix"]?["forgetting"]
            },
        ] + knowledge

    private static let knowledge: [Figure] = [
        .plain("skerry_knowledge_tasks", "Tasks that the knowledge base has of the job.") {
            $0["knowledgeBase"]?["AIClasses"]?["numberOfAIClasses"]
        },
        .plain("skerry_knowledge_models", "Models that the knowledge base has of the job, once for each round that made or judged one.") {
            $0["knowledgeBase"]?["AIModels"]?["numberOfAIModels"]
        },
        .plain("skerry_knowledge_relations", "Relations between tasks that the newest round found.") { $0["knowledgeBase"]?["relations"] },
        Figure(name: "skerry_knowledge_samples", help: "Samples that the knowledge base has of the job, by state.") { job in
            counts(job["status"]?["knowledgeBase"]?["samplesByState"], "state")
        },
    ]

    /// Numbers by name.
    private static func counts(_ json: JSON?, _ label: String) -> [(labels: [(String, String)], value: JSON)] {
        (json?.object ?? [:]).map { ([(label, $0.0)], $0.1) }.sorted { $0.labels[0].1 < $1.labels[0].1 }
    }

    /// Sedna's condition that is True: the last.
    private static func standing(_ status: JSON?) -> JSON? {
        status?["conditions"]?.array?.last.flatMap { $0["stage"] == nil ? nil : $0 }
    }

    /// Nil once the round has gone out of the newest ones, which the status holds.
    @Sendable private static func servingAccuracy(_ status: JSON) -> JSON? {
        let serving = status["model"]?.string.flatMap { $0.split(separator: "/").last }.flatMap { Int64($0) }
        guard let serving else { return nil }
        return (status["rounds"]?.array ?? []).last { $0["result"] == "Deployed" && $0["version"]?.integer == serving }?["accuracy"]
    }

    // MARK: Text

    private static func number(_ value: JSON) -> String? {
        guard let number = value.number, number.isFinite else { return nil }
        return value.integer.map(String.init) ?? "\(number)"
    }

    private static func labelled(_ job: JSON, _ more: [(String, String)]) -> String {
        let metadata = job["metadata"]
        let labels =
            [
                ("namespace", metadata?["namespace"]?.string ?? ""), ("kind", job["kind"]?.string ?? ""),
                ("job", metadata?["name"]?.string ?? ""),
            ] + more
        return labels.map { "\($0.0)=\"\(escaped($0.1))\"" }.joined(separator: ",")
    }

    /// As the format asks: a word cannot end its label, nor its line.
    private static func escaped(_ word: String) -> String {
        var text = ""
        for scalar in word.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            // Some readers take it for the end of a line too.
            case "\r": text += " "
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
