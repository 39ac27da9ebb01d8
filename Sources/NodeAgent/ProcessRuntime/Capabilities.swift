import Resources

/// What a root process may do, by the kernel's numbers (capabilities(7)).
enum Capabilities {
    private static let names = [
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
        "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
        "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
        "PERFMON", "BPF", "CHECKPOINT_RESTORE",
    ]

    /// The bits of a list of names, with or without `CAP_`, or of `ALL`.
    ///
    /// - Throws: `CreateContainerConfigError` naming a word that is none.
    static func bits(_ list: JSON?, field: String) throws(ContainerRefusal) -> UInt64 {
        var bits: UInt64 = 0
        for word in (list?.array ?? []).compactMap(\.string) {
            let upper = word.uppercased()
            if upper == "ALL" {
                bits = .max
                continue
            }
            guard let number = names.firstIndex(of: upper.hasPrefix("CAP_") ? String(upper.dropFirst(4)) : upper) else {
                throw ContainerRefusal("CreateContainerConfigError", "securityContext.capabilities.\(field): \"\(word)\" is no capability")
            }
            bits |= 1 << UInt64(number)
        }
        return bits
    }
}
