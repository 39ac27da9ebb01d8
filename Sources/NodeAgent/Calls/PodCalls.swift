import Resources

#if canImport(Glibc)
    import Glibc
#endif

/// Answers calls about the Pods of a node.
struct PodCalls: NodeCallHandler {
    let agent: NodeAgent
    let runtime: any ContainerRuntime

    func serve(_ call: NodeCall, over stream: any CallStream) async {
        do throws(APIStatus) {
            switch call {
            case .logs(let target, let query): try await serveLogs(target, query, stream)
            case .exec(let target, let query): try await serveExec(target, query, stream)
            case .attach(let target, let query): try await serveAttach(target, query, stream)
            case .portForward(let target, let port): try await forward(target, port, stream)
            case .question(let question): try await answer(question, stream)
            }
            stream.close(nil)
        } catch { stream.close(error) }
    }

    // MARK: Whom it is about

    private func container(_ target: PodTarget) async throws(APIStatus) -> (worker: PodWorker, spec: ContainerSpec) {
        let key = ObjectKey(namespace: target.namespace, name: target.pod)
        guard let worker = await agent.worker(key) else {
            throw APIStatus(code: 404, reason: "NotFound", message: "pod \(key) does not run on this node")
        }
        let pod = await worker.spec
        if target.container.isEmpty {
            let named = pod.object["metadata"]?["annotations"]?["kubectl.kubernetes.io/default-container"]?.string
            if let container = named.flatMap({ pod.container($0) }) ?? (pod.containers.count == 1 ? pod.containers.first : nil) {
                return (worker, container)
            }
            throw .badRequest(
                "a container name must be specified for pod \(pod.key.name), choose one of: [\(pod.allContainers.map(\.name).joined(separator: " "))]"
            )
        }
        guard let container = pod.container(target.container) else {
            throw .badRequest("container \(target.container) is not valid for pod \(pod.key.name)")
        }
        return (worker, container)
    }

    private func running(_ target: PodTarget) async throws(APIStatus) -> (id: ContainerID, spec: ContainerSpec) {
        let (worker, container) = try await container(target)
        guard let latest = await worker.latest(container.name), latest.isRunning else {
            throw .badRequest("container \(container.name) in pod \(target.pod) is not running")
        }
        return (latest.id, container)
    }

    // MARK: Questions

    private func answer(_ question: NodeQuestion, _ stream: any CallStream) async throws(APIStatus) {
        try await stream.send(.data(.stdout, []))
        var body: [UInt8] = []
        reading: while let frame = try await stream.receive() {
            switch frame {
            case .data(_, let bytes): body += bytes
            case .end: break reading
            }
            guard body.count <= NodeQuestion.bytesMax else {
                throw APIStatus(
                    code: 413, reason: "RequestEntityTooLarge",
                    message: "a question of more than \(NodeQuestion.bytesMax) bytes; ask in parts")
            }
        }
        var rest = await agent.answer(question, body).bytes()[...]
        while !rest.isEmpty {
            try await stream.send(.data(.stdout, Array(rest.prefix(CallFrame.bytesMax))))
            rest = rest.dropFirst(CallFrame.bytesMax)
        }
    }

    // MARK: Logs

    private func serveLogs(_ target: PodTarget, _ query: LogQuery, _ stream: any CallStream) async throws(APIStatus) {
        let (worker, container) = try await container(target)
        guard let latest = await worker.latest(container.name) else {
            throw .badRequest("container \"\(container.name)\" in pod \"\(target.pod)\" is waiting to start: ContainerCreating")
        }
        let attempt = latest.id.attempt - (query.previous ? 1 : 0)
        let id = ContainerID(pod: latest.id.pod, container: container.name, attempt: attempt)
        guard attempt >= 0, runtime.record(id) != nil else {
            throw .badRequest("previous terminated container \"\(container.name)\" in pod \"\(target.pod)\" not found")
        }
        let reader = try LogReader(query, now: Timestamp(seconds: SystemFacts.nanoseconds() / 1_000_000_000))
        try await stream.send(.data(.stdout, []))
        let runtime = runtime
        let failure = await withTaskGroup(of: APIStatus?.self) { group -> APIStatus? in
            group.addTask {
                do throws(APIStatus) {
                    try await reader.run(
                        files: { runtime.logFiles(id) }, isOver: { !(runtime.record(id)?.isRunning ?? false) },
                        send: { (bytes, _) throws(APIStatus) in try await stream.send(.data(.stdout, bytes)) })
                    return nil
                } catch { return error }
            }
            // A reader has nothing to say: its end is the end of a log that is followed.
            group.addTask {
                do throws(APIStatus) {
                    while try await stream.receive() != nil {}
                    return nil
                } catch { return error }
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        if let failure { throw failure }
    }

    // MARK: Commands

    private func serveExec(_ target: PodTarget, _ query: ExecQuery, _ stream: any CallStream) async throws(APIStatus) {
        let (id, _) = try await running(target)
        let process = try runtime.execute(query.command, tty: query.tty, in: id)
        do throws(APIStatus) { try await stream.send(.data(.stdout, [])) } catch {
            process.kill()
            throw error
        }
        if !query.stdin { process.closeInput() }
        let failure = await withTaskGroup(of: APIStatus??.self) { group -> APIStatus? in
            group.addTask {
                do throws(APIStatus) {
                    while let (channel, bytes) = await process.read() {
                        guard channel == .stdout ? query.stdout || query.tty : query.stderr else { continue }
                        try await stream.send(.data(channel, bytes))
                    }
                    // Many programs close what they print to before they exit, so its end is not yet the command's.
                    _ = await process.exitCode()
                    return .some(.none)
                } catch { return .some(error) }
            }
            group.addTask {
                await Self.carryInput(stream, to: process)
                return .none
            }
            // The command is over when it has exited and all is carried, not when nobody says anything to it.
            while let next = await group.next() {
                guard let ended = next else { continue }
                process.kill()
                group.cancelAll()
                return ended
            }
            return nil
        }
        let code = await process.exitCode()
        if let failure { throw failure }
        try await stream.send(.data(.status, Self.status(exitCode: code).bytes()))
    }

    /// Until the other end has no more to say. A caller that goes away takes its command along.
    private static func carryInput(_ stream: any CallStream, to process: any RuntimeProcess) async {
        do throws(APIStatus) {
            while let frame = try await stream.receive() {
                switch frame {
                case .data(.stdin, let bytes): if await !process.write(bytes) { continue }
                case .end(.stdin): process.closeInput()
                case .data(.resize, let bytes): if let (columns, rows) = size(bytes) { process.resize(columns: columns, rows: rows) }
                default: break
                }
            }
        } catch {}
        process.kill()
    }

    private static func size(_ bytes: [UInt8]) -> (UInt16, UInt16)? {
        guard let json = try? JSONParser.parse(bytes, limits: .init(depthMax: 4, bytesMax: 1024)), let columns = json["Width"]?.integer,
            let rows = json["Height"]?.integer, let columns = UInt16(exactly: columns), let rows = UInt16(exactly: rows)
        else { return nil }
        return (columns, rows)
    }

    /// How a command ended, as kubectl reads it.
    static func status(exitCode: Int64) -> JSON {
        if exitCode == 0 { return ["metadata": [:], "status": "Success"] }
        return [
            "metadata": [:], "status": "Failure", "reason": "NonZeroExitCode",
            "message": .string("command terminated with non-zero exit code: exit status \(exitCode)"),
            "details": ["causes": [["reason": "ExitCode", "message": .string(String(exitCode))]]],
        ]
    }

    // MARK: A container's own streams

    private func serveAttach(_ target: PodTarget, _ query: AttachQuery, _ stream: any CallStream) async throws(APIStatus) {
        let (id, container) = try await running(target)
        if query.stdin, container.object["stdin"]?.bool != true {
            throw .badRequest("container \(container.name) reads no standard input: set stdin: true in the Pod")
        }
        let runtime = runtime
        let isOnce = container.object["stdinOnce"]?.bool ?? false
        var following = LogQuery()
        following.follows = true
        following.tailLines = 0
        let reader = try LogReader(following, now: Timestamp(seconds: 0))
        try await stream.send(.data(.stdout, []))
        let failure = await withTaskGroup(of: APIStatus?.self) { group -> APIStatus? in
            group.addTask {
                do throws(APIStatus) {
                    try await reader.run(
                        files: { runtime.logFiles(id) }, isOver: { !(runtime.record(id)?.isRunning ?? false) },
                        send: { (bytes, isError) throws(APIStatus) in
                            // Of a terminal both streams are one.
                            let isWanted = isError ? query.stderr : query.stdout || query.tty
                            if isWanted { try await stream.send(.data(isError ? .stderr : .stdout, bytes)) }
                        })
                    return nil
                } catch { return error }
            }
            group.addTask {
                do throws(APIStatus) {
                    while let frame = try await stream.receive() {
                        switch frame {
                        case .data(.stdin, let bytes) where query.stdin: _ = await runtime.write(bytes, to: id)
                        case .end(.stdin) where query.stdin && isOnce: _ = await runtime.write(nil, to: id)
                        case .data(.resize, let bytes):
                            if let (columns, rows) = Self.size(bytes) { runtime.resize(id, columns: columns, rows: rows) }
                        default: break
                        }
                    }
                } catch {
                    if query.stdin, isOnce { _ = await runtime.write(nil, to: id) }
                    return error
                }
                // Whoever wrote to it first has gone.
                if query.stdin, isOnce { _ = await runtime.write(nil, to: id) }
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        if let failure { throw failure }
        try await stream.send(.data(.status, Self.status(exitCode: 0).bytes()))
    }

    // MARK: Ports

    private func forward(_ target: PodTarget, _ port: Int, _ stream: any CallStream) async throws(APIStatus) {
        let key = ObjectKey(namespace: target.namespace, name: target.pod)
        guard await agent.worker(key) != nil else {
            throw APIStatus(code: 404, reason: "NotFound", message: "pod \(key) does not run on this node")
        }
        let opened = await Threads.run { () -> Result<Int32, Sockets.Failure> in
            Result { () throws(Sockets.Failure) in
                try Sockets.connect(host: "127.0.0.1", port: port, deadline: Sockets.milliseconds() + 10_000)
            }
        }
        guard case .success(let descriptor) = opened else {
            if case .failure(let failure) = opened { throw .internalError("error forwarding port \(port) to pod \(key): \(failure)") }
            return
        }
        let connection = PlainConnection(descriptor)
        try await stream.send(.data(.stdout, []))
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do throws(APIStatus) {
                    while let bytes = await connection.read() { try await stream.send(.data(.stdout, bytes)) }
                    try await stream.send(.end(.stdout))
                } catch { connection.close() }
            }
            group.addTask {
                do throws(APIStatus) {
                    loop: while let frame = try await stream.receive() {
                        switch frame {
                        case .data(_, let bytes): if await !connection.write(bytes) { break loop }
                        case .end:
                            connection.endWriting()
                            // What the other side still answers is carried by the task beside this one.
                            continue
                        }
                    }
                } catch {}
                connection.close()
            }
            // Once the port has no more to say, or the caller is gone.
            await group.next()
            connection.close()
            group.cancelAll()
        }
    }
}

/// A TCP connection read and written by blocking calls on threads of their own.
private final class PlainConnection: Sendable {
    private let descriptor: Int32

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        _ = fcntl(descriptor, F_SETFL, 0)
    }

    deinit { Glibc.close(descriptor) }

    func read() async -> [UInt8]? {
        await Threads.run { [self] in
            var buffer = [UInt8](repeating: 0, count: CallFrame.bytesMax)
            while true {
                let count = Glibc.read(descriptor, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                return count > 0 ? Array(buffer[..<count]) : nil
            }
        }
    }

    func write(_ bytes: [UInt8]) async -> Bool { await Threads.run { [self] in SystemFiles.write(bytes, to: descriptor) } }

    func endWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Ends both directions, so that whoever reads sees the end; the descriptor goes with the last user.
    func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
