//! How a model writes its thoughts and calls.

use super::harmony;
use super::program::Program;

/// What is around a model's thoughts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinkingTags {
    /// What begins them, `<think>` for example.
    pub open: String,
    /// What ends them, `</think>` for example.
    pub close: String,
}

impl ThinkingTags {
    /// These tags.
    #[must_use]
    pub fn new(open: impl Into<String>, close: impl Into<String>) -> Self {
        Self {
            open: open.into(),
            close: close.into(),
        }
    }

    /// Whether thoughts may also begin behind what is said: where the tag is no text that somebody
    /// would write, but a token of the vocabulary.
    pub(super) fn anywhere(&self) -> bool {
        self.open.starts_with("<|") || self.open.starts_with('[')
    }
}

/// How a model writes tool calls. Examples call `f` with the argument `a` = 1.
///
/// The examples show what templates tell models to write; what is read besides is said with each.
/// The second of two markers may be missing at the end of an answer, JSON may contain line breaks in
/// strings, and keys may be those of other formats (`name`, `tool_name` or OpenAI's
/// `{"function": {…}}`; `arguments` or `parameters`; `id` or `tool_call_id`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallFormat {
    /// Not at all.
    None,
    /// Hermes 2, Qwen 2.5 and 3: `<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>`.
    Hermes,
    /// Qwen3-Coder, Nemotron 3:
    /// `<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>`, also
    /// without `<tool_call>`.
    Qwen3Coder,
    /// GLM 4.5 and later:
    /// `<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>`.
    Glm,
    /// MiniMax M2: `<minimax:tool_call>\n<invoke name="f">\n<parameter
    /// name="a">1</parameter>\n</invoke>\n</minimax:tool_call>`.
    MiniMax,
    /// Seed-OSS: as [`CallFormat::Qwen3Coder`] between `<seed:tool_call>` and `</seed:tool_call>`.
    Seed,
    /// DeepSeek V3 and R1: ``<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n
    /// {"a": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>``.
    DeepSeekV3,
    /// DeepSeek V3.1:
    /// `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`.
    /// Each of these two is also read as the other.
    DeepSeekV31,
    /// DeepSeek V3.2: `<｜DSML｜function_calls>\n<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="a"
    /// string="false">1</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>`.
    DeepSeekV32,
    /// Kimi K2: `<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0
    /// <|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_calls_section_end|>`.
    Kimi,
    /// Mistral: `[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}, "id": "123456789"}]`.
    Mistral,
    /// Mistral since 2506: `[TOOL_CALLS]f[ARGS]{"a": 1}`, with an id
    /// `[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{"a": 1}`. Each of these two is also read as the other.
    MistralArgs,
    /// Command R: ``Action: ```json\n[{"tool_name": "f", "parameters": {"a": 1}}]\n``` ``.
    CommandR,
    /// Command R7B, A and later:
    /// `<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "f", "parameters": {"a": 1}}]<|END_ACTION|>`.
    CommandR7b,
    /// Granite: `<|tool_call|>[{"name": "f", "arguments": {"a": 1}}]`, and
    /// [`CallFormat::Hermes`]'s.
    Granite,
    /// Llama 3: `{"name": "f", "parameters": {"a": 1}}`, several with `;` between, also behind
    /// `<|python_tag|>`; built-in tools as `<|python_tag|>f.call(a=1)`.
    Llama,
    /// Llama 3.2 and 4: `[f(a=1)]`, also between `<|python_start|>` and `<|python_end|>`.
    LlamaPythonic,
    /// FireFunction and Phi-4-mini: `functools[{"name": "f", "arguments": {"a": 1}}]`, also between
    /// `<|tool_call|>` and `<|/tool_call|>`.
    Functools,
    /// Functionary 3.1: `<function=f>{"a": 1}</function>`.
    Functionary,
    /// Apertus: `<|tools_prefix|>[{"f": {"a": 1}}]<|tools_suffix|>`.
    Apertus,
    /// LFM2: `<|tool_call_start|>[f(a=1)]<|tool_call_end|>`, also with JSON.
    Lfm2,
    /// OLMo 3: `<function_calls>f(a=1)\nf(a=2)</function_calls>`.
    Olmo,
    /// Gemma 4: `<|tool_call>call:f{a:1,b:<|"|>text<|"|>}<tool_call|>`.
    Gemma4,
    /// FunctionGemma: `<start_function_call>call:f{a:1,b:<escape>text<escape>}<end_function_call>`.
    FunctionGemma,
    /// gpt-oss: `<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>`;
    /// the channel `analysis` is thinking, all others are content.
    Harmony,
    /// JSON and nothing else, `{"name": "f", "arguments": {"a": 1}}` or a list of these, at the
    /// beginning of what is said; also in a fence.
    Json,
    /// JSON between two markers, a call or a list of calls: `<TOOLCALL>[…]</TOOLCALL>` of Nemotron,
    /// `<tool_calls>[…]</tool_calls>` of Apriel, Hunyuan and Jamba.
    Tagged {
        /// The first marker.
        open: String,
        /// The second.
        close: String,
    },
}

impl CallFormat {
    /// [`CallFormat::Tagged`] with these markers.
    #[must_use]
    pub fn tagged(open: impl Into<String>, close: impl Into<String>) -> Self {
        Self::Tagged {
            open: open.into(),
            close: close.into(),
        }
    }
}

/// How a model writes thinking and tool calls, and where an answer begins.
///
/// ```
/// use llamakit::chat::{AnswerFormat, AnswerParser, AnswerPart, CallFormat, ThinkingTags};
///
/// let format = AnswerFormat::new(CallFormat::Hermes)
///     .thinking([ThinkingTags::new("<think>", "</think>")]);
/// let parts = AnswerParser::new(&format).parse_all("<think>\nEasy.\n</think>\n\nBlue.");
/// assert_eq!(parts[0], AnswerPart::Thinking("Easy.\n".to_owned()));
/// assert_eq!(parts[1], AnswerPart::Content("Blue.".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerFormat {
    pub(super) calls: CallFormat,
    pub(super) thinking: Vec<ThinkingTags>,
    /// Whether the prompt already began the thoughts.
    pub(super) in_thinking: bool,
    /// Of harmony: the message that the prompt already began.
    pub(super) begun: String,
    /// Markers that are tokens of their own, with their numbers.
    pub(super) special: Vec<(String, u32)>,
}

impl AnswerFormat {
    /// Calls written like this, and no thinking but harmony's.
    #[must_use]
    pub fn new(calls: CallFormat) -> Self {
        Self {
            calls,
            thinking: Vec::new(),
            in_thinking: false,
            begun: String::new(),
            special: Vec::new(),
        }
    }

    /// Sets what is around thoughts; none: nothing is thinking.
    #[must_use]
    pub fn thinking(mut self, tags: impl IntoIterator<Item = ThinkingTags>) -> Self {
        self.thinking = tags.into_iter().collect();
        self.thinking
            .retain(|tags| !tags.open.is_empty() && !tags.close.is_empty());
        self
    }

    /// How calls are written.
    #[must_use]
    pub fn calls(&self) -> &CallFormat {
        &self.calls
    }

    /// What is around thoughts.
    #[must_use]
    pub fn thinking_tags(&self) -> &[ThinkingTags] {
        &self.thinking
    }

    /// The format of an answer to this prompt, of which the end suffices: many templates already
    /// begin the thoughts.
    #[must_use]
    pub fn after_prompt(mut self, prompt: &str) -> Self {
        let end = prompt.trim_end();
        self.in_thinking = self.thinking.iter().any(|tags| end.ends_with(&tags.open));
        if self.calls == CallFormat::Harmony {
            self.begun = harmony::begun(prompt);
        }
        self
    }

    /// Sets whether the answer begins within the thoughts, where the prompt's end does not tell: a
    /// prompt that ends with the beginning of thoughts which the model is to go on with.
    #[must_use]
    pub fn begin_in_thinking(mut self, inside: bool) -> Self {
        self.in_thinking = inside;
        if self.calls == CallFormat::Harmony && inside {
            self.begun = "<|start|>assistant<|channel|>analysis<|message|>".to_owned();
        }
        self
    }

    /// Says which markers are tokens of their own in the vocabulary, with their numbers, for
    /// [`call_grammar`](Self::call_grammar). Others are ignored.
    #[must_use]
    pub fn special_tokens(
        mut self,
        tokens: impl IntoIterator<Item = (impl Into<String>, u32)>,
    ) -> Self {
        let markers = self.markers();
        self.special = tokens
            .into_iter()
            .map(|(text, token)| (text.into(), token))
            .filter(|(text, _)| markers.contains(text))
            .collect();
        self
    }

    /// [`special_tokens`](Self::special_tokens) with the control tokens of a model file.
    #[must_use]
    pub fn tokens_from_gguf(self, file: &crate::gguf::File) -> Self {
        self.special_tokens(crate::chat::template::gguf::control_tokens(file))
    }

    /// The texts that a parser of this format looks for.
    ///
    /// Where the vocabulary has one as a token of its own, the answer's text must contain it:
    /// control tokens, which are usually not turned into text, must be if their text is one of
    /// these (`Generation::special_texts`, and `Request::special_texts` of the engine).
    #[must_use]
    pub fn markers(&self) -> Vec<String> {
        let program = Program::of(&self.calls);
        let mut markers = Vec::new();
        for tags in &self.thinking {
            markers.extend([tags.open.clone(), tags.close.clone()]);
        }
        let entries = program.entries.iter().filter(|entry| !entry.bare);
        markers.extend(entries.map(|entry| entry.text.to_string()));
        let others = [&program.closers, &program.dropped, &program.inner];
        markers.extend(others.into_iter().flatten().map(ToString::to_string));
        if self.calls == CallFormat::Harmony {
            markers.extend(harmony::MARKERS.map(str::to_owned));
        }
        let mut seen = std::collections::HashSet::new();
        markers.retain(|marker| !marker.is_empty() && seen.insert(marker.clone()));
        markers
    }

    /// The texts that end an answer, besides the tokens that the vocabulary calls ends of
    /// generation: after a call the model waits for the tool.
    #[must_use]
    pub fn stops(&self) -> &'static [&'static str] {
        match self.calls {
            CallFormat::Harmony => &["<|call|>", "<|return|>"],
            CallFormat::Llama | CallFormat::LlamaPythonic => &["<|eom_id|>"],
            CallFormat::Gemma4 => &["<|tool_response>"],
            CallFormat::FunctionGemma => &["<start_function_response>"],
            _ => &[],
        }
    }
}
