//! Values that are written as text: durations, byte sizes and fractions.
//!
//! They are kept as written, so that messages can quote them; a feature parses them when it is lowered.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A length of time, such as `1h30m`, `15s` or `250ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DurationText(pub String);

impl DurationText {
    /// The duration; none where the text is no duration or it is negative.
    pub fn parse(&self) -> Option<Duration> {
        parse_duration(&self.0)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses a duration: numbers with units, without a sign. Wider than what admission lets through: fractions such as
/// `5.4s` and the units `us` and `ns` are read, and a bare `0`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text, 0_u128);
    while !rest.is_empty() || text.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty()
            || whole.len() > 15
            || fraction.len() > 15
            || fraction.contains('.')
        {
            return None;
        }
        let whole: u128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        nanos += whole * unit;
        if !fraction.is_empty() {
            let parts: u128 = fraction.parse().ok()?;
            nanos += parts * unit / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        }
        rest = tail;
    }
    // The longest that the reference's signed 64-bit nanoseconds can say, some 292 years.
    let nanos = i64::try_from(nanos).ok()?;
    Some(Duration::from_nanos(nanos.unsigned_abs()))
}

/// What Go's `time.ParseDuration` says of a text that is no duration: the reference's statuses quote it.
pub(crate) fn duration_error(text: &str) -> String {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut rest = unsigned;
    loop {
        let number_end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let has_digit = number.contains(|c: char| c.is_ascii_digit());
        if !has_digit || number.matches('.').count() > 1 {
            return format!("time: invalid duration {text:?}");
        }
        let unit_end = tail.find(is_number).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        match unit {
            "" => return format!("time: missing unit in duration {text:?}"),
            "ns" | "us" | "µs" | "ms" | "s" | "m" | "h" => {}
            _ => return format!("time: unknown unit {unit:?} in duration {text:?}"),
        }
        if tail.is_empty() {
            // Negative, or longer than can be said.
            return format!("time: invalid duration {text:?}");
        }
        rest = tail;
    }
}

/// A number of bytes as Kubernetes writes quantities: `100M`, `64Ki`, `5000`, or a bare number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Quantity {
    /// A bare number.
    Number(i64),
    /// A number with a suffix.
    Text(String),
}

impl Quantity {
    /// The value, where it is a whole number that fits.
    pub fn value(&self) -> Option<i64> {
        i64::try_from(self.exact()?.0).ok()
    }

    /// The exact value, and whether its suffix is a binary one.
    fn exact(&self) -> Option<(i128, bool)> {
        let text = match self {
            Self::Number(number) => return Some((i128::from(*number), false)),
            Self::Text(text) => text,
        };
        let number_end = text
            .find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(number_end);
        let (base, power) = match suffix {
            "" => (1_000_i128, 0),
            "k" => (1_000, 1),
            "M" => (1_000, 2),
            "G" => (1_000, 3),
            "T" => (1_000, 4),
            "P" => (1_000, 5),
            "E" => (1_000, 6),
            "Ki" => (1_024, 1),
            "Mi" => (1_024, 2),
            "Gi" => (1_024, 3),
            "Ti" => (1_024, 4),
            "Pi" => (1_024, 5),
            "Ei" => (1_024, 6),
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.len() > 15 || whole.len() > 20 {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        let scaled = digits.checked_mul(base.pow(power))?;
        (scaled % scale == 0).then_some((scaled / scale, base == 1_024))
    }
}

/// As Kubernetes prints quantities: with the largest suffix that leaves a whole number, so that `1000G` reads `1T`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((mut value, binary)) = self.exact() else {
            return match self {
                Self::Number(number) => write!(f, "{number}"),
                Self::Text(text) => f.write_str(text),
            };
        };
        let (base, suffixes) = if binary {
            (1_024, ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
        } else {
            (1_000, ["k", "M", "G", "T", "P", "E"])
        };
        let mut suffix = "";
        for larger in suffixes {
            if value == 0 || value % base != 0 {
                break;
            }
            value /= base;
            suffix = larger;
        }
        write!(f, "{value}{suffix}")
    }
}

/// A part of a whole: `numerator / denominator`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fraction {
    /// How many parts.
    pub numerator: i64,
    /// Of how many; default 100.
    pub denominator: Option<i64>,
}

impl Fraction {
    /// In parts of a million, cut off below; none where it is no part of a whole.
    pub fn per_million(&self) -> Option<u32> {
        let Self {
            numerator,
            denominator,
        } = self;
        let denominator = denominator.unwrap_or(100);
        if *numerator < 0 || denominator < 1 || *numerator > denominator {
            return None;
        }
        u32::try_from(i128::from(*numerator) * 1_000_000 / i128::from(denominator)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_says_of_durations() {
        for (text, expected) in [
            ("x", r#"time: invalid duration "x""#),
            ("", r#"time: invalid duration """#),
            ("5", r#"time: missing unit in duration "5""#),
            ("1s5", r#"time: missing unit in duration "1s5""#),
            ("5y", r#"time: unknown unit "y" in duration "5y""#),
            ("1m5y", r#"time: unknown unit "y" in duration "1m5y""#),
            ("1.2.3s", r#"time: invalid duration "1.2.3s""#),
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
            assert_eq!(duration_error(text), expected);
        }
    }

    #[test]
    fn durations() {
        let millis = Duration::from_millis;
        for (text, expected) in [
            ("15s", Some(millis(15_000))),
            ("1h30m", Some(millis(5_400_000))),
            ("250ms", Some(millis(250))),
            ("5.4s", Some(millis(5_400))),
            (".5s", Some(millis(500))),
            ("0s", Some(Duration::ZERO)),
            ("0", Some(Duration::ZERO)),
            ("1m1s1ms", Some(millis(61_001))),
            ("", None),
            ("15", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("22mib", None),
            ("20kib", None),
            ("1d", None),
            ("9999999h", None),
            ("999999999999999999999s", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn quantities() {
        for (text, value, printed) in [
            ("100M", Some(100_000_000), "100M"),
            ("1000G", Some(1_000_000_000_000), "1T"),
            ("5000Mi", Some(5_242_880_000), "5000Mi"),
            ("1024Ki", Some(1_048_576), "1Mi"),
            ("1.5Gi", Some(1_610_612_736), "1536Mi"),
            ("0", Some(0), "0"),
            ("100E", None, "100E"),
            ("100m", None, "100m"),
            ("lots", None, "lots"),
            ("", None, ""),
        ] {
            let quantity = Quantity::Text(text.to_owned());
            assert_eq!(quantity.value(), value, "{text}");
            assert_eq!(quantity.to_string(), printed, "{text}");
        }
        assert_eq!(Quantity::Number(5_000).to_string(), "5k");
    }

    #[test]
    fn fractions() {
        for (numerator, denominator, expected) in [
            (10, None, Some(100_000)),
            (1, Some(3), Some(333_333)),
            (0, Some(1), Some(0)),
            (2, Some(1), None),
            (-1, None, None),
            (1, Some(0), None),
        ] {
            assert_eq!(
                Fraction {
                    numerator,
                    denominator
                }
                .per_million(),
                expected,
                "{numerator}/{denominator:?}"
            );
        }
    }
}
