import Learning
import Resources
import Storage

/// Which of a round's models serves which task: `serving.json`.
struct ServingPlan: Equatable {
    /// File of each task's model.
    var tasks: [String: String]
    /// File that serves rows of no known task.
    var other: String
    /// Round of each file.
    var rounds: [String: Int]
    /// What the columns were when it was learned.
    var learner: WorkerSettings.Learner
    var roles: TabularRoles

    /// Names the files: `model.onnx` is the newest model that serves a task, so that a reader of that file alone is never given one that the
    /// gate has turned away.
    ///
    /// - Parameters:
    ///   - models: rounds of the retained models, oldest first.
    ///   - serving: round by task.
    init(models: [Int], serving: [String: Int], learner: WorkerSettings.Learner, roles: TabularRoles) {
        let newest = models.last!
        let main = serving.values.max() ?? newest
        func name(_ round: Int) -> String { round == main ? WorkerFile.model : WorkerFile.model(ofRound: round) }
        tasks = serving.mapValues(name)
        other = name(newest)
        rounds = Dictionary(uniqueKeysWithValues: models.map { (name($0), $0) })
        (self.learner, self.roles) = (learner, roles)
    }

    /// Files in order of name.
    var files: [String] { rounds.keys.sorted() }

    var json: JSON {
        let names = roles
        return [
            "version": 1, "learner": .string(learner.rawValue), "other": .string(other),
            "models": .object(JSONObject(rounds.sorted { $0.key < $1.key }.map { ($0.key, ["round": .integer(Int64($0.value))]) })),
            "tasks": .object(JSONObject(tasks.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })),
            "taskAttributes": .array(names.tasks.map { .string($0) }), "label": .string(names.label),
            "site": names.site.map { .string($0) } ?? .null, "person": names.person.map { .string($0) } ?? .null,
        ]
    }

    /// - Parameter source: the file, for messages.
    /// - Throws: `WorkerInputError` for what is no plan.
    init(_ bytes: [UInt8], source: String) throws {
        func wrong(_ what: String) -> WorkerInputError { WorkerInputError("\(source): \(what); fetch the model's version again") }
        let json: JSON
        do { json = try JSONParser.parse(bytes) } catch { throw wrong("\(error)") }
        guard json["version"]?.integer == 1 else { throw wrong("its version is not 1") }
        guard let other = json["other"]?.string, let models = json["models"]?.object, let tasks = json["tasks"]?.object,
            let learner = json["learner"]?.string.flatMap(WorkerSettings.Learner.init(rawValue:)), let label = json["label"]?.string,
            let attributes = json["taskAttributes"]?.array
        else { throw wrong("it lacks learner, label, taskAttributes, models, tasks or other") }
        var rounds: [String: Int] = [:]
        for (name, model) in models {
            guard let round = model["round"]?.integer, !name.isEmpty, !name.contains("/"), name.first != "." else {
                throw wrong("\"\(name.prefix(80))\" is no file beside it with a round")
            }
            rounds[name] = Int(round)
        }
        var served: [String: String] = [:]
        for (task, file) in tasks { served[task] = file.string ?? "" }
        guard (Array(served.values) + [other]).allSatisfy({ rounds[$0] != nil }) else {
            throw wrong("it names a file that it does not list")
        }
        (self.tasks, self.other, self.rounds, self.learner) = (served, other, rounds, learner)
        roles = TabularRoles(label: label)
        roles.tasks = attributes.compactMap(\.string)
        roles.site = json["site"]?.string
        roles.person = json["person"]?.string
    }
}
