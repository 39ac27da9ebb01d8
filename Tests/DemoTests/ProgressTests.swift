import Demo
import Synchronization
import Testing

@Suite struct ProgressTests {
    @Test func `a bar shows the share, the amount, the rate and what remains, within the terminal`() {
        let bar = ProgressBar(title: "train", total: 300, unit: .things("rounds"))
        #expect(
            bar.line(done: 75, elapsed: .seconds(5), width: 100)
                == "train              ███████░░░░░░░░░░░░░░░░░░░░░░░  25 %  75 of 300 rounds, 15 rounds/s, 15 s left")
        for width in [20, 40, 60, 79, 200] { #expect(bar.line(done: 75, elapsed: .seconds(5), width: width).count <= width) }
    }

    @Test func `a log gets the same facts in words`() {
        let bar = ProgressBar(title: "fetch db.csv.gz", total: 3_033_632, unit: .bytes)
        #expect(bar.plain(done: 1_500_000, elapsed: .seconds(2)) == "fetch db.csv.gz: 49 %, 1.5 of 3.0 MB, 0.8 MB/s, 2.0 s left")
        #expect(bar.plain(done: 3_033_632, elapsed: .seconds(4)) == "fetch db.csv.gz: 100 %, 3.0 of 3.0 MB, 0.8 MB/s")
        #expect(bar.summary(done: 3_033_632, elapsed: .seconds(185)) == "fetch db.csv.gz: 3.0 MB in 3 min 05 s")
    }

    @Test func `steps that are counted in thousandths show one decimal`() {
        let bar = ProgressBar(title: "learning", total: 150_000, unit: .thousandths("steps"))
        #expect(bar.plain(done: 37_460, elapsed: .seconds(10)) == "learning: 24 %, 37.5 of 150 steps, 3.7 steps/s, 30 s left")
        #expect(bar.summary(done: 150_000, elapsed: .seconds(41)) == "learning: 150 steps in 41 s")
    }

    @Test func `without a total, before the first half second, at nothing and beyond the end nothing is made up`() {
        let open = ProgressBar(title: "read", total: nil, unit: .things("rows"))
        #expect(open.plain(done: 84_918, elapsed: .milliseconds(100)) == "read: 84,918 rows")
        let empty = ProgressBar(title: "read", total: 0, unit: .things("rows"), isUnicode: false)
        #expect(empty.line(done: 0, elapsed: .seconds(9), width: 80) == "read  0 of 0 rows")
        let over = ProgressBar(title: "read", total: 10, unit: .things("rows"), isUnicode: false)
        #expect(over.line(done: 12, elapsed: .zero, width: 80).contains("100 %"))
        #expect(!over.line(done: 12, elapsed: .zero, width: 80).contains("-"))
    }

    /// What a display writes while its clock is turned by hand.
    private final class Stage: Sendable {
        let now = Mutex(Duration.zero)
        let written = Mutex("")

        func display(isTerminal: Bool) -> ProgressDisplay {
            ProgressDisplay(
                .init(
                    isTerminal: isTerminal, isUnicode: false, width: { 80 }, now: { self.now.withLock { $0 } },
                    write: { text in self.written.withLock { $0 += text } }))
        }
        func pass(_ time: Duration) { now.withLock { $0 += time } }
        var text: String { written.withLock { $0 } }
    }

    @Test func `a log gets no escape codes and at most one line in five seconds`() {
        let stage = Stage()
        let display = stage.display(isTerminal: false)
        display.begin("train", total: 100, unit: .things("rounds"))
        for round in 1...100 {
            stage.pass(.milliseconds(120))
            display.update(round)
        }
        display.note("exported")
        display.end()
        display.end()
        #expect(
            stage.text.split(separator: "\n") == [
                "train: 42 %, 42 of 100 rounds, 8.3 rounds/s, 7.0 s left", "train: 84 %, 84 of 100 rounds, 8.3 rounds/s, 1.9 s left",
                "exported",
                "train: 100 rounds in 12 s",
            ])
    }

    @Test func `a terminal's line is redrawn in place, no more than ten times a second, and ends with a line that stays`() {
        let stage = Stage()
        let display = stage.display(isTerminal: true)
        display.begin("train", total: 1000, unit: .things("rounds"))
        for round in 1...1000 {
            stage.pass(.milliseconds(1))
            display.update(round)
        }
        display.end()
        #expect(stage.text.split(separator: "\r").count == 12)
        #expect(stage.text.filter { $0 == "\n" }.count == 1)
        #expect(stage.text.hasSuffix("train: 1,000 rounds in 1.0 s\n"))
    }
}
