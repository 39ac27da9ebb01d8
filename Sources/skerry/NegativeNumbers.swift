/// Arguments as the parser reads them: a negative number behind an option is that option's value, so that the option can say what it takes.
/// By itself the number looks like an option to the parser, which then misses the value.
func joiningNegativeNumbers(_ arguments: [String]) -> [String] {
    var joined: [String] = []
    for (place, argument) in arguments.enumerated() {
        // Behind `--` words are those of another program.
        if argument == "--" { return joined + arguments[place...] }
        let isNumber = argument.hasPrefix("-") && argument.dropFirst().first?.isNumber == true && Double(argument) != nil
        if isNumber, let option = joined.last, option.hasPrefix("--"), !option.contains("=") {
            joined[joined.count - 1] = "\(option)=\(argument)"
        } else {
            joined.append(argument)
        }
    }
    return joined
}
