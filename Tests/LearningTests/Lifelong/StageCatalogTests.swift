import Learning
import Testing

@Suite struct StageCatalogTests {
    /// CONTRIBUTING.md, "Add a stage": this file's half of the recipe is the type and its maker.
    struct NeverAgainGate: QualityGate {
        let words: String
        func decide(_ evidence: GateEvidence) -> GateDecision {
            GateDecision(task: evidence.task, deploys: false, reason: words, rowCount: evidence.differences.count)
        }
    }

    static let neverAgain = StageMaker(.qualityGate, "NeverAgain", parameters: ["words"]) { parameters, stages throws(StageError) in
        stages.qualityGate = NeverAgainGate(words: try parameters.list("words", default: ["no"]).joined(separator: " "))
    }

    @Test func `a stage added by the recipe is chosen by name with its parameters`() throws {
        var stages = LifelongStages()
        let catalog = StageCatalog(adding: [Self.neverAgain])
        try catalog.place(#"quality_gate=NeverAgain:{"words": ["not", "today"]}"#, in: &stages)
        #expect(stages.qualityGate.decide(GateEvidence(task: "t", differences: [], clusters: [])).reason == "not today")
        #expect(catalog.names(.qualityGate) == ["AtLeastAsGood", "NeverAgain", "Open"])
    }

    @Test func `every built-in stage can be made without parameters`() throws {
        let catalog = StageCatalog()
        for kind in StageKind.allCases {
            #expect(!catalog.names(kind).isEmpty)
            for name in catalog.names(kind) {
                var stages = LifelongStages()
                try catalog.place("\(kind.rawValue)=\(name)", in: &stages)
            }
        }
    }

    @Test(arguments: [
        ("quality_gate=Ajar", #"no quality_gate is called "Ajar"; known: AtLeastAsGood, Open"#),
        ("gate=Open", #"lifelong learning has no stage "gate"; its stages: task_definition"#),
        ("quality_gate", #"stage "quality_gate": no "=""#),
        (#"quality_gate=Open:{"noise": 1}"#, #"Open has no parameter "noise"; it has none"#),
        (
            #"quality_gate=AtLeastAsGood:{"noise": -1}"#,
            #"parameter "noise" of AtLeastAsGood must be a number in 0.0 ... 10.0, found the number -1.0"#
        ),
        (#"quality_gate=AtLeastAsGood:{"noise": "much"}"#, #"found the text "much""#),
        (#"quality_gate=AtLeastAsGood:{noise}"#, "not a JSON object"),
        (
            #"task_definition=TaskDefinitionByDataAttr:{"attribute": []}"#,
            #""attribute" of TaskDefinitionByDataAttr must be at least one attribute"#
        ),
        (#"task_definition=TaskDefinitionByDataAttr:{"attribute": 3}"#, "must be a list of texts, found the number 3.0"),
    ])
    func `a stage that cannot be made is refused in words`(text: String, words: String) {
        var stages = LifelongStages()
        do {
            try StageCatalog().place(text, in: &stages)
            Issue.record("\(text) was taken")
        } catch {
            #expect("\(error)".contains(words), "\(error)")
        }
    }
}
