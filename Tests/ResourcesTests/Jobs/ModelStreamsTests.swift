import Resources
import Testing

/// `spec.sources`, `spec.sinks` and `spec.deadLetter` of a Model.
@Suite struct ModelStreamsTests {
    private static let sink: JSON = ["file": ["path": "/data/answers.jsonl"]]

    private func refusals(_ more: JSON) throws -> [String] {
        let definition = try #require(BuiltInKinds.all.first { $0.kind == "Model" && $0.group == "sedna.io" })
        var spec: JSON = ["url": "/models/a.onnx", "format": "onnx"]
        for (name, value) in more.object ?? [:] { spec[name] = value }
        return definition.validation(["spec": spec], nil).map { "\($0.field): \($0.message)" }
    }

    private static func mqtt(_ broker: String, _ topic: String) -> JSON {
        ["mqtt": ["broker": .string(broker), "topic": .string(topic)]]
    }

    @Test(arguments: [
        mqtt("mqtt://broker", "a"), mqtt("mqtt://10.0.0.1:1884", "plant/+/rows"), mqtt("mqtts://broker.lan/", "plant/#"),
        mqtt("mqtt://[::1]:1883", "$share/group/rows/+"), mqtt("mqtt://b", "#"), ["file": ["path": "/data/rows.csv"]],
        ["file": ["path": "/data/rows.log", "format": "json"], "id": "n"],
    ]) func `sources that can be read are taken`(_ source: JSON) throws {
        let found = try refusals(["sources": [source], "sinks": [Self.sink]])
        #expect(found == [])
    }

    @Test(
        arguments: [
            (mqtt("broker:1883", "a"), "spec.sources[0].mqtt.broker: Invalid value"),
            (mqtt("mqtt://user:secret@broker", "a"), "spec.sources[0].mqtt.broker: Invalid value"),
            (mqtt("mqtt://broker:0", "a"), "spec.sources[0].mqtt.broker: Invalid value"),
            (mqtt("mqtt://broker:65536", "a"), "spec.sources[0].mqtt.broker: Invalid value"),
            (mqtt("mqtt://", "a"), "spec.sources[0].mqtt.broker: Invalid value"),
            (mqtt("mqtt://b", ""), "spec.sources[0].mqtt.topic: Invalid value"),
            (mqtt("mqtt://b", "a/b+/c"), "spec.sources[0].mqtt.topic: Invalid value"),
            (mqtt("mqtt://b", "a/#/c"), "spec.sources[0].mqtt.topic: Invalid value"),
            (mqtt("mqtt://b", "$share/group"), "spec.sources[0].mqtt.topic: Invalid value"),
            (mqtt("mqtt://b", "a\u{0}b"), "spec.sources[0].mqtt.topic: Invalid value"),
            (
                ["mqtt": ["broker": "mqtt://b", "topic": "a", "credentialName": "A B"]],
                "spec.sources[0].mqtt.credentialName: Invalid value"
            ),
            (["mqtt": ["broker": "mqtt://b", "topic": "a", "clientID": "a b"]], "spec.sources[0].mqtt.clientID: Invalid value"),
            (["file": ["path": "rows.csv"]], "spec.sources[0].file.path: Invalid value"),
            (["file": ["path": "/rows.csv"]], "spec.sources[0].file.path: Invalid value"),
            (["file": ["path": "/data/../rows.csv"]], "spec.sources[0].file.path: Invalid value"),
            (["file": ["path": "/data/rows.csv", "format": "xml"]], "spec.sources[0].file.format: Unsupported value"),
            (["file": ["path": "/data/rows.csv", "maxBytes": 100_000]], "spec.sources[0].file.maxBytes: Forbidden"),
            (["id": "n"], "spec.sources[0]: Required value: must specify one of: file, mqtt"),
            (["file": ["path": "/data/a"], "mqtt": ["broker": "mqtt://b", "topic": "a"]], "spec.sources[0].mqtt: Forbidden"),
        ] as [(JSON, String)]) func `a source that cannot be read is refused by its field`(_ source: JSON, _ expected: String) throws
    {
        let found = try refusals(["sources": [source], "sinks": [Self.sink]])
        #expect(found.count == 1 && found[0].hasPrefix(expected), "\(found)")
    }

    @Test func `sources need sinks, sinks sources, and no file is both`() throws {
        let source: JSON = ["file": ["path": "/data/rows.csv"]]
        #expect(try refusals(["sources": [source]]).first?.hasPrefix("spec.sinks: Required value") == true)
        #expect(try refusals(["sinks": [Self.sink]]).first?.hasPrefix("spec.sources: Required value") == true)
        #expect(
            try refusals(["sources": [source], "sinks": [source]]).first?.hasPrefix("spec.sinks[0].file.path: Invalid value") == true)
        #expect(
            try refusals(["sources": [source], "sinks": [Self.sink], "deadLetter": Self.sink])
                == ["spec.deadLetter.file.path: Duplicate value: \"/data/answers.jsonl\""])
        #expect(try refusals(["sources": [source, source], "sinks": [Self.sink]]).count == 1)
        #expect(
            try refusals(["sources": .array(.init(repeating: source, count: 9)), "sinks": [Self.sink]]).first?.contains("at most 8") == true
        )
        #expect(
            try refusals(["sources": [source], "sinks": [Self.mqtt("mqtt://b", "a/+")]]).first?.contains("+ and # are for sources") == true)
    }
}
