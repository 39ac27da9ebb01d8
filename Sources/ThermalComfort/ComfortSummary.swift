/// What a split holds, round by round.
package struct ComfortSummary: Sendable {
    package struct Round: Sendable, Equatable {
        package var rows = 0
        package var cities: Set<String> = []
        package var buildings: Set<Int> = []
        package var labelsFew = 0
        package var labelsFull = 0
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
