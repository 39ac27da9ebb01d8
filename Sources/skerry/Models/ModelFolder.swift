import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A version of a model as files of one folder, as it is fetched and checked.
struct ModelFolder {
    /// What the tools of model signing call a signature.
    static let signatureName = "model.sig"
    let path: String

    /// Opens the folder, and makes it if it is not there.
    init(_ path: String) throws {
        self.path = path
        if mkdir(path, 0o755) != 0, errno != EEXIST { throw CloudError("cannot make \(path): \(String(cString: strerror(errno)))") }
    }

    /// Writes a file whole, or nothing of it.
    ///
    /// - Throws: `CloudError` for a name that is a path.
    func write(_ name: String, _ bytes: [UInt8]) throws {
        guard !name.isEmpty, !name.contains("/"), name != ".", name != ".." else { throw CloudError("\"\(name)\" is no name of a file") }
        let file = try WholeFile(path: "\(path)/\(name)", isPrivate: false)
        try file.write(bytes)
        try file.commit()
    }
}
