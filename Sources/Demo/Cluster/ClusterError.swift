/// Why the demo's cluster did not do what was asked of it.
package struct ClusterError: Error, Equatable, CustomStringConvertible {
    /// One sentence or more: the process, object or file at fault, what was found, and what to do.
    package let description: String

    init(_ description: String) { self.description = description }
}
