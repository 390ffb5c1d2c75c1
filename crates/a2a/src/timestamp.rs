//! Moments, as RFC 3339 writes them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// The first second of the year 1, before which no moment can be written.
const FIRST: i64 = -62_135_596_800;
/// The last second of the year 9999.
const LAST: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

/// A moment between the years 1 and 9999, to the nanosecond; written in UTC with 0, 3, 6 or 9 digits of fraction.
///
/// # Examples
/// ```
/// use bivouac_a2a::Timestamp;
/// let moment = Timestamp::parse("2026-11-21T14:00:00.5+02:00").unwrap();
/// assert_eq!(moment.to_string(), "2026-11-21T12:00:00.500Z");
/// assert_eq!(moment, Timestamp::from_millis(1_795_262_400_500));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// A moment in milliseconds since 1970; one that cannot be written becomes the nearest that can.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        let seconds = millis.div_euclid(1000);
        if seconds < FIRST {
            return Self { seconds: FIRST, nanos: 0 };
        }
        if seconds > LAST {
            return Self { seconds: LAST, nanos: 999_999_999 };
        }
        let nanos = u32::try_from(millis.rem_euclid(1000)).expect("a remainder of 1000 is small") * 1_000_000;
        Self { seconds, nanos }
    }

    /// Milliseconds since 1970, rounded down.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.seconds * 1000 + i64::from(self.nanos / 1_000_000)
    }

    /// Milliseconds since 1970, rounded up: what is at least this moment is at least that.
    #[must_use]
    pub fn millis_up(self) -> i64 {
        self.millis() + i64::from(!self.nanos.is_multiple_of(1_000_000))
    }

    /// Reads RFC 3339: `2026-11-21T14:00:00Z`, with up to nine digits of fraction, and any offset.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let (date, rest) = text.split_at_checked(10)?;
        let (time, rest) = rest.split_at_checked(9)?;
        let number = |digits: &[u8]| {
            digits
                .iter()
                .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
        };
        let separated =
            date[4] == b'-' && date[7] == b'-' && matches!(time[0], b'T' | b't') && time[3] == b':' && time[6] == b':';
        if !separated {
            return None;
        }
        let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
        let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..])?);
        if year < 1
            || !(1..=12).contains(&month)
            || day < 1
            || day > days_in(year, month)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let (nanos, rest) = fraction(rest)?;
        let seconds = days_since_1970(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(rest)?;
        (FIRST..=LAST).contains(&seconds).then_some(Self { seconds, nanos })
    }
}

fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else { return Some((0, text)) };
    let count = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (digits, rest) = digits.split_at(count);
    let nanos = (0..9).fold(0_u32, |sum, at| sum * 10 + u32::from(digits.get(at).map_or(0, |digit| digit - b'0')));
    Some((nanos, rest))
}

/// The seconds that a local time is ahead of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|digit| digit.is_ascii_digit()) => {
            let two = |tens: &u8, ones: &u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let (hours, minutes) = (two(h1, h2), two(m1, m2));
            let seconds = hours * 3600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in years that begin in March.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = if month <= 2 { month + 9 } else { month - 3 };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970-01-01.
const fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + if month <= 2 { 1 } else { 0 }, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)?;
        match self.nanos {
            0 => f.write_str("Z"),
            n if n % 1_000_000 == 0 => write!(f, ".{:03}Z", n / 1_000_000),
            n if n % 1000 == 0 => write!(f, ".{:06}Z", n / 1000),
            n => write!(f, ".{n:09}Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format_args!("`{}` is not a moment such as 2026-11-21T14:00:00Z", text.escape_debug()))
        })
    }
}
