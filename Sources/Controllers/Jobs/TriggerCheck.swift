import Resources

/// Whether a round is to begin now. Pure.
struct TriggerCheck: Sendable {
    /// What an annotation asks for by hand: a round for every new value.
    static let request = "jobs.skerry.io/train"

    enum Finding: Sendable, Equatable {
        /// The next check is not due yet.
        case notDue(seconds: Int64)
        /// Checked, and it does not hold.
        case wait(String, seconds: Int64)
        case begin(String)
    }

    let trigger: JobTrigger
    let job: JSON
    let now: Timestamp

    /// - Parameter figures: by metric; `num_of_samples` counts rows since the last round.
    func find(_ figures: JSONObject) -> Finding {
        let known = job["status"]?["trigger"]
        if let wanted = job.annotation(Self.request), wanted != known?["request"]?.string {
            return .begin("asked for by annotation \(Self.request)=\(wanted.prefix(64))")
        }
        let last = known?.time("lastCheckTime")
        if let last, now < Timestamp(seconds: last.seconds + trigger.checkPeriodSeconds) {
            return .notDue(seconds: last.seconds + trigger.checkPeriodSeconds - now.seconds)
        }
        if let timer = trigger.timer, !timer.contains(now) {
            return .wait("outside the timer's span of the day (UTC)", seconds: timer.seconds(until: now))
        }
        let since = last ?? job.created
        if let schedule = trigger.schedule, schedule.hasMinute(after: since, through: now) {
            return .begin("its scheduled minute has come")
        }
        let condition = trigger.condition
        let found = figures[condition.metric]
        let value = found.map { $0.number.map(Self.short) ?? $0.text } ?? "not known"
        if condition.holds(found) { return .begin("\(condition.text): it is \(value)") }
        return .wait("waits for \(condition.text): it is \(value)", seconds: trigger.checkPeriodSeconds)
    }

    private static func short(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : JobGate.digits(value)
    }
}
