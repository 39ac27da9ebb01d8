/// Why a request is refused, with its HTTP status; told as `{"error": "…"}`.
package struct ServingRefusal: Error, Equatable, CustomStringConvertible {
    /// HTTP status, 400 and above.
    package var status: Int
    /// One sentence: what is at fault, the value found, what to do.
    package var reason: String

    /// Nothing is checked.
    package init(_ status: Int, _ reason: String) { (self.status, self.reason) = (status, reason) }

    /// The reason.
    package var description: String { reason }
}
