#if canImport(Glibc)
    import CEpoll
    import Glibc

    /// One connection of a `LoopServer`.
    ///
    /// reading (head, then body or stream) ── whole ─► asking ─► writing ─► reading
    ///                                                     └─ later ─► waiting ─► writing
    final class LoopConnection {
        let id: UInt64
        let socket: Int32
        /// Somebody else is at the answer.
        var isWaiting = false
        /// Its request is being answered.
        var isAsking = false
        /// When it asked last: a number of the loop's, 0 before.
        var round = 0
        /// The loop comes back to it without waiting.
        var isCarried = false
        /// What the loop waits for.
        var events = skerry_readable
        var closesAfter = false
        private(set) var isClosed = false
        /// What it sends is not wanted any more. It is read still for a moment, so that the answer is not lost with the connection.
        private(set) var isRefused = false
        /// The socket is of no use any more.
        private(set) var isLost = false
        private var isPeerDone = false
        private var input = LoopBuffer()
        private var output: [UInt8] = []
        private var sent = 0
        private var head: LoopHead?
        private static let keptHeadBytesMax = 1024
        /// The head of the request before, and how it was read.
        private var lastHead: LoopHead?
        private var lastHeadBytes: [UInt8] = []
        private var searched = 0
        private var bodyStart = 0
        private var chunks: ChunkReader?
        private var collected: LoopBuffer?
        private var stream: (any LoopStream)?
        private var streamLeft = 0
        /// What is to be answered elsewhere before more of the stream is read, and why the stream ends behind it.
        private var work: (@Sendable () async -> LoopPart)?
        private var failureBehind: ServingRefusal?
        private var hasStreamed = false
        private var hasEndedOutput = false
        private var discarded = 0
        /// When the last step was made: a request begun, bytes of a stream, an answer taken.
        private var since: Int

        init(id: UInt64, socket: Int32, now: Int) { (self.id, self.socket, since) = (id, socket, now) }

        func close() {
            guard !isClosed else { return }
            isClosed = true
            Glibc.close(socket)
            input.deallocate()
            collected?.deallocate()
            collected = nil
        }

        /// Nothing is under way.
        var isIdle: Bool { !isWaiting && !isAsking && isSent && head == nil && input.count == 0 }
        var isSent: Bool { sent == output.count }
        /// A request's head was read, and nothing has been answered to it so far.
        var isOwing: Bool { head != nil }
        /// Bytes that are here already may be a request.
        var hasWork: Bool { !isClosed && !isRefused && !isWaiting && isSent && (isPeerDone || input.count > 0) && !isStuck }
        /// Nothing can be done before more arrives.
        private var isStuck = false
        var collectedBytes: Int { (collected?.count ?? 0) + (input.count > LoopBuffer.initialBytes ? input.count : 0) }

        func wantedEvents(_ limits: LoopLimits) -> UInt32 {
            var events: UInt32 = 0
            if isRefused { return isSent ? skerry_readable : skerry_writable }
            if !isSent { events |= skerry_writable }
            if !isWaiting, !isPeerDone, isSent || (stream != nil && output.count - sent < limits.streamBytesMax) {
                events |= skerry_readable
            }
            return events
        }

        func isOverdue(_ now: Int, _ limits: LoopLimits) -> Bool {
            if isWaiting { return false }
            if isRefused { return now - since > 2 }
            return now - since > (isIdle ? limits.idleSeconds : limits.arrivalSeconds)
        }

        // MARK: - In

        /// - Returns: false at the end of what the peer sends.
        func receive(_ limits: LoopLimits) -> Bool {
            if isWaiting {
                // Only told of when the peer is gone.
                isLost = true
                return false
            }
            input.makeRoom(input.count >= LoopBuffer.initialBytes / 2 ? min(input.count, 1 << 20) : 2048)
            let room = UnsafeMutableRawBufferPointer(rebasing: input.memory[input.end...])
            let count = recv(socket, room.baseAddress!, room.count, 0)
            isStuck = false
            if isRefused, count > 0 {
                discarded += count
                if discarded < 64 << 20 { since = LoopServer.seconds() }
                return true
            }
            guard count > 0 else {
                if count == 0 {
                    isPeerDone = true
                    if isRefused || (input.count == 0 && isSent && !isWaiting) { isLost = true }
                    return false
                }
                if errno == EAGAIN || errno == EINTR { return true }
                isLost = true
                return false
            }
            if isIdle || stream != nil { since = LoopServer.seconds() }
            input.filled(count)
            return true
        }

        /// A whole request; nil while there is none.
        ///
        /// - Parameter room: bytes that all connections together may still collect.
        func next(_ limits: LoopLimits, _ handler: any LoopHandler, room: @autoclosure () -> Int) throws(ServingRefusal) -> LoopRequest? {
            guard !isWaiting, !isRefused, isSent || stream != nil else { return nil }
            if head == nil, try !readHead(limits, handler) { return nil }
            guard let head else { return nil }
            if let stream {
                try advance(stream, limits)
                return nil
            }
            if chunks != nil { return try collect(head, limits, room()) }
            let length = head.contentLength ?? 0
            guard input.count - bodyStart >= length else {
                if isPeerDone { isLost = true }
                if input.count > 1 << 20, room() <= 0 { throw ServingRefusal(503, "too many large requests at once; ask again later") }
                isStuck = true
                return nil
            }
            return LoopRequest(head: head, body: UnsafeRawBufferPointer(rebasing: input.bytes[bodyStart..<bodyStart + length]))
        }

        private func readHead(_ limits: LoopLimits, _ handler: any LoopHandler) throws(ServingRefusal) -> Bool {
            let bytes = input.bytes.bindMemory(to: UInt8.self)
            guard let end = HeadEnd.find(bytes, from: searched) else {
                searched = bytes.count
                guard bytes.count <= limits.headBytesMax else {
                    throw ServingRefusal(431, "the request's head has more than \(limits.headBytesMax) bytes")
                }
                if isPeerDone { isLost = true }
                isStuck = true
                return false
            }
            guard end <= limits.headBytesMax else {
                throw ServingRefusal(431, "the request's head has more than \(limits.headBytesMax) bytes")
            }
            let found = try known(UnsafeBufferPointer(rebasing: bytes[..<end]))
            if !found.keepsAlive { closesAfter = true }
            guard !found.isEncoded else { throw ServingRefusal(415, "the body is compressed; send it as it is") }
            stream = try handler.stream(for: found)
            if found.isChunked { chunks = ChunkReader() }
            if stream == nil, found.contentLength ?? 0 > limits.bodyBytesMax {
                throw ServingRefusal(413, "the body has \(found.contentLength!) bytes; at most \(limits.bodyBytesMax) are taken")
            }
            if found.expectsContinue { output += Array("HTTP/1.1 100 Continue\r\n\r\n".utf8) }
            bodyStart = end
            if stream != nil || chunks != nil {
                input.drop(end)
                bodyStart = 0
                streamLeft = found.contentLength ?? 0
            }
            head = found
            return true
        }

        /// Clients that keep their connection send the same head again and again.
        private func known(_ bytes: UnsafeBufferPointer<UInt8>) throws(ServingRefusal) -> LoopHead {
            if let lastHead, lastHeadBytes.count == bytes.count,
                lastHeadBytes.withUnsafeBufferPointer({ memcmp($0.baseAddress!, bytes.baseAddress!, bytes.count) == 0 })
            {
                return lastHead
            }
            let found = try LoopHead(bytes)
            if bytes.count <= Self.keptHeadBytesMax { (lastHead, lastHeadBytes) = (found, Array(bytes)) }
            return found
        }

        private func collect(_ head: LoopHead, _ limits: LoopLimits, _ room: Int) throws(ServingRefusal) -> LoopRequest? {
            var body = collected ?? LoopBuffer()
            defer { collected = body }
            let taken = try chunks!.consume(input.bytes) { body.append($0) }
            input.drop(taken)
            guard body.count <= limits.bodyBytesMax, room > 0 else {
                throw ServingRefusal(413, "the body has more than \(limits.bodyBytesMax) bytes, or too many are being collected")
            }
            guard chunks!.isDone else {
                if isPeerDone { isLost = true }
                isStuck = true
                return nil
            }
            return LoopRequest(head: head, body: body.bytes)
        }

        /// What was answered leaves the buffer.
        func forgetRequest() {
            guard let head else { return }
            if chunks == nil { input.drop(bodyStart + (head.contentLength ?? 0)) }
            self.head = nil
            (searched, bodyStart, chunks, stream, streamLeft, hasStreamed) = (0, 0, nil, nil, 0, false)
            collected?.deallocate()
            collected = nil
            input.shrink()
            since = LoopServer.seconds()
        }

        // MARK: - A body that is answered while it arrives

        private func advance(_ stream: any LoopStream, _ limits: LoopLimits) throws(ServingRefusal) {
            guard output.count - sent < limits.streamBytesMax else { return }
            var answer: [UInt8] = []
            var failure: ServingRefusal?
            do throws(ServingRefusal) {
                if try feed(stream, &answer) {
                    try stream.finish(output: &answer)
                } else if isPeerDone {
                    isLost = true
                    return
                }
            } catch {
                failure = error
            }
            if let work = stream.takeDeferred() {
                if !answer.isEmpty { sendPart(stream, answer) }
                (self.work, failureBehind) = (work, failure)
                return
            }
            try conclude(stream, answer, failure)
        }

        /// What somebody else is to answer now; nil for nothing.
        func takeWork() -> (@Sendable () async -> LoopPart)? {
            defer { work = nil }
            return work
        }

        /// A part that was answered elsewhere.
        func resume(_ part: LoopPart) {
            isWaiting = false
            guard let stream, !isClosed else { return }
            let failure = part.failure ?? failureBehind
            failureBehind = nil
            do throws(ServingRefusal) { try conclude(stream, part.bytes, failure) } catch { refuse(error) }
            if self.stream != nil { isStuck = input.count == 0 && !isPeerDone }
        }

        /// Sends what was answered, and the end where the body is whole or nothing more of it is read.
        private func conclude(_ stream: any LoopStream, _ answered: [UInt8], _ failure: ServingRefusal?) throws(ServingRefusal) {
            var answer = answered
            let isWhole = chunks?.isDone ?? (streamLeft == 0)
            if let failure, !hasStreamed, answer.isEmpty { throw failure }
            if let failure {
                // What was read so far is answered; the rest is not read.
                let words = LoopResponse(failure).body
                answer += words + [0x0a]
                closesAfter = true
                isRefused = true
            }
            if !answer.isEmpty || isWhole { sendPart(stream, answer) }
            isStuck = true
            if isWhole || failure != nil {
                output += Array("0\r\n\r\n".utf8)
                if !isWhole { input.drop(input.count) }
                chunks = ChunkReader()
                forgetRequest()
                isStuck = false
            }
        }

        /// - Returns: whether the body is whole.
        private func feed(_ stream: any LoopStream, _ answer: inout [UInt8]) throws(ServingRefusal) -> Bool {
            if chunks != nil {
                var pieces: [UInt8] = []
                let taken = try chunks!.consume(input.bytes) { pieces.append(contentsOf: $0) }
                input.drop(taken)
                try consume(stream, pieces, &answer)
                return chunks!.isDone
            }
            let count = min(streamLeft, input.count)
            if count > 0 {
                let bytes = Array(input.bytes[..<count])
                input.drop(count)
                streamLeft -= count
                try consume(stream, bytes, &answer)
            }
            return streamLeft == 0
        }

        private func consume(_ stream: any LoopStream, _ bytes: [UInt8], _ answer: inout [UInt8]) throws(ServingRefusal) {
            guard !bytes.isEmpty else { return }
            var failure: ServingRefusal?
            bytes.withUnsafeBytes { pointer in
                do throws(ServingRefusal) { try stream.consume(pointer, output: &answer) } catch { failure = error }
            }
            if let failure { throw failure }
        }

        private func sendPart(_ stream: any LoopStream, _ bytes: [UInt8]) {
            if !hasStreamed {
                hasStreamed = true
                output += Array("HTTP/1.1 200 OK\r\nContent-Type: \(stream.contentType)\r\nTransfer-Encoding: chunked\r\n".utf8)
                output += Array((closesAfter ? "Connection: close\r\n\r\n" : "\r\n").utf8)
            }
            guard !bytes.isEmpty else { return }
            output += Array("\(String(bytes.count, radix: 16))\r\n".utf8)
            output += bytes
            output += [0x0d, 0x0a]
        }

        /// Whether the socket is kept until the peer has read the answer and ended its side; the server's side ends now.
        func lingers() -> Bool {
            guard isRefused, !isPeerDone else { return false }
            if !hasEndedOutput { shutdown(socket, Int32(SHUT_WR)) }
            hasEndedOutput = true
            return true
        }

        // MARK: - Out

        func send(_ response: LoopResponse) {
            append("HTTP/1.1 ")
            output.append(contentsOf: response.status.description.utf8)
            append(Self.reason(response.status))
            append("\r\nContent-Type: ")
            output.append(contentsOf: response.contentType.utf8)
            append("\r\nContent-Length: ")
            output.append(contentsOf: response.body.count.description.utf8)
            if let length = response.inferenceHeaderLength {
                append("\r\nInference-Header-Content-Length: ")
                output.append(contentsOf: length.description.utf8)
            }
            if let seconds = response.retryAfterSeconds {
                append("\r\nRetry-After: ")
                output.append(contentsOf: seconds.description.utf8)
            }
            append(closesAfter ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n")
            if head?.method != "HEAD" { output.append(contentsOf: response.body) }
        }

        private func append(_ text: StaticString) {
            output.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        }

        private static func reason(_ status: Int) -> StaticString {
            switch status {
            case 200: " OK"
            case 400: " Bad Request"
            case 404: " Not Found"
            case 405: " Method Not Allowed"
            case 409: " Conflict"
            case 413: " Content Too Large"
            case 415: " Unsupported Media Type"
            case 429: " Too Many Requests"
            case 431: " Request Header Fields Too Large"
            case 500: " Internal Server Error"
            case 501: " Not Implemented"
            case 503: " Service Unavailable"
            case 504: " Gateway Timeout"
            case 505: " HTTP Version Not Supported"
            default: " Status"
            }
        }

        /// Answers what cannot be read, and closes.
        func refuse(_ refusal: ServingRefusal) {
            closesAfter = true
            isRefused = true
            send(LoopResponse(refusal))
            input.drop(input.count)
            chunks = ChunkReader()
            head = head ?? LoopHead()
            forgetRequest()
        }

        /// Sends as much as the peer takes.
        func flush() {
            guard !isClosed, sent < output.count else { return }
            let count = output.withUnsafeBytes { Glibc.send(socket, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL)) }
            if count > 0 {
                sent += count
                since = LoopServer.seconds()
            } else if count < 0, errno != EAGAIN, errno != EINTR {
                isLost = true
            }
            guard sent == output.count else {
                if sent > 1 << 20 { output.removeFirst(sent); sent = 0 }
                return
            }
            sent = 0
            if output.capacity > 1 << 20 { output = [] } else { output.removeAll(keepingCapacity: true) }
        }
    }
#endif
