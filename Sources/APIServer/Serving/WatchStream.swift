import Network
import Resources
import Storage
import Synchronization

/// One watch: pulls changes from the store's window when its connection can take them. Nothing is buffered: a client that reads too
/// slowly falls out of the window and is told 410.
final class WatchStream: HTTPBodyStream {
    /// Most changes in one chunk.
    private static let chunkEventsMax = 64
    private static let bookmarkPeriod: Duration = .seconds(60)

    struct Query: Sendable {
        var namespace = ""
        /// Changes above this revision are shown.
        var revision: Int64
        /// The state at `revision`, shown as ADDED before the changes.
        var initial: [RevisionedValue] = []
        /// Ends the initial state with a bookmark that says so.
        var marksInitialEnd = false
        var hasBookmarks = false
        var timeout: Duration
    }

    private struct State {
        var cursor: Int64
        var initial: ArraySlice<RevisionedValue>
        var owesInitialMark: Bool
        var owesBookmark = false
        var isOver = false
        var hasColumns = false
        var listener: Int?
        var timer: Task<Void, Never>?
    }

    private let view: ObjectView
    private let query: Query
    private let prefix: String
    private let state: Mutex<State>

    init(_ view: ObjectView, _ query: Query) {
        self.view = view
        self.query = query
        prefix = query.namespace.isEmpty ? "" : query.namespace + "/"
        state = Mutex(State(cursor: query.revision, initial: query.initial[...], owesInitialMark: query.marksInitialEnd))
    }

    func start(wake: @escaping @Sendable () -> Void) {
        let listener = view.service.store.addListener(view.definition.collection, wake)
        let timer = Task { [query, weak self] in
            let end = ContinuousClock.now + query.timeout
            while true {
                let next = query.hasBookmarks ? min(end, .now + Self.bookmarkPeriod) : end
                guard (try? await Task.sleep(until: next)) != nil, let self else { return }
                self.state.withLock { state in
                    if next == end { state.isOver = true } else { state.owesBookmark = true }
                }
                wake()
                if next == end { return }
            }
        }
        state.withLock { state in
            state.listener = listener
            state.timer = timer
        }
    }

    func stop() {
        let (listener, timer) = state.withLock { ($0.listener, $0.timer) }
        if let listener { view.service.store.removeListener(listener) }
        timer?.cancel()
    }

    func next() -> HTTPBodyStep {
        state.withLock { state in
            do throws(APIStatus) {
                return try step(&state)
            } catch {
                state.isOver = true
                state.initial = []
                state.cursor = .max
                return .chunk(Self.line("ERROR", error.json.bytes()))
            }
        }
    }

    private static func line(_ type: String, _ object: [UInt8]) -> [UInt8] {
        Array("{\"type\":\"\(type)\",\"object\":".utf8) + object + Array("}\n".utf8)
    }

    private func step(_ state: inout State) throws(APIStatus) -> HTTPBodyStep {
        var chunk: [UInt8] = []
        if !state.initial.isEmpty {
            for value in state.initial.prefix(Self.chunkEventsMax) { try write("ADDED", value, nil, &state, into: &chunk) }
            state.initial = state.initial.dropFirst(Self.chunkEventsMax)
            return .chunk(chunk)
        }
        if state.owesInitialMark {
            state.owesInitialMark = false
            return .chunk(bookmark(state.cursor, endsInitial: true))
        }
        guard state.cursor != .max else { return .end }
        while chunk.isEmpty {
            let (events, revision) = try events(after: state.cursor)
            for event in events { try write(event, &state, into: &chunk) }
            // Nothing has happened here up to the store's newest revision.
            state.cursor = max(state.cursor, events.count == Self.chunkEventsMax ? events.last!.revision : revision)
            if events.count < Self.chunkEventsMax { break }
        }
        if !chunk.isEmpty { return .chunk(chunk) }
        if state.isOver { return .end }
        if state.owesBookmark {
            state.owesBookmark = false
            return .chunk(bookmark(state.cursor, endsInitial: false))
        }
        return .wait
    }

    private func events(after revision: Int64) throws(APIStatus) -> (ArraySlice<RevisionEvent>, Int64) {
        do {
            let (events, newest) = try view.service.store.events(view.definition.collection, after: revision, countMax: Self.chunkEventsMax)
            return (events, newest)
        } catch .compacted(let oldest) {
            throw .expired("too old resource version: \(revision) (\(oldest))")
        } catch {
            throw .internalError("\(error)")
        }
    }

    /// A change as the client sees it: an object that begins or ceases to be selected is added or deleted.
    private func write(_ event: RevisionEvent, _ state: inout State, into chunk: inout [UInt8]) throws(APIStatus) {
        guard event.name.hasPrefix(prefix) else { return }
        let before = try event.previous.map { (value) throws(APIStatus) in try view.matches(value) } ?? false
        let after = try event.value.map { (value) throws(APIStatus) in try view.matches(value) } ?? false
        switch (before, after) {
        case (false, false): return
        case (false, true): try write("ADDED", event.value!, nil, &state, into: &chunk)
        case (true, true): try write("MODIFIED", event.value!, nil, &state, into: &chunk)
        case (true, false):
            if let value = event.value {
                try write("DELETED", value, nil, &state, into: &chunk)
            } else {
                try write("DELETED", event.previous!, event.revision, &state, into: &chunk)
            }
        }
    }

    private func write(_ type: String, _ value: RevisionedValue, _ revision: Int64?, _ state: inout State, into chunk: inout [UInt8])
        throws(APIStatus)
    {
        if view.format == .json, ObjectBytes.isStored(value, in: view.definition) {
            chunk += view.service.watchLines.line(type, value, revision: revision ?? value.revision)
            return
        }
        chunk += Array("{\"type\":\"\(type)\",\"object\":".utf8)
        if case .table = view.format {
            var object = try view.service.decode(value, view.definition)
            if let revision { object[path: ["metadata", "resourceVersion"]] = .string(String(revision)) }
            chunk += view.table([object], resourceVersion: object["metadata"]?["resourceVersion"], hasColumns: !state.hasColumns).bytes()
            state.hasColumns = true
        } else {
            try view.write(value, revision: revision, into: &chunk)
        }
        chunk += Array("}\n".utf8)
    }

    private func bookmark(_ revision: Int64, endsInitial: Bool) -> [UInt8] {
        var metadata: JSON = ["resourceVersion": .string(String(revision)), "creationTimestamp": .null]
        if endsInitial { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
        let object: JSON
        switch view.format {
        case .table(let version):
            object = [
                "kind": "Table", "apiVersion": .string("meta.k8s.io/\(version)"),
                "metadata": ["resourceVersion": .string(String(revision))],
                "columnDefinitions": .null,
                "rows": [
                    [
                        "cells": .array(view.definition.columns.map { _ in .null }),
                        "object": ["kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata],
                    ]
                ],
            ]
        case .partial: object = ["kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata]
        default:
            object = ["kind": .string(view.definition.kind), "apiVersion": .string(view.definition.groupVersion), "metadata": metadata]
        }
        return Self.line("BOOKMARK", object.bytes())
    }
}
