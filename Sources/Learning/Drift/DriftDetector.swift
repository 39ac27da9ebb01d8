/// Watches a stream of numbers for a change of what they are drawn from. Pure; where it says so, event for event as the Python library river
/// (0.26) with the same parameters.
package protocol DriftDetector: Sendable {
    /// Takes the next number in; must be finite.
    ///
    /// - Returns: whether a change shows with this number. The detector then begins anew by itself.
    mutating func update(_ value: Double) -> Bool
}
