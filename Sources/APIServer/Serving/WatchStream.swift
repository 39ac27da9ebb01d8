import Network
import Resources
import Storage
import Synchronization

/// One watch: pulls changes from the store's window when its connection can take them. Nothing is buffered: a client that reads too
/// slowly falls out of the window and is told 410.
final class WatchStream: HTTPBodyStream {
    /// Most changes in one chunk, and bytes after which a chunk is closed.
    private static let chunkEventsMax = 64
    private static let chunkBytesMax = 256 << 10
    private static let bookmarkPeriod: Duration = .seconds(60)

    struct Query {
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
        var hasColumns = false
        var listener: Int?
        /// When the watch is over, and when it tells how far it has come; nil for never.
        let end: ContinuousClock.Instant
        var nextBookmark: ContinuousClock.Instant?
    }

    /// How objects are shown to a watch that does not show all of them as they are.
    private final class OwnView: Sendable {
        let view: ObjectView
        init(_ view: ObjectView) { self.view = view }
    }

    private let service: ObjectService
    private let kind: SharedKind
    /// Nil where what is sent depends on nothing but the place that the watch has reached: so are most of thousands.
    private let own: OwnView?
    private let prefix: String
    private let state: Mutex<State>

    init(_ view: ObjectView, _ query: Query) {
        service = view.service
        kind = view.service.registry.shared(view.definition)
        own = view.format == .json && !view.isFiltered ? nil : OwnView(view)
        prefix = query.namespace.isEmpty ? "" : query.namespace + "/"
        let now = ContinuousClock.now
        state = Mutex(
            State(
                cursor: query.revision, initial: query.initial[...], owesInitialMark: query.marksInitialEnd, end: now + query.timeout,
                nextBookmark: query.hasBookmarks ? now + Self.bookmarkPeriod : nil))
    }

    private var view: ObjectView { own?.view ?? ObjectView(definition: kind.definition, service: service) }

    func start(wake: @escaping @Sendable () -> Void) {
        let listener = service.store.addListener(kind.collection, wake)
        state.withLock { $0.listener = listener }
    }

    var dueAfter: Duration? {
        let due = state.withLock { min($0.end, $0.nextBookmark ?? $0.end) }
        return max(.zero, due - .now)
    }

    func stop() {
        guard let listener = state.withLock({ $0.listener }) else { return }
        service.store.removeListener(listener, of: kind.collection)
    }

    func next() -> HTTPBodyStep {
        state.withLock { state in
            do throws(APIStatus) {
                return try step(&state)
            } catch {
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
            var isStored = true
            while let value = state.initial.first, chunk.count <= Self.chunkBytesMax {
                try write("ADDED", value, nil, &state.hasColumns, &isStored, into: &chunk)
                state.initial = state.initial.dropFirst()
            }
            return .chunk(chunk)
        }
        if state.owesInitialMark {
            state.owesInitialMark = false
            return .chunk(bookmark(state.cursor, endsInitial: true))
        }
        guard state.cursor != .max else { return .end }
        let changes = try changes(after: state.cursor, hasColumns: &state.hasColumns)
        state.cursor = changes.cursor
        if !changes.bytes.isEmpty { return .chunk(changes.bytes) }
        let now = ContinuousClock.now
        if now >= state.end { return .end }
        if let due = state.nextBookmark, now >= due {
            state.nextBookmark = now + Self.bookmarkPeriod
            return .chunk(bookmark(state.cursor, endsInitial: false))
        }
        return .wait
    }

    /// The next changes as the client sees them, none or some of them, and the revision up to which they tell.
    private func changes(after cursor: Int64, hasColumns: inout Bool) throws(APIStatus) -> WatchChunk {
        service.watchLooks.add(1, ordering: .relaxed)
        guard own == nil else { return try written(after: cursor, &hasColumns).chunk }
        let newest = service.store.revision
        if newest == cursor { return WatchChunk(bytes: [], cursor: cursor) }
        let place = WatchChunks.Place(
            collection: kind.collection, groupVersion: kind.groupVersion, prefix: prefix, after: cursor, newest: newest)
        if let chunk = service.watchChunks.chunk(at: place) { return chunk }
        let (chunk, isStored) = try written(after: cursor, &hasColumns)
        if isStored { service.watchChunks.keep(chunk, at: place) }
        return chunk
    }

    /// - Returns: also whether every object is shown as it is stored.
    private func written(after start: Int64, _ hasColumns: inout Bool) throws(APIStatus) -> (chunk: WatchChunk, isStored: Bool) {
        var chunk: [UInt8] = []
        var cursor = start
        var isStored = true
        while chunk.isEmpty {
            let (events, revision) = try events(after: cursor)
            // Beyond the last change nothing has happened here up to the store's newest revision.
            cursor = max(cursor, events.count == Self.chunkEventsMax ? events.last!.revision : revision)
            for event in events {
                try write(event, &hasColumns, &isStored, into: &chunk)
                if chunk.count > Self.chunkBytesMax {
                    cursor = event.revision
                    break
                }
            }
            if events.count < Self.chunkEventsMax { break }
        }
        return (WatchChunk(bytes: chunk, cursor: cursor), isStored)
    }

    private func events(after revision: Int64) throws(APIStatus) -> (ArraySlice<RevisionEvent>, Int64) {
        do {
            let (events, newest) = try service.store.events(kind.collection, after: revision, countMax: Self.chunkEventsMax)
            return (events, newest)
        } catch .compacted(let oldest) {
            throw .expired("too old resource version: \(revision) (\(oldest))")
        } catch {
            throw .internalError("\(error)")
        }
    }

    /// A change as the client sees it: an object that begins or ceases to be selected is added or deleted.
    private func write(_ event: RevisionEvent, _ hasColumns: inout Bool, _ isStored: inout Bool, into chunk: inout [UInt8])
        throws(APIStatus)
    {
        guard event.name.hasPrefix(prefix) else { return }
        let view = view
        let before = try event.previous.map { (value) throws(APIStatus) in try view.matches(value) } ?? false
        let after = try event.value.map { (value) throws(APIStatus) in try view.matches(value) } ?? false
        switch (before, after) {
        case (false, false): return
        case (false, true): try write("ADDED", event.value!, nil, &hasColumns, &isStored, into: &chunk)
        case (true, true): try write("MODIFIED", event.value!, nil, &hasColumns, &isStored, into: &chunk)
        case (true, false):
            if let value = event.value {
                try write("DELETED", value, nil, &hasColumns, &isStored, into: &chunk)
            } else {
                try write("DELETED", event.previous!, event.revision, &hasColumns, &isStored, into: &chunk)
            }
        }
    }

    private func write(
        _ type: String, _ value: RevisionedValue, _ revision: Int64?, _ hasColumns: inout Bool, _ isStored: inout Bool,
        into chunk: inout [UInt8]
    ) throws(APIStatus) {
        let view = view
        if view.format == .json, ObjectBytes.isStored(value, in: view.definition) {
            chunk += view.service.watchLines.line(type, value, revision: revision ?? value.revision)
            return
        }
        isStored = false
        chunk += Array("{\"type\":\"\(type)\",\"object\":".utf8)
        if case .table = view.format {
            var object = try view.service.decode(value, view.definition)
            if let revision { object[path: ["metadata", "resourceVersion"]] = .string(String(revision)) }
            chunk += view.table([object], resourceVersion: object["metadata"]?["resourceVersion"], hasColumns: !hasColumns).bytes()
            hasColumns = true
        } else {
            try view.write(value, revision: revision, into: &chunk)
        }
        chunk += Array("}\n".utf8)
    }

    private func bookmark(_ revision: Int64, endsInitial: Bool) -> [UInt8] {
        var metadata: JSON = ["resourceVersion": .string(String(revision)), "creationTimestamp": .null]
        if endsInitial { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
        let object: JSON
        let view = view
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
