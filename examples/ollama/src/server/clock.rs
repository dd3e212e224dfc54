//! Times as replies tell them.

use std::time::{Duration, SystemTime};

/// A time as RFC 3339 writes it, in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    // What is beyond the year 9999, or before 1970, can't be written.
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let time = time.clamp(SystemTime::UNIX_EPOCH, far);
    humantime::format_rfc3339_nanos(time).to_string()
}

/// Now.
pub(crate) fn now() -> String {
    rfc3339(SystemTime::now())
}

/// Seconds since 1970.
pub(crate) fn unix(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// When something ends that never ends.
pub(crate) fn never() -> SystemTime {
    const YEARS: u64 = 290;
    let far = Duration::from_secs(YEARS * 365 * 86_400);
    SystemTime::now()
        .checked_add(far)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
