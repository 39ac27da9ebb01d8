import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Shows progress while work runs: a bar that is redrawn on a terminal, now and then a plain line in a log.
///
/// May be called from any thread. One piece of work is shown at a time; beginning the next ends the last.
package final class ProgressDisplay: Sendable {
    /// Where lines go and what time it is.
    package struct Surroundings: Sendable {
        /// Whether lines may be redrawn; else they are written one below the other.
        package var isTerminal: Bool
        /// Whether bars may have block characters; else they are of ASCII.
        package var isUnicode: Bool
        /// Columns of the terminal at this moment.
        package var width: @Sendable () -> Int
        /// Time since any fixed moment.
        package var now: @Sendable () -> Duration
        /// Takes text as it is, control sequences and line feeds included; may be called from any thread.
        package var write: @Sendable (String) -> Void

        /// The real ones come from `standardError(environment:)`; tests bring a clock and a text of their own.
        package init(
            isTerminal: Bool, isUnicode: Bool, width: @escaping @Sendable () -> Int, now: @escaping @Sendable () -> Duration,
            write: @escaping @Sendable (String) -> Void
        ) {
            self.isTerminal = isTerminal
            self.isUnicode = isUnicode
            self.width = width
            self.now = now
            self.write = write
        }

        /// Standard error of this process.
        package static func standardError(environment: [String: String]) -> Surroundings {
            let language = environment["LC_ALL"] ?? environment["LC_CTYPE"] ?? environment["LANG"] ?? ""
            let start = ContinuousClock.now
            return Surroundings(
                isTerminal: isatty(STDERR_FILENO) == 1 && environment["TERM"] != "dumb",
                isUnicode: language.uppercased().contains("UTF-8") || language.uppercased().contains("UTF8"),
                width: {
                    var size = winsize()
                    return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
                },
                now: { ContinuousClock.now - start },
                write: { text in
                    let bytes = Array(text.utf8)
                    // Nobody is left to tell when standard error itself fails.
                    _ = systemWrite(STDERR_FILENO, bytes, bytes.count)
                })
        }
    }

    private struct Work {
        var bar: ProgressBar
        var start: Duration
        var done = 0
        var shown: Duration?
    }

    /// A terminal is redrawn at most this often.
    private static let redrawInterval = Duration.milliseconds(100)
    /// A log gets at most one line in this time.
    private static let logInterval = Duration.seconds(5)
    private let surroundings: Surroundings
    private let work = Mutex<Work?>(nil)

    /// Writes nothing by itself.
    package init(_ surroundings: Surroundings) { self.surroundings = surroundings }

    /// Begins a piece of work.
    package func begin(_ title: String, total: Int? = nil, unit: ProgressBar.Unit) {
        end()
        let bar = ProgressBar(title: title, total: total, unit: unit, isUnicode: surroundings.isUnicode)
        work.withLock {
            $0 = Work(bar: bar, start: surroundings.now())
            if surroundings.isTerminal { show(&$0!, force: true) }
        }
    }

    /// Tells how much is done of what was begun; cheap enough for a tight loop.
    package func update(_ done: Int) {
        work.withLock {
            guard $0 != nil else { return }
            $0!.done = done
            show(&$0!, force: false)
        }
    }

    /// Ends what was begun with a line that stays; harmless when nothing was.
    package func end() {
        work.withLock {
            guard let ended = $0 else { return }
            let line = ended.bar.summary(done: ended.done, elapsed: surroundings.now() - ended.start)
            surroundings.write("\(clear)\(line)\n")
            $0 = nil
        }
    }

    /// Writes a line for people; a bar moves below it.
    package func note(_ line: String) {
        work.withLock {
            surroundings.write("\(clear)\(line)\n")
            if surroundings.isTerminal, $0 != nil { show(&$0!, force: true) }
        }
    }

    /// Back to the first column and nothing on the line.
    private var clear: String { surroundings.isTerminal ? "\r\u{1b}[K" : "" }

    private func show(_ work: inout Work, force: Bool) {
        let now = surroundings.now()
        let interval = surroundings.isTerminal ? Self.redrawInterval : Self.logInterval
        guard force || now - (work.shown ?? work.start) >= interval else { return }
        work.shown = now
        let elapsed = now - work.start
        if surroundings.isTerminal {
            surroundings.write("\(clear)\(work.bar.line(done: work.done, elapsed: elapsed, width: surroundings.width() - 1))")
        } else {
            surroundings.write("\(work.bar.plain(done: work.done, elapsed: elapsed))\n")
        }
    }
}

/// `write` of the C library; inside `Surroundings` that name is taken.
private func systemWrite(_ descriptor: Int32, _ bytes: [UInt8], _ count: Int) -> Int { write(descriptor, bytes, count) }
