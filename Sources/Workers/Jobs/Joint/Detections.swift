import Inference

/// What a model has found in each row, as detectors say it: an output `scores` or `detection_scores` with how sure it is of each thing, and one of
/// as many boxes.
struct Detections {
    private static let names: Set<String> = ["scores", "detection_scores"]
    /// Row by row. Places of the output where nothing was found hold 0, and are left out.
    let scores: [[Float]]

    /// Nil for outputs that are none: without boxes a number for each place is that of a class.
    ///
    /// - Parameters:
    ///   - rowCount: of the request.
    ///   - outputs: of the model. Without a dimension for rows they are of one.
    init?(rowCount: Int, _ outputs: [NamedTensor]) {
        guard let found = outputs.first(where: { Self.names.contains($0.name) })?.tensor, found.type == .float,
            outputs.contains(where: { $0.tensor.type == .float && $0.tensor.shape == found.shape + [4] })
        else { return nil }
        let rows: Int
        switch found.shape.count {
        case 1: rows = 1
        case 2 where found.shape[0] == rowCount: rows = rowCount
        default: return nil
        }
        let values = found.values(as: Float.self), width = rows == 0 ? 0 : found.count / rows
        scores = (0..<rows).map { row in values[row * width..<(row + 1) * width].filter { $0 > 0 && $0.isFinite } }
    }
}
