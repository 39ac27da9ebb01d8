/// What the owner of a machine asks of its agent on the spot, with or without a link to the cloud.
package protocol NodeVerbs: Sendable {
    /// How the node stands: `node`, `version`, `cloud` (`address`, `isConnected`, `isSynced`, `failure`), `reports` (`waiting`, `dropped`),
    /// `objects`.
    func status() async -> JSON

    /// Ends containers of a Pod, each of which begins a new life at once, whatever its restart policy says.
    ///
    /// - Parameter container: empty for every container that has begun and is not one of the beginning.
    /// - Returns: their names.
    /// - Throws: 404 for a Pod or container that is not here, 409 for a Pod that has ended or ends.
    func restart(_ pod: ObjectKey, container: String) async throws(APIStatus) -> [String]
}
