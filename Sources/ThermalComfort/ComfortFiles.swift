/// The files of ASHRAE Global Thermal Comfort Database II v2.1.0 (doi 10.6078/D1F671) that the product was made for.
package struct ComfortFiles: Sendable {
    /// As published, without a folder; the same in every place that is searched.
    package var name: String
    /// Of the file as published, lower-case hexadecimal; the same as in datasets/thermal-comfort/README.md.
    package var sha256: String
    /// Size of the file as published.
    package var bytes: Int

    /// The two real ones have names here; tests describe small files of their own.
    package init(name: String, sha256: String, bytes: Int) {
        self.name = name
        self.sha256 = sha256
        self.bytes = bytes
    }

    /// One row a vote, gzip-compressed CSV.
    package static let measurements = ComfortFiles(
        name: "db_measurements_v2.1.0.csv.gz", sha256: "9722be588ec3e779de21679513711e2d980138359a1b44bb9775e9499bc68380", bytes: 3_033_632)
    /// One row a building, plain CSV.
    package static let metadata = ComfortFiles(
        name: "db_metadata.csv", sha256: "af6770a2b469f079cd172bd6632d1ae726a3a663515126816ff6d2d8f51bfc10", bytes: 226_093)

    /// Where the database lives: the folder of its public repository, at the commit whose files have these digests.
    package static let home =
        "https://raw.githubusercontent.com/CenterForTheBuiltEnvironment/ashrae-db-II/c527d6115ebadb4725a4e1406b2439a7a1ffd214/v2.1.0"
    /// The name by which outputs call the database.
    package static let databaseName = "ASHRAE Global Thermal Comfort Database II v2.1.0"
}
