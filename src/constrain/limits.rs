//! How much of everything a constraint may be. Text from strangers is compiled, so each limit has a
//! test that reaches it.

use llguidance::api::ParserLimits;

/// Tokens of a vocabulary; the tree has 24 bits for them.
pub(super) const TOKENS: usize = (1 << 24) - 1024;
/// Longer tokens are never allowed; the tree is as deep as the longest.
pub(super) const TOKEN_BYTES: usize = 512;

/// Bytes of a grammar, a regular expression or all texts of a schema together.
pub(super) const TEXT: usize = 1 << 20;
/// Bytes of one regular expression, also of a pattern in a schema.
pub(super) const REGEX: usize = 1 << 15;
/// Repetitions and groups in a regular expression, in all patterns of a schema, and in all terminals of
/// a grammar, each counted as often as it is named: memory may grow with their square.
pub(super) const REGEX_OPTIONS: usize = 1000;
pub(super) const OPTIONS: usize = 2000;
/// Rules and terminals of a Lark grammar: the stack for it grows with their number.
pub(super) const LARK_RULES: usize = 2000;
/// How deep groups of regular expressions and grammars, and parts of schemas, may be in each other.
pub(super) const DEPTH: usize = 64;
/// Schemas within a schema, each counted as often as it is looked at.
pub(super) const SCHEMAS: usize = 4_000;
/// Properties of an object: the time for one grows with their square.
pub(super) const PROPERTIES: usize = 1000;
/// The product of all `multipleOf` of a schema, as whole numbers.
pub(super) const MULTIPLES: f64 = 2000.0;
/// Patterns of names in an object, and in a schema: each is compared with every other one.
pub(super) const NAME_PATTERNS: usize = 20;
pub(super) const ALL_NAME_PATTERNS: usize = 50;
/// Texts of a choice, and values of an `enum`.
pub(super) const CHOICES: usize = 10_000;
/// The largest count in a repetition, also of items, properties and characters.
pub(super) const REPEAT: u64 = 100_000;
/// Texts that a constraint may wait for, and the bytes of one.
pub(super) const TRIGGERS: usize = 8;
pub(super) const TRIGGER_BYTES: usize = 256;
/// Blanks that may stand between what a JSON value waits for and the value.
pub(super) const GAP: u8 = 4;

/// Stack for compiling.
pub(super) const STACK: usize = 64 << 20;

/// The whole value's number has at most so many digits before and after its point, and in its
/// exponent: enough for every 64-bit float, and no more than every parser of JSON reads.
pub(super) const INT_DIGITS: u8 = 18;
pub(super) const FRACTION_DIGITS: u8 = 40;
pub(super) const EXPONENT_DIGITS: u8 = 2;

/// What compiling and one step may cost.
pub(super) fn parser() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 20_000,
        // Spent at 50,000 per millisecond.
        initial_lexer_fuel: 1_000_000,
        // Spent at 14,000 per millisecond.
        step_lexer_fuel: 500_000,
        // Spent at 20,000 per millisecond.
        step_max_items: 500_000,
        // Of 1 or 2 kB each.
        max_lexer_states: 30_000,
        max_grammar_size: 60_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}
