//! The version after `REQUIRES`.

/// A semantic version, as in `0.14.0`, without the `v` it may begin with; or what is wrong.
pub(crate) fn checked(text: &str) -> Result<&str, &'static str> {
    let version = text.strip_prefix('v').unwrap_or(text);
    if is_version(version) {
        Ok(version)
    } else {
        Err("requires must be a valid semver (e.g. 0.14.0)")
    }
}

/// One to three numbers; after three, a pre-release and a build may follow.
fn is_version(text: &str) -> bool {
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (text, None),
    };
    let count = core.split('.').count();
    let whole = count == 3 || (count < 3 && pre.is_none() && build.is_none());
    whole
        && core.split('.').all(is_number)
        && pre.is_none_or(|pre| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            pre.split('.')
                .all(|part| is_word(part) && (!digits(part) || is_number(part)))
        })
        && build.is_none_or(|build| build.split('.').all(is_word))
}

/// Digits without a zero in front.
fn is_number(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && !text.is_empty() && (text.len() == 1 || !text.starts_with('0'))
}

fn is_word(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(known)
}
