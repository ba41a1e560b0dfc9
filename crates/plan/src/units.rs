//! Quantities with their units: percentages, rates, durations as text.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A share from 0 to 100 in whole percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Percent(pub u8);

/// A share in millionths: 1,000,000 is always, 0 is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PerMillion(pub u32);

impl PerMillion {
    /// Always.
    pub const ALWAYS: Self = Self(1_000_000);

    /// A share from a percentage: `percent * 10000`, cut off below, kept within 0 and 1,000,000 (as Envoy Gateway
    /// does for faults).
    pub fn from_percent(percent: f32) -> Self {
        // In single precision, as there: 0.0001 is one part. Negative numbers and NaN become 0 in the cast.
        let parts = (percent * 10_000.0) as u32;
        Self(parts.min(1_000_000))
    }

    /// Whether a draw, a uniformly random number from 0 to 999,999, falls within this share.
    pub const fn covers(self, draw: u32) -> bool {
        draw < self.0
    }
}

/// The time units of limits. A month is 30 days and a year 365, as in the Envoy rate-limit service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub enum TimeUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl TimeUnit {
    /// The unit's length in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_592_000,
            Self::Year => 31_536_000,
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// So many requests (or units of cost) in one time unit. Its text form is `5/Minute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// What one unit of time allows; 0 allows nothing.
    pub requests: u32,
    /// The unit of time.
    pub unit: TimeUnit,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.unit)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration as the Gateway API writes it (GEP-2257), such as `1h30m`, `15s` or `250ms`; `0s` for none.
///
/// Parts below a millisecond, which the format cannot say, are left out.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let parts = [
        (millis / 3_600_000, "h"),
        (millis / 60_000 % 60, "m"),
        (millis / 1_000 % 60, "s"),
        (millis % 1_000, "ms"),
    ];
    let text: String = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// Serializes a duration in the Gateway API's form. For `#[serde(serialize_with)]`.
pub fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

/// Serializes an optional duration; `None` becomes null. For `#[serde(serialize_with)]`.
pub fn optional_duration<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&format_duration(*duration)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_the_gateway_api_does() {
        let cases = [
            (0, "0s"),
            (250, "250ms"),
            (15_000, "15s"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (3_661_001, "1h1m1s1ms"),
        ];
        for (millis, text) in cases {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn shares_are_cut_off_and_kept_in_bounds() {
        let cases = [
            (0.0, 0),
            (0.00005, 0),
            (0.0001, 1),
            (50.0, 500_000),
            (100.0, 1_000_000),
            (101.0, 1_000_000),
            (-1.0, 0),
        ];
        for (percent, parts) in cases {
            assert_eq!(
                PerMillion::from_percent(percent),
                PerMillion(parts),
                "{percent}"
            );
        }
        assert!(PerMillion(1).covers(0) && !PerMillion(1).covers(1) && !PerMillion(0).covers(0));
    }
}
