package import Resources

/// What a hub, of a cloud or an edge, needs of the world.
package struct HubEnvironment: Sendable {
    /// Time since some moment; never goes back, whatever becomes of the clock.
    package var elapsed: @Sendable () -> Duration
    /// Returns after so long, or earlier when the task is cancelled.
    package var sleep: @Sendable (Duration) async -> Void
    /// The time of the day.
    package var now: @Sendable () -> Timestamp
    /// 64 bits by lot.
    package var random: @Sendable () -> UInt64
    /// Takes a sentence for the log.
    package var report: @Sendable (String) -> Void

    /// The surroundings of one program.
    package init(
        elapsed: @escaping @Sendable () -> Duration, sleep: @escaping @Sendable (Duration) async -> Void,
        now: @escaping @Sendable () -> Timestamp, random: @escaping @Sendable () -> UInt64, report: @escaping @Sendable (String) -> Void
    ) {
        self.elapsed = elapsed
        self.sleep = sleep
        self.now = now
        self.random = random
        self.report = report
    }
}
