/// Who of a server's new connections gets on next. Pure.
///
///     arrived ─► at once, while few have and nobody waits
///        └─► waiting: urgent, or patient behind them ─ next ─► some at a time, one of them patient
package struct HandshakeOrder<Turn> {
    /// Connections in the order in which they came.
    private struct Deck {
        private var turns: [Turn] = []
        private var head = 0
        var isEmpty: Bool { head == turns.count }

        mutating func add(_ turn: Turn) { turns.append(turn) }

        mutating func next(_ isThere: (Turn) -> Bool) -> Turn? {
            while head < turns.count {
                let turn = turns[head]
                head += 1
                if isThere(turn) { return turn }
            }
            turns = []
            head = 0
            return nil
        }
    }

    /// Steps that are taken before the server looks at its other connections.
    package let stepsMax: Int
    /// First requests of those who can wait that are answered at a time.
    package let answersMax: Int
    private var urgent = Deck()
    private var patient = Deck()
    /// Steps since `next` was asked last.
    private var steps = 0
    private var answering = 0

    /// Nobody has come yet.
    package init(stepsMax: Int, answersMax: Int) {
        self.stepsMax = stepsMax
        self.answersMax = answersMax
    }

    /// A connection has something to say that costs.
    ///
    /// - Returns: whether it may at once; else it waits, and `next` will name it.
    package mutating func arrived(_ turn: Turn, isPatient: Bool) -> Bool {
        let isFree = urgent.isEmpty && (!isPatient || patient.isEmpty && answering < answersMax)
        if isFree, steps < stepsMax {
            steps += 1
            return true
        }
        if isPatient { patient.add(turn) } else { urgent.add(turn) }
        return false
    }

    /// Who gets on now; to be asked again after a look at the other connections, until it is nobody.
    package mutating func next(isThere: (Turn) -> Bool) -> [Turn] {
        var turns: [Turn] = []
        // Of many that are urgent none shuts out those who can wait.
        takePatient(&turns, 1, isThere)
        while turns.count < stepsMax, let turn = urgent.next(isThere) { turns.append(turn) }
        takePatient(&turns, stepsMax, isThere)
        steps = turns.count
        return turns
    }

    private mutating func takePatient(_ turns: inout [Turn], _ count: Int, _ isThere: (Turn) -> Bool) {
        while answering < answersMax, turns.count < count, let turn = patient.next(isThere) { turns.append(turn) }
    }

    /// The first request of one that can wait is being answered.
    package mutating func asked() { answering += 1 }

    /// It has been, or its connection is gone.
    package mutating func answered() { answering -= 1 }
}
