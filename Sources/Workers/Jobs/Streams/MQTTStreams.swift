import Resources

/// Rows that a broker sends. A message is a JSON object, or several, one a line.
final class MQTTSource: StreamSource {
    private static let waitMilliseconds: Int32 = 100
    private let place: ModelStreams.Messages
    private let clientID: String
    private let idColumn: String?
    private let libraries: [String]
    private var connection: MQTTConnection?

    /// - Parameters:
    ///   - clientID: another one for each source of each node: a broker ends the older of two sessions of one name.
    ///   - libraries: where libmosquitto may lie, best first.
    init(_ place: ModelStreams.Messages, clientID: String, idColumn: String?, libraries: [String]) {
        (self.place, self.clientID, self.idColumn, self.libraries) = (place, clientID, idColumn, libraries)
    }

    func drop() {
        connection?.close()
        connection = nil
    }

    func acknowledge() throws {
        do { try connection?.acknowledge() } catch {
            drop()
            throw error
        }
    }

    func next() throws -> [StreamRecord] {
        do {
            if connection == nil {
                connection = try MQTTConnection(MosquittoLibrary(candidates: libraries), place, clientID: clientID, isSource: true)
            }
            let messages = try connection!.receive(milliseconds: Self.waitMilliseconds)
            let records = messages.flatMap { rows(of: $0, connection!.name) }
            // Messages that hold nothing at all.
            if records.isEmpty, !messages.isEmpty { try connection!.acknowledge() }
            return records
        } catch {
            drop()
            throw error
        }
    }

    private func rows(of message: MQTTConnection.Message, _ source: String) -> [StreamRecord] {
        guard !message.isTooLong else {
            let reason = "a message of more than \(MQTTConnection.payloadBytesMax) bytes"
            return [StreamRecord(unreadable: reason, raw: [], source: source, topic: message.topic)]
        }
        return message.payload.split(separator: 0x0a).compactMap { line in
            let line = Array(line.last == 0x0d ? line.dropLast() : line)
            return line.isEmpty ? nil : StreamRecord(json: line, idColumn: idColumn, source: source, topic: message.topic)
        }
    }
}

/// Sends answers to a broker, a message each, and waits until it has taken them.
final class MQTTSink: StreamSink {
    let name: String
    private let place: ModelStreams.Messages
    private let libraries: [String]
    private var connection: MQTTConnection?

    /// - Parameter libraries: where libmosquitto may lie, best first.
    init(_ place: ModelStreams.Messages, libraries: [String]) {
        (self.place, self.libraries) = (place, libraries)
        name = "\(place.isSecure ? "mqtts" : "mqtt")://\(place.host):\(place.port), topic \(place.topic)"
    }

    func write(_ answers: [StreamAnswer]) throws {
        do {
            if connection == nil {
                connection = try MQTTConnection(MosquittoLibrary(candidates: libraries), place, clientID: nil, isSource: false)
            }
            try connection!.publish(answers.map(\.json))
        } catch {
            connection?.close()
            connection = nil
            throw error
        }
    }

    func idle() {
        do { try connection?.keep() } catch {
            connection?.close()
            connection = nil
        }
    }
}
