import Resources
import Testing

@Suite struct NameTests {
    @Test func `subdomains are labels joined by dots, each between letters or digits`() {
        for name in ["a", "a.b", "a-b.c-1", "0.9", String(repeating: "a", count: 253)] { #expect(NameRules.isSubdomain(name), "\(name)") }
        for name in [
            "", ".", "a.", ".a", "a..b", "-a", "a-", "a-.b", "a.-b", "A", "a_b", "a/b", "ä", "a\u{308}", String(repeating: "a", count: 254),
        ] {
            #expect(!NameRules.isSubdomain(name), "\(name)")
        }
    }

    @Test func `keys of labels are a name, with a subdomain before a slash or without`() {
        for name in ["a", "A_b.c-d", "example.com/a", "a/B", String(repeating: "a", count: 63)] {
            #expect(NameRules.isQualifiedName(name), "\(name)")
        }
        for name in [
            "", "/", "a/", "/a", "a/b/c", "A/b", "_a", "a_", "a b", "a/\u{308}b", "a/-b", String(repeating: "a", count: 64), "a//b",
        ] {
            #expect(!NameRules.isQualifiedName(name), "\(name)")
        }
    }

    @Test func `values of labels may be empty and hold no more than a name`() {
        for value in ["", "a", "1", "A-b_c.d"] { #expect(NameRules.isLabelValue(value), "\(value)") }
        for value in ["-", "a-", ".a", "a/b", "a b", "é", String(repeating: "a", count: 64)] {
            #expect(!NameRules.isLabelValue(value), "\(value)")
        }
    }
}
