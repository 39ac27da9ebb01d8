/// Corrections of one attribute: a bias for each of its words.
package struct AdapterLayer: Sendable, Equatable {
    /// For example "site" or "person".
    package let attribute: String
    /// Its keys are words of the attribute.
    package let biases: BiasTable

    /// Made by a `TaskAdaptation`; a layer's words need not be known to the rows it is applied to.
    package init(attribute: String, biases: BiasTable) {
        self.attribute = attribute
        self.biases = biases
    }
}

/// Fits small corrections that turn a shared model into one for each site and person.
package protocol TaskAdaptation: Sendable {
    /// - Parameters:
    ///   - margins: shape [rows, classes], of models that did not see the rows.
    /// - Returns: layers in the order in which they are added to margins.
    func fit(margins: [Double], samples: LabelledSamples, classCount: Int) throws -> [AdapterLayer]
}

extension TaskAdaptation {
    /// Margins with corrections fitted without the row's own fold: what adapted predictions are worth on rows not seen.
    func crossFitted(margins: [Double], samples: LabelledSamples, classCount: Int) throws -> [Double] {
        var adapted = margins
        for fold in Set(samples.rows.folds) {
            let inside = samples.rows.folds.indices.filter { samples.rows.folds[$0] == fold }
            let outside = samples.rows.folds.indices.filter { samples.rows.folds[$0] != fold }
            let layers = try fit(margins: margins.rows(outside, classCount), samples: samples.rows(outside), classCount: classCount)
            let found = try layers.adapt(margins.rows(inside, classCount), samples.rows.rows(inside))
            for (place, row) in inside.enumerated() {
                for k in 0..<classCount { adapted[row * classCount + k] = found[place * classCount + k] }
            }
        }
        return adapted
    }
}

extension [AdapterLayer] {
    /// The margins with every layer's correction of each row; an unknown word corrects nothing.
    package func adapt(_ margins: [Double], _ rows: LifelongSamples) throws(StageError) -> [Double] {
        var adapted = margins
        for layer in self { layer.biases.apply(to: &adapted, keys: try rows.keys(layer.attribute)) }
        return adapted
    }
}

extension [Double] {
    /// Rows of a row-major matrix.
    func rows(_ positions: [Int], _ columnCount: Int) -> [Double] {
        positions.flatMap { self[$0 * columnCount..<($0 + 1) * columnCount] }
    }
}

/// Partial pooling: a bias for each word of some attributes, one attribute after the other, each pulled to 0.
package struct PartialPoolingAdaptation: TaskAdaptation {
    /// An attribute and the pull to 0 of its biases, in rows.
    package struct Layer: Sendable, Equatable {
        /// Its words are the subjects: "site", "person".
        package var attribute: String
        /// In rows, above 0: a subject with many more labelled rows than this has its own way.
        package var lambda: Double

        /// Nothing is checked here; fitting looks for the attribute and traps unless the pull is positive.
        package init(_ attribute: String, lambda: Double) {
            self.attribute = attribute
            self.lambda = lambda
        }
    }

    /// Fitted in this order, each on margins that the ones before have corrected.
    package let layers: [Layer]

    /// An empty list adapts nothing.
    package init(layers: [Layer]) { self.layers = layers }

    /// One layer for each of `layers`; words with labels get a bias, others none.
    ///
    /// - Throws: `StageError.unknownAttribute`.
    package func fit(margins: [Double], samples: LabelledSamples, classCount: Int) throws -> [AdapterLayer] {
        var margins = margins
        return try layers.map { layer in
            let keys = try samples.rows.keys(layer.attribute)
            let table = BiasTable(logits: margins, labels: samples.labels, keys: keys, classCount: classCount, lambda: layer.lambda)
            table.apply(to: &margins, keys: keys)
            return AdapterLayer(attribute: layer.attribute, biases: table)
        }
    }

    /// - Parameter parameters: "site" and "person", each the pull of its biases in rows; 0 leaves the layer out.
    static func make(_ parameters: StageParameters) throws(StageError) -> any TaskAdaptation {
        var layers: [Layer] = []
        // Chosen on labelled rows alone: earlier half of each site to later half.
        for (attribute, usual) in [("site", 50.0), ("person", 2.0)] {
            let lambda = try parameters.number(attribute, default: usual, in: 0...1e9)
            if lambda > 0 { layers.append(Layer(attribute, lambda: lambda)) }
        }
        return PartialPoolingAdaptation(layers: layers)
    }
}

/// Every task is served by the shared model alone.
package struct NoAdaptation: TaskAdaptation {
    /// Without parameters.
    package init() {}

    /// No layers, whatever the rows say.
    package func fit(margins: [Double], samples: LabelledSamples, classCount: Int) -> [AdapterLayer] { [] }
}
