/// How a file is made of pieces of files that are here and of bytes that are not.
package struct FileDelta: Sendable, Equatable {
    /// Some bytes of the file.
    package struct Piece: Sendable, Equatable {
        /// Where they are in the file.
        package var range: Range<Int64>
        /// Number of the file that has them, and where they begin there; nil for bytes that are missing.
        package var source: Source?

        /// Where bytes are.
        package struct Source: Sendable, Equatable {
            /// Its place among the files that were given.
            package var file: Int
            /// Of the first byte.
            package var offset: Int64
        }
    }

    /// Fewer bytes that are here, between others that are not, are asked for too: a request takes as long.
    package static let copyBytesMin: Int64 = 32 << 10

    /// In their order, from the file's beginning to its end.
    package let pieces: [Piece]

    /// Bytes of the file.
    package var size: Int64 { pieces.last?.range.upperBound ?? 0 }

    /// Bytes that are here.
    package var copiedBytes: Int64 {
        pieces.reduce(0) { $0 + ($1.source == nil ? 0 : Int64($1.range.count)) }
    }

    /// - Parameters:
    ///   - wanted: the file.
    ///   - files: those that are here, cut at the same scale; the first that has a piece gives it.
    package init(_ wanted: FileChunks, from files: [FileChunks]) {
        var places: [FileChunks.Chunk: Piece.Source] = [:]
        for (number, file) in files.enumerated() {
            var offset: Int64 = 0
            for chunk in file.chunks {
                if places[chunk] == nil { places[chunk] = Piece.Source(file: number, offset: offset) }
                offset += Int64(chunk.byteCount)
            }
        }
        var pieces: [Piece] = []
        var offset: Int64 = 0
        for chunk in wanted.chunks {
            let end = offset + Int64(chunk.byteCount)
            Self.add(Piece(range: offset..<end, source: places[chunk]), to: &pieces)
            offset = end
        }
        var joined: [Piece] = []
        for piece in pieces {
            let isShort = piece.source != nil && Int64(piece.range.count) < Self.copyBytesMin
            Self.add(Piece(range: piece.range, source: isShort ? nil : piece.source), to: &joined)
        }
        self.pieces = joined
    }

    /// Behind the last one, as a part of it where they lie behind each other.
    private static func add(_ piece: Piece, to pieces: inout [Piece]) {
        if let last = pieces.last {
            let follows =
                switch (last.source, piece.source) {
                case (nil, nil): true
                case (let before?, let after?): before.file == after.file && before.offset + Int64(last.range.count) == after.offset
                default: false
                }
            if follows {
                pieces[pieces.count - 1].range = last.range.lowerBound..<piece.range.upperBound
                return
            }
        }
        pieces.append(piece)
    }

    /// The piece that a byte is in, from that byte on; nil behind the end.
    package func piece(at offset: Int64) -> Piece? {
        guard var piece = pieces.first(where: { $0.range.upperBound > offset }), piece.range.lowerBound <= offset else { return nil }
        piece.source?.offset += offset - piece.range.lowerBound
        piece.range = offset..<piece.range.upperBound
        return piece
    }
}
