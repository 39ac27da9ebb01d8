import Inference
import Resources
import Serving
import TestKit
import Testing

/// Requests of one row on the shortest way, against the way that reads everything.
@Suite(.offThePool) struct DirectRowTests {
    /// y = x + 1, rows of two.
    private static func desk() throws -> ModelDesk {
        let desk = ModelDeskTests.desk()
        desk.offer(try ModelDeskTests.engine(TinyModel.adding(1, version: "1")))
        return desk
    }

    private static func body(_ data: String, more: String = "", shape: String = "[1,2]") -> String {
        "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":\(shape),\"data\":\(data)}]\(more)}"
    }

    private static func ask(_ desk: ModelDesk, _ body: String) async throws -> (status: Int, json: JSON) {
        try await ModelDeskTests.ask(desk, [ModelDeskTests.request("POST", "/v2/models/m/infer", body)])[0]
    }

    @Test(arguments: [
        "[0,1]", "[-0,0.5]", "[ 1 ,\n 2 ]", "[[1,2]]", "[null,3]", "[1e3,2E-2]", "[123456.789,0.000001]", "[99999999999999999999,1]",
        "[0.1,0.30000000000000004]", "[16777217,-16777217.5]", "[3.4028235e38,1e39]", "[00.5,1]", "[1,2,3]", "[1]", "[1,]", "[.5,1]",
        "[40.35285568237305,-15.397927284240723]", "[0.1234567890123456789,9.999999999999999999]", "[0.00000000000000000,1]", "[1,2",
        "[\"1\",2]", "[-,1]", "[1,true]", "[nul,1]", "[1.,2]", "[+1,2]", "{}",
    ])
    func `the same numbers are read, and the same refused, as by the reader of any request`(data: String) async throws {
        let desk = try Self.desk()
        let short = try await Self.ask(desk, Self.body(data))
        // An empty list of outputs is not for the shortest way.
        let long = try await Self.ask(desk, Self.body(data, more: ",\"outputs\":[]"))
        #expect(short.status == long.status)
        let (found, expected) = ("\(short.json)", "\(long.json)")
        if long.status == 200 { #expect(found == expected) }
    }

    @Test func `a model that gives more rows than it takes is found out, and answers as it is`() async throws {
        let axis = TinyModel.bytes(5, TinyModel.text(1, "axis") + TinyModel.int(3, 0) + TinyModel.int(20, 2))
        let file = TinyModel.file(
            TinyModel.node("Concat", ["x", "x"], ["y"], attributes: axis) + TinyModel.value(11, "x", [nil, 2])
                // Any number of rows, by another name than the input's.
                + TinyModel.bytes(
                    12,
                    TinyModel.text(1, "y")
                        + TinyModel.bytes(
                            2,
                            TinyModel.bytes(
                                1,
                                TinyModel.int(1, 1)
                                    + TinyModel.bytes(
                                        2, TinyModel.bytes(1, TinyModel.text(2, "M")) + TinyModel.bytes(1, TinyModel.int(1, 2)))))),
            version: "1")
        let desk = ModelDeskTests.desk()
        desk.offer(try ModelDeskTests.engine(file))
        let one = try await Self.ask(desk, Self.body("[1,2]")), two = try await Self.ask(desk, Self.body("[1,2,3,4]", shape: "[2,2]"))
        #expect(one.status == 200 && ModelDeskTests.values(one.json) == [1, 2, 1, 2])
        #expect(two.status == 200 && ModelDeskTests.values(two.json) == [1, 2, 3, 4, 1, 2, 3, 4])
    }

    @Test func `id, order of members and binary values are understood`() async throws {
        let desk = try Self.desk()
        let named = try await Self.ask(desk, Self.body("[1,2]", more: ",\"id\":\"a b\""))
        #expect(named.status == 200)
        #expect(named.json["id"]?.string == "a b")
        let turned = try await Self.ask(
            desk,
            " { \"id\" : \"7\", \"inputs\" : [ { \"shape\" : [1, 2], \"name\" : \"x\", \"data\" : [1, 2], \"datatype\" : \"FP32\" } ] } ")
        #expect(ModelDeskTests.values(turned.json) == [2, 3])
        var (head, _) = ModelDeskTests.request("POST", "/v2/models/m/infer")
        let json = "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\",\"parameters\":{\"binary_data_size\":8}}]}"
        head.inferenceHeaderLength = json.utf8.count
        let bytes = Array(json.utf8) + [Float(4), -2].flatMap { value in withUnsafeBytes(of: value) { Array($0) } }
        let binary = try await ModelDeskTests.ask(desk, [(head, bytes)])[0]
        #expect(ModelDeskTests.values(binary.json) == [5, -1])
        let short = try await ModelDeskTests.ask(desk, [(head, Array(bytes.dropLast()))])[0]
        #expect(short.status == 400)
    }

    @Test(arguments: [
        "[{\"name\":\"y\"}]", "[ {\"parameters\":{\"binary_data\":false},\"name\":\"y\"} ]", "[{\"name\":\"z\"}]", "[{\"name\":\"\"}]",
        "[{\"name\":\"y\"},{\"name\":\"y\"}]", "[{}]", "{}", "[{\"name\":7}]",
    ])
    func `outputs by their names are the same on both ways`(outputs: String) async throws {
        let desk = try Self.desk()
        let short = try await Self.ask(desk, Self.body("[1,2]", more: ",\"outputs\":\(outputs)"))
        // A member that nobody knows is not for the shortest way.
        let long = try await Self.ask(desk, Self.body("[1,2]", more: ",\"unknown\":0,\"outputs\":\(outputs)"))
        #expect(short.status == long.status)
        let (found, expected) = ("\(short.json)", "\(long.json)")
        if long.status == 200 { #expect(found == expected) }
    }

    @Test(arguments: ["[2,2]", "[2]", "[1,3]", "[1,2,1]", "[1]"])
    func `other shapes go the long way`(shape: String) async throws {
        let desk = try Self.desk()
        let found = try await Self.ask(desk, Self.body("[1,2]", shape: shape))
        let expected = try await Self.ask(desk, Self.body("[1,2]", more: ",\"outputs\":[]", shape: shape))
        #expect(found.status == expected.status)
        #expect(found.status == 400)
    }

    @Test func `a member that occurs twice, or is unknown, changes nothing of what is answered`() async throws {
        let desk = try Self.desk()
        for more in [",\"inputs\":[]", ",\"id\":\"1\",\"id\":\"2\"", ",\"what\":{\"a\":[1,2]}", ",\"parameters\":{\"priority\":1}"] {
            let found = try await Self.ask(desk, Self.body("[1,2]", more: more))
            let expected = try await Self.ask(desk, Self.body("[1,2]", more: more + ",\"outputs\":[]"))
            #expect(found.status == expected.status)
            let (one, other) = ("\(found.json)", "\(expected.json)")
            #expect(one == other)
        }
    }
}
