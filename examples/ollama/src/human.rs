//! Sizes, numbers and times as people read them, worded and rounded as Ollama does.

use std::time::{Duration, SystemTime};

/// `4.7 GB`, `274 MB`, `512 B`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "KB"),
    ];
    let Some((unit, name)) = UNITS.into_iter().find(|&(unit, _)| bytes >= unit) else {
        return format!("{bytes} B");
    };
    let value = bytes as f64 / unit as f64;
    if value >= 10.0 || value.fract() == 0.0 {
        format!("{} {name}", value as u64)
    } else {
        format!("{value:.1} {name}")
    }
}

/// `8.0B`, `134.52M`, `12K`.
pub(crate) fn number(n: u64) -> String {
    let value = |unit: u64| n as f64 / unit as f64;
    match n {
        1_000_000_000.. if n.is_multiple_of(1_000_000_000) => {
            format!("{:.0}B", value(1_000_000_000))
        }
        1_000_000_000.. => format!("{:.1}B", value(1_000_000_000)),
        1_000_000.. if n.is_multiple_of(1_000_000) => format!("{:.0}M", value(1_000_000)),
        1_000_000.. => format!("{:.2}M", value(1_000_000)),
        1_000.. => format!("{:.0}K", value(1_000)),
        _ => n.to_string(),
    }
}

/// `3 weeks ago`, `4 minutes from now`, `Forever`.
pub(crate) fn time(time: SystemTime, now: SystemTime) -> String {
    match now.duration_since(time) {
        Ok(past) => format!("{} ago", duration(past)),
        Err(future) if future.duration().as_secs() / HOUR / 24 / 365 > 20 => "Forever".to_owned(),
        Err(future) => format!("{} from now", duration(future.duration())),
    }
}

const HOUR: u64 = 3600;

fn duration(time: Duration) -> String {
    let (seconds, minutes) = (time.as_secs(), time.as_secs() / 60);
    let hours = (seconds + HOUR / 2) / HOUR;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / HOUR / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1 KB"),
            (1_500, "1.5 KB"),
            (274_302_450, "274 MB"),
            (4_661_224_676, "4.7 GB"),
            (19_999_999_999, "19 GB"),
            (1_000_000_000_000, "1 TB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_500, "2K"),
            (12_345, "12K"),
            (7_000_000, "7M"),
            (26_000_000, "26M"),
            (134_515_008, "134.52M"),
            (999_999_999, "1000.00M"),
            (1_000_000_000, "1B"),
            (8_030_261_248, "8.0B"),
            (7_000_000_000, "7B"),
        ] {
            assert_eq!(number(n), text);
        }
    }

    #[test]
    fn times() {
        const DAY: u64 = 24 * HOUR;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        for (seconds, text) in [
            (0, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "About a minute ago"),
            (120, "2 minutes ago"),
            (HOUR, "About an hour ago"),
            (47 * HOUR, "47 hours ago"),
            (3 * DAY, "3 days ago"),
            (15 * DAY, "2 weeks ago"),
            (90 * DAY, "3 months ago"),
            (800 * DAY, "2 years ago"),
        ] {
            assert_eq!(time(now - Duration::from_secs(seconds), now), text);
        }
        assert_eq!(
            time(now + Duration::from_secs(240), now),
            "4 minutes from now"
        );
        assert_eq!(
            time(now + Duration::from_secs(100 * 365 * DAY), now),
            "Forever"
        );
    }
}
