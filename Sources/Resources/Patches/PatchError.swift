/// Why a patch cannot be applied.
package enum PatchError: Error, Equatable, CustomStringConvertible {
    /// The patch itself is no patch of its type.
    case malformed(String)
    /// The patch is well formed but does not fit the object: a missing path, a failed test.
    case inapplicable(String)

    /// The message of the answer: Kubernetes puts a sentence before what does not fit the object.
    package var description: String {
        switch self {
        case .malformed(let reason): reason
        case .inapplicable(let reason): "the server rejected our request due to an error in our request: \(reason)"
        }
    }
}
