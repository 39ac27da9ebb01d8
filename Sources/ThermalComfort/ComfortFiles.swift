/// The files of ASHRAE Global Thermal Comfort Database II v2.1.0 (doi 10.6078/D1F671) that the product was made for.
package struct ComfortFiles: Sendable {
    package var name: String
    /// Of the file as published, lower-case hexadecimal; the same as in datasets/thermal-comfort/README.md.
    package var sha256: String

    package static let measurements = ComfortFiles(
        name: "db_measurements_v2.1.0.csv.gz", sha256: "9722be588ec3e779de21679513711e2d980138359a1b44bb9775e9499bc68380")
    package static let metadata = ComfortFiles(
        name: "db_metadata.csv", sha256: "af6770a2b469f079cd172bd6632d1ae726a3a663515126816ff6d2d8f51bfc10")
}
