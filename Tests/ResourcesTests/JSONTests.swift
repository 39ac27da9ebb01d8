import Resources
import Testing

@Suite struct JSONTests {
    @Test(arguments: [
        #"{"a":[1,-2,true,false,null,"x"],"b":{}}"#, #"{"big":18446744073709551616,"fraction":1.50,"exponent":1e400}"#,
        #""\u0001\n\"\\é""#, #"[[],{},0]"#,
    ])
    func `a value read and written again is the same text`(text: String) throws {
        #expect(String(decoding: try JSON(parsing: text).bytes(), as: UTF8.self) == text)
    }

    @Test(arguments: [
        "", "{", "[1,]", "{\"a\":1,}", "01", "1.", "1e", "-", "tru", "\"\u{1}\"", "\"\\x\"", "\"\\u12\"", "{} {}", "{a:1}", "[1 2]", "nul",
        "+1", "NaN",
    ])
    func `text that is no JSON is refused with the place`(text: String) {
        #expect(throws: JSONParseError.self) { try JSON(parsing: text) }
    }

    @Test func `invalid UTF-8 is refused in keys, strings and escapes`() {
        for bytes: [UInt8] in [[0x22, 0xff, 0x22], [0x22, 0xc3, 0x22], [0x22, 0x5c, 0x6e, 0xed, 0xa0, 0x80, 0x22]] {
            #expect(throws: JSONParseError.self) { try JSONParser.parse(bytes) }
        }
    }

    @Test func `nesting and length beyond the limits are refused before memory is taken`() {
        let deep = String(repeating: "[", count: 100_000)
        let refusal = #expect(throws: JSONParseError.self) { try JSON(parsing: deep) }
        #expect(refusal?.byteOffset == 257)
        #expect(throws: JSONParseError.self) { try JSONParser.parse("[1,2,3]".utf8, limits: .init(depthMax: 2, bytesMax: 6)) }
    }

    @Test func `of a repeated key the last value stays and the path is reported`() throws {
        let (value, duplicates) = try JSONParser.parseReportingDuplicates(#"{"spec":{"a":1,"a":2},"b":[{"c":1,"c":1}]}"#.utf8)
        #expect(value["spec"]?["a"] == 2)
        #expect(duplicates.first == "spec.a")
        #expect(duplicates.count == 2)
    }

    @Test func `a key is repeated however it is written`() throws {
        for text in [#"{"a":1,"b":3,"\u0061":2}"#, #"{"\u0061":1,"b":3,"a":2}"#] {
            let (value, duplicates) = try JSONParser.parseReportingDuplicates(text.utf8)
            #expect(value == ["a": 2, "b": 3])
            #expect(duplicates == ["a"])
        }
        // One letter, and a letter with its accent behind it, are the same text.
        let (value, duplicates) = try JSONParser.parseReportingDuplicates("{\"\u{e9}\":1,\"x\":0,\"e\u{301}\":2}".utf8)
        #expect(value.object?.count == 2 && duplicates.count == 1)
        // Wide enough for an index, and with keys that share their marks.
        let wide = (0..<300).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
        #expect(try JSON(parsing: "{\(wide),\"k7\":-1}").object?.count == 300)
        #expect(try JSON(parsing: "{\(wide)}")["k299"] == 299)
    }

    @Test(arguments: [
        "0", "-0", "-1", "999999999999999999", "-999999999999999999", "1000000000000000000", "9223372036854775807", "-9223372036854775808",
    ]) func `an integer of any length that fits is read whole`(_ text: String) throws {
        #expect(try JSON(parsing: text) == .integer(Int64(text)!))
    }

    @Test func `what is left out of a written object is passed over to its end`() throws {
        let object: JSON = [
            "kind": "K", "metadata": ["name": "a", "managedFields": [["x": "]\"}", "y": [[], ["\\"]]]], "z": 1], "spec": ["list": [1]],
        ]
        var without = object
        without[path: ["metadata", "managedFields"]] = nil
        #expect(try JSONParser.parse(written: object.bytes(), limits: .init(), leavingOut: "managedFields") == without)
        let text = Array("x{\"a\":[\"}\\\"\",{}]}y".utf8)
        #expect(JSONParser.end(ofObjectFrom: 1, in: text) == text.count - 1)
        #expect(JSONParser.end(ofObjectFrom: 1, in: text.dropLast(2)) == nil)
    }

    @Test func `a pair of surrogates is one character and a lone one a replacement`() throws {
        #expect(try JSON(parsing: #""\ud83d\ude00""#) == "😀")
        #expect(try JSON(parsing: #""\ud83dx""#) == "\u{fffd}x")
    }

    @Test func `a wide object is found by key, changed and compared without order`() {
        let members = (0..<1000).map { ("k\($0)", JSON.integer(Int64($0))) }
        var object = JSONObject(members)
        #expect(object == JSONObject(members.reversed()))
        object["k500"] = nil
        #expect(object.count == 999)
        #expect(object["k501"] == 501)
        #expect(object["k500"] == nil)
    }

    @Test func `setting a path makes the objects on the way`() {
        var value: JSON = [:]
        value[path: ["metadata", "labels", "a"]] = "b"
        #expect(value == ["metadata": ["labels": ["a": "b"]]])
        value[path: ["metadata", "labels", "a"]] = nil
        value[path: ["spec", "missing"]] = nil
        #expect(value == ["metadata": ["labels": [:]]])
    }

    @Test func `base64 follows RFC 4648 and refuses what does not`() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            #expect(Base64.encode(Array(plain.utf8)) == text)
            #expect(Base64.decode(text) == Array(plain.utf8))
        }
        for text in ["Zg", "Zg=", "Z===", "Zm9*", "Zg==Zg=="] { #expect(Base64.decode(text) == nil) }
    }

    @Test func `timestamps are read with any offset and written in UTC`() {
        #expect(Timestamp("2026-11-20T23:30:05Z")?.text == "2026-11-20T23:30:05Z")
        #expect(Timestamp("2024-02-29T01:00:00.123+02:00")?.text == "2024-02-28T23:00:00Z")
        #expect(Timestamp("1969-12-31T23:59:59Z")?.seconds == -1)
        for text in ["", "2026-11-20", "2026-13-20T00:00:00Z", "2026-11-20T24:00:00Z", "2026-11-20T00:00:00", "2026-11-20T00:00:00Zx"] {
            #expect(Timestamp(text) == nil)
        }
    }

    @Test func `ages are written as kubectl writes them`() {
        let zero = Timestamp(seconds: 0)
        for (seconds, text) in [
            (0, "0s"), (119, "119s"), (120, "2m"), (303, "5m3s"), (3600, "60m"), (10920, "3h2m"), (187_200, "2d4h"), (-5, "<invalid>"),
        ] {
            #expect(zero.age(at: Timestamp(seconds: Int64(seconds))) == text)
        }
    }
}
