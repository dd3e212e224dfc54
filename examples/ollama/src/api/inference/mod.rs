//! Requests for answers, embeddings and what else models compute, and what comes back.

mod answer;
mod embed;
mod rerank;
mod text;

pub use answer::{
    ChatRequest, ChatResponse, DebugInfo, GenerateRequest, GenerateResponse, Metrics, Notes,
};
pub use embed::{EmbedRequest, EmbedResponse, EmbeddingsRequest, EmbeddingsResponse, Texts};
pub use rerank::{Document, Ranked, RerankRequest, RerankResponse};
pub use text::{DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse};

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
pub(super) fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}
