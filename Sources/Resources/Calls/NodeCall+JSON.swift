// How a call is written where it travels: one object, its kind in `call`.

extension NodeCall {
    /// The call as one object; read again by `init(_:)`.
    package var json: JSON {
        if case .question(let question) = self {
            return [
                "call": "question", "method": .string(question.method), "path": .string(question.path), "type": .string(question.type),
            ]
        }
        var body: JSON = ["namespace": .string(target.namespace), "pod": .string(target.pod)]
        if !target.container.isEmpty { body["container"] = .string(target.container) }
        switch self {
        case .question: break
        case .logs(_, let query):
            body["call"] = "logs"
            for (name, value) in [("follow", query.follows), ("previous", query.previous), ("timestamps", query.timestamps)] where value {
                body[name] = true
            }
            body["tailLines"] = query.tailLines.map { .integer(Int64($0)) }
            body["sinceSeconds"] = query.sinceSeconds.map { .integer($0) }
            body["sinceTime"] = query.sinceTime.map { .string($0) }
            body["limitBytes"] = query.limitBytes.map { .integer(Int64($0)) }
        case .exec(_, let query):
            body["call"] = "exec"
            body["command"] = .array(query.command.map { .string($0) })
            Self.write(stdin: query.stdin, stdout: query.stdout, stderr: query.stderr, tty: query.tty, &body)
        case .attach(_, let query):
            body["call"] = "attach"
            Self.write(stdin: query.stdin, stdout: query.stdout, stderr: query.stderr, tty: query.tty, &body)
        case .portForward(_, let port):
            body["call"] = "portForward"
            body["port"] = .integer(Int64(port))
        }
        return body
    }

    private static func write(stdin: Bool, stdout: Bool, stderr: Bool, tty: Bool, _ body: inout JSON) {
        for (name, value) in [("stdin", stdin), ("stdout", stdout), ("stderr", stderr), ("tty", tty)] { body[name] = .bool(value) }
    }

    /// Reads what `json` has written.
    ///
    /// - Throws: 400 that names the field, for anything that is no call.
    package init(_ json: JSON) throws(APIStatus) {
        if json["call"] == "question" {
            guard let method = json["method"]?.string, ["GET", "POST"].contains(method), let path = json["path"]?.string,
                path.hasPrefix("/"), path.utf8.count <= 1024
            else { throw .badRequest("call question: found no method and path in \(json.text.prefix(200))") }
            self = .question(NodeQuestion(method: method, path: path, type: json["type"]?.string ?? ""))
            return
        }
        guard let namespace = json["namespace"]?.string, let pod = json["pod"]?.string, !pod.isEmpty else {
            throw .badRequest("call: found no namespace and pod in \(json.text.prefix(200))")
        }
        let target = PodTarget(namespace: namespace, pod: pod, container: json["container"]?.string ?? "")
        switch json["call"]?.string {
        case "logs": self = .logs(target, LogQuery(json))
        case "exec":
            let command = (json["command"]?.array ?? []).compactMap(\.string)
            guard !command.isEmpty else { throw .badRequest("call exec: command: found none; name the program to run") }
            var query = ExecQuery(command: command)
            (query.stdin, query.stdout) = (json["stdin"]?.bool ?? false, json["stdout"]?.bool ?? false)
            (query.stderr, query.tty) = (json["stderr"]?.bool ?? false, json["tty"]?.bool ?? false)
            self = .exec(target, query)
        case "attach":
            var query = AttachQuery()
            (query.stdin, query.stdout) = (json["stdin"]?.bool ?? false, json["stdout"]?.bool ?? false)
            (query.stderr, query.tty) = (json["stderr"]?.bool ?? false, json["tty"]?.bool ?? false)
            self = .attach(target, query)
        case "portForward":
            guard let port = json["port"]?.integer, (1...65535).contains(port) else {
                throw .badRequest("call portForward: port: found \(json["port"]?.text ?? "none"); must be 1 to 65535")
            }
            self = .portForward(target, port: Int(port))
        default: throw .badRequest("call: found \(json["call"]?.text ?? "none"); known are logs, exec, attach, portForward, question")
        }
    }
}

extension LogQuery {
    fileprivate init(_ json: JSON) {
        follows = json["follow"]?.bool ?? false
        previous = json["previous"]?.bool ?? false
        timestamps = json["timestamps"]?.bool ?? false
        tailLines = json["tailLines"]?.integer.map { max(0, Int($0)) }
        sinceSeconds = json["sinceSeconds"]?.integer
        sinceTime = json["sinceTime"]?.string
        limitBytes = json["limitBytes"]?.integer.map { max(1, Int($0)) }
    }
}
