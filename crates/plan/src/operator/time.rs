//! The form in which a time is written, as `START_TIME(...)` of Envoy takes it: conversions of strftime, and Envoy's for
//! fractions of a second. Times are in UTC.

use std::fmt::{self, Write};

/// A form that is known to be one, such as `%Y-%m-%dT%H:%M:%E3SZ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeFormat<'a>(&'a str);

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl<'a> TimeFormat<'a> {
    /// RFC 3339 with milliseconds, as Envoy writes it unless told otherwise.
    pub const DEFAULT: Self = Self("%Y-%m-%dT%H:%M:%E3SZ");

    /// What is written like this; none: it has a conversion that there is not.
    pub fn new(text: &'a str) -> Option<Self> {
        let form = Self(text);
        form.write(0, &mut String::new()).is_ok().then_some(form)
    }

    /// Writes a time, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(self, unix_nanos: u64, out: &mut impl Write) -> fmt::Result {
        let time = Time::of(unix_nanos);
        let mut rest = self.0;
        while let Some((text, conversion)) = rest.split_once('%') {
            out.write_str(text)?;
            rest = time.convert(conversion, out)?;
        }
        out.write_str(rest)
    }
}

/// A time, taken apart.
struct Time {
    year: u64,
    month: u64,
    day: u64,
    days: u64,
    secs: u64,
    nanos: u64,
}

impl Time {
    fn of(unix_nanos: u64) -> Self {
        let secs = unix_nanos / 1_000_000_000;
        let days = secs / 86_400;
        let (year, month, day) = date(days);
        Self {
            year,
            month,
            day,
            days,
            secs,
            nanos: unix_nanos % 1_000_000_000,
        }
    }

    /// Writes what the conversion that a text begins with stands for; its percent sign is taken away. Returns what follows.
    fn convert<'a>(&self, text: &'a str, out: &mut impl Write) -> Result<&'a str, fmt::Error> {
        let (hour, minute) = (self.secs / 3_600 % 24, self.secs / 60 % 60);
        let second = self.secs % 60;
        let hour_of_half = (hour + 11) % 12 + 1;
        let month = MONTHS[(self.month - 1) as usize % 12];
        // The epoch was a Thursday.
        let weekday = WEEKDAYS[((self.days + 4) % 7) as usize];
        let which = text.chars().next().ok_or(fmt::Error)?;
        let after = &text[which.len_utf8()..];
        match which {
            '%' => out.write_char('%')?,
            'Y' => write!(out, "{:04}", self.year)?,
            'y' => write!(out, "{:02}", self.year % 100)?,
            'm' => write!(out, "{:02}", self.month)?,
            'd' => write!(out, "{:02}", self.day)?,
            'e' => write!(out, "{:2}", self.day)?,
            'H' => write!(out, "{hour:02}")?,
            'I' => write!(out, "{hour_of_half:02}")?,
            'M' => write!(out, "{minute:02}")?,
            'S' => write!(out, "{second:02}")?,
            'T' => write!(out, "{hour:02}:{minute:02}:{second:02}")?,
            'R' => write!(out, "{hour:02}:{minute:02}")?,
            'F' => write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day)?,
            'p' => out.write_str(if hour < 12 { "AM" } else { "PM" })?,
            'b' | 'h' => out.write_str(&month[..3])?,
            'B' => out.write_str(month)?,
            'a' => out.write_str(&weekday[..3])?,
            'A' => out.write_str(weekday)?,
            'z' => out.write_str("+0000")?,
            'Z' => out.write_str("UTC")?,
            's' => write!(out, "{}", self.secs)?,
            'f' => self.fraction(9, out)?,
            digits @ '1'..='9' => {
                let after = after.strip_prefix('f').ok_or(fmt::Error)?;
                self.fraction(digits as usize - '0' as usize, out)?;
                return Ok(after);
            }
            'E' => return self.extended(after, out),
            _ => return Err(fmt::Error),
        }
        Ok(after)
    }

    /// The same for what follows `%E`: `Y` in four digits, `z` with a colon, `S` and `f` with so many digits.
    fn extended<'a>(&self, text: &'a str, out: &mut impl Write) -> Result<&'a str, fmt::Error> {
        if let Some(after) = text.strip_prefix("4Y") {
            write!(out, "{:04}", self.year)?;
            return Ok(after);
        }
        if let Some(after) = text.strip_prefix('z') {
            out.write_str("+00:00")?;
            return Ok(after);
        }
        let digits = text.chars().next().and_then(|digit| digit.to_digit(10));
        let digits = digits.filter(|digits| (1..=9).contains(digits));
        let digits = digits.ok_or(fmt::Error)? as usize;
        if let Some(after) = text[1..].strip_prefix('S') {
            write!(out, "{:02}.", self.secs % 60)?;
            self.fraction(digits, out)?;
            return Ok(after);
        }
        let after = text[1..].strip_prefix('f').ok_or(fmt::Error)?;
        self.fraction(digits, out)?;
        Ok(after)
    }

    /// The fraction of the second, in 1 to 9 digits.
    fn fraction(&self, digits: usize, out: &mut impl Write) -> fmt::Result {
        let cut = 10_u64.pow(9 - digits as u32);
        write!(out, "{:0digits$}", self.nanos / cut)
    }
}

/// Year, month and day of a day since the Unix epoch, by the calendar's 400-year cycle counted from March.
const fn date(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let january_or_february = (month <= 2) as u64;
    (
        era * 400 + year_of_era + january_or_february,
        month,
        day_of_month,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: TimeFormat<'_>, nanos: u64) -> String {
        let mut out = String::new();
        form.write(nanos, &mut out).unwrap();
        out
    }

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_416_163_070, "2026-11-23T06:42:43.070Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ];
        for (millis, text) in cases {
            assert_eq!(written(TimeFormat::DEFAULT, millis * 1_000_000), text);
        }
    }

    #[test]
    fn conversions() {
        // A Monday morning.
        let nanos = 1_795_416_163_070_809_123;
        for (form, expected) in [
            ("", Some("")),
            ("at %%", Some("at %")),
            ("%Y/%m/%dT%H:%M:%S%z", Some("2026/11/23T06:42:43+0000")),
            ("%s.%3f", Some("1795416163.070")),
            ("%f %1f %6f %9f", Some("070809123 0 070809 070809123")),
            ("%E3S %E6f %Ez %E4Y", Some("43.070 070809 +00:00 2026")),
            (
                "%a %A %b %h %B %e %I %p %y",
                Some("Mon Monday Nov Nov November 23 06 AM 26"),
            ),
            ("%F %T %R %Z", Some("2026-11-23 06:42:43 06:42 UTC")),
            ("[%d/%b/%Y:%T %z]", Some("[23/Nov/2026:06:42:43 +0000]")),
            ("%", None),
            ("%Q", None),
            ("%3s", None),
            ("%E0S", None),
            ("%Eä", None),
            ("%ä", None),
        ] {
            let time = TimeFormat::new(form).map(|it| written(it, nanos));
            assert_eq!(time.as_deref(), expected, "{form}");
        }
        let afternoon = 13 * 3_600 * 1_000_000_000;
        let form = TimeFormat::new("%I %p, %e %a").unwrap();
        assert_eq!(written(form, afternoon), "01 PM,  1 Thu");
    }
}
