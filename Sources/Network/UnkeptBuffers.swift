import NIOCore

/// What a connection reads into: a new buffer for each read, as large as reads have lately been, and none that is kept in between.
///
/// NIO keeps a connection's buffers for its next read, 2 KiB at least: of thousands of connections that say something twice a minute that is
/// a lot. Its pool holds on to the first buffer that it gets and to no other, if it is not told how large the next one is to be, and may hold
/// one (`maxMessagesPerRead`): so the first one is small.
struct UnkeptBuffers: RecvByteBufferAllocator {
    private static let firstBytes = 64
    private var sizes = AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 2048, maximum: 64 << 10)
    private var hasRead = false

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        hasRead ? sizes.buffer(allocator: allocator) : allocator.buffer(capacity: Self.firstBytes)
    }

    func nextBufferSize() -> Int? { nil }

    /// - Returns: true, always: told that the next read needs no more, NIO's pool would read into its first, small buffer for ever.
    mutating func record(actualReadBytes: Int) -> Bool {
        if hasRead { _ = sizes.record(actualReadBytes: actualReadBytes) }
        hasRead = true
        return true
    }
}
