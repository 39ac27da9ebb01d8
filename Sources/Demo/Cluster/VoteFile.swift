package import ThermalComfort

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The votes of the example as files for edges, for whoever runs the example by hand.
package enum EdgeVotes {
    /// Adds the votes of some rounds to `folder/edge-N/votes.csv`, each city's to one edge; files that are not there get a header.
    ///
    /// - Parameters:
    ///   - edges: at least 1.
    ///   - rounds: the protocol's, from 0.
    /// - Returns: path and number of votes added, edge by edge.
    /// - Throws: `ClusterError` for a file that cannot be written.
    package static func write(
        _ source: ComfortSource, edges: Int, labels: LabelBudget, rounds: ClosedRange<Int>, to folder: String
    ) throws -> [(path: String, count: Int)] {
        let rows = source.rows.filter { $0.part == .pool && rounds.contains($0.round) }
        let bought = rows.filter { labels == .few ? $0.isLabelledFew : $0.isLabelledFull }
        let lines = VoteStream(source, edges: edges).lines(rows.map(\.recordID), labelled: Set(bought.map(\.recordID)))
        return try lines.enumerated().map { place, part in
            let path = "\(folder)/edge-\(place + 1)/votes.csv"
            try DemoCluster.make("\(folder)/edge-\(place + 1)")
            let isNew = !FileManager.default.fileExists(atPath: path)
            try VoteFile.append((isNew ? VoteStream.header : []) + part.bytes, to: path)
            return (path, part.count)
        }
    }
}

/// The file of an edge's votes, which grows.
enum VoteFile {
    /// Adds whole lines; the file is made the first time.
    ///
    /// - Throws: `ClusterError`.
    static func append(_ bytes: [UInt8], to path: String) throws(ClusterError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        func failed() -> ClusterError { ClusterError("cannot write \(path): \(String(cString: strerror(errno))); free space there") }
        guard descriptor >= 0 else { throw failed() }
        defer { close(descriptor) }
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + start, $0.count - start) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failed() }
            start += count
        }
    }
}
