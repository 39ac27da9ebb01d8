/// Checks of what a container asks for and may use: `requests` and `limits`.
enum ResourceRules {
    /// Memory below which a built-in worker does not even begin.
    static let workerBytesMin: Double = 33_554_432

    /// - Parameter path: of the `resources` field.
    static func errors(_ resources: JSON?, at path: String) -> [FieldError] {
        var errors: [FieldError] = []
        for list in ["limits", "requests"] {
            for (name, amount) in (resources?[list]?.object ?? [:]).sorted(by: { $0.0 < $1.0 }) {
                guard let found = Quantity(amount) else {
                    errors.append(
                        .invalid(
                            "\(path).\(list).\(name)", amount,
                            "must be a number with one of the units n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi and Ei, or none, as 64Mi")
                    )
                    continue
                }
                if found.value < 0 { errors.append(.invalid("\(path).\(list).\(name)", amount, "must be greater than or equal to 0")) }
            }
        }
        for (name, amount) in (resources?["requests"]?.object ?? [:]).sorted(by: { $0.0 < $1.0 }) {
            guard let limit = resources?["limits"]?[name], let asked = Quantity(amount), let most = Quantity(limit), asked > most else {
                continue
            }
            errors.append(
                .invalid("\(path).requests.\(name)", amount, "must be less than or equal to \(name) limit of \(limit.string ?? limit.text)")
            )
        }
        return errors
    }

    /// Of the worker that serves a Model: processor and memory alone, and enough of it to begin with.
    static func modelErrors(_ resources: JSON?, at path: String) -> [FieldError] {
        var errors = errors(resources, at: path)
        for list in ["limits", "requests"] {
            for (name, amount) in (resources?[list]?.object ?? [:]).sorted(by: { $0.0 < $1.0 }) {
                if !["cpu", "memory"].contains(name) { errors.append(.notSupported("\(path).\(list)", .string(name), ["cpu", "memory"])) }
                if list == "limits", name == "memory", let found = Quantity(amount), found.value >= 0, found.value < workerBytesMin {
                    errors.append(.invalid("\(path).limits.memory", amount, "must be at least 32Mi: the worker itself takes most of that"))
                }
                if list == "limits", name == "cpu", let found = Quantity(amount), found.value >= 0, found.value < 0.01 {
                    errors.append(.invalid("\(path).limits.cpu", amount, "must be at least 10m, a hundredth of a core"))
                }
            }
        }
        for field in (resources?.object ?? [:]).keys where !["limits", "requests"].contains(field) {
            errors.append(.forbidden("\(path).\(field)", "a node gives processor and memory alone; leave it out"))
        }
        return errors
    }
}
