import Storage
import Synchronization

/// The newest lines of watches that show objects as they are stored: what a thousand watches send of one change is written once.
///
/// Holds at most `linesMax` lines of at most `lineBytesMax` bytes; beyond, the oldest go.
final class WatchLines: Sendable {
    private static let linesMax = 64
    private static let lineBytesMax = 32 << 10

    private struct Key: Hashable {
        let type: String
        let revision: Int64
    }

    private struct Kept {
        var lines: [Key: [UInt8]] = [:]
        /// In the order they came.
        var keys: [Key] = []
    }

    private let kept = Mutex(Kept())

    /// One line of a watch, with its end.
    ///
    /// - Parameters:
    ///   - type: `ADDED`, `MODIFIED` or `DELETED`.
    ///   - revision: of the change; one belongs to one change of one object.
    func line(_ type: String, _ value: RevisionedValue, revision: Int64) -> [UInt8] {
        let key = Key(type: type, revision: revision)
        if let line = kept.withLock({ $0.lines[key] }) { return line }
        var line: [UInt8] = []
        line.reserveCapacity(value.bytes.count + 96)
        line.append(contentsOf: "{\"type\":\"\(type)\",\"object\":".utf8)
        ObjectBytes.text(value, revision: revision, into: &line)
        line.append(contentsOf: "}\n".utf8)
        guard line.count <= Self.lineBytesMax else { return line }
        kept.withLock { kept in
            guard kept.lines.updateValue(line, forKey: key) == nil else { return }
            kept.keys.append(key)
            if kept.keys.count > Self.linesMax { kept.lines[kept.keys.removeFirst()] = nil }
        }
        return line
    }
}
