//! `strftime_now`: the time in words, as Python's `datetime.strftime` writes it in the C locale.
//!
//! <https://docs.python.org/3/library/datetime.html#format-codes>. Dates by Howard Hinnant's
//! `civil_from_days`, <https://howardhinnant.github.io/date_algorithms.html>.

use std::fmt::Write as _;

use super::super::conversation::Clock;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

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

/// A date and time of day.
#[derive(Debug, Clone, Copy)]
struct Moment {
    year: i64,
    /// From 1.
    month: u32,
    /// From 1.
    day: u32,
    /// From 0, the first of January.
    year_day: u32,
    /// From 0, Sunday.
    week_day: u32,
    second_of_day: u32,
    unix: i64,
}

impl Moment {
    fn new(clock: Clock) -> Self {
        let unix = clock.unix_seconds;
        // Years of five digits are enough for anybody, and nothing overflows.
        let limit = 3_000_000_000_000;
        let local = unix.clamp(-limit, limit) + i64::from(clock.utc_offset);
        let days = local.div_euclid(86_400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let year_day =
            before[(month - 1).clamp(0, 11) as usize] + day - 1 + i64::from(leap && month > 2);
        let small = |number: i64| u32::try_from(number).unwrap_or(0);
        Self {
            year,
            month: small(month),
            day: small(day),
            year_day: small(year_day),
            week_day: small((days + 4).rem_euclid(7)),
            second_of_day: small(local.rem_euclid(86_400)),
            unix,
        }
    }

    /// Week and year by ISO 8601.
    fn iso_week(&self) -> (i64, i64) {
        let week_day = i64::from((self.week_day + 6) % 7);
        let week = (i64::from(self.year_day) - week_day + 10) / 7;
        let weeks = |year: i64| {
            let parity = |year: i64| {
                (year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400))
                    .rem_euclid(7)
            };
            if parity(year) == 4 || parity(year - 1) == 3 {
                53
            } else {
                52
            }
        };
        if week < 1 {
            (self.year - 1, weeks(self.year - 1))
        } else if week > weeks(self.year) {
            (self.year + 1, 1)
        } else {
            (self.year, week)
        }
    }
}

/// The time by the format; what is no known code stays as it is.
pub(super) fn strftime(clock: Clock, format: &str) -> String {
    let moment = Moment::new(clock);
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            text.push(char);
            continue;
        }
        let rest = chars.as_str();
        // glibc: without padding, with spaces, with zeros.
        let (padding, code) = match chars.next() {
            Some(flag @ ('-' | '_' | '0')) => (Some(flag), chars.next()),
            other => (None, other),
        };
        if !code.is_some_and(|code| push(&mut text, &moment, code, padding)) {
            text.push('%');
            chars = rest.chars();
        }
    }
    text
}

/// Whether the code is known.
fn push(text: &mut String, moment: &Moment, code: char, padding: Option<char>) -> bool {
    let name = |names: &[&str], at: u32| names.get(at as usize).copied().unwrap_or("").to_owned();
    let short = |name: String| name.get(..3).unwrap_or_default().to_owned();
    let (hour, minute) = (moment.second_of_day / 3600, moment.second_of_day / 60 % 60);
    let number = |text: &mut String, number: i64, width: usize, fill: char| {
        // Writing to a String cannot fail.
        let _ = match padding.unwrap_or(fill) {
            '-' => write!(text, "{number}"),
            '_' => write!(text, "{number:width$}"),
            _ => write!(text, "{number:0width$}"),
        };
    };
    let both = |text: &mut String, codes: &str| {
        for (at, code) in codes.split(' ').enumerate() {
            if at > 0 {
                text.push(' ');
            }
            for code in code.chars() {
                if code.is_alphabetic() {
                    push(text, moment, code, None);
                } else {
                    text.push(code);
                }
            }
        }
    };
    match code {
        'Y' => text.push_str(&moment.year.to_string()),
        'm' => number(text, moment.month.into(), 2, '0'),
        'd' => number(text, moment.day.into(), 2, '0'),
        'e' => number(text, moment.day.into(), 2, '_'),
        'H' => number(text, hour.into(), 2, '0'),
        'I' => number(text, ((hour + 11) % 12 + 1).into(), 2, '0'),
        'k' => number(text, hour.into(), 2, '_'),
        'l' => number(text, ((hour + 11) % 12 + 1).into(), 2, '_'),
        'M' => number(text, minute.into(), 2, '0'),
        'S' => number(text, (moment.second_of_day % 60).into(), 2, '0'),
        'f' => text.push_str("000000"),
        'y' => number(text, moment.year.rem_euclid(100), 2, '0'),
        'C' => number(text, moment.year.div_euclid(100), 2, '0'),
        'j' => number(text, (moment.year_day + 1).into(), 3, '0'),
        'U' => number(
            text,
            ((moment.year_day + 7 - moment.week_day) / 7).into(),
            2,
            '0',
        ),
        'W' => {
            let monday = (moment.week_day + 6) % 7;
            number(text, ((moment.year_day + 7 - monday) / 7).into(), 2, '0');
        }
        'V' => number(text, moment.iso_week().1, 2, '0'),
        'G' => text.push_str(&moment.iso_week().0.to_string()),
        'u' => number(text, ((moment.week_day + 6) % 7 + 1).into(), 1, '0'),
        'w' => number(text, moment.week_day.into(), 1, '0'),
        's' => text.push_str(&moment.unix.to_string()),
        'A' => text.push_str(&name(&DAYS, moment.week_day)),
        'a' => text.push_str(&short(name(&DAYS, moment.week_day))),
        'B' => text.push_str(&name(&MONTHS, moment.month.saturating_sub(1))),
        'b' | 'h' => text.push_str(&short(name(&MONTHS, moment.month.saturating_sub(1)))),
        'p' => text.push_str(if hour < 12 { "AM" } else { "PM" }),
        'P' => text.push_str(if hour < 12 { "am" } else { "pm" }),
        'D' | 'x' => both(text, "m/d/y"),
        'F' => both(text, "Y-m-d"),
        'T' | 'X' => both(text, "H:M:S"),
        'R' => both(text, "H:M"),
        'r' => both(text, "I:M:S p"),
        'c' => both(text, "a b e H:M:S Y"),
        'n' => text.push('\n'),
        't' => text.push('\t'),
        '%' => text.push('%'),
        // `datetime.now()` knows no zone.
        'z' | 'Z' => {}
        _ => return false,
    }
    true
}
