import Network
import Resources
import Synchronization
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A cloud under the load of many writers is killed at random moments: what it acknowledged is there, the rest is whole or absent.
@Suite(.offThePool) final class CloudCrashTests: Sendable {
    /// Kills; `make prove-storage` asks for many.
    private static var kills: Int { getenv("SKERRY_KILLS").flatMap { Int(String(cString: $0)) } ?? 30 }
    private static let writerCount = 16
    /// Lives of one store before it is begun anew, so that it stays small.
    private static let livesOfAStore = 50
    private static let maps = "/api/v1/namespaces/default/configmaps"

    /// One state of an object, as the server told it or as it was asked for.
    private struct State: Equatable {
        var number: String
        var text: String

        init(number: Int) {
            self.number = String(number)
            text = String(repeating: "state \(number);", count: [1, 20, 700, 4000][number % 4])
        }

        init?(_ object: JSON?) {
            guard let number = object?["data"]?["number"]?.string, let text = object?["data"]?["text"]?.string else { return nil }
            (self.number, self.text) = (number, text)
        }

        func object(_ name: String) -> JSON {
            [
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name)],
                "data": ["number": .string(number), "text": .string(text)],
            ]
        }
    }

    private struct Promises {
        /// Newest acknowledged state; nil inside for a deleted object.
        var kept: [String: State?] = [:]
        /// What was asked for and never answered.
        var uncertain: [String: State?] = [:]
        var acknowledgedCount = 0
    }

    private let promises = Mutex(Promises())

    /// Creates, replaces, patches and deletes objects of its own until the connection breaks.
    private func write(_ writer: Int, over client: PooledHTTPClient, from first: Int) async {
        for number in first... {
            let name = "w\(writer)-\(number % 5)"
            let current = promises.withLock { $0.kept[name] ?? nil }
            let state = State(number: number)
            let isDeletion = current != nil && number % 7 == 0
            promises.withLock { $0.uncertain[name] = .some(isDeletion ? nil : state) }
            let path = "\(Self.maps)/\(name)"
            do {
                let answer =
                    switch current {
                    case nil: try await CloudConnection.send(client, "POST", Self.maps, state.object(name))
                    case _ where isDeletion: try await CloudConnection.send(client, "DELETE", path)
                    case _ where number % 2 == 0:
                        try await CloudConnection.send(
                            client, "PATCH", path, ["data": ["number": .string(state.number), "text": .string(state.text)]],
                            contentType: "application/merge-patch+json")
                    default: try await CloudConnection.send(client, "PUT", path, state.object(name))
                    }
                guard (200..<300).contains(answer.status) else {
                    Issue.record("\(name), number \(number): \(answer.status) \(answer.object.text)")
                    return
                }
                promises.withLock { promises in
                    promises.kept[name] = .some(isDeletion ? nil : state)
                    promises.uncertain[name] = nil
                    promises.acknowledgedCount += 1
                }
            } catch {
                return
            }
        }
    }

    /// What is there now is what is promised from here on.
    private func check(_ cloud: Cloud, _ life: Int) async throws {
        let client = try CloudConnection(kubeconfig: "\(cloud.folder)/admin.kubeconfig").open()
        let list = try await CloudConnection.send(client, "GET", Self.maps)
        #expect(list.status == 200)
        var found: [String: State] = [:]
        for item in list.object["items"]?.array ?? [] {
            let name = item["metadata"]?["name"]?.string ?? ""
            let state = State(item)
            #expect(state.map { $0 == State(number: Int($0.number) ?? -1) } ?? false, "life \(life): \(name) is not whole")
            found[name] = state
        }
        promises.withLock { promises in
            for name in Set(promises.kept.keys).union(promises.uncertain.keys).union(found.keys) {
                let kept = promises.kept[name] ?? nil
                let isUncertain = promises.uncertain[name].map { $0 == found[name] } ?? false
                #expect(found[name] == kept || isUncertain, "life \(life): \(name) is neither what was acknowledged nor what was asked for")
                promises.kept[name] = .some(found[name])
            }
            promises.uncertain = [:]
        }
    }

    /// Starts a cloud, or kills it while it starts and says so by nil.
    private func start(_ folder: String, killedAfter microseconds: UInt32?) async throws -> Cloud? {
        guard let microseconds else { return try await Cloud.start(in: folder) }
        let program = ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", ["cloud", "--data-dir", folder, "--listen", "127.0.0.1:0", "--no-node"], folder: folder)
        try await Task.sleep(for: .microseconds(microseconds))
        program.signal(SIGKILL)
        #expect(await program.wait().status == -SIGKILL, "a cloud ended by itself: \(program.error)")
        return nil
    }

    @Test func `a cloud killed at any moment under load loses nothing that it acknowledged`() async throws {
        var folder = try Cloud.newFolder()
        for life in 0..<Self.kills {
            if life > 0, life % Self.livesOfAStore == 0 {
                try FileManager.default.removeItem(atPath: folder)
                folder = try Cloud.newFolder()
                promises.withLock { $0 = Promises() }
            }
            let duringStart: UInt32? = life % 10 == 9 ? .random(in: 1000...120_000) : nil
            guard let cloud = try await start(folder, killedAfter: duringStart) else { continue }
            try await check(cloud, life)
            let connection = try CloudConnection(kubeconfig: "\(folder)/admin.kubeconfig")
            var clients: [PooledHTTPClient] = []
            for _ in 0..<Self.writerCount { clients.append(try connection.open()) }
            let before = promises.withLock { $0.acknowledgedCount }
            await withTaskGroup(of: Void.self) { group in
                for (writer, client) in clients.enumerated() {
                    group.addTask { await self.write(writer, over: client, from: life * 100_000) }
                }
                // Not before the load has begun, so that every kill meets writes on their way.
                while promises.withLock({ $0.acknowledgedCount }) == before { try? await Task.sleep(for: .milliseconds(1)) }
                try? await Task.sleep(for: .microseconds(Int.random(in: 0...150_000)))
                cloud.program.signal(SIGKILL)
            }
            #expect(await cloud.program.wait().status == -SIGKILL)
        }
        let last = try await Cloud.start(in: folder)
        try await check(last, Self.kills)
        print("\(Self.kills) kills; \(promises.withLock { $0.acknowledgedCount }) writes acknowledged in the last store")
        await last.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}
