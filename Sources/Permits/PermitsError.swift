/// Why a node's permits cannot be had.
package struct PermitsError: Error, Hashable, CustomStringConvertible {
    /// One sentence that names the file and what to do.
    package let description: String

    init(_ description: String) { self.description = description }
}
