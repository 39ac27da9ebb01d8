/// When a stage of a job begins: Sedna's trigger, with a schedule beside it.
///
/// Nothing begins outside the timer's span. Within it the condition must hold, or the schedule's minute must have come.
package struct JobTrigger: Sendable, Hashable {
    /// A figure compared with a threshold.
    package struct Condition: Sendable, Hashable {
        /// The name without its place: `num_of_samples`, `precision_delta`.
        package var metric: String
        /// Of `precision[1]`; nil where the whole is meant.
        package var place: Int?
        /// How the figure is compared.
        package var comparison: Comparison
        /// What it is compared with.
        package var threshold: Double

        /// Reads Sedna's `condition`, or a rule of the same three fields; nil where one of them is missing or not as it must be.
        package init?(_ json: JSON?) {
            guard let json, let (metric, place) = JobTrigger.metric(json["metric"]?.string ?? ""),
                let comparison = Comparison(json["operator"]?.string ?? ""), let threshold = json["threshold"]?.number
            else { return nil }
            (self.metric, self.place, self.comparison, self.threshold) = (metric, place, comparison, threshold)
        }

        /// Whether the condition holds; false of a figure that nobody has told.
        ///
        /// - Parameter figure: a number, or numbers; those of a list must all hold where no place is named.
        package func holds(_ figure: JSON?) -> Bool {
            switch figure {
            case .array(let items):
                if let place { return items.indices.contains(place) && holds(items[place].number) }
                return !items.isEmpty && items.allSatisfy { holds($0.number) }
            case .some(let figure): return place ?? 0 == 0 && holds(figure.number)
            case nil: return false
            }
        }

        private func holds(_ number: Double?) -> Bool { number.map { comparison.holds($0, threshold) } ?? false }

        /// `num_of_samples > 500`.
        package var text: String {
            "\(metric)\(place.map { "[\($0)]" } ?? "") \(comparison.rawValue) \(JSON.number(threshold).text)"
        }
    }

    /// Sedna's operators.
    package enum Comparison: String, Sendable, Hashable, CaseIterable {
        case greater = ">"
        case atLeast = ">="
        case equal = "=="
        case different = "!="
        case less = "<"
        case atMost = "<="

        /// Reads a sign or one of Sedna's words; nil for any other text.
        package init?(_ text: String) {
            let words = ["gt": Self.greater, "ge": .atLeast, "eq": .equal, "=": .equal, "ne": .different, "lt": .less, "le": .atMost]
            guard let found = words[text] ?? Comparison(rawValue: text) else { return nil }
            self = found
        }

        /// All texts that `init` reads.
        package static let words = [">", "gt", ">=", "ge", "=", "==", "eq", "!=", "ne", "<", "lt", "<=", "le"]

        func holds(_ left: Double, _ right: Double) -> Bool {
            switch self {
            case .greater: left > right
            case .atLeast: left >= right
            case .equal: left == right
            case .different: left != right
            case .less: left < right
            case .atMost: left <= right
            }
        }
    }

    /// A daily span in UTC, minutes after midnight; the end is not part of it. One that ends before it starts goes over midnight.
    package struct Timer: Sendable, Hashable {
        /// 0 to 1440.
        package var start: Int64
        /// 0 to 1440.
        package var end: Int64

        /// Whether a moment lies in the span.
        package func contains(_ moment: Timestamp) -> Bool {
            let minute = moment.minuteOfDay
            return start <= end ? (start..<end).contains(minute) : minute >= start || minute < end
        }

        /// Seconds from a moment outside the span to its next start.
        package func seconds(until moment: Timestamp) -> Int64 {
            let wait = (start - moment.minuteOfDay + 1440) % 1440 * 60 - moment.seconds % 60
            return wait > 0 ? wait : wait + 86400
        }
    }

    /// From 1; 60 where nothing is said.
    package var checkPeriodSeconds: Int64
    /// Nil: any time of the day.
    package var timer: Timer?
    /// What must hold.
    package var condition: Condition
    /// Ours: also at these minutes, whatever the condition says.
    package var schedule: CronSchedule?

    /// Seconds from one check to the next where nothing is said.
    package static let defaultPeriod: Int64 = 60

    /// Reads `trainSpec.trigger` or `deploySpec.trigger`; nil of one that `errors` refuses.
    package init?(_ json: JSON?) {
        guard let json, Self.errors(in: json, at: "").isEmpty, let condition = Condition(json["condition"]) else { return nil }
        checkPeriodSeconds = max(1, json["checkPeriodSeconds"]?.integer ?? Self.defaultPeriod)
        timer = Self.timer(json["timer"])
        self.condition = condition
        schedule = json["schedule"]?.string.flatMap { CronSchedule($0) }
    }

    // MARK: Checks

    /// What is wrong with a trigger.
    ///
    /// - Parameter path: of the trigger in its object.
    package static func errors(in json: JSON, at path: String) -> [FieldError] {
        var errors: [FieldError] = []
        if let period = json["checkPeriodSeconds"]?.integer, !(1...86400).contains(period) {
            errors.append(.invalid("\(path).checkPeriodSeconds", .integer(period), "must be between 1 and 86400 seconds"))
        }
        if let timer = json["timer"], timer.object != nil {
            for key in ["start", "end"] {
                let text = timer[key]?.string ?? ""
                if minutes(text) == nil {
                    errors.append(
                        .invalid("\(path).timer.\(key)", .string(text), "must be a time of the day from 00:00 to 24:00, as 02:00"))
                }
            }
            if let start = timer["start"]?.string, let end = timer["end"]?.string, minutes(start) == minutes(end), minutes(start) != nil {
                errors.append(.invalid("\(path).timer.end", .string(end), "must differ from the start, or nothing would ever begin"))
            }
        }
        if let schedule = json["schedule"]?.string, CronSchedule(schedule) == nil {
            errors.append(
                .invalid(
                    "\(path).schedule", .string(schedule), "must be five fields of cron in UTC: minute hour day month weekday, as 0 3 * * *"
                ))
        }
        return errors + conditionErrors(json["condition"], at: "\(path).condition")
    }

    private static func conditionErrors(_ json: JSON?, at path: String) -> [FieldError] {
        // A missing one is the schema's to refuse.
        guard let json, json.object != nil else { return [] }
        var errors: [FieldError] = []
        if let sign = json["operator"]?.string, Comparison(sign) == nil {
            errors.append(.notSupported("\(path).operator", .string(sign), Comparison.words))
        }
        if let name = json["metric"]?.string, metric(name) == nil {
            errors.append(
                .invalid(
                    "\(path).metric", .string(name),
                    "must be the name of a figure, with a place in its list where one is meant: precision_delta[1]"))
        }
        if let threshold = json["threshold"], threshold.number?.isFinite != true {
            errors.append(.invalid("\(path).threshold", threshold, "must be a finite number"))
        }
        return errors
    }

    private static func timer(_ json: JSON?) -> Timer? {
        guard let start = minutes(json?["start"]?.string ?? ""), let end = minutes(json?["end"]?.string ?? "") else { return nil }
        return Timer(start: start, end: end)
    }

    /// `precision_delta[1]` in its parts.
    fileprivate static func metric(_ text: String) -> (name: String, place: Int?)? {
        let parts = text.split(separator: "[", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard !name.isEmpty, name.utf8.count <= 128, name.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x5d }) else { return nil }
        guard parts.count == 2 else { return (name, nil) }
        guard parts[1].last == "]", let place = Int(parts[1].dropLast()), (0...9999).contains(place) else { return nil }
        return (name, place)
    }

    /// Minutes after midnight of `HH:MM`.
    private static func minutes(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 5, bytes[2] == 0x3a, let hour = Int64(text.prefix(2)), let minute = Int64(text.suffix(2)),
            (0...24).contains(hour), (0...59).contains(minute), hour * 60 + minute <= 1440,
            [0, 1, 3, 4].allSatisfy({ (0x30...0x39).contains(bytes[$0]) })
        else { return nil }
        return hour * 60 + minute
    }
}

extension Timestamp {
    /// Minutes since midnight in UTC.
    package var minuteOfDay: Int64 { ((seconds % 86400 + 86400) % 86400) / 60 }
}

extension JSON {
    /// A finite number, whole ones without a fraction.
    package static func number(_ value: Double) -> JSON {
        if value == value.rounded(), abs(value) < 9e15 { return .integer(Int64(value)) }
        return .decimal("\(value)")
    }
}

/// Minutes of the week, month and year, as cron names them (POSIX crontab: five fields of numbers, lists, ranges and steps), in UTC.
package struct CronSchedule: Sendable, Hashable {
    private let minutes: Set<Int>
    private let hours: Set<Int>
    private let days: Set<Int>
    private let months: Set<Int>
    private let weekdays: Set<Int>
    /// Of days and weekdays those that are restricted count; if both are, either will do.
    private let isAnyDay: Bool
    private let isAnyWeekday: Bool

    /// Reads `minute hour day month weekday`; nil for any other text. Sunday is 0 and 7.
    package init?(_ text: String) {
        let fields = text.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
        guard fields.count == 5, text.utf8.count <= 256, let minutes = Self.set(fields[0], 0...59), let hours = Self.set(fields[1], 0...23),
            let days = Self.set(fields[2], 1...31), let months = Self.set(fields[3], 1...12), let weekdays = Self.set(fields[4], 0...7)
        else { return nil }
        (self.minutes, self.hours, self.days, self.months) = (minutes, hours, days, months)
        self.weekdays = Set(weekdays.map { $0 % 7 })
        (isAnyDay, isAnyWeekday) = (fields[2].hasPrefix("*"), fields[4].hasPrefix("*"))
    }

    /// Whether a minute of the schedule lies after one moment and not after another.
    ///
    /// Looks at no more than the last 366 days.
    package func hasMinute(after earlier: Timestamp, through now: Timestamp) -> Bool {
        var minute = now.seconds / 60
        let first = max(earlier.seconds / 60, minute - 366 * 1440)
        while minute > first {
            let (hit, skip) = match(minute)
            if hit { return true }
            minute -= skip
        }
        return false
    }

    /// Whether a minute since 1970 is one of the schedule, and how far back the next that may be lies.
    private func match(_ minute: Int64) -> (Bool, skip: Int64) {
        let text = Timestamp(seconds: minute * 60).text.utf8.map { Int($0) - 48 }
        let (month, day) = (text[5] * 10 + text[6], text[8] * 10 + text[9])
        let ofDay = Int(minute % 1440)
        let weekday = Int((minute / 1440 + 4) % 7)
        let isDay: Bool =
            switch (isAnyDay, isAnyWeekday) {
            case (true, true): true
            case (false, true): days.contains(day)
            case (true, false): weekdays.contains(weekday)
            case (false, false): days.contains(day) || weekdays.contains(weekday)
            }
        guard isDay, months.contains(month) else { return (false, Int64(ofDay) + 1) }
        guard hours.contains(ofDay / 60) else { return (false, Int64(ofDay % 60) + 1) }
        return (minutes.contains(ofDay % 60), 1)
    }

    private static func set(_ field: String, _ range: ClosedRange<Int>) -> Set<Int>? {
        var found: Set<Int> = []
        for part in field.split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
            guard let base = pieces.first, pieces.count <= 2 else { return nil }
            var step = 1
            if pieces.count == 2 {
                guard let number = Int(pieces[1]), number > 0 else { return nil }
                step = number
            }
            let span: ClosedRange<Int>
            if base == "*" {
                span = range
            } else {
                let ends = base.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
                guard let first = ends.first ?? nil, let last = ends.count == 1 ? (pieces.count == 2 ? range.upperBound : first) : ends[1],
                    ends.count <= 2, range.contains(first), range.contains(last), first <= last
                else { return nil }
                span = first...last
            }
            found.formUnion(stride(from: span.lowerBound, through: span.upperBound, by: step))
        }
        return found
    }
}
