#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The socket by which the owner of a node talks to its agent: `agent/socket` in the node's folder. The folder `agent` is closed to every
/// other user, so whoever opens the socket may do everything on this node.
struct AgentSocket {
    /// Short, however long the folder's path is: sockets have at most 107 bytes.
    let path: String

    /// - Parameters:
    ///   - folder: the node's.
    ///   - isMade: makes the folder `agent` where it is missing, and closes it.
    /// - Throws: `CloudError` if there is no such folder, or it is not to be entered.
    init(folder: String, isMade: Bool = false) throws {
        let place = folder + "/agent"
        if isMade {
            guard mkdir(place, 0o700) == 0 || errno == EEXIST, chmod(place, 0o700) == 0 else {
                throw CloudError("cannot make folder \(place): \(String(cString: strerror(errno)))")
            }
        }
        let descriptor = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let reason =
                errno == ENOENT ? "no agent has run there; name the folder of a running 'skerry edge'" : String(cString: strerror(errno))
            throw CloudError("--data-dir \(folder): \(reason)")
        }
        // The descriptor stays open for as long as the program runs: the path leads through it.
        path = "/proc/self/fd/\(descriptor)/socket"
    }
}
