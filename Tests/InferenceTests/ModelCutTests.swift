import Inference
import Learning
import TestKit
import Testing
import Training

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The part of a model that one node needs.
@Suite struct ModelCutTests {
    private static func hashes(_ keys: [String]) -> Set<UInt32> { Set(keys.map { AdapterTable.hash($0) }) }

    @Test func `who is kept is answered to the bit as by the whole model, everybody else as somebody unknown`() throws {
        let whole = try ExampleModel.model().onnx()
        let part = try ModelFile(whole).keeping(["site": Self.hashes(["A", "C"]), "person": Self.hashes(["A/1"])])
        #expect(part.count < whole.count)
        let runtime = try TabularPredictorTests.runtime()
        let (before, after) = (try TabularPredictor(runtime, ModelFile(whole)), try TabularPredictor(runtime, ModelFile(part)))
        let features = ExampleModel.rows(400)
        for (site, person) in [("A", "A/1"), ("C", "A/1"), ("A", nil), (nil, "A/1"), (nil, nil)] as [(String?, String?)] {
            let rows = TabularRows(features, sites: .init(repeating: site, count: 400), persons: .init(repeating: person, count: 400))
            #expect(try before.predict(rows) == after.predict(rows))
        }
        let other = TabularRows(features, sites: .init(repeating: "B", count: 400), persons: .init(repeating: "B/7", count: 400))
        #expect(try after.predict(other) == before.predict(TabularRows(features)))
        #expect(try before.predict(other) != before.predict(TabularRows(features)))
    }

    @Test func `a part of nobody knows nobody, and one of everybody is the whole file`() throws {
        let whole = try ExampleModel.model().onnx()
        let nobody = try ModelFile(whole).keeping(["site": [], "person": []])
        let runtime = try TabularPredictorTests.runtime()
        let features = ExampleModel.rows(100)
        let rows = TabularRows(features, sites: .init(repeating: "A", count: 100), persons: .init(repeating: "B/7", count: 100))
        #expect(
            try TabularPredictor(runtime, ModelFile(nobody)).predict(rows)
                == TabularPredictor(runtime, ModelFile(whole)).predict(TabularRows(features)))
        let all = ["site": Self.hashes(ExampleModel.sites), "person": Self.hashes(ExampleModel.persons)]
        #expect(try ModelFile(whole).keeping(all) == whole)
        #expect(try ModelFile(whole).keeping([:]) == whole)
        // A model without corrections has nothing to be taken out.
        let plain = try ExampleModel.model(sites: false, persons: false).onnx()
        #expect(try ModelFile(plain).keeping(["site": []]) == plain)
    }

    @Test func `the comfort model without its persons and sites is smaller by them, and holds none of their hashes`() throws {
        let whole = Array(try Data(contentsOf: URL(filePath: "models/thermal-comfort/comfort.onnx")))
        let part = try ModelFile(whole).keeping(["site": [], "person": []])
        #expect(whole.count - part.count > 80_000, "\(whole.count) and \(part.count) bytes")
        let model = try TabularPredictor(TabularPredictorTests.runtime(), ModelFile(part))
        #expect(model.takesSites && model.takesPersons)
    }

    @Test func `corrections of another form are refused, with the input's name`() throws {
        let node = Wire.node("Identity", ["site"], "z")
        let graph = Wire.identity + node + Wire.value(11, "site", type: 7, shape: [nil])
        let file = try ModelFile(Wire.model(graph: graph))
        do throws(InferenceError) {
            _ = try file.keeping(["site": [1]])
            Issue.record("it was cut")
        } catch { #expect("\(error)".contains("the corrections of input \"site\" have another form than ours")) }
    }

    @Test func `a file with several graphs is refused: other readers would join them`() {
        let file = Wire.model(graph: Wire.identity, more: Wire.bytes(7, Wire.identity))
        #expect(ModelFileTests.refusal(file).contains("it holds several graphs"))
    }

    @Test func `damaged files are cut or refused, never followed`() throws {
        let whole = try ExampleModel.model().onnx()
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<2000 {
            var bytes = whole
            for _ in 0..<3 { bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
            guard let file = try? ModelFile(bytes) else { continue }
            _ = try? file.keeping(["site": Self.hashes(["A"]), "person": []])
        }
    }

    // MARK: Places

    @Test func `places remember who was met where, by hashes alone, and are read as they are written`() throws {
        var places = AdapterPlaces()
        places.add(["site": ["A", nil, "A", ""], "person": ["A/1", nil, nil, nil]], of: "north")
        places.add(["site": ["B"], "person": [nil]], of: "south")
        places.add(["site": ["C"]], of: "north")
        let read = try AdapterPlaces(places.bytes)
        #expect(read == places && read.bytes == places.bytes)
        #expect(read.union(["north"]) == ["site": Self.hashes(["A", "C"]), "person": Self.hashes(["A/1"])])
        #expect(read.union(["south"]) == ["site": Self.hashes(["B"]), "person": []])
        #expect(read.union(["nowhere"]) == ["site": [], "person": []])
        #expect(read.union(["north", "south"])["site"] == Self.hashes(["A", "B", "C"]))
        #expect(!String(decoding: places.bytes, as: UTF8.self).contains("A/1"))
        for count in 0..<places.bytes.count { #expect(throws: StateError.self) { try AdapterPlaces(Array(places.bytes.prefix(count))) } }
        #expect(throws: StateError.self) { try AdapterPlaces(Array("no places at all".utf8)) }
    }
}
