import Resources
import Testing

@Suite struct YAMLTests {
    private func value(_ text: String) throws -> JSON { try YAMLParser.parse(text.utf8) }

    @Test(arguments: [
        ("", "null"), ("# nothing\n", "null"), ("---\n...\n", "null"), ("a: 1", #"{"a":1}"#), ("{}", "{}"), ("[]\n", "[]"),
        ("a:\n  b:\n    c: d\ne: f\n", #"{"a":{"b":{"c":"d"}},"e":"f"}"#),
        ("a:\n- 1\n- 2\nb: 3", #"{"a":[1,2],"b":3}"#), ("a:\n  - 1\n  - 2\nb: 3", #"{"a":[1,2],"b":3}"#),
        ("- a: 1\n  b: 2\n- c: 3", #"[{"a":1,"b":2},{"c":3}]"#), ("- - 1\n  - 2\n- - 3", "[[1,2],[3]]"),
        ("-\n  a: 1\n-\n- ", #"[{"a":1},null,null]"#), ("a:\nb:", #"{"a":null,"b":null}"#),
        ("a: {b: [1, \"x, y\", {c: }], 'd': e f}", #"{"a":{"b":[1,"x, y",{"c":null}],"d":"e f"}}"#),
        ("a: [\n  1, # one\n  2,\n]", #"{"a":[1,2]}"#), ("a: x # comment\nb: x#y", #"{"a":"x","b":"x#y"}"#),
        ("a: http://x:1/y", #"{"a":"http://x:1/y"}"#), ("\"a b\" : 1\n'c': 2", #"{"a b":1,"c":2}"#),
        ("a: one\n  two\n\n  three\nb: 1", #"{"a":"one two\nthree","b":1}"#), ("---\na: 1\n...\n# end\n", #"{"a":1}"#),
        ("a: 1\r\nb: x\r\n", #"{"a":1,"b":"x"}"#), ("\u{feff}a: 1", #"{"a":1}"#), ("b: --x", #"{"b":"--x"}"#),
    ])
    func `collections, comments and plain words are read`(_ text: String, _ json: String) throws {
        #expect(try value(text) == JSONParser.parse(json.utf8))
    }

    @Test(arguments: [
        ("true", "true"), ("No", "false"), ("ON", "true"), ("~", "null"), ("Null", "null"), ("nUll", #""nUll""#), ("12", "12"),
        ("-7", "-7"),
        ("+7", "7"), ("0644", "420"), ("0o17", "15"), ("0xFf", "255"), ("08", #""08""#), ("1.50", "1.50"), ("-.5", "-0.5"), ("1e3", "1e3"),
        ("1.e+2", "1e+2"), ("007.5", "7.5"), ("1_000", #""1_000""#), ("1.2.3", #""1.2.3""#), ("v1", #""v1""#), (".", #"".""#),
        ("18446744073709551616", "18446744073709551616"), ("2026-11-21", #""2026-11-21""#), ("1:30", #""1:30""#), ("--", #""--""#),
        ("-", "[null]"), ("0x", #""0x""#), ("1e", #""1e""#), (".inf", #"".inf""#),
    ])
    func `a plain word becomes what Kubernetes makes of it`(_ word: String, _ json: String) throws {
        #expect(try value(word) == JSONParser.parse(json.utf8))
    }

    @Test(arguments: [
        (#""a\n\t\"\\\/\x41\u00e9\U0001F600""#, "a\n\t\"\\/A\u{e9}\u{1F600}"), (#""\ud83d\ude00""#, "\u{1F600}"), ("'it''s'", "it's"),
        ("\"a\n  b\n\n  c\"", "a b\nc"), ("\"a \\\n  b\"", "a b"), ("''", ""), ("'# no comment: {'", "# no comment: {"),
    ])
    func `words in quotes keep what they say`(_ text: String, _ expected: String) throws {
        #expect(try value(text) == .string(expected))
        #expect(try value("k: \(text)")["k"] == .string(expected))
    }

    @Test(arguments: [
        ("a: |\n  one\n   two\n\n  three\nb: 1", "one\n two\n\nthree\n"), ("a: |-\n  one\n\n", "one"), ("a: |+\n  one\n\nb: 1", "one\n\n"),
        ("a: >\n  one\n  two\n\n  three\n", "one two\nthree\n"), ("a: >-\n  one\n    code\n  two", "one\n  code\ntwo"),
        ("a: |2\n    one\n", "  one\n"), ("a: | # comment\n  # text\n", "# text\n"), ("a: |\nb: 1", ""),
    ])
    func `texts over several lines are kept or folded`(_ text: String, _ expected: String) throws {
        #expect(try value(text)["a"] == .string(expected))
    }

    @Test(arguments: [
        ("a: &x 1", "an anchor", 1, 4), ("a: *x", "an alias", 1, 4), ("a: !!str 1", "a tag", 1, 4), ("<<: {a: 1}", "a merge key", 1, 1),
        ("? a\n: b", "no plain or quoted", 1, 1), ("a: 1\na: 2", "a second time", 2, 1), ("{a: 1, a: 2}", "a second time", 1, 8),
        ("a:\n\tb: 1", "a tab", 2, 1), ("a: 1\n---\nb: 2", "a second document", 2, 1), ("%YAML 1.2\n---\na: 1", "a directive", 1, 1),
        ("a: 1\n  b: 2", "a colon within a value", 2, 4), ("a: b: c", "a colon within a value", 1, 5),
        ("a:\n    b: 1\n  c: 2", "indented", 3, 3),
        ("a: [1, 2", "not closed", 1, 4), ("a: {b: 1", "not closed", 1, 4), ("a: \"x", "not closed", 1, 4),
        ("a: [1 2] 3", "has ended", 1, 10),
        ("a: \"x\" y", "has ended", 1, 8), ("a: @x", "in quotes", 1, 4), ("a: \"\\q\"", "unknown escape", 1, 5),
        ("a: \"\\ud800\"", "", 1, 11),
        ("a: \"\\x4\"", "hexadecimal", 1, 7), ("- a\nb", "nothing before", 2, 1), ("a: 1\n- b", "neither a key", 2, 1),
        ("a: - b", "an entry", 1, 4), ("a: -", "an entry", 1, 4), ("a: |x\n  b", "an unknown sign", 1, 5), ("[a, {b: [}]", "'}'", 1, 10),
        ("[1,,2]", "','", 1, 4),
        ("{a: 1 b: 2}", "", 1, 8),
    ])
    func `what is no YAML, or not read here, is refused with its place`(_ text: String, _ words: String, _ line: Int, _ column: Int) {
        do {
            let found = try value(text)
            Issue.record("\(text) was read as \(found)")
        } catch let error as YAMLParseError {
            #expect(error.reason.contains(words) && error.line == line && error.column == column, "\(text): \(error)")
        } catch { Issue.record("\(error)") }
    }

    @Test func `sizes are bounded`() {
        #expect(throws: YAMLParseError.self) { try value(String(repeating: "[", count: 100)) }
        #expect(throws: YAMLParseError.self) {
            try value((0..<100).map { String(repeating: " ", count: $0) + "a:" }.joined(separator: "\n"))
        }
        #expect(throws: YAMLParseError.self) { try value(String(repeating: "- ", count: 100)) }
        var limits = YAMLParser.Limits()
        limits.bytesMax = 10
        #expect(throws: YAMLParseError.self) { try YAMLParser.parse("a: 12345678".utf8, limits: limits) }
        #expect(throws: YAMLParseError.self) { try YAMLParser.parse([0x61, 0x3a, 0x20, 0xff]) }
        #expect(throws: YAMLParseError.self) { try YAMLParser.parse([0x22, 0xff, 0x22]) }
    }

    @Test func `every cut and every changed byte of a document is read or refused`() {
        let text = Array("a: {b: [1, \"x\\u00e9\", 'y']}\nc: |-\n  z\n- d: >\n   e\n\"f\": g # h\n".utf8)
        for end in text.indices { _ = try? YAMLParser.parse(text[..<end]) }
        for place in text.indices {
            for byte: UInt8 in [0, 9, 10, 13, 32, 34, 35, 39, 44, 45, 58, 91, 93, 123, 125, 124, 128, 255] {
                var changed = text
                changed[place] = byte
                _ = try? YAMLParser.parse(changed)
            }
        }
    }
}
