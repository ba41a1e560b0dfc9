//! The values of flags, from text: addresses, ports, durations, levels.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use weir_proxy::{AccessLogTarget, TextFormat};

use crate::system::hostname;

/// Where the admin API listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admin {
    Off,
    On(SocketAddr),
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::On).map_err(|_| {
                "expected an IP address and port, such as 127.0.0.1:9901, or `off`".to_owned()
            }),
        }
    }
}

/// A port that Gateways name, and the local one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortMapping {
    pub(crate) port: u16,
    pub(crate) local: u16,
}

impl FromStr for PortMapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ports = text
            .split_once('=')
            .and_then(|(port, local)| Some((port.parse().ok()?, local.parse().ok()?)));
        match ports {
            Some((port, local)) if port > 0 => Ok(Self { port, local }),
            Some(_) | None => Err("expected two ports, such as 80=8080".to_owned()),
        }
    }
}

/// A level, or a filter. The filter's own reader takes a misspelt level for the name of a module.
pub(crate) fn log_level(text: &str) -> Result<String, String> {
    let is_level = |part: &str| {
        part.contains('=') || (!part.is_empty() && part.parse::<LevelFilter>().is_ok())
    };
    if (text.is_empty() || text.split(',').all(is_level)) && EnvFilter::try_new(text).is_ok() {
        Ok(text.to_owned())
    } else {
        let expected = "expected error, warn, info, debug, trace or off, or a filter such as info,weir_proxy=debug";
        Err(expected.to_owned())
    }
}

pub(super) fn access_log(text: &str) -> Result<AccessLogTarget, String> {
    Ok(match text {
        "" => return Err("expected off, stdout, or a file".to_owned()),
        "off" => AccessLogTarget::Off,
        "stdout" => AccessLogTarget::Stdout,
        file => AccessLogTarget::File(PathBuf::from(file)),
    })
}

/// A duration as the Gateway API writes it: `1h30m`, `15s`, `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "expected a duration, such as 30s, 1m30s or 250ms".to_owned())
}

/// A key of the access log.
pub(crate) fn access_log_key(text: &str) -> Result<String, String> {
    if weir_proxy::ACCESS_LOG_KEYS.contains(&text) {
        return Ok(text.to_owned());
    }
    let near = weir_resolve::suggest(text, weir_proxy::ACCESS_LOG_KEYS);
    Err(match near {
        Some(near) => format!("there is no such key; did you mean {near}?"),
        None => format!(
            "there is no such key; those are {}",
            weir_proxy::ACCESS_LOG_KEYS.join(", ")
        ),
    })
}

/// A format of the access log's lines.
pub(crate) fn access_log_format(text: &str) -> Result<TextFormat, String> {
    TextFormat::new(text, &hostname())
}

/// A share in percent, as parts of a million.
pub(crate) fn per_million(text: &str) -> Result<u32, String> {
    let percent = text.parse::<f64>().ok();
    let percent = percent.filter(|it| (0.0..=100.0).contains(it));
    let percent = percent.ok_or("expected a share from 0 to 100, such as 1 or 0.5")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and a million"
    )]
    let parts = (percent * 10_000.0).round() as u32;
    Ok(parts)
}

/// A size in bytes as Kubernetes writes it: `512Mi`, `1G`, or a number.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let number_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let unit: Option<u64> = match suffix {
        "" => Some(1),
        "k" => Some(1_000),
        "M" => Some(1_000_000),
        "G" => Some(1_000_000_000),
        "Ki" => Some(1 << 10),
        "Mi" => Some(1 << 20),
        "Gi" => Some(1 << 30),
        _ => None,
    };
    let bytes = unit.and_then(|unit| number.parse::<u64>().ok()?.checked_mul(unit));
    let bytes = bytes.filter(|it| *it > 0);
    bytes.ok_or_else(|| "expected a size, such as 512Mi or 2Gi".to_owned())
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |end| digits + end);
        let unit = match &rest[digits..unit_end] {
            "h" => Duration::from_secs(3_600),
            "m" => Duration::from_secs(60),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            _ => return None,
        };
        sum = sum.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1h", Some(3_600_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("", None),
            ("30", None),
            ("s", None),
            ("1d", None),
            ("99999999999s", None),
            ("-1s", None),
            ("1.5s", None),
        ];
        for (text, millis) in cases {
            assert_eq!(
                parse_duration(text),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn shares_and_keys_of_the_access_log() {
        for (text, expected) in [
            ("100", Some(1_000_000)),
            ("1", Some(10_000)),
            ("0.5", Some(5_000)),
            ("0", Some(0)),
            ("101", None),
            ("-1", None),
            ("NaN", None),
            ("half", None),
        ] {
            assert_eq!(per_million(text).ok(), expected, "{text}");
        }
        assert!(access_log_key("response_code").is_ok());
        let wrong = access_log_key("respons_code").unwrap_err();
        assert!(wrong.contains("did you mean response_code?"), "{wrong}");
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("512Mi", Some(512 << 20)),
            ("2G", Some(2_000_000_000)),
            ("100", Some(100)),
            ("0", None),
            ("", None),
            ("Mi", None),
            ("1.5Gi", None),
            ("99999999999999Gi", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn log_levels() {
        for text in [
            "",
            "info",
            "off",
            "info,weir_proxy=debug",
            "weir_proxy=trace",
        ] {
            assert!(log_level(text).is_ok(), "{text}");
        }
        for text in [
            "nonsense",
            "infos",
            "info,",
            "weir_proxy=nonsense",
            "info weir",
        ] {
            assert!(log_level(text).is_err(), "{text}");
        }
    }

    #[test]
    fn port_mappings() {
        let cases = [
            ("80=8080", Some((80, 8080))),
            ("80=0", Some((80, 0))),
            ("0=80", None),
            ("80", None),
            ("80=http", None),
            ("80=99999", None),
        ];
        for (text, ports) in cases {
            let expected = ports.map(|(port, local)| PortMapping { port, local });
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
