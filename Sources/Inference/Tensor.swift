/// Memory of a tensor: bytes of its own, or of somebody who keeps them while this object lives.
///
/// One thread at a time may use it.
package final class TensorMemory {
    /// Aligned for every element type where the bytes are its own.
    package let bytes: UnsafeMutableRawBufferPointer
    private let owner: AnyObject?

    /// Bytes of its own, all 0.
    package init(byteCount: Int) {
        bytes = .allocate(byteCount: max(byteCount, 1), alignment: 64)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        owner = nil
    }

    /// - Parameter owner: keeps the bytes valid.
    init(_ bytes: UnsafeMutableRawBufferPointer, owner: AnyObject) { (self.bytes, self.owner) = (bytes, owner) }

    deinit { if owner == nil { bytes.deallocate() } }
}

/// Values of an input or output: one type, one shape, row-major.
///
/// One thread at a time may use it and its copies, which share their memory.
package struct Tensor {
    /// What each element is.
    package let type: ElementType
    /// Sizes of the dimensions, 0 or more each; empty: a single value.
    package let shape: [Int]
    /// Numbers, in the machine's byte order; texts have none.
    package let memory: TensorMemory
    /// Where the numbers begin in `memory`.
    package let offset: Int
    /// Texts as UTF-8, or whatever bytes were sent; numbers have none.
    package let texts: [[UInt8]]

    /// Numbers, all 0, to be written to; traps for texts.
    package init(type: ElementType, shape: [Int]) {
        precondition(type != .string, "texts come with their values")
        (self.type, self.shape, offset, texts) = (type, shape, 0, [])
        memory = TensorMemory(byteCount: shape.reduce(1, *) * type.byteCount)
    }

    /// Texts; traps unless there is one for each place.
    package init(texts: [[UInt8]], shape: [Int]) {
        precondition(texts.count == shape.reduce(1, *), "a text for each place")
        (type, self.shape, self.texts, offset) = (.string, shape, texts, 0)
        memory = Self.nothing()
    }

    init(type: ElementType, shape: [Int], memory: TensorMemory, offset: Int = 0) {
        (self.type, self.shape, self.memory, self.offset, texts) = (type, shape, memory, offset, [])
    }

    private static func nothing() -> TensorMemory { TensorMemory(byteCount: 0) }

    /// Elements.
    package var count: Int { shape.reduce(1, *) }

    /// The numbers' bytes; valid while the tensor, or a copy, lives.
    package var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory.bytes[offset..<offset + count * type.byteCount])
    }

    /// Numbers as they lie in memory; traps for elements of another size.
    package func values<Element>(as: Element.Type) -> UnsafeMutableBufferPointer<Element> {
        precondition(MemoryLayout<Element>.size == type.byteCount, "elements of \(type)")
        return bytes.bindMemory(to: Element.self)
    }

    /// Rows of one shape behind each other, copied; traps without any, and for such as differ in type or in another size than their first.
    package init(stacking parts: [Tensor]) {
        precondition(
            parts.allSatisfy { $0.type == parts[0].type && $0.shape.dropFirst() == parts[0].shape.dropFirst() }, "rows of one shape")
        let shape = [parts.reduce(0) { $0 + $1.shape[0] }] + parts[0].shape.dropFirst()
        guard parts[0].type != .string else {
            self.init(texts: parts.flatMap(\.texts), shape: shape)
            return
        }
        self.init(type: parts[0].type, shape: shape)
        var place = 0
        for part in parts where part.count > 0 {
            (bytes.baseAddress! + place).copyMemory(from: part.bytes.baseAddress!, byteCount: part.bytes.count)
            place += part.bytes.count
        }
    }

    /// A copy that outlives the next run of the model that gave it.
    package var copied: Tensor {
        guard type != .string else { return self }
        let made = Tensor(type: type, shape: shape)
        if count > 0 { made.bytes.copyMemory(from: UnsafeRawBufferPointer(bytes)) }
        return made
    }

    /// Values of a row: of what stands behind the first dimension.
    package var width: Int { shape.dropFirst().reduce(1, *) }

    /// Some of its rows, copied; traps for a place that it does not have.
    package func rows(_ places: [Int]) -> Tensor {
        let shape = [places.count] + self.shape.dropFirst()
        if type == .string { return Tensor(texts: places.flatMap { texts[$0 * width..<($0 + 1) * width] }, shape: shape) }
        let made = Tensor(type: type, shape: shape), size = width * type.byteCount
        for (index, place) in places.enumerated() where size > 0 {
            precondition(place >= 0 && place < self.shape[0], "a row that is there")
            (made.bytes.baseAddress! + index * size).copyMemory(from: bytes.baseAddress! + place * size, byteCount: size)
        }
        return made
    }

    /// Whether both hold the same, bit for bit.
    package func isSame(as other: Tensor) -> Bool {
        type == other.type && shape == other.shape && texts == other.texts && bytes.elementsEqual(other.bytes)
    }
}

/// Tensors of a request or an answer, by name.
package struct NamedTensor {
    /// As the model calls it.
    package let name: String
    /// Its values.
    package let tensor: Tensor

    /// Nothing is checked.
    package init(_ name: String, _ tensor: Tensor) { (self.name, self.tensor) = (name, tensor) }
}
