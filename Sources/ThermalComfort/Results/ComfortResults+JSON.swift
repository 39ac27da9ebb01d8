#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Why a results file was refused, or could not be made.
package enum ComfortResultsError: Error, Equatable, CustomStringConvertible {
    /// A figure is not a number or infinite; JSON has no word for it.
    case notFinite(path: String, found: String)
    case invalid(path: String, reason: String)
    case tooLarge(bytes: Int, bytesMax: Int)
    case newerSchema(found: Int, known: Int)

    /// One sentence: the field at fault, the value found, and the remedy.
    package var description: String {
        switch self {
        case .notFinite(let path, let found): "results: \(path) is \(found); leave the field out where nothing was measured"
        case .invalid(let path, let reason):
            "results: \(path.isEmpty ? "the file" : path): \(reason); make the file again with this program"
        case .tooLarge(let bytes, let bytesMax): "results: the file has \(bytes) bytes, \(bytesMax) are allowed"
        case .newerSchema(let found, let known):
            "results: schema \(found) is newer than this program's \(known); read it with the program that wrote it"
        }
    }
}

extension ComfortResults {
    /// Bound of `init(json:)`; a real run leaves some 100 kB.
    package static let bytesMax = 16 << 20

    /// The content of `results.json`: indented, keys sorted, ends with a line feed; equal values give equal bytes.
    ///
    /// - Throws: `ComfortResultsError.notFinite` naming the field.
    package func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
        } catch EncodingError.invalidValue(let value, let context) {
            throw ComfortResultsError.notFinite(path: Self.path(context.codingPath), found: "\(value)")
        }
    }

    /// - Throws: `ComfortResultsError` naming the field that is missing or wrong.
    package init(json: [UInt8]) throws {
        guard json.count <= Self.bytesMax else { throw ComfortResultsError.tooLarge(bytes: json.count, bytesMax: Self.bytesMax) }
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(json))
        } catch let error as DecodingError {
            throw Self.refusal(error)
        }
        guard schema <= Self.currentSchema else {
            throw ComfortResultsError.newerSchema(found: schema, known: Self.currentSchema)
        }
    }

    private static func refusal(_ error: DecodingError) -> ComfortResultsError {
        switch error {
        case .keyNotFound(let key, let context): .invalid(path: path(context.codingPath + [key]), reason: "is missing")
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            .invalid(path: path(context.codingPath), reason: context.debugDescription)
        @unknown default: .invalid(path: "", reason: "\(error)")
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        keys.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
    }
}
