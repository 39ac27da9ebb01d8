import CloudHub
import Network
import Resources
import Storage
import APIServer

/// What a cloud runs with: what `--config` says, and the flags, which win over it.
///
/// The limits are those of docs/guides/cloud-settings.md, which lists each setting with its range and what happens at it.
struct CloudSettings {
    var dataDir: String?
    var listen = "127.0.0.1:7443"
    /// Further names and addresses of the cloud, which its certificate bears.
    var alsoKnownAs: [String] = []
    var kubeconfig: String?
    var context: String?
    var http = CloudSettings.linkedLimits
    /// For requests in flight when the cloud is asked to stop.
    var drainTimeout: Duration = .seconds(10)
    var store = RevisionStore.Options()
    var historyKept = HistoryKeeper.kept
    var isAudited = true
    var auditBytesMax = 32 << 20
    var auditFilesMax = 4
    /// A node that was not heard of for so long counts as silent.
    var nodeGraceSeconds: Int64 = 40
    /// Pods run on the cloud's machine too.
    var hasNode = true
    /// Threads that compute for models at once on the cloud's own node; nil for as many as there are cores.
    var inferenceThreads: Int?

    /// What every setting is without a file.
    init() {}

    /// Reads a file; `nil` for none.
    ///
    /// - Throws: `CloudError` or `SettingsError` naming the file, the line and the setting.
    init(file path: String?) throws {
        guard let path else { return }
        let bytes: [UInt8]
        do { bytes = try SmallFile.read(path, bytesMax: SettingsFile.bytesMax) } catch {
            throw CloudError("cannot read --config \(path): \(error)")
        }
        var file = try SettingsFile(bytes, name: path)
        if let listen = try file.text("listen") {
            guard Self.address(listen) != nil else {
                throw file.refusal("listen", "expected ADDRESS:PORT, as 127.0.0.1:7443", found: .string(listen))
            }
            self.listen = listen
        }
        dataDir = try file.text("dataDir")
        alsoKnownAs = try file.texts("alsoKnownAs", countMax: 64) ?? []
        kubeconfig = try file.text("kubeconfig")
        context = try file.text("context")
        if let context, kubeconfig == nil {
            throw file.refusal("context", "there is no kubeconfig to take it from", found: .string(context))
        }
        try readLimits(&file)
        try file.finish()
    }

    private mutating func readLimits(_ file: inout SettingsFile) throws {
        if let value = try file.bytes("http.bodyBytesMax", in: 64 << 10...3 << 20) { http.bodyBytesMax = value }
        if let value = try file.count("http.connectionsMax", in: 16...100_000) { http.connectionsMax = value }
        if let value = try file.count("http.requestsMax", in: 1...10_000) { http.requestsMax = value }
        if let value = try file.count("http.streamsMax", in: 16...1_000_000) { http.streams.totalMax = value }
        if let value = try file.count("http.streamsPerConnectionMax", in: 100...10_000) { http.streams.perConnectionMax = value }
        if let value = try file.duration("http.arrivalTimeout", in: .seconds(1) ... .seconds(600)) { http.arrivalTimeout = value }
        if let value = try file.duration("http.idleTimeout", in: .seconds(1) ... .seconds(3600)) { http.idleTimeout = value }
        if let value = try file.bytes("http.compressedFromBytes", in: 1 << 10...1 << 30) { http.compressedFromBytes = value }
        if let value = try file.duration("http.drainTimeout", in: .zero ... .seconds(300)) { drainTimeout = value }
        if let value = try file.bytes("store.bytesMax", in: 1 << 20...64 << 30) { store.bytesMax = value }
        if let value = try file.duration("history.kept", in: .seconds(30) ... .seconds(86_400)) { historyKept = value }
        if let value = try file.count("history.changesMax", in: 64...1_000_000) { store.windowCountMax = value }
        if let value = try file.bytes("history.bytesMax", in: 1 << 20...1 << 30) { store.windowBytesMax = value }
        if let value = try file.flag("audit.enabled") { isAudited = value }
        if let value = try file.bytes("audit.fileBytesMax", in: 64 << 10...1 << 30) { auditBytesMax = value }
        if let value = try file.count("audit.filesMax", in: 1...100) { auditFilesMax = value }
        if let value = try file.count("node.inferenceThreads", in: 1...256) { inferenceThreads = value }
        if let value = try file.duration("nodes.grace", in: .seconds(5) ... .seconds(3600)) { nodeGraceSeconds = value.components.seconds }
    }

    /// Host and port of `ADDRESS:PORT`; nil for text that is none.
    static func address(_ text: String) -> (host: String, port: Int)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), colon > text.startIndex else {
            return nil
        }
        return (text[..<colon].filter { $0 != "[" && $0 != "]" }, Int(port))
    }
}

extension CloudSettings {
    /// Links of nodes are connections too, and stay.
    fileprivate static var linkedLimits: HTTPLimits {
        var limits = HTTPLimits()
        limits.connectionsMax += CloudHub.Limits().sessionsMax
        return limits
    }
}
