//! What answers must be, in the engine's terms.

use llamakit::constrain::Constraint as Rule;
use llamakit::engine::Request;

use crate::runner::wire::{Constraint, ConstraintKind};

/// Adds a constraint to a request, and the control tokens that its answer's text must contain.
pub(super) fn apply(
    request: Request,
    constraint: Option<&Constraint>,
    special_texts: Vec<String>,
) -> llamakit::Result<Request> {
    let request = request.special_texts(special_texts);
    let Some(constraint) = constraint else {
        return Ok(request);
    };
    let mut rule = match &constraint.kind {
        ConstraintKind::JsonObject => Rule::json_object()?,
        ConstraintKind::JsonSchema(schema) => Rule::json_schema(schema)?,
        ConstraintKind::Lark(grammar) => Rule::lark(grammar)?,
    };
    if let Some(text) = &constraint.after {
        rule = rule.after(text)?;
    }
    Ok(request.constraint(rule))
}
