#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The predicted mean vote of a large group on the seven-point scale of thermal sensation, −3 cold … 3 hot (ISO 7730:2005, clause 4 and annex D; Fanger 1970).
package enum PMV {
    /// Iterations of the clothing's surface temperature; annex D's scheme halves its error each time.
    private static let iterationsMax = 150

    /// - Parameters:
    ///   - airTemperature: °C.
    ///   - radiantTemperature: mean radiant temperature, °C.
    ///   - airSpeed: relative air speed, m/s, not negative.
    ///   - humidity: relative humidity, %.
    ///   - metabolicRate: met (58.15 W/m²).
    ///   - clothing: clo (0.155 m²K/W).
    /// - Returns: the vote, not clipped to the scale; NaN when any input is.
    package static func value(
        airTemperature: Double, radiantTemperature: Double, airSpeed: Double, humidity: Double, metabolicRate: Double, clothing: Double
    ) -> Double {
        let vapourPressure = humidity * 10 * exp(16.6536 - 4030.183 / (airTemperature + 235))
        let insulation = 0.155 * clothing
        // No external work: all metabolism becomes heat.
        let heat = metabolicRate * 58.15
        let areaFactor = insulation <= 0.078 ? 1 + 1.29 * insulation : 1.05 + 0.645 * insulation
        let surface = clothingTemperature(
            airTemperature: airTemperature, radiantTemperature: radiantTemperature, forcedConvection: 12.1 * airSpeed.squareRoot(),
            insulation: insulation, areaFactor: areaFactor, heat: heat)
        let radiation = 3.96 * areaFactor * (fourth(surface.kelvinHundredth) - fourth((radiantTemperature + 273) / 100))
        let convection = areaFactor * surface.convection * (100 * surface.kelvinHundredth - 273 - airTemperature)
        let skin = 3.05e-3 * (5733 - 6.99 * heat - vapourPressure)
        let sweat = heat > 58.15 ? 0.42 * (heat - 58.15) : 0
        let breath = 1.7e-5 * heat * (5867 - vapourPressure) + 0.0014 * heat * (34 - airTemperature)
        return (0.303 * exp(-0.036 * heat) + 0.028) * (heat - skin - sweat - breath - radiation - convection)
    }

    private static func clothingTemperature(
        airTemperature: Double, radiantTemperature: Double, forcedConvection: Double, insulation: Double, areaFactor: Double, heat: Double
    ) -> (kelvinHundredth: Double, convection: Double) {
        let air = airTemperature + 273
        let exchange = insulation * areaFactor
        let constant = 308.7 - 0.028 * heat + 3.96 * exchange * fourth((radiantTemperature + 273) / 100)
        var next = (air + (35.5 - airTemperature) / (3.5 * (6.45 * insulation + 0.1))) / 100
        var estimate = next
        var convection = forcedConvection
        for _ in 0..<iterationsMax {
            estimate = (estimate + next) / 2
            convection = max(forcedConvection, 2.38 * pow(abs(100 * estimate - air), 0.25))
            next =
                (constant + 100 * exchange * convection * air / 100 - 3.96 * exchange * fourth(estimate))
                / (100 + 100 * exchange * convection)
            if abs(next - estimate) < 0.000_015 { break }
        }
        return (next, convection)
    }

    private static func fourth(_ value: Double) -> Double { value * value * value * value }
}
