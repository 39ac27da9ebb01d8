/// Where rows for a model come from and where its answers go: `spec.sources`, `spec.sinks` and `spec.deadLetter` of a Model, and the variable
/// `STREAMS` of its worker. Pure.
package struct ModelStreams: Sendable, Hashable {
    /// How rows are written.
    package enum Format: String, Sendable, Hashable, CaseIterable {
        /// With a header of columns.
        case csv
        /// An object a line.
        case json
    }

    /// A file of the node.
    package struct File: Sendable, Hashable {
        /// Absolute.
        package var path: String
        /// By the field `format`, or else by the name's end.
        package var format: Format
        /// Bytes at which a sink's file is put aside under its name with `.1`, and begun anew.
        package var bytesMax: Int64
    }

    /// Messages of an MQTT broker.
    package struct Messages: Sendable, Hashable {
        /// Name or address of the broker.
        package var host: String
        /// 1883 or, with TLS, 8883, where the address names none.
        package var port: Int
        /// Whether the connection is encrypted, and the broker's certificate checked.
        package var isSecure: Bool
        /// A source's filter, or the topic that a sink writes to.
        package var topic: String
        /// By which the broker knows a source again; nil leaves it to the worker.
        package var clientID: String?
        /// A Secret's name.
        package var credentialName: String?
        /// For workers: the folder with the Secret's entries.
        package var credentials: String?
    }

    /// A file or messages.
    package enum Place: Sendable, Hashable {
        case file(File)
        case mqtt(Messages)
    }

    /// Rows that are to be answered.
    package struct Source: Sendable, Hashable {
        /// Where they come from.
        package var place: Place
        /// The column that is passed on to the answer and is no input of the model; nil for none.
        package var id: String?
    }

    /// Sources, and sinks, of one Model.
    package static let placesMax = 8
    /// Bytes of a path or topic.
    package static let textBytesMax = 1024
    /// Bytes of a sink's file where `maxBytes` is absent.
    package static let fileBytes: Int64 = 1 << 30

    /// Every source's rows are answered to every sink.
    package private(set) var sources: [Source] = []
    /// Where answers go.
    package private(set) var sinks: [Place] = []
    /// Where rows go that cannot be answered, with the reason; nil drops them.
    package private(set) var deadLetter: Place?

    /// Reads what is right of a spec.
    ///
    /// - Parameters:
    ///   - spec: of a Model, or what `STREAMS` holds.
    ///   - path: of the spec in its object: `spec`.
    /// - Returns: errors that name each field at fault, its value and what is allowed; none where all was taken.
    package static func read(_ spec: JSON, at path: String) -> (streams: ModelStreams, errors: [FieldError]) {
        var (streams, reader) = (ModelStreams(), Reader())
        for (place, source) in reader.list(spec["sources"], "\(path).sources") {
            if let found = reader.place(source, place, isSource: true) {
                streams.sources.append(Source(place: found, id: source["id"]?.string.flatMap { $0.isEmpty ? nil : $0 }))
            }
        }
        for (place, sink) in reader.list(spec["sinks"], "\(path).sinks") {
            if let found = reader.place(sink, place, isSource: false) { streams.sinks.append(found) }
        }
        if let letter = spec["deadLetter"], !letter.isNull {
            streams.deadLetter = reader.place(letter, "\(path).deadLetter", isSource: false)
        }
        streams.checkTogether(spec, path, &reader.errors)
        return (streams, reader.errors)
    }

    /// What no place can say alone.
    private func checkTogether(_ spec: JSON, _ path: String, _ errors: inout [FieldError]) {
        let (hasSources, hasSinks) = (!(spec["sources"]?.array ?? []).isEmpty, !(spec["sinks"]?.array ?? []).isEmpty)
        if hasSources, !hasSinks { errors.append(.required("\(path).sinks", "answers to spec.sources must go somewhere")) }
        if !hasSources, hasSinks || deadLetter != nil {
            errors.append(.required("\(path).sources", "there are sinks, and nothing to answer"))
        }
        let read = sources.compactMap { if case .file(let file) = $0.place { file.path } else { nil } }
        let places =
            sinks.enumerated().map { ("\(path).sinks[\($0.offset)]", $0.element) } + (deadLetter.map { [("\(path).deadLetter", $0)] } ?? [])
        var written: Set<String> = []
        for (field, place) in places {
            guard case .file(let file) = place else { continue }
            if read.contains(file.path) {
                errors.append(.invalid("\(field).file.path", .string(file.path), "is read by a source; its answers would be asked about"))
            }
            if !written.insert(file.path).inserted { errors.append(.duplicate("\(field).file.path", .string(file.path))) }
        }
        if Set(read).count < read.count { errors.append(.invalid("\(path).sources", .string("file"), "a file is read by two sources")) }
    }
}

extension ModelStreams {
    /// Reads the fields and gathers what is wrong with them.
    private struct Reader {
        var errors: [FieldError] = []

        mutating func list(_ value: JSON?, _ path: String) -> [(String, JSON)] {
            let items = value?.array ?? []
            guard items.count <= placesMax else {
                errors.append(FieldError(path, .tooMany, "Too many: \(items.count): must have at most \(placesMax) items"))
                return []
            }
            return items.enumerated().map { ("\(path)[\($0.offset)]", $0.element) }
        }

        mutating func place(_ json: JSON, _ path: String, isSource: Bool) -> Place? {
            let (file, mqtt) = (json["file"]?.object == nil ? nil : json["file"], json["mqtt"]?.object == nil ? nil : json["mqtt"])
            switch (file, mqtt) {
            case (let file?, nil): return self.file(file, "\(path).file", isSource: isSource).map { .file($0) }
            case (nil, let mqtt?): return messages(mqtt, "\(path).mqtt", isSource: isSource).map { .mqtt($0) }
            case (nil, nil): errors.append(.required(path, "must specify one of: file, mqtt"))
            case (_?, _?): errors.append(.forbidden("\(path).mqtt", "may not specify more than 1 of: file, mqtt"))
            }
            return nil
        }

        private mutating func file(_ json: JSON, _ path: String, isSource: Bool) -> File? {
            let text = json["path"]?.string ?? ""
            let parts = text.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
            guard text.hasPrefix("/"), parts.count >= 2, parts.allSatisfy({ !$0.isEmpty && $0 != ".." && $0 != "." }),
                text.utf8.count <= textBytesMax, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
            else {
                errors.append(
                    .invalid("\(path).path", .string(text), "must be the absolute path of a file in a folder of the node, without .."))
                return nil
            }
            var format: Format = text.hasSuffix(".csv") ? .csv : .json
            if let word = json["format"]?.string {
                guard let found = Format(rawValue: word) else {
                    errors.append(.notSupported("\(path).format", .string(word), Format.allCases.map(\.rawValue)))
                    return nil
                }
                format = found
            }
            let bytes = json["maxBytes"]?.integer
            if let bytes, isSource || bytes < 1 << 16 {
                errors.append(
                    isSource
                        ? .forbidden("\(path).maxBytes", "sources are read only; it bounds the file of a sink")
                        : .invalid("\(path).maxBytes", .integer(bytes), "must be at least 65536 bytes"))
                return nil
            }
            return File(path: text, format: format, bytesMax: bytes ?? fileBytes)
        }

        private mutating func messages(_ json: JSON, _ path: String, isSource: Bool) -> Messages? {
            let address = json["broker"]?.string ?? "", topic = json["topic"]?.string ?? ""
            guard let (host, port, isSecure) = Self.broker(address) else {
                errors.append(.invalid("\(path).broker", .string(address), "must be mqtt://HOST:PORT, or mqtts://HOST:PORT with TLS"))
                return nil
            }
            if let why = isSource ? Self.faultOfFilter(topic) : Self.faultOfTopic(topic) {
                errors.append(.invalid("\(path).topic", .string(topic), why))
                return nil
            }
            let (client, secret) = (json["clientID"]?.string ?? "", json["credentialName"]?.string ?? "")
            guard client.utf8.count <= 256, client.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
                errors.append(
                    .invalid("\(path).clientID", .string(client), "must be at most 256 printable ASCII characters without blanks"))
                return nil
            }
            guard secret.isEmpty || NameRules.isSubdomain(secret) else {
                errors.append(.invalid("\(path).credentialName", .string(secret), "must be the name of a Secret in the same namespace"))
                return nil
            }
            return Messages(
                host: host, port: port, isSecure: isSecure, topic: topic, clientID: client.isEmpty ? nil : client,
                credentialName: secret.isEmpty ? nil : secret, credentials: json["credentials"]?.string)
        }

        /// `mqtt://HOST`, `mqtts://HOST:PORT`, `mqtt://[::1]:1883`.
        private static func broker(_ text: String) -> (String, Int, Bool)? {
            let isSecure = text.hasPrefix("mqtts://")
            guard isSecure || text.hasPrefix("mqtt://"), text.utf8.count <= 300 else { return nil }
            var rest = text.dropFirst(isSecure ? 8 : 7)
            if rest.last == "/" { rest.removeLast() }
            var host = rest, port = Substring(isSecure ? "8883" : "1883")
            if rest.first == "[" {
                guard let end = rest.firstIndex(of: "]") else { return nil }
                host = rest[rest.index(after: rest.startIndex)..<end]
                let behind = rest[rest.index(after: end)...]
                if !behind.isEmpty {
                    guard behind.first == ":" else { return nil }
                    port = behind.dropFirst()
                }
                guard host.utf8.allSatisfy({ $0 == 0x3a || $0 == 0x2e || Character(UnicodeScalar($0)).isHexDigit }) else { return nil }
            } else {
                let parts = rest.split(separator: ":", omittingEmptySubsequences: false)
                guard parts.count <= 2 else { return nil }
                host = parts[0]
                if parts.count == 2 { port = parts[1] }
                let isName = host.utf8.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                        || [0x2d, 0x2e, 0x5f].contains(byte)
                }
                guard isName else { return nil }
            }
            guard !host.isEmpty, port.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(port), (1...65535).contains(number)
            else { return nil }
            return (String(host), number, isSecure)
        }

        /// Why no sink can write to a topic; nil for one that can be written to.
        private static func faultOfTopic(_ topic: String) -> String? {
            if let why = faultOfText(topic) { return why }
            if topic.contains("+") || topic.contains("#") { return "must be one topic: + and # are for sources" }
            return topic.hasPrefix("$") ? "must not begin with $, which brokers keep for themselves" : nil
        }

        private static func faultOfFilter(_ filter: String) -> String? {
            if let why = faultOfText(filter) { return why }
            var levels = filter.split(separator: "/", omittingEmptySubsequences: false)[...]
            if levels.first == "$share" {
                guard levels.count >= 3, !levels[1].isEmpty, !levels[1].contains("+"), !levels[1].contains("#") else {
                    return "must be $share/GROUP/FILTER for rows that several nodes share"
                }
                levels = levels.dropFirst(2)
            }
            for (place, level) in levels.enumerated() {
                if level.contains("+"), level != "+" { return "+ must be a whole level: a/+/b" }
                if level.contains("#"), level != "#" || place != levels.count - 1 { return "# must be the last level, and whole: a/#" }
            }
            return nil
        }

        private static func faultOfText(_ topic: String) -> String? {
            guard !topic.isEmpty, topic.utf8.count <= textBytesMax, topic.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                return "must be 1 to \(textBytesMax) bytes without control characters"
            }
            return nil
        }
    }
}
