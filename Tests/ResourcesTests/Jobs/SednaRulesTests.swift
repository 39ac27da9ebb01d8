import Resources
import Testing

@Suite struct SednaRulesTests {
    private func refusals(_ kind: String, _ spec: JSON) throws -> [String] {
        let definition = try #require(BuiltInKinds.all.first { $0.kind == kind && $0.group == "sedna.io" })
        return definition.validation(["spec": spec], nil).map(\.field)
    }

    private var template: JSON { ["spec": ["containers": [["name": "a", "image": "b"]]]] }
    private var trigger: JSON { ["condition": ["operator": ">", "threshold": 5, "metric": "num_of_samples"]] }

    @Test func `what would be ignored is refused, with its field`() throws {
        #expect(try refusals("Dataset", ["url": "/a.csv", "format": "csv", "nodeName": "edge-1"]) == [])
        #expect(
            try refusals("Dataset", ["url": "s3://b/a", "format": "parquet", "nodeName": "Edge_1", "credentialName": "keys"])
                == ["spec.url", "spec.credentialName", "spec.format", "spec.nodeName"])
        #expect(try refusals("Dataset", ["url": "/a/../b", "format": "TXT", "nodeName": "edge-1"]) == ["spec.url"])
        #expect(try refusals("Model", ["url": "/m", "format": "pb"]) == [])
        #expect(try refusals("Model", ["url": .string("sha256:" + String(repeating: "a", count: 64)), "format": "onnx"]) == [])
        #expect(
            try refusals("Model", ["url": "https://x/m", "format": "onnx", "device_soc_versions": ["Ascend310"]]) == [
                "spec.url", "spec.device_soc_versions",
            ])
        let worker: JSON = ["model": ["name": "m"], "template": template]
        var edge = worker
        edge["hardExampleMining"] = ["name": "IBT", "parameters": [["key": "threshold_img", "value": "0.9"]]]
        #expect(try refusals("JointInferenceService", ["edgeWorker": edge, "cloudWorker": worker]) == [])
        edge["hardExampleMining"] = [
            "name": "Threshold", "parameters": [["key": "threshold", "value": "high"], ["key": "x", "value": "1"]],
        ]
        edge["hpa"] = ["maxReplicas": 3]
        #expect(
            try refusals("JointInferenceService", ["edgeWorker": edge, "cloudWorker": worker])
                == [
                    "spec.edgeWorker.hardExampleMining.parameters[0].value", "spec.edgeWorker.hardExampleMining.parameters[1].key",
                    "spec.edgeWorker.hpa",
                ])
        var many = worker
        many["hardExampleMining"] = ["name": "Margin"]
        many["nodes"] = ["e1", "*", "E 2"]
        many[path: ["template", "spec", "nodeName"]] = "e1"
        #expect(
            try refusals("JointInferenceService", ["edgeWorker": many, "cloudWorker": worker])
                == ["spec.edgeWorker.nodes[2]", "spec.edgeWorker.template.spec.nodeName"])
        many["nodes"] = nil
        many["nodeSelector"] = ["line": "north"]
        #expect(
            try refusals("JointInferenceService", ["edgeWorker": many, "cloudWorker": worker])
                == ["spec.edgeWorker.template.spec.nodeName"])
    }

    @Test func `jobs are read strictly`() throws {
        var spec: JSON = [
            "dataset": ["name": "rows", "trainProb": .decimal("0.8")], "outputDir": "/output",
            "trainSpec": ["template": template, "trigger": trigger], "evalSpec": ["template": template],
            "deploySpec": ["template": template],
        ]
        #expect(try refusals("LifelongLearningJob", spec) == [])
        // Nothing is held out: the trainer judges.
        spec["dataset"] = ["name": "rows", "trainProb": 1]
        #expect(try refusals("LifelongLearningJob", spec) == [])
        spec["dataset"] = ["name": "rows", "trainProb": .decimal("1.1")]
        spec["outputDir"] = "output"
        spec["evalSpec"] = ["template": ["spec": ["containers": []]]]
        spec["additionalDatasets"] = [["name": "rows"]]
        spec["privacy"] = ["rule": "some"]
        spec["deploySpec"] = [
            "template": template, "gate": [["metric": "accuracy", "operator": "?", "threshold": 0]], "backoffLimit": 101,
        ]
        #expect(
            try refusals("LifelongLearningJob", spec)
                == [
                    "spec.outputDir", "spec.dataset.trainProb", "spec.evalSpec.template.spec.containers", "spec.deploySpec.backoffLimit",
                    "spec.deploySpec.gate[0].operator", "spec.additionalDatasets[0].name", "spec.privacy.rule",
                ])
    }

    @Test func `knowledge is shared with jobs by their names, never with nobody or oneself`() throws {
        let definition = try #require(BuiltInKinds.all.first { $0.kind == "LifelongLearningJob" })
        func refusals(_ knowledge: JSON, privacy: String = "all") -> [String] {
            definition.validation(
                [
                    "metadata": ["name": "rooms"],
                    "spec": [
                        "dataset": ["name": "rows"], "outputDir": "/output", "trainSpec": ["template": template, "trigger": trigger],
                        "evalSpec": ["template": template], "deploySpec": ["template": template], "knowledge": knowledge,
                        "privacy": ["rule": .string(privacy)],
                    ],
                ], nil
            ).map(\.field)
        }
        #expect(refusals(["shareWith": ["annex", "*"], "from": "cellar"]) == [])
        #expect(
            refusals(["shareWith": ["rooms", "An annex", ""], "from": "rooms"])
                == [
                    "spec.knowledge.shareWith[0]", "spec.knowledge.shareWith[1]", "spec.knowledge.shareWith[2]", "spec.knowledge.from",
                ])
        #expect(refusals(["from": "../cellar"]) == ["spec.knowledge.from"])
        let many = JSON.array((0...SednaRules.shareWithMax).map { .string("job-\($0)") })
        #expect(refusals(["shareWith": many]) == ["spec.knowledge.shareWith"])
        #expect(refusals(["shareWith": ["annex"]], privacy: "none") == ["spec.knowledge.shareWith"])
    }
}
