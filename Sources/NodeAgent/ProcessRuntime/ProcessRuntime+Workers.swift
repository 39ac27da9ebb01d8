import Resources

/// What workers of jobs need beside other containers: volumes of the node's files, and their reports kept with them.
extension ProcessRuntime {
    private static let reportName = "report.json"

    func isFilled(_ volume: String, of pod: PodSpec) -> Bool {
        Self.isName(volume) && SystemFiles.isFolder(volumeFolder(pod.uid, volume))
    }

    func volumeFile(_ name: String, in volume: String, of pod: PodSpec) -> [UInt8]? {
        guard Self.isName(volume) else { return nil }
        return SystemFiles.read("\(volumeFolder(pod.uid, volume))/\(name)", bytesMax: 64 << 10)
    }

    func places(of container: ContainerSpec, in pod: PodSpec) throws(ContainerRefusal) -> [MountPlace] {
        var places: [MountPlace] = []
        for mount in container.object["volumeMounts"]?.array ?? [] {
            let name = mount["name"]?.string ?? ""
            guard let volume = pod.volumes.first(where: { $0["name"]?.string == name }), let target = mount["mountPath"]?.string else {
                continue
            }
            var source = volume["hostPath"]?["path"]?.string ?? volumeFolder(pod.uid, name)
            // A part that is named by variables is not looked for: what lies there is not taken.
            guard mount["subPathExpr"] == nil else { continue }
            if let part = mount["subPath"]?.string, !part.isEmpty {
                source = try Self.part(part, of: source, volume: name, isMade: false)
            }
            let isOwn = volume["emptyDir"] != nil || volume["hostPath"] != nil
            var place = MountPlace(target: target, source: source, volume: name, isWritable: isOwn && !(mount["readOnly"]?.bool ?? false))
            if volume["csi"] != nil { place.given = WorkerContract.Volume.files.attributes(volume) ?? [:] }
            places.append(place)
        }
        return places
    }

    func keep(report: [UInt8], of id: ContainerID) -> Bool { Self.write(report, "\(folder(id))/\(Self.reportName)") }

    func keptReport(of id: ContainerID) -> [UInt8]? { SystemFiles.read("\(folder(id))/\(Self.reportName)") }
}
