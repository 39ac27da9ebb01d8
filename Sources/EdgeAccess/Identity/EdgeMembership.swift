package import Identity
package import Network
import Reconciliation
import Resources
import Synchronization

/// An edge's membership of its cloud: joins once, keeps the certificate fresh, and says what to show. Works without the cloud once joined.
package final class EdgeMembership: Sendable {
    /// What an edge asks of the world besides its folder and the cloud.
    package struct Environment: Sendable {
        /// Seconds since 1970.
        package var now: @Sendable () -> Int64
        /// Takes lines for people.
        package var report: @Sendable (String) -> Void
        /// Who it says it is, as `skerry/1.0`.
        package var userAgent: String

        /// The program gives the system's clock; tests give their own.
        package init(now: @escaping @Sendable () -> Int64, report: @escaping @Sendable (String) -> Void, userAgent: String) {
            self.now = now
            self.report = report
            self.userAgent = userAgent
        }
    }

    /// A certificate is looked at at least so often: the clock may have jumped.
    private static let lookPeriod: Duration = .seconds(600)
    private static let backoff = ExponentialBackoff(first: .seconds(5), limit: .seconds(600))

    private struct State {
        var identity: EdgeIdentity
        var failures = 0
        var refusal: EdgeAccessError?
    }

    private let file: IdentityFile
    private let environment: Environment
    private let state: Mutex<State>

    private init(_ file: IdentityFile, _ identity: EdgeIdentity, _ environment: Environment) {
        self.file = file
        self.environment = environment
        state = Mutex(State(identity: identity))
    }

    /// Who this edge is.
    package var identity: EdgeIdentity { state.withLock { $0.identity } }

    /// Why the cloud lets this edge in no more; nil as far as is known.
    package var refusal: EdgeAccessError? { state.withLock { $0.refusal } }

    /// What to trust and to show when dialling the cloud; asked for at each dial, for it changes when the certificate is renewed.
    package var trust: TLSTrust {
        let identity = identity
        var trust = TLSTrust()
        trust.trustedPEM = identity.authorityPEM
        trust.chainPEM = identity.certificatePEM ?? ""
        trust.keyPEM = identity.keyPEM
        return trust
    }

    // MARK: Joining

    /// Enters with what the folder holds, or with a token the first time.
    ///
    /// An edge that has joined starts without the cloud and needs no token; one that is given is used only if the cloud says that the
    /// certificate holds no longer.
    ///
    /// - Parameters:
    ///   - token: as 'skerry token create' prints it; nil for none.
    ///   - name: the node's name; nil for the token's, then `hostName`.
    ///   - hostName: of this machine.
    /// - Throws: `EdgeAccessError` with the remedy: no token, another cloud, used, expired or other name, unreachable.
    package static func enter(
        folder: String, token: String?, name: String?, hostName: String, _ environment: Environment
    ) async throws(EdgeAccessError) -> EdgeMembership {
        let file = try IdentityFile(folder: folder)
        if let name, !NameRules.isSubdomain(name) {
            throw EdgeAccessError(
                .unusable,
                "--name \"\(name)\": expected lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit")
        }
        var parsed: JoinToken?
        if let token { do throws(IdentityError) { parsed = try JoinToken(token) } catch { throw EdgeAccessError(.unusable, "\(error)") } }
        let kept = try file.read()
        if let kept, kept.certificatePEM != nil {
            if let name, name != kept.node {
                throw EdgeAccessError(
                    .unusable,
                    "\(file.path) is that of node \"\(kept.node)\", --name says \"\(name)\"; leave --name out, or choose another --data-dir"
                )
            }
            let membership = EdgeMembership(file, kept, environment)
            guard let parsed, await membership.isRefused() else { return membership }
            environment.report("the cloud lets node \(kept.node) in no more; joining again with the token")
            do throws(EdgeAccessError) { return try await join(file, parsed, name: kept.node, hostName: "", kept: nil, environment) } catch
            {
                // What runs here goes on without the cloud.
                environment.report("joining again: \(error)")
                return membership
            }
        }
        guard let parsed else {
            throw EdgeAccessError(
                .unusable, "\(folder) has joined no cloud; make a token there with 'skerry token create' and give it as --join TOKEN")
        }
        return try await join(
            file, parsed, name: name ?? "", hostName: hostName,
            kept: kept ?? EdgeIdentity(host: "", port: 0, node: "", authorityPEM: "", keyPEM: SigningRequest.newKeyPEM()), environment)
    }

    /// Whether the cloud can be asked, and says that the certificate holds no longer.
    private func isRefused() async -> Bool {
        do throws(EdgeAccessError) {
            try await client(identity).confirm(identity)
            return false
        } catch { return error.isRevocation }
    }

    /// - Parameter kept: of a machine that has not joined yet, whose key is kept before it is certified: the cloud gives the same answer again
    ///   for the same token and key. Nil where a former identity stands in the folder until there is a new one.
    private static func join(
        _ file: IdentityFile, _ token: JoinToken, name: String, hostName: String, kept: EdgeIdentity?, _ environment: Environment
    ) async throws(EdgeAccessError) -> EdgeMembership {
        let client = JoinClient(host: token.host, port: token.port, userAgent: environment.userAgent)
        let authority = try await client.authority(expecting: token.authority)
        var identity = EdgeIdentity(
            host: token.host, port: token.port, node: name, authorityPEM: authority.certificatePEM,
            keyPEM: kept?.keyPEM ?? SigningRequest.newKeyPEM())
        if kept != nil { try file.write(identity) }
        let issued = try await client.join(token, identity, hostName: hostName)
        identity.node = issued.node
        identity.certificatePEM = issued.certificatePEM
        // The first certificate has none before it.
        identity.isConfirmed = true
        try file.write(identity)
        environment.report("joined \(identity.address) as node \(identity.node)")
        return EdgeMembership(file, identity, environment)
    }

    // MARK: Renewing

    private func client(_ identity: EdgeIdentity) -> JoinClient {
        JoinClient(host: identity.host, port: identity.port, userAgent: environment.userAgent)
    }

    /// Keeps the certificate fresh until its task is cancelled.
    package func run(sleep: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }) async {
        while !Task.isCancelled {
            let wait = await step()
            do { try await sleep(wait) } catch { return }
        }
    }

    /// Does what is due now: confirms a new certificate, renews an old one.
    ///
    /// - Returns: when to look again.
    package func step() async -> Duration {
        let identity = identity
        do throws(EdgeAccessError) {
            if !identity.isConfirmed { try await confirm(identity) }
            guard let pem = identity.certificatePEM, let certificate = try? NodeCertificate(pem: pem) else { return Self.lookPeriod }
            let plan = RenewalPlan(certificate)
            let now = environment.now()
            if plan.isDue(now) { try await renew(identity, plan.way(now)) }
            succeeded()
            return min(Self.lookPeriod, .seconds(max(1, RenewalPlan(certificate).renewAt - now)))
        } catch { return failed(error) }
    }

    private func renew(_ identity: EdgeIdentity, _ way: RenewalPlan.Way) async throws(EdgeAccessError) {
        let keyPEM = SigningRequest.newKeyPEM()
        let issued = try await client(identity).renew(identity, keyPEM: keyPEM, isShown: way == .shown)
        guard issued.node == identity.node else {
            throw EdgeAccessError(.malformed, "\(identity.address) renewed node \"\(identity.node)\" as \"\(issued.node)\"")
        }
        var next = identity
        next.keyPEM = keyPEM
        next.certificatePEM = issued.certificatePEM
        next.isConfirmed = false
        // On the disk before it is confirmed: until then the cloud lets the one before in.
        try file.write(next)
        state.withLock { [next] in $0.identity = next }
        environment.report("renewed the certificate of node \(next.node)")
        try await confirm(next)
    }

    private func confirm(_ identity: EdgeIdentity) async throws(EdgeAccessError) {
        try await client(identity).confirm(identity)
        var confirmed = identity
        confirmed.isConfirmed = true
        try file.write(confirmed)
        state.withLock { [confirmed] in $0.identity = confirmed }
    }

    private func succeeded() {
        state.withLock { state in
            state.failures = 0
            state.refusal = nil
        }
    }

    private func failed(_ error: EdgeAccessError) -> Duration {
        if error.code == .cancelled { return .zero }
        let failures = state.withLock { state -> Int in
            state.failures += 1
            if error.isRevocation { state.refusal = error }
            return state.failures
        }
        if failures == 1 { environment.report("the certificate could not be renewed: \(error)") }
        return Self.backoff.wait(afterFailures: failures)
    }
}
