extension PhysicsFeatures {
    /// The unit of a feature ("" for counts, codes and flags) and what it is; nil for a name that is no feature.
    package static func meaning(of name: String) -> (unit: String, meaning: String)? {
        if let found = meanings[name] { return found }
        for (prefix, what) in [
            ("season=", "season of the survey is"), ("cooling=", "cooling of the building is"), ("building=", "building is"),
        ]
        where name.hasPrefix(prefix) {
            return ("", "1 where the \(what) \(name.dropFirst(prefix.count)), else 0")
        }
        return nil
    }

    private static let meanings: [String: (unit: String, meaning: String)] = [
        "ta": ("°C", "air temperature"), "tr": ("°C", "mean radiant temperature"), "top": ("°C", "operative temperature"),
        "rh": ("%", "relative humidity"), "vel": ("m/s", "air speed"), "met": ("met", "metabolic rate"),
        "clo": ("clo", "clothing insulation"),
        "t_outdoor": ("°C", "outdoor temperature: measured, else of the weather station, else of the month"),
        "rh_outdoor": ("%", "outdoor relative humidity"), "set": ("°C", "standard effective temperature"),
        "pmv_ce": ("", "predicted mean vote with cooling effect of air movement"),
        "ppd_ce": ("%", "predicted share of dissatisfied with cooling effect of air movement"), "age": ("years", "age of the person"),
        "female": ("", "1 female, 0 male"), "tg": ("°C", "globe temperature"),
        "t_mot_isd": ("°C", "running mean of the outdoor temperature"),
        "window": ("", "1 open, 0 closed"), "fan": ("", "1 on, 0 off"), "month": ("", "month of the vote, 1 to 12"),
        "lat": ("degrees north", "place of the building"), "lon": ("degrees east", "place of the building"),
        "t_running_mean": ("°C", "running mean of the outdoor temperature, or the best stand-in"),
        "t_operative": ("°C", "operative temperature, or the best stand-in"),
        "radiant_asymmetry": ("K", "mean radiant (or globe) temperature minus air temperature"),
        "adaptive_ashrae55": ("K", "operative temperature minus the comfort temperature of ASHRAE 55"),
        "adaptive_en16798": ("K", "operative temperature minus the comfort temperature of EN 16798-1"),
        "indoor_outdoor": ("K", "air temperature minus outdoor temperature"), "vapour_pressure": ("hPa", "of the room's air"),
        "enthalpy": ("kJ/kg", "of the room's air"),
        "pmv_filled": ("", "predicted mean vote (ISO 7730), usual values where a sensor is missing"),
        "season_sine": ("", "sine of the place in the year"), "season_cosine": ("", "cosine of the place in the year"),
        "body_mass_index": ("kg/m²", "of the person"), "ht": ("cm", "height of the person"), "wt": ("kg", "weight of the person"),
        "door": ("", "1 open, 0 closed"), "heater": ("", "1 on, 0 off"), "blind_curtain": ("", "1 drawn, 0 not"),
        "ta_h": ("°C", "air temperature at head height"), "ta_m": ("°C", "air temperature at waist height"),
        "ta_l": ("°C", "air temperature at ankle height"), "vel_h": ("m/s", "air speed at head height"),
        "vel_l": ("m/s", "air speed at ankle height"), "ta_gradient": ("K", "air temperature at the head minus at the ankles"),
        "t_outdoor_surveyed": ("°C", "outdoor temperature measured in the survey"),
        "t_outdoor_station": ("°C", "outdoor temperature of the weather station"),
        "t_outdoor_month": ("°C", "mean outdoor temperature of the month"),
        "draught": ("m·K/s", "air speed times (34 °C minus air temperature)"),
        "clothed_warmth": ("°C", "operative temperature plus 7 K a clo above usual"),
        "latitude_absolute": ("degrees", "distance from the equator"), "year": ("", "calendar year of the survey"),
        "activity_10": ("", "what the person did ten minutes before, code 0 to 5"),
        "missing_count": ("", "how many usual values are missing"),
    ]
}
