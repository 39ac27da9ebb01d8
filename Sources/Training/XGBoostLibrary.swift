#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why training with XGBoost failed.
package enum TrainingError: Error, Equatable, CustomStringConvertible {
    case libraryNotFound(tried: [String])
    case unsupportedVersion(path: String, found: String)
    case missingFunction(path: String, name: String)
    /// XGBoost refused a call; the message is its own.
    case refused(call: String, message: String)
    case noRows
    case oneClass(Int)
    case cancelled(afterRounds: Int)
    /// A saved model that cannot be turned into a tree ensemble.
    case unreadableModel(String)
    /// Training cannot go on from this kind of model.
    case foreignModel(String)
    /// Training cannot go on from a model of other columns or classes.
    case otherShape(expected: String, found: String)

    /// One sentence: what was asked of XGBoost, what came of it, and the remedy.
    package var description: String {
        switch self {
        case .libraryNotFound(let tried):
            "XGBoost's library was not found (\(tried.joined(separator: "; "))); run scripts/bootstrap or set SKERRY_XGBOOST_LIB"
        case .unsupportedVersion(let path, let found): "\(path) is XGBoost \(found); versions 1.7 to 3.x are supported"
        case .missingFunction(let path, let name): "\(path) has no function \(name); it is no XGBoost library of version 1.7 or newer"
        case .refused(let call, let message): "XGBoost's \(call) failed: \(message)"
        case .noRows: "no row to train on"
        case .oneClass(let label): "all rows to train on have class \(label); at least two classes are needed"
        case .foreignModel(let kind):
            "training cannot go on from a \(kind): only from gradient-boosted trees of this library; train anew instead"
        case .otherShape(let expected, let found):
            "training cannot go on: the model has \(expected), the new rows have \(found); give both the same columns and classes"
        case .cancelled(let rounds): "training was cancelled after \(rounds) boosting rounds"
        case .unreadableModel(let reason):
            "XGBoost's JSON model cannot be read: \(reason); train it with booster gbtree, XGBoost 1.7 to 3.x"
        }
    }
}

/// XGBoost's C API (dmlc/xgboost, c_api.h), loaded at run time so that a machine without it fails in words and not at start.
///
/// Immutable after loading and never unloaded; the library allows calls on different boosters from different threads, hence unchecked.
package final class XGBoostLibrary: @unchecked Sendable {
    typealias Handle = UnsafeMutableRawPointer
    typealias GetError = @convention(c) () -> UnsafePointer<CChar>?
    typealias Version = @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Void
    typealias MatrixFromMat =
        @convention(c) (UnsafePointer<Float>, UInt64, UInt64, Float, UnsafeMutablePointer<Handle?>) -> Int32
    typealias SetFloatInfo = @convention(c) (Handle, UnsafePointer<CChar>, UnsafePointer<Float>, UInt64) -> Int32
    typealias Free = @convention(c) (Handle) -> Int32
    typealias BoosterCreate = @convention(c) (UnsafePointer<Handle?>, UInt64, UnsafeMutablePointer<Handle?>) -> Int32
    typealias SetParameter = @convention(c) (Handle, UnsafePointer<CChar>, UnsafePointer<CChar>) -> Int32
    typealias Update = @convention(c) (Handle, Int32, Handle) -> Int32
    typealias Evaluate =
        @convention(c) (
            Handle, Int32, UnsafeMutablePointer<Handle?>, UnsafeMutablePointer<UnsafePointer<CChar>?>, UInt64,
            UnsafeMutablePointer<UnsafePointer<CChar>?>
        ) -> Int32
    typealias Predict =
        @convention(c) (
            Handle, Handle, UnsafePointer<CChar>, UnsafeMutablePointer<UnsafePointer<UInt64>?>, UnsafeMutablePointer<UInt64>,
            UnsafeMutablePointer<UnsafePointer<Float>?>
        ) -> Int32
    typealias Slice = @convention(c) (Handle, Int32, Int32, Int32, UnsafeMutablePointer<Handle?>) -> Int32

    typealias SaveToBuffer =
        @convention(c) (
            Handle, UnsafePointer<CChar>, UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UnsafePointer<CChar>?>
        ) -> Int32

    let lastError: GetError
    let matrixFromMat: MatrixFromMat
    let setFloatInfo: SetFloatInfo
    let freeMatrix: Free
    let createBooster: BoosterCreate
    let setParameter: SetParameter
    let update: Update
    let evaluate: Evaluate
    let predict: Predict
    let saveToBuffer: SaveToBuffer
    let sliceBooster: Slice
    let freeBooster: Free
    /// For example "3.2.0".
    package let version: String
    /// The file it was loaded from.
    package let path: String

    /// Loads the first library that opens.
    ///
    /// - Parameter candidates: paths or sonames, best first.
    /// - Throws: `TrainingError.libraryNotFound` with the loader's word on each, `.unsupportedVersion`, `.missingFunction`.
    package init(candidates: [String]) throws(TrainingError) {
        var tried: [String] = []
        var opened: (path: String, handle: Handle)?
        for path in candidates where opened == nil {
            if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
                opened = (path, handle)
            } else {
                tried.append(dlerror().map { String(cString: $0) } ?? path)
            }
        }
        guard let (path, handle) = opened else { throw .libraryNotFound(tried: tried) }
        func symbol<Function>(_ name: String, as: Function.Type) throws(TrainingError) -> Function {
            guard let found = dlsym(handle, name) else { throw .missingFunction(path: path, name: name) }
            return unsafeBitCast(found, to: Function.self)
        }
        // First: an old library lacks functions, and its version says why.
        var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
        try symbol("XGBoostVersion", as: Version.self)(&major, &minor, &patch)
        version = "\(major).\(minor).\(patch)"
        guard (major, minor) >= (1, 7) && major < 4 else { throw .unsupportedVersion(path: path, found: version) }
        lastError = try symbol("XGBGetLastError", as: GetError.self)
        matrixFromMat = try symbol("XGDMatrixCreateFromMat", as: MatrixFromMat.self)
        setFloatInfo = try symbol("XGDMatrixSetFloatInfo", as: SetFloatInfo.self)
        freeMatrix = try symbol("XGDMatrixFree", as: Free.self)
        createBooster = try symbol("XGBoosterCreate", as: BoosterCreate.self)
        setParameter = try symbol("XGBoosterSetParam", as: SetParameter.self)
        update = try symbol("XGBoosterUpdateOneIter", as: Update.self)
        evaluate = try symbol("XGBoosterEvalOneIter", as: Evaluate.self)
        predict = try symbol("XGBoosterPredictFromDMatrix", as: Predict.self)
        saveToBuffer = try symbol("XGBoosterSaveModelToBuffer", as: SaveToBuffer.self)
        sliceBooster = try symbol("XGBoosterSlice", as: Slice.self)
        freeBooster = try symbol("XGBoosterFree", as: Free.self)
        self.path = path
    }

    /// Throws XGBoost's own message unless a call returned 0.
    func check(_ status: Int32, _ call: String) throws(TrainingError) {
        guard status != 0 else { return }
        // The first line is the message; what follows is a native stack trace.
        let message = lastError().map { String(cString: $0) } ?? "unknown error"
        throw .refused(call: call, message: String(message.prefix { $0 != "\n" }))
    }
}
