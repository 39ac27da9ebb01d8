import CSQLite

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A simulated disk as one of SQLite's file systems: everything SQLite does with its files goes through here.
final class SimulatedFileSystem {
    /// Registered with SQLite under this name as long as this object lives.
    let name: String
    let disk: SimulatedDisk
    private let system = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    private let systemName: UnsafeMutablePointer<CChar>

    init(seed: UInt64) {
        disk = SimulatedDisk(seed: seed)
        name = "simulated-\(UInt64.random(in: 0 ... .max))"
        systemName = strdup(name)
        system.initialize(to: Self.interface())
        system.pointee.zName = UnsafePointer(systemName)
        system.pointee.pAppData = Unmanaged.passUnretained(disk).toOpaque()
        precondition(sqlite3_vfs_register(system, 0) == SQLITE_OK, "SQLite takes no file system")
    }

    deinit {
        sqlite3_vfs_unregister(system)
        system.deallocate()
        free(systemName)
    }

    /// What SQLite allocates for each file.
    private struct OpenFile {
        var base: sqlite3_file
        var state: Unmanaged<FileState>
    }

    private final class FileState {
        let disk: SimulatedDisk
        let path: String
        let isTemporary: Bool
        /// The index of the write-ahead log; each store has one connection.
        var shared: [UnsafeMutableRawPointer] = []
        init(_ disk: SimulatedDisk, _ path: String, isTemporary: Bool) {
            (self.disk, self.path, self.isTemporary) = (disk, path, isTemporary)
        }
        deinit { for region in shared { free(region) } }
    }

    private static func state(_ file: UnsafeMutablePointer<sqlite3_file>?) -> FileState {
        file!.withMemoryRebound(to: OpenFile.self, capacity: 1) { $0.pointee.state.takeUnretainedValue() }
    }

    private static func disk(_ system: UnsafeMutablePointer<sqlite3_vfs>?) -> SimulatedDisk {
        Unmanaged<SimulatedDisk>.fromOpaque(system!.pointee.pAppData).takeUnretainedValue()
    }

    /// SQLITE_IOERR with the number of its kind, as the macros of the header build them.
    private static func failure(_ kind: Int32) -> Int32 { SQLITE_IOERR | kind << 8 }

    nonisolated(unsafe) private static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
        let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
        var table = sqlite3_io_methods()
        table.iVersion = 2
        table.xClose = { file in
            let state = state(file)
            if state.isTemporary { _ = state.disk.delete(state.path, isSynced: true) }
            file!.withMemoryRebound(to: OpenFile.self, capacity: 1) { $0.pointee.state.release() }
            return SQLITE_OK
        }
        table.xRead = { file, target, count, offset in
            let state = state(file)
            guard let bytes = state.disk.read(state.path, at: Int(offset), count: Int(count)) else { return failure(1) }
            memset(target!, 0, Int(count))
            bytes.withUnsafeBytes { if let start = $0.baseAddress { memcpy(target!, start, $0.count) } }
            return bytes.count == Int(count) ? SQLITE_OK : failure(2)
        }
        table.xWrite = { file, source, count, offset in
            let state = state(file)
            switch state.disk.write(state.path, at: Int(offset), Array(UnsafeRawBufferPointer(start: source, count: Int(count)))) {
            case .works: return SQLITE_OK
            case .fails: return failure(3)
            case .full: return SQLITE_FULL
            }
        }
        table.xTruncate = { file, size in
            let state = state(file)
            return state.disk.truncate(state.path, to: Int(size)) ? SQLITE_OK : failure(6)
        }
        table.xSync = { file, _ in
            let state = state(file)
            return state.disk.sync(state.path) ? SQLITE_OK : failure(4)
        }
        table.xFileSize = { file, size in
            let state = state(file)
            guard let count = state.disk.size(state.path) else { return failure(7) }
            size!.pointee = Int64(count)
            return SQLITE_OK
        }
        table.xLock = { _, _ in SQLITE_OK }
        table.xUnlock = { _, _ in SQLITE_OK }
        table.xCheckReservedLock = { _, isReserved in
            isReserved!.pointee = 0
            return SQLITE_OK
        }
        table.xFileControl = { _, _, _ in SQLITE_NOTFOUND }
        table.xSectorSize = { _ in Int32(SimulatedDisk.sectorBytes) }
        // Promises nothing: neither atomic writes, nor that a torn write leaves its neighbours alone.
        table.xDeviceCharacteristics = { _ in 0 }
        table.xShmMap = { file, region, byteCount, isExtended, target in
            let state = state(file)
            guard state.disk.share() else { return failure(21) }
            while isExtended != 0, state.shared.count <= Int(region) { state.shared.append(calloc(1, Int(byteCount))!) }
            target!.pointee = Int(region) < state.shared.count ? UnsafeMutableRawPointer(state.shared[Int(region)]) : nil
            return SQLITE_OK
        }
        table.xShmLock = { _, _, _, _ in SQLITE_OK }
        table.xShmBarrier = { _ in }
        table.xShmUnmap = { file, _ in
            let state = state(file)
            for region in state.shared { free(region) }
            state.shared = []
            return SQLITE_OK
        }
        methods.initialize(to: table)
        return methods
    }()

    private static func interface() -> sqlite3_vfs {
        var table = sqlite3_vfs()
        table.iVersion = 1
        table.szOsFile = Int32(MemoryLayout<OpenFile>.size)
        table.mxPathname = 1024
        table.xOpen = { system, path, file, flags, openedFlags in
            file!.pointee.pMethods = nil
            let disk = SimulatedFileSystem.disk(system)
            let name = path.map { String(cString: $0) } ?? "temporary-\(UInt64.random(in: 0 ... .max))"
            guard disk.open(name, creating: flags & SQLITE_OPEN_CREATE != 0 || path == nil) else { return SQLITE_CANTOPEN }
            let state = Unmanaged.passRetained(FileState(disk, name, isTemporary: flags & SQLITE_OPEN_DELETEONCLOSE != 0))
            file!.withMemoryRebound(to: OpenFile.self, capacity: 1) {
                $0.initialize(to: OpenFile(base: sqlite3_file(pMethods: UnsafePointer(SimulatedFileSystem.methods)), state: state))
            }
            openedFlags?.pointee = flags
            return SQLITE_OK
        }
        table.xDelete = { system, path, isSynced in
            let name = String(cString: path!)
            guard SimulatedFileSystem.disk(system).exists(name) else { return SimulatedFileSystem.failure(23) }
            return SimulatedFileSystem.disk(system).delete(name, isSynced: isSynced != 0) ? SQLITE_OK : SimulatedFileSystem.failure(10)
        }
        table.xAccess = { system, path, _, result in
            result!.pointee = SimulatedFileSystem.disk(system).exists(String(cString: path!)) ? 1 : 0
            return SQLITE_OK
        }
        table.xFullPathname = { _, path, capacity, target in
            guard strlen(path!) < Int(capacity) else { return SQLITE_CANTOPEN }
            strcpy(target!, path!)
            return SQLITE_OK
        }
        table.xRandomness = { _, count, target in
            for index in 0..<Int(count) { target![index] = CChar.random(in: .min ... .max) }
            return count
        }
        table.xSleep = { _, microseconds in microseconds }
        table.xCurrentTime = { _, day in
            day!.pointee = 2_460_000
            return SQLITE_OK
        }
        table.xGetLastError = { _, _, _ in 0 }
        return table
    }
}
