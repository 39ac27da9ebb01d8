package import Inference

/// A worker's answers, without its pipe: a frame's body in, a whole frame out.
package struct InferenceService {
    /// Bound on a request.
    package static let rowsMax = 4096

    private let predictor: TabularPredictor
    private let nanoseconds: () -> UInt64

    /// - Parameter nanoseconds: a clock that never goes back.
    package init(_ predictor: TabularPredictor, nanoseconds: @escaping () -> UInt64) {
        self.predictor = predictor
        self.nanoseconds = nanoseconds
    }

    /// What the worker says first.
    package var hello: InferenceFrame {
        .hello(
            ServedModel(
                version: predictor.version, featureNames: predictor.featureNames, classNames: predictor.classNames,
                takesSites: predictor.takesSites, takesPersons: predictor.takesPersons))
    }

    /// - Throws: `.malformedFrame`: the conversation cannot go on. A request the model cannot serve is answered by a refusal.
    package func answer(_ body: [UInt8]) throws(WorkersError) -> [UInt8] {
        let start = nanoseconds()
        guard case .predict(let id, let rows) = try InferenceFrame(body) else {
            throw .malformedFrame(reason: "a worker is asked to predict only")
        }
        do throws(InferenceError) {
            guard rows.count <= Self.rowsMax else { throw .tooManyRows(found: rows.count, limit: Self.rowsMax) }
            let predictions = try predictor.predict(rows)
            return InferenceFrame.answer(id: id, WorkerAnswer(predictions: predictions, nanoseconds: nanoseconds() - start)).encoded
        } catch {
            return InferenceFrame.refusal(id: id, "\(error)").encoded
        }
    }
}
