//! From the raw byte of a sensor to a number with its unit (IPMI v2.0 §36.3, §43.17). Pure.

use crate::bmc::ipmi::command::sdr::{Analog, Factors};

/// Linearisations from here on are curves that only the BMC knows (§36.2).
pub(super) const CURVE: u8 = 0x70;

/// The number that a raw byte stands for; `None` where the formula gives none (a logarithm of nought, one over nought).
pub(super) fn value(analog: &Analog, factors: &Factors, raw: u8) -> Option<f64> {
    let x = match analog.format {
        1 => ones_complement(raw),
        2 => f64::from(i8::from_le_bytes([raw])),
        _ => f64::from(raw),
    };
    let ten = |exponent: i8| 10f64.powi(exponent.into());
    let y = (f64::from(factors.m) * x + f64::from(factors.b) * ten(factors.b_exp)) * ten(factors.r_exp);
    let y = match analog.linear {
        1 => y.ln(),
        2 => y.log10(),
        3 => y.log2(),
        4 => y.exp(),
        5 => 10f64.powf(y),
        6 => y.exp2(),
        7 => 1.0 / y,
        8 => y * y,
        9 => y * y * y,
        10 => y.sqrt(),
        11 => y.cbrt(),
        // Linear, and the curves, whose factors are those of this very point.
        _ => tidy(y, factors),
    };
    y.is_finite().then_some(y)
}

/// Without the dust that binary fractions leave: a linear sensor has no more decimals than its exponents say.
fn tidy(y: f64, factors: &Factors) -> f64 {
    let decimals = i32::from(-factors.r_exp).max(i32::from(-factors.r_exp) - i32::from(factors.b_exp)).max(0);
    let scale = 10f64.powi(decimals.min(12));
    (y * scale).round() / scale
}

fn ones_complement(raw: u8) -> f64 {
    if raw & 0x80 == 0 { f64::from(raw) } else { -f64::from(!raw) }
}

/// Unit in UCUM's letters, as Redfish writes them; what UCUM has no letters for stands in words.
pub(super) fn unit(units: [u8; 3]) -> String {
    let [flags, base, modifier] = units;
    if flags & 0x01 != 0 {
        return "%".to_owned();
    }
    let mut text = name(base).to_owned();
    match (flags >> 1) & 3 {
        1 => text = format!("{text}/{}", name(modifier)),
        2 => text = format!("{text}.{}", name(modifier)),
        _ => {}
    }
    match (flags >> 3) & 7 {
        1 => text.push_str("/us"),
        2 => text.push_str("/ms"),
        3 => text.push_str("/s"),
        4 => text.push_str("/min"),
        5 => text.push_str("/h"),
        6 => text.push_str("/d"),
        _ => {}
    }
    text
}

/// Table 43-15. Seldom used ones keep the standard's number.
fn name(code: u8) -> &'static str {
    match code {
        0 => "",
        1 => "Cel",
        2 => "[degF]",
        3 => "K",
        4 => "V",
        5 => "A",
        6 => "W",
        7 => "J",
        8 => "C",
        9 => "V.A",
        10 => "cd/m2",
        11 => "lm",
        12 => "lx",
        13 => "cd",
        14 => "kPa",
        15 => "[psi]",
        16 => "N",
        17 => "[cft_i]/min",
        18 => "{rev}/min",
        19 => "Hz",
        20 => "us",
        21 => "ms",
        22 => "s",
        23 => "min",
        24 => "h",
        25 => "d",
        26 => "wk",
        27 => "[mil_i]",
        28 => "[in_i]",
        29 => "[ft_i]",
        32 => "mm",
        33 => "cm",
        34 => "m",
        41 => "L",
        46 => "rad",
        47 => "sr",
        48 => "{rev}",
        49 => "{cycle}",
        51 => "[oz_av]",
        52 => "[lb_av]",
        57 => "[G]",
        61 => "[degRe]",
        63 => "H",
        64 => "F",
        68 => "bit",
        69 => "kbit",
        70 => "Mbit",
        71 => "Gbit",
        72 => "By",
        73 => "kBy",
        74 => "MBy",
        75 => "GBy",
        88 => "{packet}",
        90 => "{error}",
        91 => "{correctable error}",
        92 => "{uncorrectable error}",
        _ => "{unit}",
    }
}

/// What is measured, in Redfish's words, by the unit; or else the sensor type's name.
pub(super) fn kind(unit: &str, sensor_type: String) -> String {
    match unit {
        "Cel" | "[degF]" | "K" => "Temperature",
        "V" => "Voltage",
        "A" => "Current",
        "W" => "Power",
        "J" => "EnergyJoules",
        "Hz" => "Frequency",
        "{rev}/min" => "Rotational",
        "%" => "Percent",
        "kPa" => "PressurekPa",
        "[cft_i]/min" => "AirFlow",
        _ => return sensor_type,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn analog(format: u8, linear: u8) -> Analog {
        Analog { format, units: [0, 4, 0], linear, factors: Factors { m: 1, b: 0, b_exp: 0, r_exp: 0 } }
    }

    /// By hand: 12 V rail of a Supermicro board, M = 63, R_exp = -3 … and the sign conventions.
    #[test]
    fn by_hand() {
        let volt = Factors { m: 63, b: 0, b_exp: 0, r_exp: -3 };
        assert_eq!(value(&analog(0, 0), &volt, 192), Some(12.096));
        let offset = Factors { m: 5, b: -10, b_exp: 1, r_exp: -1 };
        assert_eq!(value(&analog(0, 0), &offset, 50), Some(15.0));
        let one = Factors { m: 1, b: 0, b_exp: 0, r_exp: 0 };
        assert_eq!(value(&analog(2, 0), &one, 0xf6), Some(-10.0));
        assert_eq!(value(&analog(1, 0), &one, 0xf5), Some(-10.0));
        assert_eq!(value(&analog(0, 8), &one, 12), Some(144.0));
        assert_eq!(value(&analog(0, 7), &one, 4), Some(0.25));
        assert_eq!(value(&analog(0, 7), &one, 0), None, "one over nought");
        assert_eq!(value(&analog(0, 1), &one, 0), None, "the logarithm of nought");
    }

    #[test]
    fn units() {
        assert_eq!(unit([0, 1, 0]), "Cel");
        assert_eq!(unit([1, 0, 0]), "%");
        assert_eq!(unit([0x02, 72, 22]), "By/s");
        assert_eq!(unit([0x18, 91, 0]), "{correctable error}/s");
    }

    proptest! {
        #[test]
        fn a_number_is_finite(format in 0u8..4, linear in 0u8..128, m in -512i16..512, b in -512i16..512, b_exp in -8i8..8, r_exp in -8i8..8, raw: u8) {
            let factors = Factors { m, b, b_exp, r_exp };
            prop_assert!(value(&analog(format, linear), &factors, raw).is_none_or(f64::is_finite));
        }
    }
}
