/// Which container of which Pod a call is about.
package struct PodTarget: Sendable, Hashable {
    /// Of the Pod.
    package var namespace: String
    /// Of the Pod.
    package var pod: String
    /// Of the container; empty for port forwarding, and for the Pod's only container.
    package var container: String

    /// Nothing is checked; a node that has no such Pod answers 404.
    package init(namespace: String, pod: String, container: String = "") {
        self.namespace = namespace
        self.pod = pod
        self.container = container
    }
}

/// What somebody asks of a node, mostly about a Pod that runs there: a request whose answer is a stream of bytes.
package enum NodeCall: Sendable, Hashable {
    /// What a container has printed.
    case logs(PodTarget, LogQuery)
    /// Runs a command beside a container's own process.
    case exec(PodTarget, ExecQuery)
    /// Joins the standard streams of a container's own process.
    case attach(PodTarget, AttachQuery)
    /// One connection to a port of a Pod; 1 to 65535.
    case portForward(PodTarget, port: Int)
    /// Something that only the node knows, or has.
    case question(NodeQuestion)

    /// The Pod and container that are meant; without names where none is.
    package var target: PodTarget {
        switch self {
        case .logs(let target, _), .exec(let target, _), .attach(let target, _), .portForward(let target, _): target
        case .question: PodTarget(namespace: "", pod: "")
        }
    }
}

/// A question to a node's agent, as a request of HTTP. Its body comes as frames on standard input; the answer's is JSON, `status` and `body`, on
/// standard output.
package struct NodeQuestion: Sendable, Hashable {
    /// `GET` or `POST`.
    package var method: String
    /// Of the agent's own: `/usage`, or `/datasets/NAMESPACE/NAME/labels`.
    package var path: String
    /// Media type of the body; empty for none.
    package var type: String

    /// Bytes of a question's body, and of an answer.
    package static let bytesMax = 4 << 20
    /// What the node and its Pods use.
    package static let usagePath = "/usage"

    /// Nothing is checked; a node answers 404 for a path it does not know.
    package init(method: String, path: String, type: String = "") { (self.method, self.path, self.type) = (method, path, type) }
}

/// Which lines of a log, and how.
package struct LogQuery: Sendable, Hashable {
    /// Goes on with what is printed until the container has ended.
    package var follows = false
    /// Of the container's life before this one.
    package var previous = false
    /// Begins each line with the time it was printed, RFC 3339 with nanoseconds.
    package var timestamps = false
    /// Only so many lines at the end; nil for all. From 0.
    package var tailLines: Int?
    /// Only lines of the last seconds; nil for all. From 1.
    package var sinceSeconds: Int64?
    /// Only lines from this moment on, RFC 3339; nil for all.
    package var sinceTime: String?
    /// Ends after so many bytes; nil for no limit. From 1.
    package var limitBytes: Int?

    /// All lines there are.
    package init() {}
}

/// A command beside a container's process, and which of its streams are wanted.
package struct ExecQuery: Sendable, Hashable {
    /// Program and arguments; not read by a shell.
    package var command: [String]
    /// Somebody writes to the command.
    package var stdin = false
    /// What it prints is wanted.
    package var stdout = true
    /// What it complains of is wanted.
    package var stderr = true
    /// Gives it a terminal: standard error then goes where standard output goes.
    package var tty = false

    /// A command whose output is wanted and that reads nothing.
    package init(command: [String]) { self.command = command }
}

/// Which streams of a container's process are joined.
package struct AttachQuery: Sendable, Hashable {
    /// Somebody writes to the process; its container must have standard input open.
    package var stdin = false
    /// What it prints from now on is wanted.
    package var stdout = true
    /// What it complains of from now on is wanted.
    package var stderr = true
    /// The container has a terminal.
    package var tty = false

    /// Output only.
    package init() {}
}

/// What goes both ways over the stream of a call: bytes of numbered channels, as Kubernetes' WebSocket protocol `v5.channel.k8s.io` has them.
package enum CallFrame: Sendable, Hashable {
    /// At most `bytesMax`.
    case data(CallChannel, [UInt8])
    /// The sender sends nothing more on this channel.
    case end(CallChannel)

    /// Most bytes of one frame.
    package static let bytesMax = 32 << 10
}

/// The channels of a call.
package enum CallChannel: UInt8, Sendable, Hashable {
    /// To the process; of port forwarding both directions.
    case stdin = 0
    case stdout = 1
    case stderr = 2
    /// How a command ended: one `Status` as JSON, the last frame.
    case status = 3
    /// `{"Width":80,"Height":24}`: the size of the terminal.
    case resize = 4
}

/// One end of an open call. Frames come in the order they were sent; each direction is read by one task and written by one.
package protocol CallStream: Sendable {
    /// Sends a frame; waits while the other end has not read what was sent before.
    ///
    /// - Throws: the failure the other end closed with, or 503 when it is out of reach.
    func send(_ frame: CallFrame) async throws(APIStatus)

    /// The next frame; nil once the other end has closed in good order, and when this task is cancelled.
    ///
    /// - Throws: the failure the other end closed with, or 503 when it is out of reach.
    func receive() async throws(APIStatus) -> CallFrame?

    /// Ends both directions; what was sent before is still delivered. Calling it twice is harmless.
    ///
    /// - Parameter failure: what the other end is told; nil for good order.
    func close(_ failure: APIStatus?)
}

/// Reaches into nodes, wherever they are.
package protocol NodeCalls: Sendable {
    /// Opens a call. A refusal by the node itself comes as the failure of the stream's first `receive`; else that is an empty frame.
    ///
    /// - Throws: 503 `ServiceUnavailable` when the node is not connected.
    func open(_ call: NodeCall, on node: String) async throws(APIStatus) -> any CallStream
}

/// Answers the calls that reach a node.
package protocol NodeCallHandler: Sendable {
    /// Serves a call to its end and closes the stream. A call that is taken is answered at once by an empty frame on standard output, so
    /// that whoever asked can tell a refusal from silence. Ends early when its task is cancelled.
    func serve(_ call: NodeCall, over stream: any CallStream) async
}
