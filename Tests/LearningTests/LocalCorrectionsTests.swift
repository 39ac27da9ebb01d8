import Learning
import Testing

/// What a node learns from a handful of labels, beside the model.
@Suite struct LocalCorrectionsTests {
    private static func example(
        _ shares: [Float], _ label: Int, site: String? = "a", person: String? = nil, known: Bool = false
    ) -> LocalCorrections.Example {
        .init(shares: shares, label: label, site: site, person: person, isKnownSite: known)
    }

    /// A model that says "0" of a site where mostly "1" is true.
    private static func biased(_ count: Int, known: Bool = false) -> [LocalCorrections.Example] {
        (0..<count).map { example([0.7, 0.3], $0 % 5 == 0 ? 0 : 1, known: known) }
    }

    private static func asked(_ shares: [Float], _ made: LocalCorrections, site: String?, person: String? = nil) -> [Float] {
        made.corrected(ClassProbabilities(classCount: 2, values: shares), sites: [site], persons: [person]).values
    }

    @Test func `labels of a site move what is said of it, and of no other`() {
        let made = LocalCorrections(Self.biased(20), classCount: 2)
        #expect(made.siteCount == 1 && made.labelCount == 20)
        #expect(Self.asked([0.7, 0.3], made, site: "a")[1] > 0.5)
        #expect(Self.asked([0.7, 0.3], made, site: "b") == [0.7, 0.3])
        #expect(Self.asked([0.7, 0.3], made, site: nil) == [0.7, 0.3])
    }

    @Test func `few labels move little, more labels more, and a site that the model knows less`() {
        let shares = [1, 5, 20, 60].map { Self.asked([0.7, 0.3], LocalCorrections(Self.biased($0 + 1), classCount: 2), site: "a")[1] }
        #expect(shares == shares.sorted() && shares[0] > 0.3 && shares[0] < 0.4 && shares[3] > 0.6)
        let known = Self.asked([0.7, 0.3], LocalCorrections(Self.biased(21, known: true), classCount: 2), site: "a")[1]
        #expect(known > 0.3 && known < shares[2])
    }

    @Test func `a person's labels come on top of those of the site`() {
        let examples = (0..<40).map { Self.example([0.5, 0.5], $0 % 2, person: $0 % 2 == 0 ? "cold" : "warm") }
        let made = LocalCorrections(examples, classCount: 2)
        #expect(Self.asked([0.5, 0.5], made, site: "a", person: "cold")[0] > 0.7)
        #expect(Self.asked([0.5, 0.5], made, site: "a", person: "warm")[1] > 0.7)
        #expect(abs(Self.asked([0.5, 0.5], made, site: "a", person: "else")[0] - 0.5) < 0.02)
    }

    @Test func `rows without a site are one place`() {
        let made = LocalCorrections((0..<20).map { _ in Self.example([0.7, 0.3], 1, site: nil) }, classCount: 2)
        #expect(made.siteCount == 1 && Self.asked([0.7, 0.3], made, site: nil)[1] > 0.5)
    }

    @Test func `labels whose rest says the opposite correct nothing`() throws {
        // Ten labels of one site, half of each sort; what is fitted without a part of them points away from that part.
        let labels = (0..<10).map { $0 % 5 == 4 ? $0 / 5 : $0 % 5 % 2 }
        let made = LocalCorrections(labels.map { Self.example([0.5, 0.5], $0, person: "p") }, classCount: 2)
        #expect(try #require(made.gain) < 0)
        #expect(made.siteCount == 0 && Self.asked([0.6, 0.4], made, site: "a", person: "p") == [0.6, 0.4])
        // The same labels at a site that has one rule are worth something.
        #expect(try #require(LocalCorrections(Self.biased(10), classCount: 2).gain) > 0)
    }

    @Test func `no label corrects nothing`() {
        let made = LocalCorrections([], classCount: 2)
        #expect(made.siteCount == 0 && made.gain == nil && Self.asked([0.6, 0.4], made, site: "a") == [0.6, 0.4])
    }
}
