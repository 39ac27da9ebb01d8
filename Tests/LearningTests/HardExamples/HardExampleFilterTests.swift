import Learning
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Sedna's filters with its formulas, and ours.
@Suite struct HardExampleFilterTests {
    private static func isHard(_ name: String, _ parameters: [String: String], _ answer: SmallAnswer, lot: Double = 0.5) throws -> Bool {
        let filter = try HardExampleFilter(name: name, parameters: parameters)
        return filter.hardness(of: answer, lot: lot, classNames: ["a", "b", "c"]) >= filter.threshold ?? 0
    }

    /// Sedna's own words for the same.
    private static func crossEntropy(_ shares: [Float], _ threshold: Double) -> Bool {
        1 + shares.reduce(0.0) { $0 + Double($1) * log(Double($1)) } / log(Double(shares.count)) < threshold
    }

    @Test func `CrossEntropy says what Sedna's formula says, and minds neither a share of 0 nor a single class`() throws {
        var generator = SeededGenerator(seed: 1)
        for threshold in [0.05, 0.3, 0.5, 0.9] {
            for _ in 0..<200 {
                var shares = (0..<4).map { _ in Float.random(in: 0.001..<1, using: &generator) }
                let sum = shares.reduce(0, +)
                shares = shares.map { $0 / sum }
                let found = try Self.isHard("CrossEntropy", ["threshold_cross_entropy": "\(threshold)"], .classes(shares))
                #expect(found == Self.crossEntropy(shares, threshold))
            }
        }
        #expect(try !Self.isHard("CrossEntropy", [:], .classes([1, 0])))
        #expect(try !Self.isHard("CrossEntropy", [:], .classes([1])))
        #expect(try Self.isHard("CrossEntropy", [:], .classes([0.5, 0.5, 0])))
    }

    @Test func `Threshold is the mean score, IBT the share of weak boxes, and no detection is not hard`() throws {
        #expect(try Self.isHard("Threshold", ["threshold": "0.5"], .detections([0.2, 0.7])))
        #expect(try !Self.isHard("Threshold", ["threshold": "0.5"], .detections([0.4, 0.7])))
        let ten = [Float](repeating: 0.95, count: 9) + [0.3], eleven = [Float](repeating: 0.95, count: 10) + [0.3]
        let strict = ["threshold_img": "0.9", "threshold_box": "0.9"]
        #expect(try Self.isHard("IBT", strict, .detections(ten)))
        #expect(try !Self.isHard("IBT", strict, .detections(eleven)))
        for name in ["Threshold", "IBT"] { #expect(try !Self.isHard(name, [:], .detections([]))) }
        // A class that is said is one detection.
        #expect(try Self.isHard("Threshold", ["threshold": "0.5"], .classes([0.4, 0.3, 0.3])))
    }

    @Test func `Random hands on its share, CloudOnly all, EdgeOnly nothing`() throws {
        let lots = (0..<1000).map { Double($0) / 1000 }
        let random = try lots.count { try Self.isHard("Random", ["random_ratio": "0.3"], .classes([1, 0]), lot: $0) }
        #expect(random == 300)
        #expect(try lots.allSatisfy { try Self.isHard("CloudOnly", [:], .classes([1, 0]), lot: $0) })
        #expect(try !lots.contains { try Self.isHard("EdgeOnly", [:], .classes([0.5, 0.5]), lot: $0) })
    }

    @Test func `Margin is the lead, Confidence the first share at a temperature, PerClass a lead for each class`() throws {
        #expect(try Self.isHard("Margin", ["threshold_margin": "0.2"], .classes([0.5, 0.4, 0.1])))
        #expect(try !Self.isHard("Margin", ["threshold_margin": "0.2"], .classes([0.6, 0.3, 0.1])))
        #expect(try !Self.isHard("Confidence", ["threshold_confidence": "0.6"], .classes([0.7, 0.2, 0.1])))
        // Too sure by a factor of 3: softened, the same row is hard.
        #expect(try Self.isHard("Confidence", ["threshold_confidence": "0.6", "temperature": "3"], .classes([0.7, 0.2, 0.1])))
        let rules = ["a": "0.5", "*": "0.1"]
        #expect(try Self.isHard("PerClass", rules, .classes([0.6, 0.3, 0.1])))
        #expect(try !Self.isHard("PerClass", rules, .classes([0.3, 0.6, 0.1])))
    }

    @Test func `what is no filter, or no parameter of one, is refused with its name and what there is`() {
        func words(_ name: String, _ parameters: [String: String]) -> String {
            do throws(FilterError) {
                _ = try HardExampleFilter(name: name, parameters: parameters)
                return ""
            } catch { return error.description }
        }
        #expect(words("BertRouter", [:]).contains("CrossEntropy, EdgeOnly"))
        #expect(words("Margin", ["threshold": "0.5"]).contains("takes no \"threshold\"; known are threshold_margin"))
        #expect(words("Margin", ["threshold_margin": "much"]).contains("threshold_margin is \"much\"; give a number from 0.0 to 1.0"))
        #expect(words("Random", ["random_ratio": "2"]).contains("random_ratio is \"2\""))
        #expect(words("Margin", ["budget_share": "0.2"]).isEmpty)
    }

    @Test func `with a budget and no limit of its own a filter leaves the choice to the budget`() throws {
        #expect(try HardExampleFilter(name: "Margin", parameters: ["budget_share": "0.2"]).threshold == nil)
        #expect(try HardExampleFilter(name: "Margin", parameters: [:]).threshold == 0.8)
    }
}
