/// What people call a method, and what it does.
struct MethodName {
    /// As in `results.json`.
    var key: String
    var short: String
    var explanation: String

    static let baseline = "single_task"
    static let ours = "skerry"
    /// How the baseline of a gain is called wherever one is quoted.
    static let overBaseline = "one model for all (single_task)"

    init(_ key: String) {
        self.key = key
        (short, explanation) = Self.known[key] ?? (key, "")
    }

    private static let known: [String: (String, String)] = [
        "majority": ("Most common answer", "always predicts what most people said so far"),
        "single_task": ("One model for all", "the baseline: retrained on all labels so far, blind to who and where"),
        "never_updated": ("Never updated", "the first round's model, left alone"),
        "new_round_only": ("Newest round only", "a fresh model of each round's labels"),
        "finetune": ("Fine-tuning", "the usual update: the old model trained further on the new round only"),
        "sedna_multitask": ("Sedna, multi-task", "one model per season and kind of cooling, on all labels so far"),
        "sedna_lifelong": ("Sedna, lifelong", "taken literally: new tasks replace old ones of the same name"),
        "pooled": ("Partial pooling", "one model that knows place and time, corrected per site and person"),
        "skerry": ("Skerry", "this program: a shared model that knows place and time, corrected per site and person"),
    ]

    /// The order of tables: from the simplest to ours; further methods before ours, by name.
    static func ordered(_ keys: some Collection<String>) -> [MethodName] {
        let order = [
            "majority", "never_updated", "new_round_only", "sedna_lifelong", "finetune", "sedna_multitask", "single_task", "pooled",
        ]
        func rank(_ key: String) -> Int { key == ours ? Int.max : order.firstIndex(of: key) ?? order.count }
        return keys.sorted { (rank($0), $0) < (rank($1), $1) }.map(MethodName.init)
    }
}
