//! The JSON of requests and replies, as Ollama's clients write and read it.

pub mod anthropic;
pub(crate) mod body;
mod inference;
mod keep_alive;
mod message;
mod models;
pub mod openai;
pub(crate) mod options;
mod reader;
pub mod responses;

pub use body::{BadBody, Parsed, parse};
pub use inference::{
    ChatRequest, ChatResponse, DebugInfo, DetokenizeRequest, DetokenizeResponse, Document,
    EmbedRequest, EmbedResponse, EmbeddingsRequest, EmbeddingsResponse, GenerateRequest,
    GenerateResponse, Metrics, Notes, Ranked, RerankRequest, RerankResponse, Texts,
    TokenizeRequest, TokenizeResponse,
};
pub use keep_alive::KeepAlive;
pub use message::{CalledFunction, Logprob, Message, Think, ThinkLevel, ToolCall, TopLogprob};
pub use models::{
    BrokenModel, CopyRequest, DeleteRequest, ListResponse, ListedModel, MemoryByKind, ModelDetails,
    PsResponse, RunningModel, ShowRequest, TransferRequest,
};
pub use options::{BadOption, Options};
