import HubProtocol
import Resources

/// Does with the API what reports say, as the node's own user: what that may not do is refused. Every report may come twice.
struct ReportWriter {
    let client: any ObjectClient

    /// - Returns: what the edge is told, and the object as it is now where there is one.
    func apply(_ report: Report) async -> (ReportResult.Outcome, JSON?) {
        do throws(APIStatus) {
            return (.done(isExpected: false), try await write(report))
        } catch {
            return (Self.outcome(error), nil)
        }
    }

    private func write(_ report: Report) async throws(APIStatus) -> JSON? {
        let (kind, key) = (report.ref.kind, report.ref.key)
        switch report.verb {
        case .create:
            let object = try Self.body(report)
            guard ObjectKey(object) == key else { throw .badRequest("a report on \(report.ref) carries the object \(ObjectKey(object))") }
            do throws(APIStatus) { return try await client.create(kind, object) } catch {
                // The first sending of this report, or somebody else, has made it.
                guard error.reason == "AlreadyExists" else { throw error }
                return nil
            }
        case .patch:
            var patch = try Self.body(report)
            if !report.uid.isEmpty { patch[path: ["metadata", "uid"]] = .string(report.uid) }
            return try await client.patch(kind, key, ObjectPatch(.merge, patch), part: report.part)
        case .delete:
            do throws(APIStatus) {
                try await client.delete(kind, key, Deletion(gracePeriodSeconds: 0, uid: report.uid.isEmpty ? nil : report.uid))
            } catch { if error.code != 404, error.code != 409 { throw error } }
            return nil
        }
    }

    private static func body(_ report: Report) throws(APIStatus) -> JSON {
        do throws(JSONParseError) { return try JSONParser.parse(report.body) } catch {
            throw .badRequest("a report on \(report.ref) is no JSON: \(error)")
        }
    }

    private static func outcome(_ status: APIStatus) -> ReportResult.Outcome {
        switch status.code {
        case 429, 500, 502, 503, 504, 507: .later(seconds: UInt16(max(2, min(status.retryAfterSeconds, 300))))
        default: .refused(code: UInt16(clamping: status.code), message: status.message)
        }
    }

    /// Says that a node lives.
    func renewLease(of node: String, now: Timestamp) async throws(APIStatus) {
        let key = ObjectKey(namespace: "kube-node-lease", name: node)
        let spec: JSON = [
            "holderIdentity": .string(node), "leaseDurationSeconds": 40, "renewTime": .string("\(now.text.dropLast()).000000Z"),
        ]
        do throws(APIStatus) {
            _ = try await client.patch(.lease, key, ObjectPatch(.merge, ["spec": spec]), part: .whole)
        } catch {
            guard error.code == 404 || error.code == 403 else { throw error }
            let lease: JSON = ["metadata": ["namespace": .string(key.namespace), "name": .string(node)], "spec": spec]
            do throws(APIStatus) { try await client.create(.lease, lease) } catch { if error.reason != "AlreadyExists" { throw error } }
        }
    }
}
