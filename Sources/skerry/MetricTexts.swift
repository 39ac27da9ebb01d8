/// Texts of Prometheus' format as one: a metric's lines stand together, and its type is said once, as the format wants it.
enum MetricTexts {
    static func together(_ texts: [String]) -> String {
        var order: [Substring] = []
        var types: [Substring: Substring] = [:]
        var samples: [Substring: [Substring]] = [:]
        for line in texts.flatMap({ $0.split(separator: "\n") }) {
            if line.hasPrefix("# TYPE ") {
                let name = line.dropFirst(7).prefix { $0 != " " }
                if types[name] == nil { order.append(name) }
                types[name] = types[name] ?? line
            } else if !line.hasPrefix("#") {
                let name = line.prefix { $0 != "{" && $0 != " " }
                // Sums and counts of a summary belong to it.
                let family = order.last { name == $0 || name == $0 + "_sum" || name == $0 + "_count" } ?? name
                if types[family] == nil, samples[family] == nil { order.append(family) }
                samples[family, default: []].append(line)
            }
        }
        return order.map { name in ([types[name]].compactMap { $0 } + (samples[name] ?? [])).map { $0 + "\n" }.joined() }.joined()
    }
}
