//! What server and runner say to each other: lines of JSON through pipes while it starts, JSON over loopback
//! HTTP afterwards.

mod answer;
mod completion;
mod failure;
mod life;
mod texts;

// A server that computes nothing hands on what runners of other builds scored.
#[cfg(any(test, feature = "inference"))]
pub(crate) use answer::Scored;
pub(crate) use answer::{Event, Finished, Reason, Token};
pub(crate) use completion::{
    Completion, Constraint, ConstraintKind, Overflow, Piece, Prompt, Sampling,
};
pub(crate) use failure::{Failure, FailureKind};
pub(crate) use life::{Go, Health, Hello, Info, LoadOptions, Report, Spec};
pub(crate) use texts::{
    Detokenize, Detokenized, Embed, Embedded, Rerank, Reranked, Tokenize, Tokenized,
};
