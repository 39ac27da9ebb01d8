package import Learning

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// How to boost: XGBoost's parameters by its own names.
package struct BoostingSettings: Sendable {
    /// Boosting rounds; each adds one tree a class.
    package var rounds: Int
    /// eta, max_depth, subsample, …
    package var parameters: [String: String]
    /// Stop when this many rounds bring no lower mlogloss on a held-out share of the rows; nil: never.
    package var earlyStoppingRounds: Int?
    /// Decides the draws of `subsample` and `colsample_…`; the rows held out for early stopping never depend on it.
    package var seed: UInt64
    /// OpenMP threads of the trainer. One is the default: spinning threads on shared cores cost a multiple.
    package var threads: Int

    /// Traps unless rounds and threads are positive; parameters are checked by XGBoost when training starts.
    package init(rounds: Int, parameters: [String: String], earlyStoppingRounds: Int? = nil, seed: UInt64, threads: Int = 1) {
        precondition(rounds > 0 && threads > 0, "rounds and threads must be positive")
        self.rounds = rounds
        self.parameters = parameters
        self.earlyStoppingRounds = earlyStoppingRounds
        self.seed = seed
        self.threads = threads
    }

    /// The same settings for other numbers of rounds.
    package func with(rounds: Int) -> BoostingSettings {
        var copy = self
        copy.rounds = rounds
        return copy
    }

    /// The settings of Sedna's ATCII example (XGBClassifier: 600 trees of depth 2, early stop after 100 rounds).
    package static func sedna(seed: UInt64) -> BoostingSettings {
        let parameters = ["eta": "0.1", "max_depth": "2", "subsample": "0.8", "colsample_bytree": "0.8", "tree_method": "hist"]
        return BoostingSettings(rounds: 600, parameters: parameters, earlyStoppingRounds: 100, seed: seed)
    }
}

/// A trained multi-class ensemble. Owns its native memory; use from one thread at a time.
package final class GradientBoostedTrees {
    /// Sedna's example holds a tenth out with scikit-learn's train_test_split(test_size=0.1, random_state=42), whatever the seed of training.
    private static let heldOutShare = 0.1
    private static let heldOutSeed: UInt32 = 42
    private let library: XGBoostLibrary
    private let booster: XGBoostLibrary.Handle
    private let classCount: Int
    private let columnCount: Int
    /// Rounds that predictions use.
    package let roundsUsed: Int

    /// Trains on all rows, or on nine tenths of them with early stopping on the rest.
    ///
    /// - Parameters:
    ///   - labels: class indices in 0..<classCount, one a row.
    ///   - weights: how much each row counts, positive; nil: all alike.
    ///   - progress: called after each boosting round with rounds done; return false to cancel.
    /// - Throws: `TrainingError`.
    package init(
        _ library: XGBoostLibrary, features: FeatureMatrix, labels: [Int], weights: [Float]? = nil, classCount: Int,
        settings: BoostingSettings, progress: (Int) -> Bool = { _ in true }
    ) throws(TrainingError) {
        let rows = BoostingRows(features: features, labels: labels, weights: weights)
        let fresh = try Self.train(library, rows, .classes(classCount), settings, progress) { data throws(TrainingError) in
            try Self.create(library, data)
        }
        (booster, roundsUsed) = (fresh.booster, fresh.rounds)
        self.library = library
        self.classCount = classCount
        columnCount = features.columnCount
    }

    /// Goes on from a model, cut at the rounds it uses, on other rows; early stopping looks at the new rounds alone.
    ///
    /// The given model stays as it is.
    /// - Parameters: as of the other initialiser; `settings.rounds` counts the new rounds.
    /// - Throws: `TrainingError`; `.otherShape` where columns or classes are not those of the model.
    package init(
        continuing model: GradientBoostedTrees, features: FeatureMatrix, labels: [Int], classCount: Int, settings: BoostingSettings,
        progress: (Int) -> Bool = { _ in true }
    ) throws(TrainingError) {
        guard features.columnCount == model.columnCount && classCount == model.classCount else {
            throw .otherShape(
                expected: "\(model.columnCount) columns and \(model.classCount) classes",
                found: "\(features.columnCount) columns and \(classCount) classes")
        }
        let library = model.library
        let grown = try Self.train(
            library, BoostingRows(features: features, labels: labels), .classes(classCount), settings, progress
        ) { _ throws(TrainingError) in
            var cut: XGBoostLibrary.Handle?
            try library.check(library.sliceBooster(model.booster, 0, Int32(model.roundsUsed), 1, &cut), "XGBoosterSlice")
            guard let cut else { throw .refused(call: "XGBoosterSlice", message: "no booster") }
            return cut
        }
        booster = grown.booster
        roundsUsed = model.roundsUsed + grown.rounds
        self.library = library
        self.classCount = classCount
        columnCount = features.columnCount
    }

    /// What is learned.
    private enum Goal {
        case classes(Int)
        case number
    }

    /// Trees with one target that estimate a number: least squares.
    ///
    /// - Parameters:
    ///   - targets: finite, one a row.
    ///   - progress: as of the initialisers.
    /// - Throws: `TrainingError`, `.noRows` among them.
    package static func estimating(
        _ targets: [Float], _ library: XGBoostLibrary, features: FeatureMatrix, settings: BoostingSettings,
        progress: (Int) -> Bool = { _ in true }
    ) throws(TrainingError) -> TreeEnsemble {
        let rows = BoostingRows(features: features, targets: targets)
        let trained = try train(library, rows, .number, settings, progress) { data throws(TrainingError) in try create(library, data) }
        return try GradientBoostedTrees(library, trained.booster, rounds: trained.rounds, columnCount: features.columnCount).ensemble()
    }

    private init(_ library: XGBoostLibrary, _ booster: XGBoostLibrary.Handle, rounds: Int, columnCount: Int) {
        (self.library, self.booster, roundsUsed, self.columnCount, classCount) = (library, booster, rounds, columnCount, 1)
    }

    /// - Parameter start: gives the booster to train on; it is freed here if training fails.
    /// - Returns: the booster, and how many of the rounds trained here predictions should use.
    private static func train(
        _ library: XGBoostLibrary, _ rows: BoostingRows, _ goal: Goal, _ settings: BoostingSettings, _ progress: (Int) -> Bool,
        start: (NativeMatrix) throws(TrainingError) -> XGBoostLibrary.Handle
    ) throws(TrainingError) -> (booster: XGBoostLibrary.Handle, rounds: Int) {
        guard let first = rows.targets.first else { throw .noRows }
        if case .classes = goal, !rows.targets.contains(where: { $0 != first }) { throw .oneClass(Int(first)) }
        let (training, heldOut) = divide(rows.targets.count, settings)
        let data = try NativeMatrix(library, rows.rows(training))
        let watch = heldOut.isEmpty ? nil : try NativeMatrix(library, rows.rows(heldOut))
        let booster = try start(data)
        do throws(TrainingError) {
            try set(library, booster, goal, settings)
            return (booster, try boost(library, booster, data, watch, settings, progress))
        } catch {
            _ = library.freeBooster(booster)
            throw error
        }
    }

    deinit { _ = library.freeBooster(booster) }

    /// Shape [rows, classes].
    package func probabilities(_ features: FeatureMatrix) throws(TrainingError) -> ClassProbabilities {
        guard features.rowCount > 0 else { return ClassProbabilities(classCount: classCount, values: []) }
        let data = try NativeMatrix(library, features)
        let config =
            #"{"type":0,"training":false,"iteration_begin":0,"iteration_end":\#(roundsUsed),"strict_shape":false}"#
        var shape: UnsafePointer<UInt64>?
        var dimensions: UInt64 = 0
        var result: UnsafePointer<Float>?
        try library.check(
            library.predict(booster, data.handle, config, &shape, &dimensions, &result), "XGBoosterPredictFromDMatrix")
        let count = features.rowCount * classCount
        return ClassProbabilities(classCount: classCount, values: Array(UnsafeBufferPointer(start: result, count: count)))
    }

    /// XGBoost's JSON model with all rounds that were boosted.
    func savedModel() throws(TrainingError) -> Data {
        var count: UInt64 = 0
        var bytes: UnsafePointer<CChar>?
        try library.check(library.saveToBuffer(booster, #"{"format":"json"}"#, &count, &bytes), "XGBoosterSaveModelToBuffer")
        // The buffer belongs to XGBoost until its next call on this thread.
        return bytes.map { Data(bytes: $0, count: Int(count)) } ?? Data()
    }

    private static func divide(_ count: Int, _ settings: BoostingSettings) -> (training: [Int], heldOut: [Int]) {
        guard settings.earlyStoppingRounds != nil else { return (Array(0..<count), []) }
        var generator = MersenneTwister(seed: heldOutSeed)
        let order = generator.permutation(count)
        let heldOutCount = Int((Double(count) * heldOutShare).rounded(.up))
        return (Array(order.dropFirst(heldOutCount)), Array(order.prefix(heldOutCount)))
    }

    private static func create(
        _ library: XGBoostLibrary, _ data: NativeMatrix
    ) throws(TrainingError) -> XGBoostLibrary.Handle {
        var matrices: [XGBoostLibrary.Handle?] = [data.handle]
        var created: XGBoostLibrary.Handle?
        try library.check(library.createBooster(&matrices, 1, &created), "XGBoosterCreate")
        guard let booster = created else { throw .refused(call: "XGBoosterCreate", message: "no booster") }
        return booster
    }

    private static func set(
        _ library: XGBoostLibrary, _ booster: XGBoostLibrary.Handle, _ goal: Goal, _ settings: BoostingSettings
    ) throws(TrainingError) {
        var parameters = settings.parameters
        switch goal {
        case .classes(let count):
            parameters["objective"] = "multi:softprob"
            parameters["num_class"] = String(count)
            parameters["eval_metric"] = "mlogloss"
        case .number:
            parameters["objective"] = "reg:squarederror"
            parameters["eval_metric"] = "rmse"
        }
        parameters["nthread"] = String(settings.threads)
        parameters["seed"] = String(settings.seed)
        parameters["verbosity"] = "0"
        for (name, value) in parameters.sorted(by: { $0.key < $1.key }) {
            try library.check(library.setParameter(booster, name, value), "XGBoosterSetParam(\(name), \(value))")
        }
    }

    /// - Returns: the rounds that predictions should use.
    private static func boost(
        _ library: XGBoostLibrary, _ booster: XGBoostLibrary.Handle, _ data: NativeMatrix, _ watch: NativeMatrix?,
        _ settings: BoostingSettings, _ progress: (Int) -> Bool
    ) throws(TrainingError) -> Int {
        var best = (loss: Double.infinity, rounds: settings.rounds)
        for round in 0..<settings.rounds {
            try library.check(library.update(booster, Int32(round), data.handle), "XGBoosterUpdateOneIter")
            guard progress(round + 1) else { throw .cancelled(afterRounds: round + 1) }
            guard let watch, let patience = settings.earlyStoppingRounds else { continue }
            let loss = try evaluate(library, booster, watch, round)
            if loss < best.loss { best = (loss, round + 1) }
            if round + 1 - best.rounds >= patience { break }
        }
        return best.rounds
    }

    private static func evaluate(
        _ library: XGBoostLibrary, _ booster: XGBoostLibrary.Handle, _ watch: NativeMatrix, _ round: Int
    ) throws(TrainingError) -> Double {
        var matrices: [XGBoostLibrary.Handle?] = [watch.handle]
        var text: UnsafePointer<CChar>?
        let status = "w".withCString { name in
            var names: [UnsafePointer<CChar>?] = [name]
            return library.evaluate(booster, Int32(round), &matrices, &names, 1, &text)
        }
        try library.check(status, "XGBoosterEvalOneIter")
        // "[12]\tw-mlogloss:0.87654"
        let line = text.map { String(cString: $0) } ?? ""
        guard let value = line.split(separator: ":").last.flatMap({ Double($0) }) else {
            throw .refused(call: "XGBoosterEvalOneIter", message: "no loss in \"\(line)\"")
        }
        return value
    }
}

/// A DMatrix that is freed with its owner.
private final class NativeMatrix {
    let handle: XGBoostLibrary.Handle
    private let library: XGBoostLibrary

    init(_ library: XGBoostLibrary, _ features: FeatureMatrix) throws(TrainingError) {
        var created: XGBoostLibrary.Handle?
        let (rows, columns) = (UInt64(features.rowCount), UInt64(features.columnCount))
        try library.check(library.matrixFromMat(features.values, rows, columns, .nan, &created), "XGDMatrixCreateFromMat")
        guard let handle = created else { throw .refused(call: "XGDMatrixCreateFromMat", message: "no matrix") }
        self.handle = handle
        self.library = library
    }

    convenience init(_ library: XGBoostLibrary, _ rows: BoostingRows) throws(TrainingError) {
        try self.init(library, rows.features)
        try set("label", rows.targets)
        if let weights = rows.weights { try set("weight", weights) }
    }

    private func set(_ field: String, _ values: [Float]) throws(TrainingError) {
        try library.check(library.setFloatInfo(handle, field, values, UInt64(values.count)), "XGDMatrixSetFloatInfo(\(field))")
    }

    deinit { _ = library.freeMatrix(handle) }
}

/// What trees are boosted on.
private struct BoostingRows {
    var features: FeatureMatrix
    /// Class indices, or the numbers themselves.
    var targets: [Float]
    var weights: [Float]?

    init(features: FeatureMatrix, labels: [Int], weights: [Float]? = nil) {
        self.init(features: features, targets: labels.map(Float.init), weights: weights)
    }

    init(features: FeatureMatrix, targets: [Float], weights: [Float]? = nil) {
        precondition(targets.count == features.rowCount, "one label a row")
        precondition(weights.map { $0.count == targets.count } ?? true, "one weight a row")
        (self.features, self.targets, self.weights) = (features, targets, weights)
    }

    func rows(_ positions: [Int]) -> BoostingRows {
        BoostingRows(
            features: features.rows(positions), targets: positions.map { targets[$0] },
            weights: weights.map { all in positions.map { all[$0] } })
    }
}
