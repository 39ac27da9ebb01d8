import Inference

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Reads JSON (RFC 8259) where it lies, without building values of it: requests are mostly numbers, which go straight into tensors.
///
/// The bytes must outlive the scanner.
struct JSONScanner {
    /// Nesting of what is skipped.
    private static let depthMax = 64
    private let base: UnsafePointer<UInt8>
    private let end: Int
    private(set) var position: Int

    init(_ bytes: UnsafeRawBufferPointer) {
        end = bytes.count
        base = bytes.baseAddress.map { $0.assumingMemoryBound(to: UInt8.self) } ?? Self.nothing
        position = 0
    }

    /// Never read: what an empty buffer points to.
    nonisolated(unsafe) private static let nothing = UnsafePointer<UInt8>(UnsafeMutablePointer<UInt8>.allocate(capacity: 1))

    func wrong(_ expected: String) -> ServingRefusal {
        let found = position < end ? "\"\(String(UnicodeScalar(base[position])))\"" : "the end"
        return ServingRefusal(400, "the request is no JSON: byte \(position) must be \(expected), found \(found)")
    }

    mutating func skipSpace() {
        while position < end {
            switch base[position] {
            case 0x20, 0x0a, 0x0d, 0x09: position += 1
            default: return
            }
        }
    }

    /// The next byte that is no space; nil at the end. It stays.
    mutating func peek() -> UInt8? {
        skipSpace()
        return position < end ? base[position] : nil
    }

    mutating func take(_ byte: UInt8, _ name: String) throws(ServingRefusal) {
        guard peek() == byte else { throw wrong(name) }
        position += 1
    }

    mutating func takes(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        position += 1
        return true
    }

    mutating func requireEnd() throws(ServingRefusal) { if peek() != nil { throw wrong("the end") } }

    /// Bytes that are left.
    var restCount: Int { end - position }

    /// Goes back to a place that was passed.
    mutating func seek(_ place: Int) { position = place }

    // MARK: - Texts

    /// A text as UTF-8.
    mutating func text() throws(ServingRefusal) -> [UInt8] {
        try take(0x22, "a text")
        let start = position
        while position < end, base[position] != 0x22, base[position] != 0x5c, base[position] >= 0x20 { position += 1 }
        guard position < end else { throw wrong("the end of a text") }
        if base[position] == 0x22 {
            defer { position += 1 }
            return Array(UnsafeBufferPointer(start: base + start, count: position - start))
        }
        return try escaped(Array(UnsafeBufferPointer(start: base + start, count: position - start)))
    }

    /// A text that is a name: valid UTF-8 of at most 256 bytes.
    mutating func name() throws(ServingRefusal) -> String {
        let place = position
        let bytes = try text()
        guard bytes.count <= 256, let name = String(validating: bytes, as: UTF8.self) else {
            position = place
            throw wrong("a name of at most 256 bytes")
        }
        return name
    }

    private mutating func escaped(_ begun: [UInt8]) throws(ServingRefusal) -> [UInt8] {
        var bytes = begun
        while position < end {
            let byte = base[position]
            switch byte {
            case 0x22:
                position += 1
                return bytes
            case 0x5c:
                position += 1
                try escape(into: &bytes)
            case 0..<0x20: throw wrong("no control character")
            default:
                bytes.append(byte)
                position += 1
            }
        }
        throw wrong("the end of a text")
    }

    private mutating func escape(into bytes: inout [UInt8]) throws(ServingRefusal) {
        guard position < end else { throw wrong("an escape") }
        let byte = base[position]
        let simple: [UInt8: UInt8] = [0x22: 0x22, 0x5c: 0x5c, 0x2f: 0x2f, 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9]
        if let meant = simple[byte] {
            bytes.append(meant)
            position += 1
            return
        }
        guard byte == 0x75 else { throw wrong("an escape") }
        position += 1
        var code = try hexadecimal()
        if 0xd800..<0xdc00 ~= code {
            guard position + 1 < end, base[position] == 0x5c, base[position + 1] == 0x75 else {
                throw wrong("the second half of a character")
            }
            position += 2
            let low = try hexadecimal()
            guard 0xdc00..<0xe000 ~= low else { throw wrong("the second half of a character") }
            code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = UnicodeScalar(code) else { throw wrong("a character") }
        bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
    }

    private mutating func hexadecimal() throws(ServingRefusal) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard position < end, let digit = Character(UnicodeScalar(base[position])).hexDigitValue else {
                throw wrong("four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }

    // MARK: - Numbers and words

    mutating func takes(word: StaticString) -> Bool {
        skipSpace()
        let count = word.utf8CodeUnitCount
        guard end - position >= count, memcmp(base + position, word.utf8Start, count) == 0 else { return false }
        position += count
        return true
    }

    mutating func bool() throws(ServingRefusal) -> Bool {
        if takes(word: "true") { return true }
        if takes(word: "false") { return false }
        throw wrong("true or false")
    }

    /// Where a number lies.
    private mutating func number() throws(ServingRefusal) -> (start: Int, isWhole: Bool) {
        skipSpace()
        let start = position
        if position < end, base[position] == 0x2d { position += 1 }
        func isDigit(_ place: Int) -> Bool { place < end && base[place] &- 0x30 < 10 }
        guard isDigit(position) else { throw wrong("a number") }
        if base[position] == 0x30, isDigit(position + 1) { throw wrong("a number without leading 0") }
        while isDigit(position) { position += 1 }
        var isWhole = true
        if position < end, base[position] == 0x2e {
            isWhole = false
            position += 1
            guard isDigit(position) else { throw wrong("a digit") }
            while isDigit(position) { position += 1 }
        }
        if position < end, base[position] | 0x20 == 0x65 {
            isWhole = false
            position += 1
            if position < end, base[position] == 0x2b || base[position] == 0x2d { position += 1 }
            guard isDigit(position) else { throw wrong("a digit") }
            while isDigit(position) { position += 1 }
        }
        guard position - start <= 400 else { throw wrong("a number of at most 400 characters") }
        return (start, isWhole)
    }

    /// A number as it is written.
    mutating func numberText() throws(ServingRefusal) -> [UInt8] {
        let (start, _) = try number()
        return Array(UnsafeBufferPointer(start: base + start, count: position - start))
    }

    /// A whole number: its size, and whether it is below 0.
    mutating func whole() throws(ServingRefusal) -> (magnitude: UInt64, isNegative: Bool) {
        let (start, isWhole) = try number()
        var place = start
        let isNegative = base[place] == 0x2d
        if isNegative { place += 1 }
        var value: UInt64 = 0
        while isWhole, place < position {
            let (product, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, overSum) = product.addingReportingOverflow(UInt64(base[place] - 0x30))
            guard !over, !overSum else { break }
            value = sum
            place += 1
        }
        guard isWhole, place == position else {
            position = start
            throw wrong("a whole number of 64 bits")
        }
        return (value, isNegative)
    }

    mutating func int() throws(ServingRefusal) -> Int {
        let place = position
        let (magnitude, isNegative) = try whole()
        guard magnitude <= UInt64(Int.max) else {
            position = place
            throw wrong("a number of 63 bits")
        }
        return isNegative ? -Int(magnitude) : Int(magnitude)
    }

    private static let powers: [Double] = [
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ]

    /// The nearest 64-bit number; exact by Clinger's fast path where digits and exponent are few, by a long division for fractions of more digits, else
    /// by the C library.
    mutating func double() throws(ServingRefusal) -> Double {
        let (start, _) = try number()
        var place = start
        let isNegative = base[place] == 0x2d
        if isNegative { place += 1 }
        var (digits, count, exponent, isFraction): (UInt64, Int, Int, Bool) = (0, 0, 0, false)
        while place < position {
            let byte = base[place]
            if byte == 0x2e {
                isFraction = true
            } else if byte | 0x20 == 0x65 {
                break
            } else {
                if count > 0 || byte != 0x30 { count += 1 }
                if count > 18 { break }
                digits = digits &* 10 &+ UInt64(byte &- 0x30)
                if isFraction { exponent -= 1 }
            }
            place += 1
        }
        if place < position, base[place] | 0x20 == 0x65, position - place < 6 {
            place += 1
            let isBelow = base[place] == 0x2d
            if isBelow || base[place] == 0x2b { place += 1 }
            var written = 0
            while place < position {
                written = written * 10 + Int(base[place] - 0x30)
                place += 1
            }
            exponent += isBelow ? -written : written
        }
        if place == position, digits < 1 << 53, -22...22 ~= exponent {
            let value = exponent < 0 ? Double(digits) / Self.powers[-exponent] : Double(digits) * Self.powers[exponent]
            return isNegative ? -value : value
        }
        if place == position, count <= 18, -DecimalQuotient.digitsMax..<0 ~= exponent {
            let value = DecimalQuotient.nearest(digits, fraction: -exponent)
            return isNegative ? -value : value
        }
        return slowDouble(start)
    }

    private func slowDouble(_ start: Int) -> Double {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: position - start + 1) { text in
            for index in 0..<position - start { text[index] = CChar(bitPattern: base[start + index]) }
            text[position - start] = 0
            return strtod(text.baseAddress!, nil)
        }
    }

    // MARK: - What nobody asked for

    /// Passes any value.
    mutating func skip() throws(ServingRefusal) {
        var depth = 0
        repeat {
            guard let byte = peek() else { throw wrong("a value") }
            switch byte {
            case 0x22: _ = try text()
            case 0x5b, 0x7b:
                depth += 1
                guard depth <= Self.depthMax else { throw wrong("nested at most \(Self.depthMax) deep") }
                position += 1
            case 0x5d, 0x7d:
                depth -= 1
                guard depth >= 0 else { throw wrong("a value") }
                position += 1
            case 0x2c, 0x3a:
                guard depth > 0 else { throw wrong("a value") }
                position += 1
            default:
                if !takes(word: "true"), !takes(word: "false"), !takes(word: "null") { _ = try number() }
            }
        } while depth > 0
    }

    /// Goes through an object's members; what `member` leaves in place must be the end of the value.
    mutating func object(_ member: (inout JSONScanner, String) throws(ServingRefusal) -> Void) throws(ServingRefusal) {
        try take(0x7b, "\"{\"")
        if takes(0x7d) { return }
        while true {
            skipSpace()
            let key = try name()
            try take(0x3a, "\":\"")
            try member(&self, key)
            if takes(0x7d) { return }
            try take(0x2c, "\",\" or \"}\"")
        }
    }

    /// Goes through an array's items.
    mutating func array(_ item: (inout JSONScanner) throws(ServingRefusal) -> Void) throws(ServingRefusal) {
        try take(0x5b, "\"[\"")
        if takes(0x5d) { return }
        while true {
            try item(&self)
            if takes(0x5d) { return }
            try take(0x2c, "\",\" or \"]\"")
        }
    }
}
