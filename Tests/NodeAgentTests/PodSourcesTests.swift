import Resources
import TestKit
import Testing

@testable import NodeAgent

@Suite(.offThePool) struct PodSourcesTests {
    private func sources(_ spec: JSON, _ objects: [PodReference: JSON] = [:]) -> PodSources {
        let pod: JSON = [
            "metadata": ["name": "web", "namespace": "shop", "uid": "u1", "labels": ["app": "web", "tier": "a\"b"]], "spec": spec,
        ]
        var sources = PodSources(pod: PodSpec(pod), nodeName: "edge-1", address: "10.0.0.7", allocatable: ["cpu": "4", "memory": "1024Mi"])
        sources.objects = objects
        return sources
    }

    private let config = PodReference(kind: .configMap, name: "config")
    private let secret = PodReference(kind: .secret, name: "key")

    private func variables(_ container: JSON, _ objects: [PodReference: JSON] = [:]) throws -> [String] {
        let sources = sources(["containers": [container]], objects)
        return try sources.variables(sources.pod.containers[0]).map { "\($0.name)=\($0.value)" }
    }

    @Test func `variables come from ConfigMaps, Secrets and the Pod itself, later ones seeing earlier ones`() throws {
        let found = try variables(
            [
                "name": "c", "envFrom": [["prefix": "P_", "configMapRef": ["name": "config"]], ["secretRef": ["name": "key"]]],
                "env": [
                    ["name": "NODE", "valueFrom": ["fieldRef": ["fieldPath": "spec.nodeName"]]],
                    ["name": "APP", "valueFrom": ["fieldRef": ["fieldPath": "metadata.labels['app']"]]],
                    ["name": "ONE", "valueFrom": ["configMapKeyRef": ["name": "config", "key": "b"]]],
                    ["name": "TWO", "valueFrom": ["secretKeyRef": ["name": "key", "key": "token"]]],
                    ["name": "ALL", "value": "$(P_a)-$(NODE)-$(NONE)-$$(NODE)"],
                    ["name": "GONE", "valueFrom": ["configMapKeyRef": ["name": "other", "key": "b", "optional": true]]],
                    ["name": "CPU", "valueFrom": ["resourceFieldRef": ["resource": "limits.cpu"]]],
                    ["name": "MEM", "valueFrom": ["resourceFieldRef": ["resource": "requests.memory", "divisor": "1Mi"]]],
                ],
                "resources": ["limits": ["cpu": "1500m"], "requests": ["memory": "64Mi"]],
            ],
            [config: ["data": ["b": "2", "a": "1"]], secret: ["data": ["token": "c2VjcmV0"]]])
        #expect(
            found == [
                "P_a=1", "P_b=2", "token=secret", "NODE=edge-1", "APP=web", "ONE=2", "TWO=secret", "ALL=1-edge-1-$(NONE)-$(NODE)", "CPU=2",
                "MEM=64",
            ])
    }

    @Test func `a limit that a container does not have is what the node has to give`() throws {
        let found = try variables([
            "name": "c", "env": [["name": "M", "valueFrom": ["resourceFieldRef": ["resource": "limits.memory", "divisor": "1Mi"]]]],
        ])
        #expect(found == ["M=1024"])
    }

    @Test func `an object or key that is missing is named`() {
        let reference: JSON = ["name": "c", "env": [["name": "X", "valueFrom": ["secretKeyRef": ["name": "key", "key": "token"]]]]]
        #expect(throws: ContainerRefusal("CreateContainerConfigError", "secret \"key\" not found")) { try variables(reference) }
        #expect(throws: ContainerRefusal("CreateContainerConfigError", "couldn't find key token in Secret shop/key")) {
            try variables(reference, [secret: ["data": [:]]])
        }
    }

    @Test func `volumes hold what objects and the Pod say, secrets for their owner alone`() throws {
        var sources = sources(
            [
                "containers": [["name": "c"]],
                "volumes": [
                    ["name": "config", "configMap": ["name": "config", "items": [["key": "a", "path": "deep/a.txt", "mode": 0o400]]]],
                    ["name": "secret", "secret": ["secretName": "key"]],
                    ["name": "info", "downwardAPI": ["items": [["path": "labels", "fieldRef": ["fieldPath": "metadata.labels"]]]]],
                    [
                        "name": "all",
                        "projected": [
                            "sources": [
                                ["configMap": ["name": "config"]], ["secret": ["name": "key"]], ["serviceAccountToken": ["path": "sa"]],
                            ]
                        ],
                    ], ["name": "empty", "emptyDir": [:]],
                ],
            ],
            [config: ["data": ["a": "1"], "binaryData": ["b": "AAE="]], secret: ["data": ["token": "c2VjcmV0"]]])
        sources.tokens = [TokenNeed([:]): "signed"]
        let files = try sources.volumeFiles()
        #expect(files.map(\.volume) == ["config", "secret", "info", "all"])
        #expect(files[0].files == [.init(path: "deep/a.txt", bytes: Array("1".utf8), mode: 0o400)])
        #expect(files[1].files == [.init(path: "token", bytes: Array("secret".utf8), mode: 0o600)])
        #expect(String(decoding: files[2].files[0].bytes, as: UTF8.self) == "app=\"web\"\ntier=\"a\\\"b\"")
        #expect(files[3].files.map(\.path) == ["a", "b", "token", "sa"])
        #expect(files[3].files[3] == .init(path: "sa", bytes: Array("signed".utf8), mode: 0o600))
        #expect(files[3].files[1].bytes == [0, 1])
    }

    @Test(arguments: ["../a", "/a", "a/../b", "", "..data", "a//b"]) func `a path that leads out of a volume is refused`(path: String) {
        let sources = sources(
            [
                "containers": [["name": "c"]],
                "volumes": [["name": "v", "configMap": ["name": "config", "items": [["key": "a", "path": .string(path)]]]]],
            ],
            [config: ["data": ["a": "1"]]])
        #expect(throws: ContainerRefusal.self) { try sources.volumeFiles() }
    }

    @Test func `log lines have the form of the runtime interface, and what is too long comes in parts`() {
        var lines = LogLines(stream: "stderr")
        #expect(lines.take(Array("ab".utf8), nanoseconds: 1_500_000_000) == [])
        #expect(
            String(decoding: lines.take(Array("c\nd".utf8), nanoseconds: 1_500_000_000), as: UTF8.self)
                == "1970-01-01T00:00:01.500000000Z stderr F abc\n")
        #expect(String(decoding: lines.finish(nanoseconds: 0), as: UTF8.self) == "1970-01-01T00:00:00.000000000Z stderr P d\n")
        let long = lines.take([UInt8](repeating: 0x61, count: LogLines.lineBytesMax * 2 + 1) + [0x0a], nanoseconds: 0)
        let entries = long.split(separator: 0x0a).compactMap { LogEntry($0) }
        #expect(entries.map(\.isWhole) == [false, false, true])
        #expect(entries.map(\.text.count) == [LogLines.lineBytesMax, LogLines.lineBytesMax, 1])
    }

    @Test func `a probe turns after as many looks in a row as it asks for`() {
        var readiness = ProbeCounter(.readiness, Probe(["exec": ["command": ["x"]], "successThreshold": 2, "failureThreshold": 2])!)
        #expect(
            [true, false, true, true, false, true, false, false].map { readiness.take(isSuccess: $0) } == [
                .same, .same, .same, .became(true), .same, .same, .same, .became(false),
            ])
        var liveness = ProbeCounter(.liveness, Probe(["tcpSocket": ["port": 1], "failureThreshold": 3])!)
        #expect(
            [true, false, false, true, false, false, false].map { liveness.take(isSuccess: $0) } == [
                .same, .same, .same, .same, .same, .same, .fatal,
            ])
    }

    @Test func `a node's status is written when a claim changes or five minutes have passed, not when a figure does`() throws {
        let plan = NodeStatusPlan(
            name: "edge-1", address: "10.0.0.7", labels: [:], capacity: ["cpu": "2"], allocatable: ["cpu": "2"],
            nodeInfo: ["architecture": "arm64"])
        #expect(plan.newNode()["metadata"]?["labels"]?["kubernetes.io/arch"] == "arm64")
        let ready = NodeCondition("Ready", true, reason: "KubeletReady", message: "1")
        let now = Timestamp(seconds: 1_800_000_000)
        var node = plan.newNode()
        node[path: ["status", "conditions"]] = [["type": "NetworkUnavailable", "status": "False"]]
        let first = try #require(plan.statusChange(node, [ready], now: now))
        node = MergePatch.apply(first, to: node)
        #expect(node["status"]?["conditions"]?.array?.count == 2)
        let later = Timestamp(seconds: now.seconds + 299)
        #expect(plan.statusChange(node, [NodeCondition("Ready", true, reason: "KubeletReady", message: "2")], now: later) == nil)
        #expect(plan.statusChange(node, [ready], now: Timestamp(seconds: now.seconds + 300)) != nil)
        #expect(plan.statusChange(node, [NodeCondition("Ready", false, reason: "KubeletNotReady", message: "")], now: later) != nil)
        #expect(plan.labelChange(node) == nil)
    }
}
