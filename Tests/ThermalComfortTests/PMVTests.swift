import Testing
import ThermalComfort

@Suite struct PMVTests {
    /// Rows of ISO 7730:2005, table D.1: air and radiant temperature, air speed, humidity, met, clo, vote.
    static let validation: [[Double]] = [
        [22, 22, 0.1, 60, 1.2, 0.5, -0.75], [27, 27, 0.1, 60, 1.2, 0.5, 0.77], [27, 27, 0.3, 60, 1.2, 0.5, 0.44],
        [23.5, 25.5, 0.1, 60, 1.2, 0.5, -0.01], [23.5, 25.5, 0.3, 60, 1.2, 0.5, -0.55], [19, 19, 0.1, 40, 1.2, 1, -0.60],
        [23.5, 23.5, 0.3, 40, 1.2, 1, 0.12], [23, 21, 0.1, 40, 1.2, 1, 0.05],
        [23, 21, 0.3, 40, 1.2, 1, -0.16], [22, 22, 0.1, 60, 1.6, 0.5, 0.05], [27, 27, 0.1, 60, 1.6, 0.5, 1.17],
        [27, 27, 0.3, 60, 1.6, 0.5, 0.95],
    ]

    @Test(arguments: validation) func `the vote is that of the standard's validation table`(row: [Double]) {
        let vote = PMV.value(
            airTemperature: row[0], radiantTemperature: row[1], airSpeed: row[2], humidity: row[3], metabolicRate: row[4], clothing: row[5])
        #expect(abs(vote - row[6]) < 0.1, "table D.1 says \(row[6]), found \(vote)")
    }

    @Test func `a missing input gives a missing vote`() {
        let vote = PMV.value(airTemperature: 22, radiantTemperature: .nan, airSpeed: 0.1, humidity: 50, metabolicRate: 1.2, clothing: 0.5)
        #expect(vote.isNaN)
    }
}
