import NIOCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

extension ChannelPipeline.SynchronousOperations {
    /// Has the socket of this channel close in programs that this process starts. NIO leaves it open in them: a port that was given up would be
    /// theirs for as long as they live, and a peer would not see that its connection ended.
    func keepFromChildren() throws {
        try withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { _ = fcntl($0, F_SETFD, FD_CLOEXEC) }
    }
}
