import Testing

import ThermalComfort

@Suite struct ComfortResultsTests {
    @Test func `results read back equal, and equal results give equal bytes`() throws {
        let results = ComfortResults.example()
        let bytes = try results.json()
        #expect(try ComfortResults(json: bytes) == results)
        #expect(try ComfortResults(json: bytes).json() == bytes)
        #expect(bytes.last == UInt8(ascii: "\n"))
    }

    @Test func `the names of the contract are the keys, in sorted order`() throws {
        let text = String(decoding: try ComfortResults.example().json(), as: UTF8.self)
        let keys = [
            "\"dataset\"", "\"edge\"", "\"labels\"", "\"methods\"", "\"BWT\"", "\"FWT\"", "\"R\"", "\"accuracy\"",
            "\"city_macro_accuracy\"",
            "\"forgetting\"", "\"ianvs_BWT\"", "\"ianvs_FWT\"", "\"log_loss\"", "\"macro_f1\"", "\"per_city\"", "\"ci95\"", "\"value\"",
            "\"relative_gain_vs_single\"", "\"predictions_served\"", "\"p50_us\"", "\"p99_us\"", "\"nodes\"", "\"sha256\"", "\"split\"",
            "\"timings_s\"", "\"seed\"", "\"label_curve\"", "\"unseen_sites\"", "\"leaky_random_split\"", "\"relations\"", "\"decisions\"",
            "\"peak_memory_mb\"", "\"knowledge_base\"", "\"synthetic\"",
        ]
        for key in keys { #expect(text.contains(key + " :"), "\(key) is missing") }
        let tops = text.split(separator: "\n").filter { $0.hasPrefix("  \"") }.map { $0.split(separator: "\"")[1] }
        #expect(tops == tops.sorted())
    }

    @Test func `a figure that is not finite is refused by its path`() throws {
        var results = ComfortResults.example()
        results.methods["skerry"]?.logLoss = .nan
        #expect(throws: ComfortResultsError.notFinite(path: "methods.skerry.log_loss", found: "nan")) { try results.json() }
    }

    @Test func `a missing field, a broken file and a newer schema are refused with the field's path`() throws {
        let text = String(decoding: try ComfortResults.example().json(), as: UTF8.self)
        let renamed = text.replacing("\"log_loss\"", with: "\"logloss\"")
        #expect {
            try ComfortResults(json: Array(renamed.utf8))
        } throws: {
            guard case ComfortResultsError.invalid(let path, _) = $0 else { return false }
            return path.hasPrefix("methods.") && path.hasSuffix(".log_loss")
        }
        #expect(throws: ComfortResultsError.self) { try ComfortResults(json: Array(text.utf8.prefix(400))) }
        #expect(throws: ComfortResultsError.newerSchema(found: 9, known: 1)) {
            try ComfortResults(json: Array(text.replacing("\"schema\" : 1", with: "\"schema\" : 9").utf8))
        }
        #expect(throws: ComfortResultsError.self) {
            try ComfortResults(json: [UInt8](repeating: 32, count: ComfortResults.bytesMax + 1))
        }
    }
}
