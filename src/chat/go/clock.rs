//! The date that a template sees.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::chat::Clock;

const DAY: i64 = 24 * 60 * 60;

/// The date of a clock, or of now in UTC, that many days later, as `YYYY-MM-DD`.
pub(super) fn date(clock: Option<Clock>, later: i64) -> String {
    let seconds = clock.map_or_else(now, |clock| {
        clock
            .unix_seconds
            .saturating_add(i64::from(clock.utc_offset))
    });
    let (year, month, day) = civil(seconds.div_euclid(DAY) + later);
    format!("{year:04}-{month:02}-{day:02}")
}

fn now() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    // Years that begin in March end with the leap day.
    let days = days + 719_468;
    let era = days.div_euclid(ERA);
    let day_of_era = days.rem_euclid(ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
