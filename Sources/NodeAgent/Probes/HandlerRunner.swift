import Resources

#if canImport(Glibc)
    import Glibc
#endif

/// Does to a container what a probe or hook asks for.
struct HandlerRunner: Sendable {
    /// How it went; a failure has a sentence.
    struct Result: Sendable, Hashable {
        var isSuccess: Bool
        var message = ""
    }

    let runtime: any ContainerRuntime
    /// Of the machine.
    let address: String
    /// Asks over TLS; nil where nobody can.
    var secure: (any SecureProbes)?

    /// - Parameter timeout: after which it has failed; nil for none but that of the task.
    func run(_ handler: Handler, _ container: ContainerSpec, _ id: ContainerID, timeout: Duration?) async -> Result {
        switch handler {
        case .exec(let command): return await execute(command, id, timeout)
        case .httpGet(let get):
            guard let port = container.port(get.port) else { return noPort(get.port, container) }
            if get.isEncrypted { return await askSecurely(get, hosts(get.host), port, timeout ?? .seconds(30)) }
            let deadline = Sockets.milliseconds() + milliseconds(timeout)
            return await ask(get, hosts(get.host), port, deadline)
        case .tcpSocket(let host, let value):
            guard let port = container.port(value) else { return noPort(value, container) }
            let (hosts, deadline) = (hosts(host), Sockets.milliseconds() + milliseconds(timeout))
            return await Threads.run {
                var failure = ""
                for host in hosts {
                    do throws(Sockets.Failure) {
                        close(try Sockets.connect(host: host, port: port, deadline: deadline))
                        return Result(isSuccess: true)
                    } catch { failure = error.description }
                }
                return Result(isSuccess: false, message: failure)
            }
        case .sleep(let seconds):
            try? await Task.sleep(for: .seconds(seconds))
            return Result(isSuccess: true)
        case .grpc(let value, let service):
            guard let port = container.port(value) else { return noPort(value, container) }
            return await call(service, hosts(""), port, Sockets.milliseconds() + milliseconds(timeout))
        }
    }

    private func call(_ service: String, _ hosts: [String], _ port: Int, _ deadline: Int64) async -> Result {
        await Threads.run {
            var failure = ""
            for host in hosts {
                do throws(Sockets.Failure) {
                    switch try Sockets.health(host: host, port: port, service: service, deadline: deadline) {
                    case .serving: return Result(isSuccess: true)
                    case .answered(let word): return Result(isSuccess: false, message: "service unhealthy (responded with \"\(word)\")")
                    case .failed(let reason): failure = "health rpc at \(host):\(port) failed: \(reason)"
                    }
                } catch { failure = "failed to connect service at \"\(host):\(port)\": \(error.description)" }
            }
            return Result(isSuccess: false, message: failure)
        }
    }

    private func milliseconds(_ timeout: Duration?) -> Int64 {
        timeout.map { $0.components.seconds * 1000 + $0.components.attoseconds / 1_000_000_000_000_000 } ?? 30_000
    }

    private func noPort(_ value: JSON, _ container: ContainerSpec) -> Result {
        Result(isSuccess: false, message: "container \(container.name) has no port \(value.string ?? value.text)")
    }

    /// A process may listen on the loopback only, or on the machine's address only.
    private func hosts(_ host: String) -> [String] { host.isEmpty ? ["127.0.0.1", address] : [host] }

    private func ask(_ get: HTTPGet, _ hosts: [String], _ port: Int, _ deadline: Int64) async -> Result {
        await Threads.run {
            var failure = ""
            for host in hosts {
                do throws(Sockets.Failure) {
                    let status = try Sockets.get(host: host, port: port, get, deadline: deadline)
                    if (200..<400).contains(status) { return Result(isSuccess: true) }
                    return Result(isSuccess: false, message: "HTTP probe failed with statuscode: \(status)")
                } catch { failure = "Get \"http://\(host):\(port)\(get.path)\": \(error.description)" }
            }
            return Result(isSuccess: false, message: failure)
        }
    }

    private func askSecurely(_ get: HTTPGet, _ hosts: [String], _ port: Int, _ timeout: Duration) async -> Result {
        guard let secure else {
            return Result(isSuccess: false, message: "probes over HTTPS are not made here; use httpGet with scheme HTTP, tcpSocket or exec")
        }
        var headers = get.headers.map { ($0[0], $0[1]) }
        headers.append(("User-Agent", "kube-probe/1.32"))
        var failure = ""
        for host in hosts {
            do throws(ProbeFailure) {
                let status = try await secure.status(host: host, port: port, target: get.path, headers: headers, timeout: timeout)
                if (200..<400).contains(status) { return Result(isSuccess: true) }
                return Result(isSuccess: false, message: "HTTP probe failed with statuscode: \(status)")
            } catch { failure = "Get \"https://\(host):\(port)\(get.path)\": \(error)" }
        }
        return Result(isSuccess: false, message: failure)
    }

    /// Most bytes of a command's output that are kept for a message.
    private static let outputBytesMax = 10 << 10

    private func execute(_ command: [String], _ id: ContainerID, _ timeout: Duration?) async -> Result {
        let process: any RuntimeProcess
        do { process = try runtime.execute(command, tty: false, in: id) } catch { return Result(isSuccess: false, message: error.message) }
        process.closeInput()
        let (result, hasEnded) = await withTaskGroup(of: Result?.self) { group -> (Result, Bool) in
            group.addTask {
                var output: [UInt8] = []
                while let (_, bytes) = await process.read() { if output.count < Self.outputBytesMax { output += bytes } }
                let code = await process.exitCode()
                return Result(
                    isSuccess: code == 0, message: code == 0 ? "" : String(decoding: output.prefix(Self.outputBytesMax), as: UTF8.self))
            }
            group.addTask {
                try? await Task.sleep(for: timeout ?? .seconds(3600))
                return nil
            }
            let first = await group.next() ?? nil
            if first == nil { process.kill() }
            group.cancelAll()
            return (first ?? Result(isSuccess: false, message: "command \"\(command.joined(separator: " "))\" timed out"), first != nil)
        }
        if !hasEnded { _ = await process.exitCode() }
        return result
    }
}
