//! Constraints on vocabularies of a few tokens: what may be drawn is what the schema, expression or
//! grammar says, whatever is drawn.

#[path = "constrain/gbnf.rs"]
mod gbnf;
#[path = "constrain/hostile.rs"]
mod hostile;
#[path = "constrain/matcher.rs"]
mod matcher;
#[path = "constrain/random.rs"]
mod random;
#[path = "constrain/schema.rs"]
mod schema;
#[path = "constrain/suite.rs"]
mod suite;
#[path = "constrain/texts.rs"]
mod texts;
#[path = "constrain/triggers.rs"]
mod triggers;
