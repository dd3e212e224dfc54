//! What a model can do, by the rules of Ollama: what is shown is what routes accept.

use llamakit::gguf::{File, ValueRef};
use serde::Serialize;

use super::{Fill, Selected, Weights, weights};
use crate::store::Model;

/// Something that a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Capability {
    /// Answer.
    Completion,
    /// Call tools.
    Tools,
    /// Fill in code.
    Insert,
    /// See images.
    Vision,
    /// Hear.
    Audio,
    /// Turn texts into vectors.
    Embedding,
    /// Think before it answers.
    Thinking,
}

impl Capability {
    /// Its name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Tools => "tools",
            Self::Insert => "insert",
            Self::Vision => "vision",
            Self::Audio => "audio",
            Self::Embedding => "embedding",
            Self::Thinking => "thinking",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [
            Self::Completion,
            Self::Tools,
            Self::Insert,
            Self::Vision,
            Self::Audio,
            Self::Embedding,
            Self::Thinking,
        ]
        .into_iter()
        .find(|capability| capability.as_str() == name)
    }
}

/// What a model can do, in the order in which Ollama says it. `warnings` gets what can't be read.
#[must_use]
pub fn capabilities(
    model: &Model,
    weights: &Weights,
    selected: &Selected,
    warnings: &mut Vec<String>,
) -> Vec<Capability> {
    let mut found = Vec::new();
    let mut add = |capability, there: bool| {
        if there && !found.contains(&capability) {
            found.push(capability);
        }
    };
    let config = &model.config;
    for name in &config.capabilities {
        if let Some(capability) = Capability::parse(name) {
            add(capability, true);
        }
    }
    let traits = selected.traits;
    if !selected.is_go() {
        add(Capability::Tools, traits.tools);
        add(Capability::Thinking, traits.thinking);
    }
    let embeds = weights.has("pooling_type");
    add(Capability::Embedding, embeds);
    add(Capability::Completion, !embeds);
    add(Capability::Vision, weights.has("vision.block_count"));
    add(Capability::Audio, weights.has("audio.block_count"));
    add(Capability::Vision, !model.projectors.is_empty());
    for projector in &model.projectors {
        match weights::open(projector) {
            Ok(file) => add(Capability::Audio, hears(&file)),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    if selected.is_go() {
        add(Capability::Tools, traits.tools);
        add(Capability::Insert, traits.insert);
        add(Capability::Thinking, traits.thinking);
    }
    // A template of the layers without a place for it says that there is none, whatever the vocabulary has.
    let by_tokens = model.template.is_none() && Fill::read(weights.main()).is_some();
    add(Capability::Insert, by_tokens);
    let (tools, thinking) = parser_traits(&config.parser);
    add(Capability::Tools, tools);
    add(Capability::Thinking, thinking);
    let family = config.model_family.as_str();
    add(Capability::Thinking, matches!(family, "gptoss" | "gpt-oss"));
    found
}

fn hears(projector: &File) -> bool {
    let mut keys = projector.metadata();
    keys.any(|(key, value)| {
        let asked = key == "has_audio_encoder" || key.ends_with(".has_audio_encoder");
        asked && matches!(value, ValueRef::Bool(true))
    })
}

/// Whether answers in this format, which the settings name, can have calls and thoughts.
fn parser_traits(parser: &str) -> (bool, bool) {
    match parser {
        "qwen3" | "qwen3-coder" | "qwen3-vl-instruct" | "ministral" | "olmo3" | "functiongemma"
        | "gemma4-no-thinking" | "lfm2" => (true, false),
        "olmo3-think" => (false, true),
        "qwen3-thinking" | "qwen3.5" | "ornith" | "qwen3-vl-thinking" | "harmony" | "cogito"
        | "deepseek3" | "nemotron-3-nano" | "nemotron-3.5-nano" | "glm-4.7" | "gemma4"
        | "lfm2-thinking" | "laguna" | "poolside-v1" | "cohere" | "glimmer" => (true, true),
        _ => (false, false),
    }
}
