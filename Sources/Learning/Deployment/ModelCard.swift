import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a person or a program must know of a model file: what goes in, what comes out, how it was made, how good it is.
package struct ModelCard: Codable, Sendable, Equatable {
    /// An input or output of the model's graph.
    package struct Tensor: Codable, Sendable, Equatable {
        /// As the graph calls it; requests must use it.
        package var name: String
        /// Element type and shape, for example `float[N, 68]`.
        package var form: String
        /// What to put in or what comes out, in words.
        package var meaning: String

        /// Filled from the file's signature by whoever writes the file; not compared with it here.
        package init(name: String, form: String, meaning: String) {
            self.name = name
            self.form = form
            self.meaning = meaning
        }
    }

    /// A column of the input `features`.
    package struct Feature: Codable, Sendable, Equatable {
        /// The column's name in the model's metadata.
        package var name: String
        /// "" for counts, codes and flags.
        package var unit: String
        /// Where the number comes from, in words; empty for a column nobody has described.
        package var meaning: String

        /// One for each column, in the order of the model's features.
        package init(name: String, unit: String, meaning: String) {
            self.name = name
            self.unit = unit
            self.meaning = meaning
        }
    }

    /// A figure and what it is compared to.
    package struct Metric: Codable, Sendable, Equatable {
        /// For people, as "accuracy" or "log-loss".
        package var name: String
        /// Must be finite: JSON has nothing else.
        package var value: Double
        /// The same figure of simpler ways, by name.
        package var baselines: [String: Double]

        /// Nothing is computed here; every number must be finite.
        package init(name: String, value: Double, baselines: [String: Double]) {
            self.name = name
            self.value = value
            self.baselines = baselines
        }
    }

    /// Short, for titles and for the name of the file.
    package var name: String
    /// The version written in the file.
    package var version: String
    /// What the model is for, in words.
    package var purpose: String
    /// The file's name without a folder.
    package var file: String
    /// Size of the file.
    package var bytes: Int
    /// Of the file, lower-case hexadecimal.
    package var sha256: String
    /// In the order of the graph.
    package var inputs: [Tensor]
    /// Columns of the input `features`, in order.
    package var features: [Feature]
    /// In the order of the graph.
    package var outputs: [Tensor]
    /// Class names in the order of the probabilities.
    package var classes: [String]
    /// How it was made: sentences.
    package var made: [String]
    /// What the metrics were measured on.
    package var measuredOn: String
    /// All measured on `measuredOn`.
    package var metrics: [Metric]
    /// Whose data it learned from and how to cite it.
    package var citation: String

    /// - Parameter content: the model file.
    package init(
        name: String, version: String, purpose: String, file: String, content: [UInt8], inputs: [Tensor], features: [Feature],
        outputs: [Tensor], classes: [String], made: [String], measuredOn: String, metrics: [Metric], citation: String
    ) {
        self.name = name
        self.version = version
        self.purpose = purpose
        self.file = file
        bytes = content.count
        sha256 = Self.digest(content)
        self.inputs = inputs
        self.features = features
        self.outputs = outputs
        self.classes = classes
        self.made = made
        self.measuredOn = measuredOn
        self.metrics = metrics
        self.citation = citation
    }

    /// - Throws: `ModelCardError.unreadable`.
    package init(json: [UInt8]) throws(ModelCardError) {
        do {
            self = try JSONDecoder().decode(ModelCard.self, from: Data(json))
        } catch {
            throw .unreadable(reason: "\(error)".prefix(300).description)
        }
    }

    /// The card as a file; equal cards give equal bytes.
    package var json: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // A card holds text and finite numbers: encoding cannot fail.
        return Array(try! encoder.encode(self)) + Array("\n".utf8)
    }

    /// - Throws: `ModelCardError.otherFile` unless the bytes are the file this card describes.
    package func check(_ content: [UInt8]) throws(ModelCardError) {
        guard content.count == bytes else { throw .otherFile(file: file, what: "bytes", card: "\(bytes)", found: "\(content.count)") }
        let found = Self.digest(content)
        guard found == sha256 else { throw .otherFile(file: file, what: "SHA-256", card: sha256, found: found) }
    }

    private static func digest(_ content: [UInt8]) -> String {
        SHA256.hash(data: content).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// A card cannot be read or is another file's.
package enum ModelCardError: Error, Equatable, CustomStringConvertible {
    case unreadable(reason: String)
    case otherFile(file: String, what: String, card: String, found: String)

    /// One sentence: the file, what the card says and what was found, and the remedy.
    package var description: String {
        switch self {
        case .unreadable(let reason): "the model card cannot be read: \(reason); run make models"
        case .otherFile(let file, let what, let card, let found):
            "\(file): the card says \(what) \(card), the file has \(found); take both from one place, or run make models"
        }
    }
}
