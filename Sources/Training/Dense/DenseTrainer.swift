package import Learning

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How to train a dense network.
package struct DenseSettings: Sendable {
    /// Units of the one hidden layer, rectified.
    package var hiddenCount = 48
    /// Passes over the rows.
    package var epochs = 15
    /// Rows of one step; the last of a pass may have fewer.
    package var batchSize = 128
    /// Adam's step size, the same in all passes.
    package var learningRate: Float = 0.002
    /// Pull of all weights to 0, in rows.
    package var penalty: Float = 1
    /// Share of the auxiliary target in the loss.
    package var auxiliaryWeight: Float = 0.3
    /// Decides the first weights and the order of rows; the same seed and rows give the same network.
    package var seed: UInt64

    /// All but the seed as chosen for the comfort models.
    package init(seed: UInt64) { self.seed = seed }
}

/// Trains `DenseNetwork`s by mini-batches with Adam (Kingma and Ba 2015), cross-entropy on the classes.
///
/// An auxiliary number a row (the sensation voted with the preference, say) may be learned beside the classes from the same hidden units; it shapes
/// them and is not part of the network returned (multi-task learning, Caruana 1997).
package enum DenseTrainer {
    /// - Parameters:
    ///   - labels: class indices in 0..<classCount, one a row.
    ///   - auxiliary: one number a row in about −3 ... 3, NaN where unknown.
    ///   - weights: how much a row counts, positive; nil: all alike.
    ///   - progress: called after each pass over the rows; return false to cancel.
    /// - Throws: `TrainingError.noRows`, `.oneClass`.
    package static func train(
        _ features: FeatureMatrix, labels: [Int], auxiliary: [Float], weights: [Float]? = nil, classCount: Int, inputs: DenseInputs,
        settings: DenseSettings, progress: () -> Bool = { true }
    ) throws(TrainingError) -> DenseNetwork {
        precondition(labels.count == features.rowCount && auxiliary.count == labels.count, "one label and one auxiliary value a row")
        guard let first = labels.first else { throw .noRows }
        guard labels.contains(where: { $0 != first }) else { throw .oneClass(first) }
        let prepared = inputs.prepare(features)
        var generator = SeededGenerator(seed: settings.seed)
        let pass = DensePass(inputCount: inputs.count, classCount: classCount, settings: settings, generator: &generator)
        var order = Array(labels.indices)
        for epoch in 0..<settings.epochs {
            guard progress() else { throw .cancelled(afterRounds: epoch) }
            order.shuffle(using: &generator)
            for start in stride(from: 0, to: order.count, by: settings.batchSize) {
                let batch = order[start..<min(start + settings.batchSize, order.count)]
                pass.step(
                    batch.map { DenseSample(row: $0, label: labels[$0], auxiliary: auxiliary[$0], weight: weights?[$0] ?? 1) }, prepared)
            }
        }
        return pass.network(inputs)
    }
}

private struct DenseSample {
    var row: Int
    var label: Int
    var auxiliary: Float
    var weight: Float
}

/// Parameters, gradients and Adam's moments of one training, and one step on them. Plain memory: the inner loops run millions of times.
private final class DensePass {
    private let inputCount: Int
    private let hiddenCount: Int
    private let classCount: Int
    /// Classes and the auxiliary number.
    private let outputCount: Int
    private let settings: DenseSettings
    /// Hidden weights, hidden biases, output weights, output biases, one after the other.
    private let parameters: UnsafeMutableBufferPointer<Float>
    private let gradients: UnsafeMutableBufferPointer<Float>
    private let firstMoments: UnsafeMutableBufferPointer<Float>
    private let secondMoments: UnsafeMutableBufferPointer<Float>
    private let hidden: UnsafeMutableBufferPointer<Float>
    private let hiddenGradient: UnsafeMutableBufferPointer<Float>
    private let output: UnsafeMutableBufferPointer<Float>
    private var steps = 0

    private var hiddenBiasStart: Int { inputCount * hiddenCount }
    private var outputWeightStart: Int { hiddenBiasStart + hiddenCount }
    private var outputBiasStart: Int { outputWeightStart + hiddenCount * outputCount }

    init(inputCount: Int, classCount: Int, settings: DenseSettings, generator: inout SeededGenerator) {
        self.inputCount = inputCount
        self.classCount = classCount
        self.settings = settings
        hiddenCount = settings.hiddenCount
        outputCount = classCount + 1
        let count = (inputCount + 1) * hiddenCount + (hiddenCount + 1) * outputCount
        func zeros(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
            let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
            buffer.initialize(repeating: 0)
            return buffer
        }
        parameters = zeros(count)
        gradients = zeros(count)
        firstMoments = zeros(count)
        secondMoments = zeros(count)
        hidden = zeros(hiddenCount)
        hiddenGradient = zeros(hiddenCount)
        output = zeros(outputCount)
        // Glorot and Bengio 2010.
        let (hiddenBound, outputBound) = (
            (6 / Float(inputCount + hiddenCount)).squareRoot(), (6 / Float(hiddenCount + classCount)).squareRoot()
        )
        for i in 0..<hiddenBiasStart { parameters[i] = Float.random(in: -hiddenBound..<hiddenBound, using: &generator) }
        for i in outputWeightStart..<outputBiasStart { parameters[i] = Float.random(in: -outputBound..<outputBound, using: &generator) }
    }

    deinit {
        for buffer in [parameters, gradients, firstMoments, secondMoments, hidden, hiddenGradient, output] { buffer.deallocate() }
    }

    func step(_ batch: [DenseSample], _ prepared: [Float]) {
        gradients.update(repeating: 0)
        prepared.withUnsafeBufferPointer { cells in
            for sample in batch {
                let input = UnsafeBufferPointer(rebasing: cells[sample.row * inputCount..<(sample.row + 1) * inputCount])
                forward(input)
                turnOutputIntoGradient(sample)
                backward(input)
            }
        }
        adam(batchWeight: batch.reduce(0) { $0 + $1.weight })
    }

    private func forward(_ input: UnsafeBufferPointer<Float>) {
        for unit in 0..<hiddenCount { hidden[unit] = parameters[hiddenBiasStart + unit] }
        for (index, value) in input.enumerated() {
            let weights = index * hiddenCount
            for unit in 0..<hiddenCount { hidden[unit] += value * parameters[weights + unit] }
        }
        for k in 0..<outputCount { output[k] = parameters[outputBiasStart + k] }
        for unit in 0..<hiddenCount where hidden[unit] > 0 {
            for k in 0..<outputCount { output[k] += hidden[unit] * parameters[outputWeightStart + unit * outputCount + k] }
        }
    }

    private func turnOutputIntoGradient(_ sample: DenseSample) {
        var top = output[0]
        for k in 1..<classCount { top = max(top, output[k]) }
        var sum: Float = 0
        for k in 0..<classCount {
            output[k] = exp(output[k] - top)
            sum += output[k]
        }
        for k in 0..<classCount { output[k] = sample.weight * (output[k] / sum - (k == sample.label ? 1 : 0)) }
        let share = sample.weight * settings.auxiliaryWeight
        output[classCount] = sample.auxiliary.isNaN ? 0 : share * (output[classCount] - sample.auxiliary)
    }

    private func backward(_ input: UnsafeBufferPointer<Float>) {
        for unit in 0..<hiddenCount {
            hiddenGradient[unit] = 0
            guard hidden[unit] > 0 else { continue }
            let weights = outputWeightStart + unit * outputCount
            for k in 0..<outputCount {
                hiddenGradient[unit] += output[k] * parameters[weights + k]
                gradients[weights + k] += hidden[unit] * output[k]
            }
        }
        for k in 0..<outputCount { gradients[outputBiasStart + k] += output[k] }
        for unit in 0..<hiddenCount { gradients[hiddenBiasStart + unit] += hiddenGradient[unit] }
        for (index, value) in input.enumerated() {
            let weights = index * hiddenCount
            for unit in 0..<hiddenCount { gradients[weights + unit] += value * hiddenGradient[unit] }
        }
    }

    private func adam(batchWeight: Float) {
        let (decay1, decay2): (Float, Float) = (0.9, 0.999)
        steps += 1
        let rate = settings.learningRate * (1 - pow(decay2, Float(steps))).squareRoot() / (1 - pow(decay1, Float(steps)))
        let (hiddenBiases, outputBiases) = (hiddenBiasStart..<outputWeightStart, outputBiasStart..<parameters.count)
        for i in parameters.indices {
            let isBias = hiddenBiases.contains(i) || outputBiases.contains(i)
            let gradient = (gradients[i] + (isBias ? 0 : settings.penalty * parameters[i])) / batchWeight
            firstMoments[i] = decay1 * firstMoments[i] + (1 - decay1) * gradient
            secondMoments[i] = decay2 * secondMoments[i] + (1 - decay2) * gradient * gradient
            parameters[i] -= rate * firstMoments[i] / (secondMoments[i].squareRoot() + 1e-8)
        }
    }

    func network(_ inputs: DenseInputs) -> DenseNetwork {
        let outputs = (0..<hiddenCount).flatMap { unit in
            (0..<classCount).map { parameters[outputWeightStart + unit * outputCount + $0] }
        }
        return DenseNetwork(
            inputs: inputs, hiddenWeights: Array(parameters[0..<hiddenBiasStart]),
            hiddenBiases: Array(parameters[hiddenBiasStart..<outputWeightStart]),
            outputWeights: outputs, outputBiases: Array(parameters[outputBiasStart..<outputBiasStart + classCount]))
    }
}
