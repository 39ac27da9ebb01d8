/// The base features and where and when a row was taken: globe temperature, running mean outdoors, window, fan, month, place, kind of building.
package enum ContextFeatures {
    private static let measured: [Measure] = [.tg, .tMotISD, .window, .fan]
    private static let buildingTypes = ["multifamily housing", "office", "classroom", "others", "senior center"]

    /// The 36 columns in the order of `row`; month 1…12, latitude and longitude in degrees.
    package static let names =
        BaseFeatures.names + measured.map(\.rawValue) + ["month", "lat", "lon"] + buildingTypes.map { "building=\($0)" }

    /// One row; NaN where a measurement, the date or the place is missing.
    package static func row(_ record: ComfortRecord, _ building: Building) -> [Float] {
        var row = BaseFeatures.row(record, building)
        row += measured.map { Float(record[$0]) }
        row.append(Float(record.date.dropFirst(5).prefix(2)) ?? .nan)
        row += [building.latitude, building.longitude].map { Float($0 ?? .nan) }
        row += buildingTypes.map { $0 == building.buildingType ? 1 : 0 }
        return row
    }
}
