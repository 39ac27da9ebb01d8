import APIServer
import Controllers
import Identity
import Reconciliation
import Resources

/// The controllers of a cluster beside a server under test: does at once all there is to do.
struct Upkeep {
    let service: ObjectService

    /// Looks at everything until nothing is left to do but to wait.
    func pass() async {
        let client = ServiceClient(service, user: User(name: "system:controllers", groups: ["system:masters"]))
        var loop = ReconcileLoop(ClusterControllers.all(client))
        if let kinds = try? await client.kinds() { loop.discovered(kinds) }
        for _ in 0..<200 {
            for kind in loop.view.kinds {
                if let list = try? await client.listAll(kind) { loop.listed(list, of: kind, now: .zero) }
            }
            var hasWorked = false
            for index in loop.reconcilers.indices {
                while let (item, work) = loop.take(index, now: .zero, time: service.environment.now()) {
                    hasWorked = true
                    do { loop.finish(index, item, .success(try await work()), now: .zero) } catch {
                        loop.finish(index, item, .failure(error), now: .zero)
                    }
                }
            }
            if !hasWorked { return }
        }
    }
}
