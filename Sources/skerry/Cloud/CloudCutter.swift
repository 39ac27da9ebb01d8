import Controllers
import Inference
import Resources
import Storage

/// Makes nodes' parts of models of the files that the cloud has.
struct CloudCutter: ModelCutter {
    let artifacts: ArtifactStore
    /// Bytes of the file that says what was met where.
    private static let placesBytesMax = 256 << 20

    func cut(
        _ files: [String: String], places: String, datasets: [String]
    ) async throws(APIStatus) -> [String: (digest: String, size: Int64)] {
        let keys = try met(places, datasets)
        var parts: [String: (digest: String, size: Int64)] = [:]
        for (name, digest) in files.sorted(by: { $0.key < $1.key }) {
            guard name.hasSuffix(".onnx") else {
                parts[name] = (digest, artifacts.size(try Self.digest(digest)) ?? 0)
                continue
            }
            let whole = try read(digest, bytesMax: ModelLimits.edge.bytes)
            let part: [UInt8]
            do throws(InferenceError) { part = try ModelFile(whole).keeping(keys) } catch { throw Self.invalid("file \(name): \(error)") }
            parts[name] = (try write(part), Int64(part.count))
        }
        return parts
    }

    private func met(_ places: String, _ datasets: [String]) throws(APIStatus) -> [String: Set<UInt32>] {
        let bytes = try read(places, bytesMax: Self.placesBytesMax)
        do { return try AdapterPlaces(bytes).union(datasets) } catch { throw Self.invalid("\(places): \(error)") }
    }

    private static func invalid(_ message: String) -> APIStatus { APIStatus(code: 422, reason: "Invalid", message: message) }

    private static func digest(_ text: String) throws(APIStatus) -> ArtifactDigest {
        guard let digest = ArtifactDigest(reference: text) else { throw invalid("\(text.prefix(80)) is no digest") }
        return digest
    }

    private func read(_ text: String, bytesMax: Int) throws(APIStatus) -> [UInt8] {
        let digest = try Self.digest(text)
        do throws(ArtifactError) {
            let reader = try artifacts.open(digest)
            guard reader.size <= Int64(bytesMax) else { throw .tooLarge(digest, size: reader.size, max: Int64(bytesMax)) }
            return try reader.read(at: 0, count: Int(reader.size))
        } catch { throw Self.unavailable(error) }
    }

    private func write(_ bytes: [UInt8]) throws(APIStatus) -> String {
        let digest = ArtifactDigest(of: bytes)
        do throws(ArtifactError) { try artifacts.append(bytes, to: digest, at: 0, of: Int64(bytes.count)) } catch {
            throw Self.unavailable(error)
        }
        return digest.description
    }

    private static func unavailable(_ error: ArtifactError) -> APIStatus {
        APIStatus(code: 503, reason: "ServiceUnavailable", message: error.description)
    }
}
