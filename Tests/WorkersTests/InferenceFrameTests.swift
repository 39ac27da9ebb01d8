import Inference
import Testing
import Workers

@Suite struct InferenceFrameTests {
    static let frames: [InferenceFrame] = [
        .hello(
            ServedModel(version: "round 3 é", featureNames: ["a", "b"], classNames: ["x", "y"], takesSites: true, takesPersons: false)),
        .predict(id: 7, TabularRows(count: 2, features: [1, 2, 3, -4], sites: [5, 6])),
        .predict(id: 8, TabularRows(count: 1, features: [1, 2], persons: [9])), .predict(id: 9, TabularRows(count: 0, features: [])),
        .answer(id: 7, WorkerAnswer(predictions: predictions, nanoseconds: 1 << 40)), .refusal(id: 7, "no"),
    ]
    static let predictions = {
        var predictions = TabularPredictions(classCount: 2)
        predictions.probabilities = [0.25, 0.75]
        predictions.labels = [1]
        predictions.margins = [-1, 1]
        return predictions
    }()

    @Test(arguments: frames)
    func `what is written is read, and one byte less or more is refused`(frame: InferenceFrame) throws {
        let bytes = frame.encoded
        #expect(bytes.prefix(4).withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) } == UInt32(bytes.count - 4))
        let body = Array(bytes.dropFirst(4))
        #expect(try InferenceFrame(body) == frame)
        for count in 0..<body.count {
            // A row's features end where the frame ends: a shorter frame may be one of fewer features, never the same.
            let found = try? InferenceFrame(Array(body.prefix(count)))
            #expect(found != frame)
        }
        #expect((try? InferenceFrame(body + [0])) == nil)
    }

    @Test func `an answer that announces more than it brings is refused before memory is taken`() {
        var body: [UInt8] = [2] + [UInt8](repeating: 0, count: 12)
        body += [UInt8](repeating: 0xff, count: 8)
        #expect(throws: WorkersError.self) { try InferenceFrame(body) }
        #expect(throws: WorkersError.self) { try InferenceFrame([99, 0, 0, 0, 0]) }
    }
}
