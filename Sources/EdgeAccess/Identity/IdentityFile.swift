import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `identity.json` in an edge's folder: one file, mode 0600, so that certificate and key always belong together.
package struct IdentityFile: Sendable {
    /// Where it is.
    package let path: String

    /// - Parameter folder: is made if it is not there; only its owner may look into it.
    /// - Throws: `EdgeAccessError.storage`.
    package init(folder: String) throws(EdgeAccessError) {
        guard !folder.isEmpty else { throw EdgeAccessError(.unusable, "--data-dir is empty; name a folder") }
        if mkdir(folder, 0o700) != 0, errno != EEXIST {
            throw EdgeAccessError(.storage, "cannot make \(folder): \(String(cString: strerror(errno))); choose another --data-dir")
        }
        path = folder + "/identity.json"
    }

    /// What is kept; nil if nothing is.
    ///
    /// - Throws: `EdgeAccessError.storage` for a file that cannot be read or is not an identity.
    package func read() throws(EdgeAccessError) -> EdgeIdentity? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0, errno == ENOENT { return nil }
        guard descriptor >= 0 else { throw EdgeAccessError(.storage, "cannot read \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        // A copy from a backup may be readable for others.
        fchmod(descriptor, 0o600)
        var failure: String?
        let bytes = [UInt8](unsafeUninitializedCapacity: EdgeIdentity.bytesMax + 1) { buffer, count in
            while count < buffer.count {
                let more = Glibc.read(descriptor, buffer.baseAddress! + count, buffer.count - count)
                if more < 0, errno == EINTR { continue }
                if more < 0 { failure = String(cString: strerror(errno)) }
                if more <= 0 { break }
                count += more
            }
        }
        if let failure { throw EdgeAccessError(.storage, "cannot read \(path): \(failure)") }
        guard bytes.count <= EdgeIdentity.bytesMax, let json = try? JSONParser.parse(bytes), let identity = EdgeIdentity(json) else {
            throw EdgeAccessError(
                .storage,
                "\(path) is no identity of this release (\(bytes.count) bytes); restore it, or move it away and join again with --join TOKEN"
            )
        }
        return identity
    }

    /// Puts an identity in place of what was kept; on the disk when it returns.
    ///
    /// - Throws: `EdgeAccessError.storage`; what was kept before is untouched.
    package func write(_ identity: EdgeIdentity) throws(EdgeAccessError) {
        do throws(FileWriteError) {
            let file = try WholeFile(path: path, isPrivate: true)
            try file.write(identity.json.bytes())
            try file.commit()
        } catch { throw EdgeAccessError(.storage, "\(error)") }
    }
}
