import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The Kubernetes client for Python, unmodified, as `make` puts it into .deps/python-kubernetes.
@Suite(.offThePool) struct PythonClientTests {
    private static let packages = ".deps/python-kubernetes"
    private static var isThere: Bool { access("\(packages)/kubernetes/__init__.py", R_OK) == 0 && ServingProgram.find("python3") != nil }

    @Test(.enabled(if: Self.isThere, "the Python client kubernetes could not be fetched: scripts/bootstrap"))
    func `the Python client works with the cloud as with any cluster`() async throws {
        try await Cloud.with { cloud in
            let result = await ServingProgram(
                ServingProgram.find("python3")!, ["Tests/EndToEndTests/python-client.py", "\(cloud.folder)/admin.kubeconfig"],
                environment: ["PYTHONPATH": Self.packages, "PYTHONDONTWRITEBYTECODE": "1", "HOME": cloud.folder], folder: cloud.folder
            ).wait()
            #expect(result.status == 0, "\(result.error.suffix(2000))")
            #expect(result.output.split(separator: "\n").count { $0.hasPrefix("kept: ") } == 23, "\(result.output)")
        }
    }
}
