package import Learning

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Gives a program inputs that were changed from a corpus, and keeps those that were answered in a new way to change them further.
///
/// The input that is tried is in a file before it is tried, so that it is there after a crash or a hang.
package struct Fuzzer {
    package enum Verdict: Sendable {
        /// As it should be; inputs of a signature that is new are worth keeping.
        case right(signature: String)
        case wrong(String)
    }

    /// What a run did.
    package struct Result: Sendable {
        package var inputCount = 0
        /// Different answers.
        package var signatureCount = 0
        /// What was wrong, with the file that holds the input; the first ten.
        package var failures: [String] = []
        package var slowest: Duration = .zero
        /// File of the input that took longest.
        package var slowestFile = ""
    }

    private static let poolMax = 4096
    private static let failuresMax = 10
    private let name: String
    private let seed: UInt64
    private var mutator: Mutator
    private var pool: [[UInt8]]
    private let corpusCount: Int
    private let folder: String

    /// Seconds that `make fuzz` gives each target; nil in `make test`, which tries a number of inputs.
    package static var seconds: Double? { getenv("SKERRY_FUZZ_SECONDS").flatMap { Double(String(cString: $0)) } }

    /// - Parameters:
    ///   - corpus: the folder of inputs, one a file.
    ///   - words: what the format is made of.
    package init(_ name: String, corpus: String, words: [String]) throws {
        self.name = name
        seed = getenv("SKERRY_FUZZ_SEED").flatMap { UInt64(String(cString: $0)) } ?? (Self.seconds == nil ? 27 : .random(in: 0 ... .max))
        mutator = Mutator(seed: seed, words: words)
        let files = try FileManager.default.contentsOfDirectory(atPath: corpus).sorted().filter { !$0.hasPrefix(".") }
        pool = try files.map { [UInt8](try Data(contentsOf: URL(filePath: "\(corpus)/\($0)"))) }
        corpusCount = pool.count
        folder = FileManager.default.temporaryDirectory.path + "/skerry-fuzz"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    private func keep(_ input: [UInt8], as suffix: String) -> String {
        let path = "\(folder)/\(name).\(suffix)"
        try? Data(input).write(to: URL(filePath: path))
        return path
    }

    /// Tries the corpus as it is, then changed inputs: `count` of them, or as long as `make fuzz` says.
    package mutating func run(count: Int, _ check: ([UInt8]) async throws -> Verdict) async throws -> Result {
        var result = Result()
        var signatures: Set<String> = []
        let descriptor = open("\(folder)/\(name).input", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        let end = Self.seconds.map { ContinuousClock.now + .seconds($0) }
        while end.map({ ContinuousClock.now < $0 }) ?? (result.inputCount < corpusCount + count) {
            let input =
                result.inputCount < corpusCount
                ? pool[result.inputCount] : mutator.changed(pool.randomElement(using: &mutator.random) ?? [], others: pool)
            ftruncate(descriptor, 0)
            pwrite(descriptor, input, input.count, 0)
            let start = ContinuousClock.now
            let verdict = try await check(input)
            let time = ContinuousClock.now - start
            if time > result.slowest {
                result.slowest = time
                result.slowestFile = keep(input, as: "slowest")
            }
            result.inputCount += 1
            switch verdict {
            case .right(let signature):
                if signatures.insert(signature).inserted, pool.count < Self.poolMax, input.count < 16 << 10 { pool.append(input) }
            case .wrong(let reason):
                result.failures.append("\(reason) (\(keep(input, as: "wrong-\(result.failures.count)")), seed \(seed))")
                if result.failures.count == Self.failuresMax { return result }
            }
        }
        result.signatureCount = signatures.count
        if Self.seconds != nil {
            print("\(name): \(result.inputCount) inputs, \(signatures.count) answers, seed \(seed), slowest \(result.slowest)")
        }
        return result
    }
}
