/// Why a key, a certificate, a request for one or a token cannot be used.
package struct IdentityError: Error, Equatable, CustomStringConvertible {
    /// One sentence: what is wrong and, where there is one, the remedy; no secret stands in it.
    package let description: String
    /// The description is taken as it is.
    package init(_ description: String) { self.description = description }
}
