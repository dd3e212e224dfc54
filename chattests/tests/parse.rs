//! Answers in the formats of many models, read as they come.

#[path = "parse/arguments.rs"]
mod arguments;
#[path = "parse/detect.rs"]
mod detect;
#[path = "parse/golden.rs"]
mod golden;
#[path = "parse/grammar.rs"]
mod grammar;
#[path = "parse/hostile.rs"]
mod hostile;
#[path = "parse/rules.rs"]
mod rules;
#[path = "parse/shared.rs"]
mod shared;
#[path = "parse/walk.rs"]
mod walk;
