import Resources
import Testing

@Suite struct SettingsFileTests {
    /// Takes what a program with these five settings would.
    private func read(_ text: String) throws(SettingsError) -> (
        text: String?, flag: Bool?, count: Int?, bytes: Int?, time: Duration?
    ) {
        var file = try SettingsFile(Array(text.utf8), name: "a.yaml")
        let result = (
            text: try file.text("name"), flag: try file.flag("audit.enabled"), count: try file.count("http.connectionsMax", in: 1...100),
            bytes: try file.bytes("http.bodyBytesMax", in: 1024...1 << 20),
            time: try file.duration("http.idleTimeout", in: .seconds(1) ... .seconds(3600))
        )
        try file.finish()
        return result
    }

    private func refusal(_ text: String) -> String {
        do throws(SettingsError) {
            let found = try read(text)
            return "taken: \(found)"
        } catch { return error.description }
    }

    @Test(arguments: [
        "name: a\naudit: {enabled: false}\nhttp:\n  connectionsMax: 7 # few\n  bodyBytesMax: 64Ki\n  idleTimeout: 90s\n",
        #"{"name": "a", "audit": {"enabled": false}, "http": {"connectionsMax": 7, "bodyBytesMax": 65536, "idleTimeout": "90000ms"}}"#,
    ]) func `settings are read from YAML and JSON alike`(_ text: String) throws {
        let found = try read(text)
        #expect(found.text == "a" && found.flag == false && found.count == 7 && found.bytes == 65536 && found.time == .seconds(90))
    }

    @Test(arguments: ["", "# nothing\n", "name:\nhttp:\n", "http: {}\naudit: {enabled: null}"])
    func `what is missing or null is nil`(_ text: String) throws {
        let found = try read(text)
        #expect(found.text == nil && found.flag == nil && found.count == nil && found.bytes == nil && found.time == nil)
    }

    @Test(arguments: [
        (
            "http:\n  bodyMax: 3",
            "a.yaml, line 2: http.bodyMax: there is no such setting; of http there are connectionsMax, bodyBytesMax, idleTimeout"
        ),
        ("names: a", "a.yaml, line 1: names: there is no such setting; there are name, audit, http"),
        ("http:\n\n  connectionsMax: many", "a.yaml, line 3: http.connectionsMax: expected a whole number from 1 to 100, found \"many\""),
        ("http:\n  connectionsMax: 101", "a.yaml, line 2: http.connectionsMax: expected a whole number from 1 to 100, found 101"),
        ("http:\n  connectionsMax: 1.5", "found 1.5"), ("http: {connectionsMax: 0}", "a.yaml, line 1: http.connectionsMax: "),
        ("http:\n  bodyBytesMax: 1000", "as 65536 or 64Ki, from 1024 to 1048576, found 1000"),
        ("http:\n  bodyBytesMax: 2Gi", "found \"2Gi\""), ("http:\n  bodyBytesMax: 1e30", "found 1e30"),
        ("http:\n  idleTimeout: 90", "a time with its unit, as 250ms, 30s, 5m or 2h, from 1s to 1h, found 90"),
        ("http:\n  idleTimeout: 999999999999h", "found"), ("http:\n  idleTimeout: 2h", "found \"2h\""),
        ("audit: true", "a.yaml, line 1: audit: expected settings below it, found true"),
        ("audit:\n  enabled: on", "taken"), ("audit:\n  enabled: 1", "audit.enabled: expected true or false, found 1"),
        ("name: [a]", "name: expected a text, found [\"a\"]"), ("name: ''", "name: expected a text, found \"\""),
        ("- a", "a.yaml: expected settings as 'name: value', found [\"a\"]"), ("name: a\nname: b", "a.yaml: "), ("a: &x 1", "a.yaml: "),
    ]) func `what is no such setting, or no value of it, is refused with its place and what is taken`(_ text: String, _ words: String) {
        let refusal = refusal(text)
        #expect(refusal.contains(words), "\(refusal)")
    }

    @Test func `a file that is too long is refused before it is read`() {
        #expect(refusal(String(repeating: " ", count: SettingsFile.bytesMax + 1)).contains("at most \(SettingsFile.bytesMax)"))
    }
}
