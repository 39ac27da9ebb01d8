import NIOCore

/// A request whose body is sent piece by piece while its answer is read, so that each side can hold the other back.
package final class HTTPUpload: Sendable {
    private let channel: any Channel
    private let connection: NIOLoopBound<HTTPClientConnection>
    private let exchange: HTTPExchange

    init(channel: any Channel, connection: NIOLoopBound<HTTPClientConnection>, exchange: HTTPExchange) {
        (self.channel, self.connection, self.exchange) = (channel, connection, exchange)
    }

    /// Sends a piece of the body; returns when the system has taken it from this process, however long the server lets that wait.
    ///
    /// - Throws: the server takes no more; its answer may say why.
    package func send(_ bytes: [UInt8]) async throws(HTTPClientError) {
        try await written { [connection] in connection.value.send(bytes, $0) }
    }

    /// Ends the body.
    ///
    /// - Throws: as `send`.
    package func finish() async throws(HTTPClientError) { try await written { [connection] in connection.value.endUpload($0) } }

    /// The answer, once its head is there. To be asked for once.
    package func answer() async throws(HTTPClientError) -> HTTPAnswerStream { HTTPAnswerStream(try await exchange.head(), exchange) }

    /// Ends request and answer with their connection; nothing happens once both have ended, as the connection may be another's by then.
    package func close() { exchange.stop() }

    private func written(_ write: @escaping @Sendable (EventLoopPromise<Void>) -> Void) async throws(HTTPClientError) {
        let promise = channel.eventLoop.makePromise(of: Void.self)
        channel.eventLoop.execute { write(promise) }
        do { try await promise.futureResult.get() } catch {
            throw error as? HTTPClientError ?? HTTPClientError(.closedEarly, "the connection broke: \(error)")
        }
    }
}
