/// What a split holds, round by round.
package struct ComfortSummary: Sendable {
    /// Counts over the rows of one round.
    package struct Round: Sendable, Equatable {
        /// Pool and test together.
        package var rows = 0
        /// Names as in `Building.city`; "nan" counts as one.
        package var cities: Set<String> = []
        /// Ids as in `Building.id`.
        package var buildings: Set<Int> = []
        /// Pool rows that may be learned from when few labels are bought.
        package var labelsFew = 0
        /// Pool rows that may be learned from when all labels are bought.
        package var labelsFull = 0
        /// Rows that only judge.
        package var test = 0
    }

    /// By round number.
    package let rounds: [Round]

    /// - Parameter rows: name only records of the database.
    package init(database: ComfortDatabase, rows: [SplitRow]) {
        let building = Dictionary(uniqueKeysWithValues: database.records.map { ($0.recordID, $0.buildingID) })
        var rounds = [Round](repeating: Round(), count: ComfortSplit.roundCount)
        for row in rows {
            let id = building[row.recordID]!
            rounds[row.round].rows += 1
            rounds[row.round].cities.insert(database.buildings[id]!.city)
            rounds[row.round].buildings.insert(id)
            rounds[row.round].labelsFew += row.isLabelledFew ? 1 : 0
            rounds[row.round].labelsFull += row.isLabelledFull ? 1 : 0
            rounds[row.round].test += row.part == .test ? 1 : 0
        }
        self.rounds = rounds
    }
}
