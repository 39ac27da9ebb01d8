import ArgumentParser
import Identity
import KubernetesClient
import Network
import NodeAgent
import Resources

/// `skerry doctor`: what is wrong, and what to do.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Check a cloud: certificates, clocks, disks, links, versions, data sets, and jobs that are stuck.",
        discussion: """
            Each line says what was looked at, what was found, and what to do. Exits 0 where nothing is broken (warnings are not), else 1. With \
            --data-dir also the folder of a cloud or an edge on this machine.
            """)

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var table: TableOptions
    @Option(help: "The data folder of a cloud or an edge on this machine.") var dataDir: String?
    @Flag(help: "Only what is wrong.") var quiet = false

    /// Room on a disk below which it is short.
    private static let diskBytesMin: Int64 = 1 << 30

    func run() async throws {
        var findings = try dataDir.map { try Self.folder($0) } ?? []
        let isNamed = cluster.kubeconfig != nil || !(environment()["KUBECONFIG"] ?? "").isEmpty
        // A folder alone is looked at without a cloud.
        if isNamed || dataDir == nil { findings += try await cloud() }
        let shown = quiet ? findings.filter { $0.state != .ok } : findings
        var rows = AlignedTable(["STATE", "SUBJECT", "FOUND", "REMEDY"], texts: ["STATE", "SUBJECT", "FOUND", "REMEDY"])
        rows.rows = shown.map { [$0.state.rawValue, $0.subject, $0.message, $0.remedy] }
        if table.format == .table {
            for finding in shown {
                try say("\(finding.state.rawValue)  \(finding.subject): \(finding.message)")
                if !finding.remedy.isEmpty { try say("    do: \(finding.remedy)") }
            }
        } else {
            try say(rows.text(table.format))
        }
        let failures = findings.count { $0.state == .failure }, warnings = findings.count { $0.state == .warning }
        if table.format == .table {
            try say("\(findings.count) checks: \(failures) failed, \(warnings) \(warnings == 1 ? "warning" : "warnings")")
        }
        if failures > 0 { throw ExitCode.failure }
    }

    // MARK: A cloud

    private func cloud() async throws -> [ClusterDoctor.Finding] {
        let access = try cluster.access()
        var findings: [ClusterDoctor.Finding] = []
        let renew = "the cloud writes a new admin.kubeconfig with each start: restart it and copy the file"
        if let trust = access.trust {
            findings += Self.certificates("kubeconfig", trust.chainPEM, renew)
            findings += Self.certificates(
                "authority", trust.trustedPEM, "make a new cloud folder, or restore ca.crt and ca.key, and join nodes again")
        }
        do {
            return try await cluster.with { client, _ in
                let version = try await client.version()
                findings.append(.init(subject: "server", state: .ok, message: "\(access) answers, \(version)"))
                do throws(APIStatus) { _ = try await client.bytes("/readyz") } catch {
                    findings.append(
                        .init(
                            subject: "server", state: .failure, message: "is not ready: \(error.message)",
                            remedy: "look at its log and the disk of its data folder; start it again"))
                }
                return findings + (try await look(client)).findings
            }
        } catch let error as APIStatus where error.code == 503 {
            return findings + [
                .init(
                    subject: "server", state: .failure, message: error.message,
                    remedy: "start it: skerry cloud --data-dir DIR; and is this the kubeconfig of that cloud?")
            ]
        }
    }

    private func look(_ client: RESTClient) async throws -> ClusterDoctor {
        let query = ListQuery(limit: 500)
        let now = Timestamp(seconds: ClusterOptions.now)
        var doctor = ClusterDoctor(asked: now, version: Skerry.configuration.version, now: now)
        doctor.nodes = try await client.listAll(.node, query).items
        doctor.pods = try await client.listAll(.pod, query).items
        for (kind, short) in zip(KnownKinds.jobs, ["ll", "il", "ji"]) { doctor.jobs.append((short, try await list(client, kind))) }
        doctor.models = try await list(client, KnownKinds.model)
        doctor.datasets = try await list(client, KnownKinds.dataset)
        doctor.asked = Timestamp(seconds: ClusterOptions.now)
        let metrics = try? JSONParser.parse(try await client.bytes(Usage.nodesPath), limits: .init(depthMax: 32, bytesMax: 64 << 20))
        for item in metrics?["items"]?.array ?? [] { doctor.metrics[ObjectKey(item).name] = item }
        doctor.now = Timestamp(seconds: ClusterOptions.now)
        return doctor
    }

    /// Nothing where the server does not have the kind.
    private func list(_ client: RESTClient, _ kind: ResourceKind) async throws -> [JSON] {
        do throws(APIStatus) { return try await client.listAll(kind, ListQuery(limit: 500)).items } catch {
            guard error.code == 404 else { throw error }
            return []
        }
    }

    private static func certificates(_ name: String, _ pem: String, _ remedy: String) -> [ClusterDoctor.Finding] {
        if pem.isEmpty { return [] }
        do throws(IdentityError) {
            return try CertificateLife.all(pem: pem).map {
                ClusterDoctor.certificate(
                    "certificate of \(name)", $0.subject, from: $0.validFrom, until: $0.validUntil, now: ClusterOptions.now, remedy)
            }
        } catch {
            return [.init(subject: "certificate of \(name)", state: .failure, message: error.description, remedy: remedy)]
        }
    }

    // MARK: A folder of this machine

    private static func folder(_ path: String) throws -> [ClusterDoctor.Finding] {
        guard let facts = FolderFacts(path) else { throw CloudError("--data-dir \(path): there is no such folder") }
        let free = facts.freeBytes
        var findings = [
            ClusterDoctor.Finding(
                subject: "disk of \(path)", state: free < diskBytesMin ? .failure : .ok,
                message: "\(ModelVersions.sizeText(free)) are free",
                remedy: free < diskBytesMin ? "make room: with a full disk nothing is accepted" : "")
        ]
        if let bytes = try? SmallFile.read("\(path)/ca.crt", bytesMax: CertificateLife.bytesMax) {
            let remedy = "restore ca.crt and ca.key from a backup; nodes join again"
            findings += certificates("\(path)/ca.crt", String(decoding: bytes, as: UTF8.self), remedy)
        }
        if let bytes = try? SmallFile.read("\(path)/identity.json", bytesMax: CertificateLife.bytesMax) {
            let pem = (try? JSONParser.parse(bytes))?["certificate"]?.string ?? ""
            let remedy = "an edge renews its own while it runs and reaches its cloud; start it, or join it again"
            findings += certificates("\(path)/identity.json", pem, remedy)
        }
        for file in facts.openFiles(of: ["ca.key", "sa.key", "models.key", "admin.kubeconfig", "node.key", "identity.json"]) {
            findings.append(
                .init(
                    subject: "\(path)/\(file)", state: .failure, message: "others than its owner may read it",
                    remedy: "chmod 600 \(path)/\(file)"))
        }
        return findings
    }
}
