package import Resources

/// A moment by both clocks: the time of the day for what is written, and one that never goes back for what is waited for.
package struct Moment: Sendable, Hashable {
    /// May jump when somebody sets the clock.
    package var time: Timestamp
    /// Since any fixed moment of this program's life.
    package var uptime: Duration

    /// Both are taken as they are.
    package init(time: Timestamp, uptime: Duration) {
        self.time = time
        self.uptime = uptime
    }
}
