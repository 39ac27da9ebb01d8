#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What else a machine's processors did while something was measured: times of a busy machine, or of one whose host is, are no figures.
struct BenchMachine {
    private struct Times {
        var all = 0.0, idle = 0.0, stolen = 0.0, own = 0.0

        static var now: Times {
            let line = (try? ProcessFiles.read("/proc/stat"))?.prefix { $0 != "\n" } ?? ""
            // user nice system idle iowait irq softirq steal, and guests, who are in user.
            let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { Double($0) }
            guard ticks.count == 8 else { return Times() }
            let unit = Double(sysconf(Int32(_SC_CLK_TCK)))
            var times = Times(all: ticks.reduce(0, +) / unit, idle: (ticks[3] + ticks[4]) / unit, stolen: ticks[7] / unit)
            for who in [RUSAGE_SELF, RUSAGE_CHILDREN] {
                var use = rusage()
                #if canImport(Glibc)
                    getrusage(who.rawValue, &use)
                #else
                    getrusage(who, &use)
                #endif
                for time in [use.ru_utime, use.ru_stime] { times.own += Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
            }
            return times
        }
    }

    private let begin = Times.now

    /// One line about the time since it was made; children count once they have been waited for.
    var words: String {
        let end = Times.now, all = max(end.all - begin.all, 0.01)
        let stolen = end.stolen - begin.stolen
        let others = max(0, all - (end.idle - begin.idle) - stolen - (end.own - begin.own))
        func percent(_ time: Double) -> String { "\(Int((100 * time / all).rounded())) %" }
        return "of the processors' time meanwhile: \(percent(stolen)) taken by the machine's host, \(percent(others)) by other programs"
    }
}
