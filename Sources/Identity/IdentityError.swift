/// Why a key, a certificate, a request for one or a token cannot be used.
package struct IdentityError: Error, Equatable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
