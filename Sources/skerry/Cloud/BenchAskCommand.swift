import ArgumentParser
import KubernetesClient
import Resources

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `skerry bench hub` starts to see how the API answers meanwhile; not for people. Prints a line for each request.
struct BenchAskCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask", abstract: "Ask a cloud until SIGTERM, in turn for a Node and to write a ConfigMap.", shouldDisplay: false)

    @Argument(help: "Kubeconfig of the cloud.") var kubeconfig: String
    @Option(help: "Nodes that there are, named node-0 and so on.") var nodes: Int
    @Option(help: "Requests a second.") var rate = 20

    func validate() throws { if nodes < 1 || rate < 1 { throw ValidationError("--nodes and --rate need at least 1") } }

    func run() async throws {
        let signals = TerminationSignals()
        let client = try RESTClient(
            try Kubeconfig(path: kubeconfig, read: ForeignCluster.read).access(context: nil), userAgent: "bench", read: ForeignCluster.read)
        let begin = ContinuousClock.now
        var number = 0
        // What is under way at the end is waited for.
        await withDiscardingTaskGroup { group in
            while !signals.hasCome {
                let (turn, due) = (number, begin + .seconds(1) * number / rate)
                number += 1
                try? await Task.sleep(until: due)
                group.addTask {
                    let failure = await ask(client, turn)
                    let line = Answers.line(due: (due - begin) / .milliseconds(1), took: (.now - due) / .milliseconds(1), failure)
                    try? say(line)
                }
            }
        }
        await client.close()
    }

    private static let settings = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")

    /// - Returns: why there was no answer, or a refusal; nil for a good one.
    private func ask(_ client: RESTClient, _ turn: Int) async -> String? {
        do throws(APIStatus) {
            if turn % 2 == 0 {
                _ = try await client.get(.node, ObjectKey(name: "node-\(turn % nodes)"))
            } else {
                // Each of its own for a while: writers of one object that come together are refused in the end, as anywhere.
                let key = ObjectKey(namespace: "default", name: "bench-\(turn % Self.settingsCount)")
                _ = try await client.patch(Self.settings, key, Self.patch(key, turn), part: .whole)
            }
            return nil
        } catch { return "\(error.code) \(error.message)" }
    }

    private static let settingsCount = 200

    private static func patch(_ key: ObjectKey, _ turn: Int) -> ObjectPatch {
        let object: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["namespace": .string(key.namespace), "name": .string(key.name)],
            "data": ["turn": .string("\(turn)")],
        ]
        return ObjectPatch(.apply, object, fieldManager: "bench", isForced: true)
    }

    /// What became of the requests.
    struct Answers {
        /// From when each was due, in order; of those that were answered well.
        private(set) var milliseconds: [Double] = []
        private(set) var failures: [String] = []

        /// Of a request: when it was due, how long it took, why it failed.
        static func line(due: Double, took: Double, _ failure: String?) -> String {
            let reason = (failure ?? "ok").replacing("\n", with: " ")
            return "\(fixed(due, decimals: 1)) \(fixed(took, decimals: 1)) \(reason)"
        }

        /// Reads what `line` has written; other lines are left out.
        init(text: String) {
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ", maxSplits: 2)
                guard words.count == 3, let took = Double(words[1]) else { continue }
                if words[2] == "ok" { milliseconds.append(took) } else { failures.append("\(line)") }
            }
            milliseconds.sort()
        }

        /// That within which so many of them were answered; nil without any.
        func latency(_ share: Double) -> Double? {
            milliseconds.isEmpty ? nil : milliseconds[min(milliseconds.count - 1, Int(Double(milliseconds.count) * share))]
        }
    }
}
