import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One connection to a broker. What is received is acknowledged by `acknowledge` alone.
///
/// The library queues the acknowledgement of a message as it hands the message over. Told that threads are somebody else's business, it
/// writes what is queued only when it is asked to: so nothing is written between a read and the end of the work on what was read. Whoever
/// dies in between has acknowledged nothing, and the broker sends it again.
///
/// Used on one queue, and never after `close`.
final class MQTTConnection {
    /// A message as it came.
    struct Message: Equatable {
        var topic: String
        var payload: [UInt8]
        /// Longer than `payloadBytesMax`; its payload is left out.
        var isTooLong = false
    }

    /// Bytes of a message that is answered.
    static let payloadBytesMax = 1 << 20
    /// Messages that are handed out at a time.
    static let messagesMax = 256
    /// Seconds for each answer of the broker while a connection is made, and for an acknowledgement.
    private static let patienceSeconds = 20.0
    private static let keepAliveSeconds: Int32 = 30

    /// What the callbacks leave; at an address of its own, which the library knows.
    private final class Mailbox {
        var connected: Int32?
        var granted: Int32?
        var messages: [Message] = []
        var confirmed: Set<Int32> = []
    }

    private let library: MosquittoLibrary
    private let place: ModelStreams.Messages
    private let handle: MosquittoLibrary.Handle
    private let mailbox = Mailbox()

    /// Connects, and subscribes where there is a filter.
    ///
    /// - Parameters:
    ///   - clientID: by which the broker knows a session again; nil for one that is forgotten when it ends.
    ///   - isSource: subscribes to the place's topic.
    /// - Throws: naming the broker, and the credentials' folder where they cannot be read.
    init(_ library: MosquittoLibrary, _ place: ModelStreams.Messages, clientID: String?, isSource: Bool) throws {
        (self.library, self.place) = (library, place)
        guard let handle = library.make(clientID, clientID == nil, Unmanaged.passUnretained(mailbox).toOpaque()) else {
            throw StreamFault("libmosquitto takes no client \"\(clientID ?? "")\": \(String(cString: strerror(errno)))")
        }
        self.handle = handle
        // All that is stored is there: should anything fail from here on, `deinit` ends the handle.
        try logIn()
        _ = library.setThreaded(handle, true)
        listen()
        try check(library.connect(handle, place.host, Int32(place.port), Self.keepAliveSeconds), "cannot connect")
        try wait("does not answer the connection") { mailbox.connected != nil }
        guard mailbox.connected == 0 else {
            throw StreamFault("\(name) refuses the connection: \(library.refusal(mailbox.connected!)); see credentialName")
        }
        guard isSource else { return }
        try check(library.subscribe(handle, nil, place.topic, 1), "cannot subscribe to \"\(place.topic)\"")
        try wait("does not answer the subscription") { mailbox.granted != nil }
        guard let granted = mailbox.granted, granted < 128 else {
            throw StreamFault("\(name) refuses the subscription to \"\(place.topic)\"; allow it to this user")
        }
    }

    deinit { if !isClosed { library.destroy(handle) } }

    private var isClosed = false

    /// For messages.
    var name: String { "the broker \(place.isSecure ? "mqtts" : "mqtt")://\(place.host):\(place.port)" }

    /// Ends the connection; a session with a client's name stays with the broker, and so does what is not acknowledged.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        library.destroy(handle)
    }

    // MARK: - Making it

    private func logIn() throws {
        guard let folder = place.credentials else {
            if place.isSecure { try check(library.setTLS(handle, nil, "/etc/ssl/certs", nil, nil, nil), "TLS with /etc/ssl/certs") }
            return
        }
        func file(_ name: String) -> String? { WorkerFile.exists("\(folder)/\(name)") ? "\(folder)/\(name)" : nil }
        func text(_ name: String) throws -> String? {
            guard let path = file(name) else { return nil }
            var bytes = try WorkerFile.read(path, limit: 1 << 16)
            while bytes.last == 0x0a || bytes.last == 0x0d { bytes.removeLast() }
            return String(decoding: bytes, as: UTF8.self)
        }
        if let user = try text("username") {
            try check(library.setLogin(handle, user, try text("password")), "username and password")
        }
        guard place.isSecure else { return }
        let (authority, certificate, key) = (file("ca.crt"), file("tls.crt"), file("tls.key"))
        guard (certificate == nil) == (key == nil) else {
            throw StreamFault("\(folder): found only one of tls.crt and tls.key; the Secret needs both, or none")
        }
        try check(
            library.setTLS(handle, authority, authority == nil ? "/etc/ssl/certs" : nil, certificate, key, nil),
            "TLS with the certificates in \(folder)")
    }

    private func listen() {
        library.onConnect(handle) { MQTTConnection.mailbox($1)?.connected = $2 }
        library.onPublish(handle) { MQTTConnection.mailbox($1)?.confirmed.insert($2) }
        library.onGrant(handle) { _, box, _, count, granted in
            MQTTConnection.mailbox(box)?.granted = count > 0 ? granted?[0] ?? 128 : 128
        }
        library.onMessage(handle) { _, box, message in
            if let message { MQTTConnection.mailbox(box)?.messages.append(MQTTConnection.message(message)) }
        }
    }

    private static func mailbox(_ pointer: UnsafeMutableRawPointer?) -> Mailbox? {
        pointer.map { Unmanaged<Mailbox>.fromOpaque($0).takeUnretainedValue() }
    }

    /// `struct mosquitto_message`: int, char *, void *, int, int, bool.
    private static func message(_ memory: UnsafeRawPointer) -> Message {
        let topic = memory.load(fromByteOffset: 8, as: UnsafePointer<CChar>?.self).map { String(cString: $0) } ?? ""
        let length = Int(max(0, memory.load(fromByteOffset: 24, as: Int32.self)))
        guard length <= payloadBytesMax else { return Message(topic: topic, payload: [], isTooLong: true) }
        guard let payload = memory.load(fromByteOffset: 16, as: UnsafeRawPointer?.self), length > 0 else {
            return Message(topic: topic, payload: [])
        }
        return Message(topic: topic, payload: Array(UnsafeRawBufferPointer(start: payload, count: length)))
    }

    private func check(_ code: Int32, _ what: String) throws(StreamFault) {
        guard code != 0 else { return }
        throw StreamFault("\(name): \(what): \(library.words(code))")
    }

    // MARK: - Work

    /// Messages that have come; none after the time without any. Nothing may be left of the ones before but what was acknowledged.
    ///
    /// - Throws: the connection is lost.
    func receive(milliseconds: Int32) throws -> [Message] {
        try acknowledge()
        try check(library.upkeep(handle), "the connection is lost")
        if mailbox.messages.isEmpty { try read(milliseconds: milliseconds) }
        let found = Array(mailbox.messages.prefix(Self.messagesMax))
        mailbox.messages.removeFirst(found.count)
        return found
    }

    /// Writes what is queued: the acknowledgement of everything that `receive` has given.
    ///
    /// - Throws: the connection is lost; the broker sends again what was not acknowledged.
    func acknowledge() throws(StreamFault) {
        // Messages beyond the bound of one call are acknowledged with the last of them.
        guard mailbox.messages.isEmpty else { return }
        while library.wantsWrite(handle) {
            try check(library.write(handle, 1), "the connection is lost")
            if library.wantsWrite(handle) { try waitForSocket(writing: true, milliseconds: 1000) }
        }
    }

    /// Sends messages; returns once the broker has taken them all.
    ///
    /// - Throws: some may have arrived; send all of them again.
    func publish(_ payloads: [[UInt8]]) throws {
        var waiting: Set<Int32> = []
        mailbox.confirmed = []
        for payload in payloads {
            var number: Int32 = 0
            let code = payload.withUnsafeBytes {
                library.publish(handle, &number, place.topic, Int32(payload.count), $0.baseAddress, 1, false)
            }
            try check(code, "cannot publish to \"\(place.topic)\"")
            waiting.insert(number)
        }
        try wait("does not acknowledge what was published to \"\(place.topic)\"") { mailbox.confirmed.isSuperset(of: waiting) }
        mailbox.confirmed = []
    }

    /// Keeps a connection that has nothing to say.
    ///
    /// - Throws: the connection is lost.
    func keep() throws {
        try check(library.upkeep(handle), "the connection is lost")
        try acknowledge()
        try read(milliseconds: 0)
    }

    private func wait(_ what: String, _ isDone: () -> Bool) throws {
        let end = monotonic() + UInt64(Self.patienceSeconds * 1e9)
        while !isDone() {
            guard monotonic() < end else { throw StreamFault("\(name) \(what) within \(Int(Self.patienceSeconds)) s") }
            // A session goes on before the subscription is confirmed: what came with it is not acknowledged here.
            let isWriting = mailbox.messages.isEmpty && library.wantsWrite(handle)
            if isWriting { try check(library.write(handle, 1), "the connection is lost") }
            do throws(StreamFault) { try read(milliseconds: isWriting ? 5 : 100) } catch {
                // A refusal is told first, and ends the connection.
                guard isDone() else { throw error }
            }
        }
    }

    private func read(milliseconds: Int32) throws(StreamFault) {
        try waitForSocket(writing: false, milliseconds: milliseconds)
        // One packet a call; what TLS has read ahead does not show at the socket.
        var before = -1
        while mailbox.messages.count != before, mailbox.messages.count < Self.messagesMax {
            before = mailbox.messages.count
            try check(library.read(handle, 1), "the connection is lost")
        }
    }

    private func waitForSocket(writing: Bool, milliseconds: Int32) throws(StreamFault) {
        let socket = library.socket(handle)
        guard socket >= 0 else { throw StreamFault("\(name): the connection is lost") }
        var entry = pollfd(fd: socket, events: Int16(writing ? POLLOUT : POLLIN), revents: 0)
        _ = poll(&entry, 1, milliseconds)
    }
}
