import Resources
import Testing

@Suite struct JobTriggerTests {
    private func trigger(_ change: (inout JSON) -> Void = { _ in }) -> JSON {
        var json: JSON = ["condition": ["operator": ">", "threshold": 500, "metric": "num_of_samples"]]
        change(&json)
        return json
    }

    @Test(arguments: [
        (">", 501.0, true), (">", 500, false), ("gt", 501, true), (">=", 500, true), ("ge", 499, false), ("=", 500, true),
        ("==", 500, true),
        ("eq", 501, false), ("!=", 501, true), ("ne", 500, false), ("<", 499, true), ("lt", 500, false), ("<=", 500, true),
        ("le", 501, false),
    ]) func `each of Sedna's operators compares`(_ sign: String, _ value: Double, _ holds: Bool) throws {
        let condition = try #require(JobTrigger(trigger { $0[path: ["condition", "operator"]] = .string(sign) })?.condition)
        #expect(condition.holds(.number(value)) == holds)
    }

    @Test func `a figure may be a scalar, a list or a place in a list`() throws {
        let whole = try #require(JobTrigger.Condition(["operator": ">", "threshold": .decimal("0.1"), "metric": "precision_delta"]))
        #expect(whole.holds(.decimal("0.2")))
        #expect(whole.holds([.decimal("0.2"), .decimal("0.3")]))
        #expect(!whole.holds([.decimal("0.2"), .decimal("0.05")]))
        #expect(!whole.holds(nil) && !whole.holds([]) && !whole.holds("0.2"))
        let place = try #require(JobTrigger.Condition(["operator": ">", "threshold": .decimal("0.1"), "metric": "precision_delta[1]"]))
        #expect(place.holds([0, .decimal("0.3")]))
        #expect(!place.holds([.decimal("0.3")]))
    }

    @Test func `spans of the day go over midnight`() throws {
        func timer(_ start: String, _ end: String) throws -> JobTrigger.Timer {
            try #require(JobTrigger(trigger { $0["timer"] = ["start": .string(start), "end": .string(end)] })?.timer)
        }
        func at(_ clock: String) throws -> Timestamp { try #require(Timestamp("2026-11-21T\(clock):30Z")) }
        let day = try timer("02:00", "20:00")
        #expect(try day.contains(at("02:00")) && !day.contains(at("20:00")) && !day.contains(at("01:59")))
        #expect(try day.seconds(until: at("01:59")) == 30)
        let night = try timer("22:00", "06:00")
        #expect(try night.contains(at("23:59")) && night.contains(at("00:00")) && !night.contains(at("12:00")))
        #expect(try timer("00:00", "24:00").contains(at("23:59")))
    }

    @Test func `what cannot be read is named with its field and the remedy`() {
        let wrong = trigger {
            $0["checkPeriodSeconds"] = 0
            $0["timer"] = ["start": "2:00", "end": "24:01"]
            $0["schedule"] = "61 * * * *"
            $0["condition"] = ["operator": "~", "threshold": .decimal("1e999"), "metric": "a[x]"]
        }
        let errors = JobTrigger.errors(in: wrong, at: "spec.trainSpec.trigger")
        #expect(
            errors.map(\.field) == [
                "spec.trainSpec.trigger.checkPeriodSeconds", "spec.trainSpec.trigger.timer.start", "spec.trainSpec.trigger.timer.end",
                "spec.trainSpec.trigger.schedule", "spec.trainSpec.trigger.condition.operator", "spec.trainSpec.trigger.condition.metric",
                "spec.trainSpec.trigger.condition.threshold",
            ])
        #expect(JobTrigger(wrong) == nil)
    }

    @Test(arguments: [
        ("0 3 * * *", "2026-11-21T03:00:10Z", "2026-11-21T02:59:00Z", true),
        ("0 3 * * *", "2026-11-21T03:00:10Z", "2026-11-21T03:00:00Z", false),
        ("*/15 8-17 * * 1-5", "2026-11-20T17:45:00Z", "2026-11-20T17:31:00Z", true),
        ("*/15 8-17 * * 1-5", "2026-11-21T12:00:00Z", "2026-11-21T00:00:00Z", false),
        ("0 0 1 1 *", "2026-11-21T00:00:00Z", "2026-01-01T00:01:00Z", false),
        ("0 0 1 1 *", "2026-11-21T00:00:00Z", "2025-12-31T23:59:00Z", true),
        ("30 4 1,15 * 5", "2026-11-20T04:30:00Z", "2026-11-20T04:29:00Z", true),
        ("5/20 * * * *", "2026-11-20T04:46:00Z", "2026-11-20T04:44:00Z", true),
        ("0 0 * * 7", "2026-11-22T00:00:30Z", "2026-11-21T23:00:00Z", true),
    ]) func `a schedule knows its minutes`(_ text: String, _ now: String, _ earlier: String, _ expected: Bool) throws {
        let schedule = try #require(CronSchedule(text))
        #expect(schedule.hasMinute(after: try #require(Timestamp(earlier)), through: try #require(Timestamp(now))) == expected)
    }

    @Test(arguments: [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *",
        "a * * * *",
    ])
    func `texts that are no schedule are refused`(_ text: String) { #expect(CronSchedule(text) == nil) }
}
