//! Any text as a schema, a grammar or an expression: it is refused, or a few steps under it end without
//! a panic.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use llamakit::Token;
use llamakit::constrain::{Constraint, TokenKind, TokenTable};

const STEPS: usize = 12;

fn table() -> &'static TokenTable {
    static TABLE: OnceLock<TokenTable> = OnceLock::new();
    TABLE.get_or_init(|| {
        let bytes = (0..=u8::MAX).map(|byte| (vec![byte], TokenKind::Text));
        let others = [
            (b"{\"".to_vec(), TokenKind::Text),
            (b"<tool>".to_vec(), TokenKind::Control),
            (b"</s>".to_vec(), TokenKind::End),
        ];
        TokenTable::new(bytes.chain(others)).expect("a small vocabulary")
    })
}

// The first byte says what the text is, the second which tokens are drawn.
fuzz_target!(|bytes: &[u8]| {
    let [which, dice, text @ ..] = bytes else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let constraint = match which % 6 {
        0 => match serde_json::from_str(text) {
            Ok(schema) => Constraint::json_schema(&schema),
            Err(_) => return,
        },
        1 => Constraint::gbnf(text),
        2 => Constraint::regex(text),
        3 => Constraint::lark(text),
        4 => Constraint::choice(text.split('|')),
        _ => Constraint::regex("[ab]+").and_then(|constraint| constraint.after(text)),
    };
    let Ok(Ok(mut matcher)) = constraint.map(|constraint| constraint.matcher(table())) else {
        return;
    };
    for step in 0..STEPS {
        if matcher.is_complete() || matcher.failure().is_some() {
            return;
        }
        let tokens = i32::try_from(table().len()).expect("a small vocabulary");
        let allowed: Vec<Token> = (0..tokens)
            .map(Token)
            .filter(|&t| matcher.allows(t))
            .collect();
        if allowed.is_empty() {
            return;
        }
        let token = allowed[(usize::from(*dice) * 31 + step * 7) % allowed.len()];
        let one = matcher.clone().allows(token);
        assert!(
            one || matcher.failure().is_some(),
            "asked alone it is not allowed"
        );
        assert!(matcher.count_allowed(&[token]) <= 1);
        if matcher.accept(token).is_err() {
            assert!(matcher.failure().is_some(), "it was allowed");
        }
    }
});
