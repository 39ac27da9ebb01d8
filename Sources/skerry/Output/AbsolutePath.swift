#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A path that holds in other folders than this process' too.
func absolutePath(_ path: String) -> String {
    guard !path.hasPrefix("/"), let here = getcwd(nil, 0) else { return path }
    defer { free(here) }
    return String(cString: here) + "/" + path
}
