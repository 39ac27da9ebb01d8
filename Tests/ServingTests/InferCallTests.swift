import Inference
import Serving
import TestKit
import Testing

/// Requests as JSON and as bytes.
@Suite(.offThePool) struct InferCallTests {
    static func call(_ text: String, binary: [UInt8] = [], header: Int? = nil) throws(ServingRefusal) -> InferCall {
        let body = Array(text.utf8) + binary
        var result: Result<InferCall, ServingRefusal>?
        body.withUnsafeBytes { bytes in
            do throws(ServingRefusal) {
                result = .success(try InferCall(bytes, headerLength: header ?? (binary.isEmpty ? nil : text.utf8.count)))
            } catch {
                result = .failure(error)
            }
        }
        return try result!.get()
    }

    static func refusal(_ text: String, binary: [UInt8] = [], header: Int? = nil) -> String {
        do throws(ServingRefusal) {
            _ = try call(text, binary: binary, header: header)
            return "accepted"
        } catch {
            return "\(error.status) \(error.reason)"
        }
    }

    static func input(_ type: String, _ shape: String, _ data: String) -> String {
        "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"\(type)\",\"shape\":\(shape),\"data\":\(data)}]}"
    }

    @Test func `numbers of every type are read to the last bit`() throws {
        func values<Element>(_ type: String, _ data: String, as: Element.Type) throws -> [Element] {
            let call = try Self.call(Self.input(type, "[2]", data))
            return withExtendedLifetime(call) { Array(call.inputs[0].tensor.values(as: Element.self)) }
        }
        #expect(try values("FP32", "[0.1,-1e-3]", as: Float.self) == [0.1, -1e-3])
        #expect(try values("FP64", "[0.1,1.7976931348623157e308]", as: Double.self) == [0.1, 1.7976931348623157e308])
        #expect(try values("FP64", "[4.9e-324,123456789012345678]", as: Double.self) == [4.9e-324, 123_456_789_012_345_678])
        #expect(try values("FP16", "[1.5,-2]", as: UInt16.self) == [0x3e00, 0xc000])
        #expect(try values("BF16", "[1,-1]", as: UInt16.self) == [0x3f80, 0xbf80])
        #expect(try values("INT64", "[-9223372036854775808,9223372036854775807]", as: Int64.self) == [.min, .max])
        #expect(try values("UINT64", "[0,18446744073709551615]", as: UInt64.self) == [0, .max])
        #expect(try values("INT8", "[-128,127]", as: Int8.self) == [.min, .max])
        #expect(try values("BOOL", "[true,0]", as: UInt8.self) == [1, 0])
        #expect(try values("FP32", "[[1],[null]]", as: Float.self)[1].isNaN)
    }

    @Test func `numbers are those of the standard library, whatever their form`() throws {
        let forms = [
            "0", "-0.0", "1e22", "1e23", "9007199254740993", "123456.789e-12", "0.000000000000000000000001", "3.4028235e38", "5e-324",
            "179769313486231570000000000000000000000e270", "1E+2", "0.1e1",
        ]
        for form in forms {
            let call = try Self.call(Self.input("FP64", "[1]", "[\(form)]"))
            let found = withExtendedLifetime(call) { call.inputs[0].tensor.values(as: Double.self)[0] }
            #expect(found == Double(form)!, "\(form)")
        }
    }

    @Test func `numbers of many digits are the nearest, as programs write those of 32 bits`() throws {
        var state: UInt64 = 27
        func draw(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 20) % bound
        }
        // Halves between two numbers of 53 bits among them, which go to the even one.
        var forms = ["9007199254740992.5", "9007199254740993.0", "4503599627370497.5", "4503599627370496.50", "0.500000000000000166"]
        for _ in 0..<2000 {
            forms.append("\(Double(Float(bitPattern: UInt32(draw(1 << 27)) + (0x3c << 24))))")
            let digits = "\(draw(1_000_000_000))\(100_000_000 + draw(900_000_000))", point = digits.index(digits.startIndex, offsetBy: 1)
            forms.append("-\(digits[..<point]).\(digits[point...])")
        }
        let call = try Self.call(Self.input("FP64", "[\(forms.count)]", "[\(forms.joined(separator: ","))]"))
        let found = withExtendedLifetime(call) { Array(call.inputs[0].tensor.values(as: Double.self)) }
        let expected = forms.map { Double($0)! }
        #expect(found == expected)
    }

    @Test func `texts are read with their escapes`() throws {
        let call = try Self.call(Self.input("BYTES", "[2,2]", #"[["a","\"\\\n"],["\u00e9\ud83d\ude00",7]]"#))
        #expect(call.inputs[0].tensor.texts.map { String(decoding: $0, as: UTF8.self) } == ["a", "\"\\\n", "é😀", "7"])
    }

    @Test func `values may stand before their type, and what nobody knows is passed`() throws {
        let call = try Self.call(
            #"{"later":{"a":[1,{"b":null}]},"inputs":[{"data":[1,2],"shape":[2],"name":"x","datatype":"INT32"}],"id":"q"}"#)
        #expect(Array(call.inputs[0].tensor.values(as: Int32.self)) == [1, 2])
        #expect(call.id == Array("q".utf8))
    }

    @Test func `tensors behind the JSON are taken by their sizes`() throws {
        let text = """
            {"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},
            {"name":"t","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":11}}],
            "outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"z"}],"parameters":{"binary_data_output":false}}
            """
        let call = try Self.call(text, binary: [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 2, 0, 0, 0, 0x61, 0x62, 1, 0, 0, 0, 0x63])
        #expect(Array(call.inputs[0].tensor.values(as: Float.self)) == [1, 2])
        #expect(call.inputs[1].tensor.texts == [Array("ab".utf8), Array("c".utf8)])
        #expect(call.outputs.map(\.isBinary) == [true, false])
    }

    @Test(arguments: [
        ("{", "no JSON"), ("[]", "must be \"{\""), ("{\"inputs\":[]}", "no list \"inputs\""),
        ("{\"inputs\":[{\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]}]}", "an input has no name"),
        (InferCallTests.input("FP8", "[1]", "[1]"), "datatype \"FP8\""), (InferCallTests.input("FP32", "[2]", "[1]"), "needs 2 values"),
        (InferCallTests.input("FP32", "[1]", "[1,2]"), "more than the 1 values"),
        (InferCallTests.input("FP32", "[-1]", "[1]"), "sizes are 0 or more"),
        (InferCallTests.input("FP32", "[99999999999]", "[1]"), "bytes are taken"),
        (InferCallTests.input("FP32", "[4611686018427387904,4]", "[1]"), "bytes are taken"),
        (InferCallTests.input("INT8", "[1]", "[128]"), "from -128 to 127"), (InferCallTests.input("UINT8", "[1]", "[-1]"), "from 0 to 255"),
        (InferCallTests.input("INT64", "[1]", "[1.5]"), "whole number"), (InferCallTests.input("FP32", "[1]", "[01]"), "leading 0"),
        (InferCallTests.input("FP32", "[1]", "[\"1\"]"), "a number"), (InferCallTests.input("FP32", "[1]", "[1]") + "x", "must be the end"),
        (InferCallTests.input("BYTES", "[1]", "[\"\\ud800\"]"), "second half"),
        (InferCallTests.input("BYTES", "[1]", "[\"\u{1}\"]"), "control"),
    ])
    func `what cannot be read is refused in words`(text: String, words: String) {
        let refusal = Self.refusal(text)
        #expect(refusal.hasPrefix("400 ") && refusal.contains(words), "\(refusal)")
    }

    @Test func `sizes behind the JSON that do not add up are refused`() {
        func text(_ size: Int, _ type: String = "FP32") -> String {
            "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"\(type)\",\"shape\":[1],\"parameters\":{\"binary_data_size\":\(size)}}]}"
        }
        #expect(Self.refusal(text(8), binary: [0, 0, 0, 0]).contains("binary_data_size 8; 4 bytes are left"))
        #expect(Self.refusal(text(-1), binary: [0, 0, 0, 0]).contains("binary_data_size -1"))
        #expect(Self.refusal(text(2), binary: [0, 0]).contains("needs 4 bytes"))
        #expect(Self.refusal(text(4), binary: [0, 0, 0, 0, 9]).contains("1 bytes behind the JSON"))
        #expect(Self.refusal(text(4, "BYTES"), binary: [9, 0, 0, 0]).contains("claims 9 bytes"))
        #expect(Self.refusal(text(4), header: 4000).contains("Inference-Header-Content-Length is 4000"))
    }

    @Test func `any bytes are read or refused, and nothing else`() {
        let whole = Array(
            #"{"id":"a","inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2.5],[-3e4,null]]},{"name":"t","datatype":"BYTES","shape":[1],"data":["\u00e9"]}],"outputs":[{"name":"y"}]}"#
                .utf8)
        var state: UInt64 = 27
        func draw(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var refused = 0
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0...draw(4) {
                switch draw(3) {
                case 0: bytes[draw(bytes.count)] = UInt8(draw(256))
                case 1: bytes.remove(at: draw(bytes.count))
                default: bytes.insert(whole[draw(whole.count)], at: draw(bytes.count))
                }
            }
            if draw(10) == 0 { bytes.removeLast(draw(bytes.count)) }
            let isRefused = bytes.withUnsafeBytes { pointer in
                do throws(ServingRefusal) {
                    _ = try InferCall(pointer, headerLength: draw(4) == 0 ? draw(300) : nil)
                    return false
                } catch { return true }
            }
            if isRefused { refused += 1 }
        }
        #expect(refused > 10_000)
    }
}
