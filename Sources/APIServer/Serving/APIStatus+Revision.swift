import Resources

extension APIStatus {
    /// 504 `Timeout`: the revision does not exist yet. Informers know it by its cause and list anew without a revision; without the cause
    /// they would ask for the same one for ever, as after a restore.
    static func tooLargeRevision(_ revision: Int64, newest: Int64) -> APIStatus {
        var status = APIStatus(code: 504, reason: "Timeout", message: "Too large resource version: \(revision), current: \(newest)")
        status.causes = [Cause(reason: "ResourceVersionTooLarge", message: "Too large resource version", field: "")]
        status.retryAfterSeconds = 1
        return status
    }
}
