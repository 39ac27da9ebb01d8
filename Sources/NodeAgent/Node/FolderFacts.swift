#if canImport(Glibc)
    import Glibc
#endif

/// How a folder of this machine stands, for whoever looks after it.
package struct FolderFacts: Sendable {
    /// Of the folder.
    package let path: String
    /// Room on its disk for this user.
    package let freeBytes: Int64

    /// Nil for a folder that is not there, or cannot be looked at.
    package init?(_ path: String) {
        var disk = statvfs()
        guard SystemFiles.isFolder(path), statvfs(path, &disk) == 0 else { return nil }
        (self.path, freeBytes) = (path, Int64(disk.f_bavail) * Int64(disk.f_frsize))
    }

    /// Those of these files that others than their owner may read or change.
    package func openFiles(of names: [String]) -> [String] {
        names.filter { name in SystemFiles.mode("\(path)/\(name)").map { $0 & 0o077 != 0 } ?? false }
    }
}
