//! Texts of several lines, between `"""` and `"""`.

/// What begins and ends them.
pub(super) const QUOTES: &str = "\"\"\"";

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Message,
    System,
}

/// The text that is being written, if one is.
#[derive(Debug, Default)]
pub(super) struct Composer(Option<(Purpose, String)>);

impl Composer {
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Begins with what stands behind the quotes. The text, when it ends in the same line.
    pub(super) fn begin(&mut self, purpose: Purpose, line: &str) -> Option<String> {
        if let Some(text) = line.trim_end().strip_suffix(QUOTES) {
            return Some(trimmed(text));
        }
        self.0 = Some((purpose, format!("{line}\n")));
        None
    }

    /// Takes a further line. The text, when it ends there.
    pub(super) fn more(&mut self, line: &str) -> Option<(Purpose, String)> {
        let (purpose, mut text) = self.0.take()?;
        if let Some(last) = line.trim_end().strip_suffix(QUOTES) {
            text.push_str(last);
            return Some((purpose, trimmed(&text)));
        }
        text.push_str(line);
        text.push('\n');
        self.0 = Some((purpose, text));
        None
    }

    /// Forgets it.
    pub(super) fn cancel(&mut self) {
        self.0 = None;
    }
}

/// Without the line breaks that keep the quotes apart from the text.
fn trimmed(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    text.strip_suffix('\n').unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_with_its_quotes() {
        let mut composer = Composer::default();
        assert_eq!(
            composer
                .begin(Purpose::Message, "one line\"\"\" ")
                .as_deref(),
            Some("one line")
        );
        assert_eq!(
            composer.begin(Purpose::Message, "\"\"\"").as_deref(),
            Some("")
        );
        assert!(!composer.is_open());

        assert_eq!(composer.begin(Purpose::System, ""), None);
        assert!(composer.is_open());
        assert_eq!(composer.more("  first"), None);
        assert_eq!(composer.more(""), None);
        assert_eq!(
            composer.more("second\"\"\""),
            Some((Purpose::System, "  first\n\nsecond".to_owned()))
        );
        assert!(!composer.is_open());

        composer.begin(Purpose::Message, "a");
        assert_eq!(
            composer.more("\"\"\""),
            Some((Purpose::Message, "a".to_owned()))
        );
        composer.begin(Purpose::Message, "a");
        composer.cancel();
        assert!(!composer.is_open());
        assert_eq!(composer.more("\"\"\""), None);
    }
}
