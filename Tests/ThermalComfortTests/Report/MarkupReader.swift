import FoundationEssentials

#if canImport(FoundationXML)
    import Foundation
    import FoundationXML
#else
    import Foundation
#endif

/// What a real XML parser (libxml2) sees in a page or a picture.
final class MarkupReader: NSObject, XMLParserDelegate {
    private(set) var elements: [(name: String, attributes: [String: String])] = []
    private(set) var text = ""
    private(set) var failure: String?
    /// Text by the element it stands in directly.
    private(set) var texts: [(element: String, text: String)] = []
    private var open: [String] = []
    /// The parser hands out the text between two tags in pieces.
    private var goesOn = false

    init(_ bytes: [UInt8]) {
        super.init()
        let parser = XMLParser(data: Data(bytes))
        parser.delegate = self
        if !parser.parse() { failure = "line \(parser.lineNumber): \(parser.parserError.map { "\($0)" } ?? "refused")" }
    }

    func count(_ name: String) -> Int { elements.count { $0.name == name } }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?, attributes: [String: String] = [:]
    ) {
        elements.append((name, attributes))
        open.append(name)
        goesOn = false
    }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        open.removeLast()
        goesOn = false
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) {
        text += string
        if goesOn { texts[texts.count - 1].text += string } else { texts.append((open.last ?? "", string)) }
        goesOn = true
    }
}
