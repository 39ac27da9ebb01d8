import Crypto

/// What the columns of a job's table are.
package struct TabularRoles: Sendable, Equatable {
    /// Holds the class, or the number; a row where it is empty has no label yet.
    package var label: String
    /// Whether the label is a number to be estimated and no class.
    package var isNumber = false
    /// Together they make a task; may be inputs too. None: all rows are one task.
    package var tasks: [String] = []
    /// No inputs of a model.
    package var ignored: [String] = []
    /// Names a row's site, which gets a correction of its own; no input.
    package var site: String?
    /// Names a row's person, as `site`.
    package var person: String?
    /// Rows with the same word of it belong together: one fold of cross-fitting, one piece of evidence. No input.
    package var group: String?
    /// Names a row for ever; no input. Without it a row is known by what it holds.
    package var id: String?

    /// The rest is set afterwards; nothing is looked up before a table is there.
    package init(label: String) { self.label = label }

    /// Columns that name rows or hold labels.
    var aside: Set<String> { Set(ignored + [label] + [site, person, group, id].compactMap { $0 }) }
    /// All but the inputs that are needed of a row.
    var kept: [String] { [label] + tasks + [site, person, group, id].compactMap { $0 } }
}

/// How a table's rows become numbers and classes, fixed by the first round: numbers as they are, words one-hot.
package struct TabularSchema: Sendable, Equatable {
    /// How a column is read.
    package enum Form: Sendable, Equatable {
        case number
        /// One input for each of these words; others are all 0.
        case words([String])
    }

    /// An input column.
    package struct Column: Sendable, Equatable {
        /// As in line 1.
        package var name: String
        /// Fixed by the first round.
        package var form: Form

        /// One of the schema's columns.
        package init(name: String, form: Form) { (self.name, self.form) = (name, form) }
    }

    /// Words of a column that get an input of their own, the most frequent ones.
    package static let wordsMax = 32
    /// Share of a column's fields that must be numbers for one that is none to be a mistake.
    private static let numberShare = 0.9

    /// What the columns are.
    package let roles: TabularRoles
    /// In the order of line 1 of the first round.
    package let columns: [Column]
    /// Sorted, as numbers where all are; at least two, none where the label is a number.
    package let classNames: [String]

    /// - Parameter columns: in the order of a row's inputs.
    package init(roles: TabularRoles, columns: [Column], classNames: [String]) {
        (self.roles, self.columns, self.classNames) = (roles, columns, classNames)
    }

    /// Looks at a first round.
    ///
    /// - Throws: `TableError` for a column of the roles that is not there, no or one class, no input left, a name that cannot be used.
    package init(_ table: TextTable, roles: TabularRoles) throws(TableError) {
        for name in roles.kept { _ = try table.position(of: name) }
        let labels = try table.words(roles.label)
        let classes = roles.isNumber ? [] : Set(labels).subtracting([""])
        guard let first = labels.first(where: { !$0.isEmpty }) else {
            throw TableError(
                .noLabels,
                "\(table.source), column \"\(roles.label)\": none of \(table.count) rows has a label; label "
                    + (roles.isNumber ? "some" : "rows of two classes"))
        }
        guard roles.isNumber || classes.count > 1 else {
            throw TableError(
                .oneClass,
                "\(table.source), column \"\(roles.label)\": all \(labels.count { !$0.isEmpty }) labelled rows say \"\(first.prefix(40))\";"
                    + " at least two classes are needed")
        }
        guard classes.count <= DeployedModel.namesMax, !classes.contains(where: { $0.contains(where: \.isNewline) }) else {
            throw TableError(
                .column,
                "\(table.source), column \"\(roles.label)\": \(classes.count) different labels, or one with a line break; is it the label?")
        }
        let aside = roles.aside
        var columns: [Column] = []
        for name in table.columns where !aside.contains(name) {
            guard !name.isEmpty, !name.contains(where: { $0 == "=" || $0.isNewline }) else {
                throw TableError(
                    .column,
                    "\(table.source), line 1: the column name \"\(name.prefix(40))\" is empty or holds \"=\"; rename it or ignore it")
            }
            if let form = try Self.form(of: name, table) { columns.append(Column(name: name, form: form)) }
        }
        self.init(roles: roles, columns: columns, classNames: Self.sorted(classes))
        guard !columns.isEmpty, featureNames.count <= DeployedModel.namesMax else {
            throw TableError(
                .column,
                "\(table.source), line 1: \(featureNames.count) inputs are left of \(table.columns.count) columns;"
                    + " 1 to \(DeployedModel.namesMax) can be learned from, look at the ignored columns")
        }
    }

    /// The inputs of a model that was learned from such a table: `column` for numbers, `column=word` for words.
    package init(featureNames: [String], classNames: [String], roles: TabularRoles) {
        var columns: [Column] = []
        for feature in featureNames {
            let parts = feature.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else {
                columns.append(Column(name: feature, form: .number))
                continue
            }
            if let last = columns.last, last.name == parts[0], case .words(let words) = last.form {
                columns[columns.count - 1].form = .words(words + [parts[1]])
            } else {
                columns.append(Column(name: parts[0], form: .words([parts[1]])))
            }
        }
        self.init(roles: roles, columns: columns, classNames: classNames)
    }

    /// Names of a model's inputs, in order.
    package var featureNames: [String] {
        columns.flatMap { column in
            switch column.form {
            case .number: [column.name]
            case .words(let words): words.map { "\(column.name)=\($0)" }
            }
        }
    }

    /// Columns of a table that samples are made of.
    package var neededColumns: [String] {
        var names = columns.map(\.name)
        for name in roles.kept where !names.contains(name) { names.append(name) }
        return names
    }

    /// Nil for a column without any value in the first round: it says nothing.
    private static func form(of name: String, _ table: TextTable) throws(TableError) -> Form? {
        var counts: [String: Int] = [:]
        for word in try table.words(name) where !word.isEmpty { counts[word, default: 0] += 1 }
        guard !counts.isEmpty else { return nil }
        let numbers = counts.filter { Double($0.key) != nil }
        if numbers.count == counts.count { return .number }
        let (numberRows, allRows) = (numbers.values.reduce(0, +), counts.values.reduce(0, +))
        if counts.count > wordsMax, Double(numberRows) >= numberShare * Double(allRows) { return .number }
        let frequent = counts.filter { !$0.key.contains(where: \.isNewline) }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return .words(frequent.prefix(wordsMax).map(\.key).sorted())
    }

    private static func sorted(_ classes: Set<String>) -> [String] {
        let numbers = classes.compactMap { word in Double(word).map { (number: $0, word: word) } }
        guard numbers.count == classes.count else { return classes.sorted() }
        return numbers.sorted { ($0.number, $0.word) < ($1.number, $1.word) }.map(\.word)
    }
}

extension TabularSchema {
    /// Shape [rows, inputs]; NaN where a number is missing.
    ///
    /// - Throws: `TableError` for a missing column, and for a field of a number's column that is none.
    package func features(_ table: TextTable) throws(TableError) -> FeatureMatrix {
        var positions: [Int] = []
        for column in columns { positions.append(try table.position(of: column.name)) }
        var matrix = FeatureMatrix(columnNames: featureNames)
        for (row, fields) in table.rows.enumerated() {
            var values: [Float] = []
            values.reserveCapacity(matrix.columnCount)
            for (column, position) in zip(columns, positions) {
                switch column.form {
                case .number:
                    do {
                        values.append(
                            try csvNumber(fields[position], line: table.lines[row], column: column.name).map { Float($0) } ?? .nan)
                    } catch {
                        throw TableError(.malformed, "\(table.file(row)), \(error)")
                    }
                    guard !values.last!.isInfinite else {
                        throw TableError(
                            .malformed,
                            "\(table.place(row)), column \"\(column.name)\": \(fields[position].prefix(40)) is beyond"
                                + " single precision; correct it or leave it empty")
                    }
                case .words(let words): for word in words { values.append(fields[position] == word ? 1 : 0) }
                }
            }
            matrix.append(values)
        }
        return matrix
    }

    /// The class of each row; nil where it has no label.
    ///
    /// - Throws: `TableError` for a missing column and for a class that the first round did not have.
    package func labels(_ table: TextTable) throws(TableError) -> [Int?] {
        let known = Dictionary(uniqueKeysWithValues: classNames.enumerated().map { ($1, $0) })
        var labels: [Int?] = []
        for (row, word) in try table.words(roles.label).enumerated() {
            if word.isEmpty {
                labels.append(nil)
            } else if let label = known[word] {
                labels.append(label)
            } else {
                throw TableError(
                    .newClass,
                    "\(table.place(row)), column \"\(roles.label)\": the label \"\(word.prefix(40))\" is new; the first"
                        + " round had \(classNames.prefix(20).joined(separator: ", ")): correct it, or begin a new job with all classes")
            }
        }
        return labels
    }

    /// The number of each row; nil where it has no label.
    ///
    /// - Throws: `TableError` for a missing column and for a label that is no number.
    package func numbers(_ table: TextTable) throws(TableError) -> [Float?] {
        let position = try table.position(of: roles.label)
        var numbers: [Float?] = []
        for (row, fields) in table.rows.enumerated() {
            do {
                numbers.append(try csvNumber(fields[position], line: table.lines[row], column: roles.label).map { Float($0) })
            } catch {
                throw TableError(.malformed, "\(table.file(row)), \(error)")
            }
            guard numbers.last??.isFinite ?? true else {
                throw TableError(
                    .malformed,
                    "\(table.place(row)), column \"\(roles.label)\": \(fields[position].prefix(40)) is beyond single precision; correct it")
            }
        }
        return numbers
    }

    /// The attribute under which learners find the words that rows belong together by.
    package static let groupAttribute = "group"

    /// The rows as the stages of lifelong learning see them: attributes are the task columns by their names, `site`, `person` and `group`.
    ///
    /// - Parameter ids: one a row.
    /// - Throws: `TableError`.
    package func samples(_ table: TextTable, ids: [Int]) throws(TableError) -> LifelongSamples {
        var attributes: [String: [String]] = [:]
        let none = [String](repeating: "", count: table.count)
        for name in roles.tasks { attributes[name] = try table.words(name) }
        // Rows to be predicted may come without a site, person or group; rows to be learned from are checked to have them before.
        for (attribute, column) in [("site", roles.site), ("person", roles.person), (Self.groupAttribute, roles.group)] {
            if let column, table.columns.contains(column) {
                attributes[attribute] = try table.words(column)
            } else {
                attributes[attribute] = none
            }
        }
        let groups = attributes[Self.groupAttribute]!
        let folds = ids.indices.map { row in
            let key = groups[row].isEmpty ? "row \(ids[row])" : groups[row]
            return Int(Self.hash(of: [key]) % UInt64(PartialPooling.foldCount))
        }
        return LifelongSamples(ids: ids, features: try features(table), attributes: attributes, folds: folds)
    }

    /// A name for each row that the same row has wherever it is met again: by its id column, else by all it holds but the label, and which of
    /// several alike it is. Below 2⁵³, so that every reader of JSON keeps it.
    ///
    /// - Parameter others: names of rows that none of these is.
    /// - Throws: `TableError` for a missing column, and for an id that is empty or occurs twice.
    package func ids(_ table: TextTable, besides others: Set<Int> = []) throws(TableError) -> [Int] {
        if let column = roles.id { return try ids(table, by: column) }
        let label = try table.position(of: roles.label)
        var occurrences: [UInt64: Int] = [:]
        var taken = others
        return table.rows.map { row in
            var fields = row
            fields[label] = ""
            let hash = Self.hash(of: fields)
            var id: Int
            repeat {
                let occurrence = occurrences[hash, default: 0]
                occurrences[hash] = occurrence + 1
                id = occurrence == 0 ? Int(hash) : Int(Self.hash(of: fields + ["\(occurrence)"]))
            } while !taken.insert(id).inserted
            return id
        }
    }

    private func ids(_ table: TextTable, by column: String) throws(TableError) -> [Int] {
        var rowOfID: [Int: Int] = [:]
        var ids: [Int] = []
        for (row, word) in try table.words(column).enumerated() {
            let id = Int(Self.hash(of: [word]))
            let earlier = rowOfID.updateValue(row, forKey: id)
            guard !word.isEmpty, earlier == nil else {
                throw TableError(
                    .column,
                    "\(table.place(row)), column \"\(column)\": "
                        + (word.isEmpty ? "a row without a name" : "\"\(word.prefix(40))\" names a second row") + "; give each row its own")
            }
            ids.append(id)
        }
        return ids
    }

    /// The first 53 bits of SHA-256 of the fields.
    private static func hash(of fields: [String]) -> UInt64 {
        let digest = SHA256.hash(data: Array(fields.joined(separator: "\u{1f}").utf8))
        return digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } >> 11
    }
}

extension TabularSchema {
    func write(to writer: inout StateWriter) {
        writer.write(roles.label)
        writer.write(roles.isNumber)
        writer.write(roles.tasks)
        writer.write(roles.ignored)
        for name in [roles.site, roles.person, roles.group, roles.id] { writer.write(name.map { [$0] } ?? []) }
        writer.write(count: columns.count)
        for column in columns {
            writer.write(column.name)
            if case .words(let words) = column.form {
                writer.write(true)
                writer.write(words)
            } else {
                writer.write(false)
            }
        }
        writer.write(classNames)
    }

    /// - Throws: `.damaged`.
    init(from reader: inout StateReader) throws(StateError) {
        var roles = TabularRoles(label: try reader.text())
        roles.isNumber = try reader.claim()
        roles.tasks = try reader.texts()
        roles.ignored = try reader.texts()
        roles.site = try reader.texts().first
        roles.person = try reader.texts().first
        roles.group = try reader.texts().first
        roles.id = try reader.texts().first
        var columns: [Column] = []
        for _ in 0..<(try reader.count(of: "columns", elementBytes: 5)) {
            let name = try reader.text()
            columns.append(Column(name: name, form: try reader.claim() ? .words(try reader.texts()) : .number))
        }
        let classes = try reader.texts()
        let schema = TabularSchema(roles: roles, columns: columns, classNames: classes)
        let names = schema.featureNames + classes
        guard !columns.isEmpty, roles.isNumber ? classes.isEmpty : (2...DeployedModel.namesMax).contains(classes.count),
            schema.featureNames.count <= DeployedModel.namesMax,
            Set(schema.featureNames).count == schema.featureNames.count, Set(classes).count == classes.count,
            !schema.featureNames.isEmpty, names.allSatisfy({ !$0.isEmpty && !$0.contains("\n") })
        else { throw .damaged(reason: "its table has columns or classes that no model can have") }
        self = schema
    }
}
