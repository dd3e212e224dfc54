//! Times as replies tell them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time as RFC 3339 writes it, in UTC.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let text = OffsetDateTime::from(time).format(&Rfc3339);
    text.unwrap_or_else(|_| "0001-01-01T00:00:00Z".to_owned())
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
    SystemTime::now().checked_add(far).unwrap_or(SystemTime::UNIX_EPOCH)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
