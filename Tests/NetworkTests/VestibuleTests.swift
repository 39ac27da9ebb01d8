import Identity
import Network
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Who stands before a server's door, and who is let in.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct VestibuleTests {
    // MARK: The order

    private static func order(_ guests: ClosedRange<UInt64>, seatsMax: Int = 2) -> ArrivalOrder {
        var order = ArrivalOrder(seatsMax: seatsMax, patience: .seconds(30))
        for guest in guests { order.arrived(guest, now: .seconds(Int64(guest))) }
        return order
    }

    private static func allIn(_ order: inout ArrivalOrder) -> [UInt64] {
        var guests: [UInt64] = []
        while let guest = order.next() { guests.append(guest) }
        return guests
    }

    @Test func `who is in a hurry is let in at once, whoever came before`() {
        var order = Self.order(1...4)
        let entered = [order.spoke(1, isPatient: true), order.spoke(2, isPatient: true), order.spoke(3, isPatient: true)]
        let hurried = order.spoke(4, isPatient: false)
        #expect(entered == [false, false, false] && hurried)
        #expect(order.count == 3)
    }

    @Test func `the patient are let in in their order, as many as there are seats`() {
        var order = Self.order(1...5)
        for guest in [3, 1, 2, 5, 4] as [UInt64] { _ = order.spoke(guest, isPatient: true) }
        let first = Self.allIn(&order)
        order.rose()
        let second = Self.allIn(&order)
        order.rose()
        order.rose()
        let rest = Self.allIn(&order)
        #expect(first == [3, 1])
        #expect(second == [2])
        #expect(rest == [5, 4])
        #expect(order.count == 0)
    }

    @Test func `who has gone takes nobody's seat, and who speaks twice has one`() {
        var order = Self.order(1...4)
        for guest in [1, 2, 2, 3, 4] as [UInt64] { _ = order.spoke(guest, isPatient: true) }
        order.left(1)
        order.left(3)
        let entered = Self.allIn(&order)
        #expect(entered == [2, 4])
    }

    @Test func `who says nothing is late after its time, who waits for a seat is not`() {
        var order = Self.order(1...3)
        _ = order.spoke(2, isPatient: true)
        var late: [UInt64] = []
        while let guest = order.late(now: .seconds(31)) { late.append(guest) }
        #expect(late == [1] && order.hasUnknown)
        while let guest = order.late(now: .seconds(100)) { late.append(guest) }
        #expect(late == [1, 3] && !order.hasUnknown)
        let entered = Self.allIn(&order)
        #expect(entered == [2])
    }

    // MARK: The door

    private struct Echo: HTTPResponder {
        func respond(to request: HTTPRequest) async -> HTTPResponse { HTTPResponse(status: 200, body: .bytes(request.body)) }
    }

    private func withServer(_ limits: HTTPLimits = HTTPLimits(), _ body: (HTTPServer, PooledHTTPClient) async throws -> Void) async throws {
        let authority = try Authority.make(name: "test", now: Date())
        let issued = try authority.issueServer(names: ["localhost"], addresses: [[127, 0, 0, 1]], now: Date(), validFor: 3600)
        let identity = TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: authority.certificatePEM)
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: identity, limits: limits, responder: Echo())
        var trust = TLSTrust()
        trust.trustedPEM = authority.certificatePEM
        let client = try PooledHTTPClient(host: "127.0.0.1", port: server.port, trust: trust)
        let result: Result<Void, any Error>
        do { result = .success(try await body(server, client)) } catch { result = .failure(error) }
        await client.close()
        await server.stop(grace: .milliseconds(500))
        try result.get()
    }

    private static func ask(_ client: PooledHTTPClient) async throws -> Int {
        try await client.send(HTTPRequest(method: "GET", path: "/")).status
    }

    @Test func `many who can wait, and many who say nothing, keep nobody else out`() async throws {
        try await withServer { server, client in
            let patient = (0..<100).map { _ in PlainClient(port: server.port) }
            for other in patient { other.send(HandshakeTests.hello(["skerry-patient", "http/1.1"])) }
            let silent = (0..<100).map { _ in PlainClient(port: server.port) }
            for other in silent { other.send([22, 3, 1]) }
            let status = try await Self.ask(client)
            #expect(status == 200)
            // All of the patient have their turn, though none of them goes on: TLS answers this hello, which means nothing, with an alert.
            for other in patient {
                let answer = await other.receive(atLeast: 1)
                #expect(answer.first == 21)
            }
            withExtendedLifetime(silent) {}
        }
    }

    @Test func `who says nothing in time is sent away, and what it said last is waited for until then`() async throws {
        var limits = HTTPLimits()
        limits.arrivalTimeout = .seconds(1)
        try await withServer(limits) { server, client in
            let silent = PlainClient(port: server.port)
            let slow = PlainClient(port: server.port)
            slow.send([22])
            let (first, second) = (await silent.receiveAll(), await slow.receiveAll())
            #expect(first.isEmpty && second.isEmpty)
            let status = try await Self.ask(client)
            #expect(status == 200)
        }
    }

    @Test func `a hello in pieces is put together`() async throws {
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            for byte in HandshakeTests.hello(["http/1.1"]) { client.send([byte]) }
            let answer = await client.receive(atLeast: 1)
            #expect(answer.first == 21)
        }
    }

    @Test func `those who stand at the door count among the connections`() async throws {
        var limits = HTTPLimits()
        limits.connectionsMax = 2
        try await withServer(limits) { server, client in
            let first = PlainClient(port: server.port)
            let second = PlainClient(port: server.port)
            first.send([22])
            second.send([22])
            let third = PlainClient(port: server.port)
            let answer = await third.receiveAll()
            #expect(answer.isEmpty)
            withExtendedLifetime((first, second)) {}
        }
    }

    @Test func `a server that stops lets go of those who stand at its door, and of its port`() async throws {
        var silent: PlainClient?
        var port = 0
        try await withServer { server, _ in
            port = server.port
            silent = PlainClient(port: port)
            silent?.send([22, 3, 1])
        }
        let answer = await silent?.receiveAll()
        #expect(answer == [])
        let next = try await HTTPServer.start(host: "127.0.0.1", port: port, tls: nil, responder: Echo())
        #expect(next.port == port)
        await next.stop()
    }
}
