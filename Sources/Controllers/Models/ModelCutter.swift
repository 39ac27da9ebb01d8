package import Resources

/// Whoever has the cloud's files and knows how models are made.
package protocol ModelCutter: Sendable {
    /// Makes of a version's files those that a node needs: models keep the corrections of sites and persons that were met in some data sets, other
    /// files stay as they are. The same question has the same answer.
    ///
    /// - Parameters:
    ///   - files: digests by name.
    ///   - places: digest of what was met where.
    ///   - datasets: those of the node.
    /// - Returns: digests and sizes by name; the cloud has the files.
    /// - Throws: 503 for a file that is not here, or cannot be kept; 422 for one that cannot be cut.
    func cut(
        _ files: [String: String], places: String, datasets: [String]
    ) async throws(APIStatus) -> [String: (digest: String, size: Int64)]
}
