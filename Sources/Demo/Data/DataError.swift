/// Why data were refused. Data that merely cannot be had are no error: then the demo makes its own.
package enum DataError: Error, Equatable, CustomStringConvertible {
    case cannotRead(path: String, reason: String)
    /// The file is not the one its card describes.
    case wrongDigest(path: String, found: String, expected: String, remedy: String)
    /// A server sends more than the file has.
    case tooLarge(address: String, bytesMax: Int)
    case cannotPrepareCache(path: String, reason: String)

    /// One sentence: the file or address, the value found and the one expected, and the option that helps.
    package var description: String {
        switch self {
        case .cannotRead(let path, let reason): "cannot read \(path): \(reason); check the path and its permissions"
        case .wrongDigest(let path, let found, let expected, let remedy):
            "\(path): SHA-256 is \(found), the data set's card says \(expected); \(remedy), or pass --accept-digest to take it as it is"
        case .tooLarge(let address, let bytesMax):
            "\(address) sends more than the \(bytesMax) bytes its file has; pass --data with a folder that holds the files"
        case .cannotPrepareCache(let path, let reason):
            "cannot use the cache folder \(path): \(reason); set XDG_CACHE_HOME to a folder that can be written, or pass --data"
        }
    }
}
