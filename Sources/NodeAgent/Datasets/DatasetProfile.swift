import Resources

#if canImport(Glibc)
    import Glibc
#endif

/// What the values of one column are like. Pure; memory is bounded whatever the column holds.
struct ColumnProfile: Sendable, Hashable {
    /// Different values that are told apart and counted; a column with more has none that are.
    static let valuesMax = 32
    /// Bytes of a value that is told apart.
    private static let valueBytesMax = 128
    /// Numbers kept for comparing distributions.
    private static let sampleMax = 1024

    let name: String
    /// Values that are there.
    private(set) var count: Int64 = 0
    private(set) var missing: Int64 = 0
    /// Values that are no numbers.
    private(set) var texts: Int64 = 0
    private(set) var minimum = Double.infinity
    private(set) var maximum = -Double.infinity
    private var mean = 0.0
    /// By value; nil once there are too many.
    private(set) var values: [String: Int64]? = [:]
    /// Numbers drawn from all that came, each as likely as any other.
    private var sample: [Double] = []
    private var lots: UInt64 = 0x9E37_79B9_7F4A_7C15

    init(_ name: String) { self.name = name }

    /// Takes one field: empty and `NA` are missing, as everywhere here.
    mutating func take(_ field: UnsafeBufferPointer<UInt8>) {
        if field.isEmpty || field.count == 2 && field[0] == UInt8(ascii: "N") && field[1] == UInt8(ascii: "A") {
            missing += 1
            return
        }
        count += 1
        if values != nil { addValue(field) }
        guard texts == 0, let number = Self.number(field) else {
            texts += 1
            return
        }
        minimum = min(minimum, number)
        maximum = max(maximum, number)
        mean += (number - mean) / Double(count)
        if sample.count < Self.sampleMax {
            sample.append(number)
        } else {
            lots = lots &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let place = (lots >> 33) % UInt64(count)
            if place < Self.sampleMax { sample[Int(place)] = number }
        }
    }

    private mutating func addValue(_ field: UnsafeBufferPointer<UInt8>) {
        guard field.count <= Self.valueBytesMax else {
            values = nil
            return
        }
        values![String(decoding: field, as: UTF8.self), default: 0] += 1
        if values!.count > Self.valuesMax { values = nil }
    }

    /// A finite decimal number; nil for any other text. Short ones are read without making a text of them.
    static func number(_ field: UnsafeBufferPointer<UInt8>) -> Double? {
        var (digits, fraction, index, value) = (0, 0, 0, UInt64(0))
        let isNegative = field.first == UInt8(ascii: "-")
        if isNegative { index = 1 }
        var hasPoint = false
        while index < field.count, digits <= 15 {
            let byte = field[index]
            if (0x30...0x39).contains(byte) {
                value = value * 10 + UInt64(byte - 0x30)
                digits += 1
                if hasPoint { fraction += 1 }
            } else if byte == UInt8(ascii: "."), !hasPoint {
                hasPoint = true
            } else {
                break
            }
            index += 1
        }
        if index == field.count, digits > 0, digits <= 15 {
            // Both are exact as doubles, so the quotient is the nearest number.
            let number = Double(value) / Self.powers[fraction]
            return isNegative ? -number : number
        }
        guard field.count <= 64, let number = Double(String(decoding: field, as: UTF8.self)), number.isFinite else { return nil }
        return number
    }

    private static let powers: [Double] = (0...15).map { exponent in (0..<exponent).reduce(1.0) { power, _ in power * 10 } }

    /// `number`, `text`, or `empty` while nothing has come.
    var type: String { count == 0 ? "empty" : texts == 0 ? "number" : "text" }

    /// As in a Dataset's status.
    var json: JSON {
        var json: JSON = ["name": .string(name), "type": .string(type), "missing": .integer(missing)]
        if let values, count > 0 { json["distinct"] = .integer(Int64(values.count)) }
        if type == "number" {
            json["min"] = .decimal("\(minimum)")
            json["max"] = .decimal("\(maximum)")
            json["mean"] = .decimal("\(mean)")
        }
        return json
    }

    // MARK: Keeping

    /// Numbers of the sample that are kept; drift is told by tenths.
    private static let keptMax = 256

    /// What another state of the column is compared with.
    var kept: JSON {
        var json: JSON = ["name": .string(name), "count": .integer(count), "texts": .integer(texts)]
        if let values { json["values"] = .object(JSONObject(values.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value)) })) }
        let sorted = sample.sorted()
        let numbers = sorted.count <= Self.keptMax ? sorted : (0..<Self.keptMax).map { sorted[$0 * sorted.count / Self.keptMax] }
        json["sample"] = .array(numbers.map { .decimal("\($0)") })
        return json
    }

    /// Reads what `kept` has written; nil for anything else.
    init?(kept json: JSON) {
        guard let name = json["name"]?.string, let count = json["count"]?.integer, let texts = json["texts"]?.integer,
            let sample = json["sample"]?.array?.map(\.number), sample.count <= Self.keptMax, !sample.contains(nil)
        else { return nil }
        self.init(name)
        (self.count, self.texts, self.sample) = (count, texts, sample.compactMap { $0 })
        values = json["values"]?.object.map { members in
            Dictionary(members.compactMap { name, count in count.integer.map { (name, $0) } }, uniquingKeysWith: { $1 })
        }
    }

    // MARK: Drift

    /// Values of both columns below which nothing is said.
    private static let comparedMin: Int64 = 100

    /// The population stability index of this column against an earlier state of it: 0 for equal distributions, above 0.25 by convention
    /// another distribution. Nil where too little is known.
    func stabilityIndex(against old: ColumnProfile) -> Double? {
        guard count >= Self.comparedMin, old.count >= Self.comparedMin, type == old.type else { return nil }
        if type == "number" { return Self.index(Self.shares(sample, old.sample)) }
        guard let values, let before = old.values else { return nil }
        let names = Set(values.keys).union(before.keys).sorted()
        return Self.index(
            names.map { (Double(values[$0] ?? 0) / Double(count), Double(before[$0] ?? 0) / Double(old.count)) })
    }

    /// Shares of both samples between the tenths of the old one.
    private static func shares(_ new: [Double], _ old: [Double]) -> [(Double, Double)] {
        let sorted = old.sorted()
        var edges: [Double] = []
        for tenth in 1..<10 {
            let edge = sorted[sorted.count * tenth / 10]
            if edge != edges.last { edges.append(edge) }
        }
        func counts(_ sample: [Double]) -> [Double] {
            var counts = [Double](repeating: 0, count: edges.count + 1)
            for value in sample { counts[edges.firstIndex { value <= $0 } ?? edges.count] += 1 / Double(sample.count) }
            return counts
        }
        return Array(zip(counts(new), counts(old)))
    }

    private static func index(_ shares: [(new: Double, old: Double)]) -> Double {
        shares.reduce(0) { sum, share in
            let (new, old) = (max(share.new, 1e-4), max(share.old, 1e-4))
            return sum + (new - old) * log(new / old)
        }
    }
}

/// What the columns of a data set are like. Pure.
struct DatasetProfile: Sendable, Hashable {
    /// Columns that are looked at; further ones are read and not described.
    static let columnsMax = 128
    /// Different labels that are counted.
    static let labelsMax = 64

    private(set) var columns: [ColumnProfile]
    private let labelPlace: Int?
    /// By value; nil where no column is the label, or it has too many values to be classes.
    private(set) var labels: [String: Int64]?

    /// - Parameters:
    ///   - names: of the header.
    ///   - label: the column with the label; nil for none.
    init(_ names: [String], label: String?) {
        columns = names.prefix(Self.columnsMax).map { ColumnProfile($0) }
        labelPlace = label.flatMap { names.firstIndex(of: $0) }
        labels = labelPlace == nil ? nil : [:]
    }

    /// What another state of the data set is compared with.
    var kept: JSON { .array(columns.map(\.kept)) }

    /// Reads what `kept` has written; nil for anything else.
    init?(kept json: JSON) {
        guard let items = json.array, items.count <= Self.columnsMax else { return nil }
        columns = items.compactMap { ColumnProfile(kept: $0) }
        (labelPlace, labels) = (nil, nil)
        guard columns.count == items.count else { return nil }
    }

    /// - Returns: the number of fields.
    mutating func take(_ row: UnsafeBufferPointer<UInt8>) -> Int {
        RecordScanner.fields(row) { place, field in
            if place < columns.count { columns[place].take(field) }
            if place == labelPlace, labels != nil, !field.isEmpty { addLabel(field) }
        }
    }

    private mutating func addLabel(_ field: UnsafeBufferPointer<UInt8>) {
        labels![String(decoding: field.prefix(128), as: UTF8.self), default: 0] += 1
        if labels!.count > Self.labelsMax { labels = nil }
    }

    /// Above this a column has another distribution.
    static let driftThreshold = 0.25

    /// Columns that are distributed otherwise than before, the worst first; nil where nothing can be said.
    func drift(since old: DatasetProfile) -> [(column: String, index: Double)]? {
        indexes(since: old).map { $0.filter { $0.index > Self.driftThreshold } }
    }

    /// Population stability index of every column that can be compared, the worst first; nil where none can.
    func indexes(since old: DatasetProfile) -> [(column: String, index: Double)]? {
        let before = Dictionary(old.columns.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let indexes = columns.compactMap { column in
            before[column.name].flatMap { column.stabilityIndex(against: $0) }.map { (column: column.name, index: $0) }
        }
        return indexes.isEmpty ? nil : indexes.sorted { $0.index > $1.index }
    }
}
