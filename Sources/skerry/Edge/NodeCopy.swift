import ArgumentParser
import EdgeHub
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A node's copy of its objects, `edge.db` in its folder, with its own key in `node.key`. A damaged one is set aside and begun anew.
struct NodeCopy: Sendable {
    /// The API of the node's programs.
    let hub: EdgeHub
    /// Lies there from the moment a damaged copy is set aside until the new one is whole.
    private let renewalMark: String

    /// - Throws: whatever stands in the way of a copy that is not damaged, or of the new one.
    init(folder: String, now: @escaping @Sendable () -> Timestamp) async throws {
        let (path, key, mark) = ("\(folder)/edge.db", try EdgeNode.key("\(folder)/node.key"), "\(folder)/edge.db.renewed")
        renewalMark = mark
        hub = try await DamagedCopy.replaced(path) { error in
            let file = try WholeFile(path: mark, isPrivate: true)
            try file.commit()
            writeError(
                "\(path) is damaged (\(error.message)) and kept as \(path).damaged; this node's objects are fetched from the cloud again, reports that the cloud had not answered are lost"
            )
        } open: {
            try EdgeHub(
                store: try EdgeStore(.file(path), key: key, random: { UInt64.random(in: 0 ... .max) }),
                program: Skerry.configuration.version, environment: .process(now))
        }
    }

    /// Returns once the copy is to be relied on: at once, unless it was begun anew. What it does not show before may be running all the same.
    func awaitTrust() async {
        guard access(renewalMark, F_OK) == 0 else { return }
        writeError("Pods stay as they are until the cloud has said which there are")
        while !Task.isCancelled {
            if await hub.status.isSynced {
                unlink(renewalMark)
                return
            }
            try? await Task.sleep(for: .milliseconds(200))
        }
    }
}
