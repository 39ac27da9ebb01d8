#if canImport(Glibc)
    /// Which clients ask again and again at the same time: whoever asked in one of the last two rounds is expected in the next one.
    struct Companions {
        /// Waits in a row for which nobody came; from this many on some rounds pass without a wait.
        private static let fruitlessMax = 3
        private static let pauseRoundsMax = 256
        private var round = 1
        /// Each once; those of the round before and of the one before that.
        private var recent: [LoopConnection] = []
        private var fruitless = 0
        private var pause = 0

        /// How many are expected and have not asked yet.
        var missing: Int { recent.count { !$0.isAsking && !$0.isWaiting && !$0.isClosed } }

        /// Whether waiting has been of use lately.
        var mayWait: Bool { pause == 0 }

        /// A round begins to be answered.
        ///
        /// - Parameter askers: whose requests are; they are marked as asking.
        mutating func asked(_ askers: [LoopConnection]) {
            round += 1
            if pause > 0 { pause -= 1 }
            recent.removeAll { $0.round < round - 1 || $0.isClosed || $0.isAsking }
            for connection in askers { connection.round = round }
            recent += askers
        }

        /// A wait is over.
        mutating func waited(isFruitless: Bool) {
            fruitless = isFruitless ? fruitless + 1 : 0
            if fruitless >= Self.fruitlessMax { pause = min(1 << min(fruitless, 8), Self.pauseRoundsMax) }
        }
    }
#endif
