//! What the grammars of calls admit, compiled by llguidance and walked at random.

use std::sync::Arc;

use llamakit::chat::{
    AnswerFormat, AnswerParser, AnswerPart, CallFormat, ThinkingTags, Tool, ToolChoice,
};
use llamakit::constrain::{TokenKind, TokenTable};
use llamakit::{ErrorKind, Token};
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::json;

use super::shared::{formats, tools};

/// How long a walk may be, and where it begins to look for its end.
const LONGEST: usize = 3000;
const LONG: usize = 160;

/// Bytes as tokens, then these texts as special tokens, then the end.
struct Vocabulary {
    env: TokEnv,
    special: Vec<String>,
}

impl Vocabulary {
    fn new(special: Vec<String>) -> Self {
        let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        for text in special
            .iter()
            .map(String::as_str)
            .chain(["<|end_of_answer|>"])
        {
            words.push([b"\xff", text.as_bytes()].concat());
        }
        let last = words.len() as u32 - 1;
        let info = TokRxInfo::new(words.len() as u32, last);
        let trie = TokTrie::from(&info, &words);
        Self {
            env: Arc::new(ApproximateTokEnv::new(trie)),
            special,
        }
    }

    fn tokens(&self) -> impl Iterator<Item = (String, u32)> {
        self.special.iter().cloned().zip(256..)
    }

    /// The same tokens as constraints know them.
    fn table(&self) -> TokenTable {
        let bytes = (0..=255).map(|byte| (vec![byte], TokenKind::Text));
        let special = self.special.iter();
        let special = special.map(|text| (text.clone().into_bytes(), TokenKind::Control));
        let end = (b"<|end_of_answer|>".to_vec(), TokenKind::End);
        TokenTable::new(bytes.chain(special).chain([end])).unwrap()
    }

    fn matcher(&self, grammar: &str) -> Matcher {
        let capabilities = InferenceCapabilities::default();
        let mut factory = ParserFactory::new(&self.env, capabilities, &[]).unwrap();
        factory.quiet();
        let grammar = TopLevelGrammar::from_lark(grammar.to_owned());
        Matcher::new(factory.create_parser(grammar))
    }
}

/// A small generator of numbers (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 32) % u64::from(end)) as u32
    }
}

/// One of the texts that a walk goes for, and how much of it there is.
struct Goal<'a> {
    goals: &'a [String],
    aim: &'a [u8],
}

impl Goal<'_> {
    /// The next byte of the text, if it may be that.
    fn next(&mut self, allowed: &[u32], random: &mut Random) -> Option<u32> {
        if self.aim.is_empty() && random.below(4) > 0 {
            self.aim = self.goals[random.below(self.goals.len() as u32) as usize].as_bytes();
        }
        let (first, rest) = self.aim.split_first()?;
        let first = u32::from(*first);
        self.aim = if allowed.contains(&first) { rest } else { &[] };
        allowed.contains(&first).then_some(first)
    }
}

/// A text that a grammar admits, and its tokens.
struct Walk {
    text: String,
    tokens: Vec<u32>,
}

/// One text that the grammar admits. After a while it goes for the `goals`, which end texts.
fn walk(vocabulary: &Vocabulary, goals: &[String], grammar: &Matcher, seed: u64) -> Walk {
    let mut matcher = grammar.deep_clone();
    let mut random = Random(seed);
    let mut bytes = Vec::new();
    let mut tokens = Vec::new();
    let mut goal = Goal { goals, aim: &[] };
    let end = vocabulary.env.tok_trie().eos_token();
    for step in 0.. {
        assert!(
            step < LONGEST,
            "no end: {}",
            String::from_utf8_lossy(&bytes)
        );
        let mask = matcher
            .compute_mask_or_eos()
            .unwrap_or_else(|e| panic!("{e}"));
        let mut allowed: Vec<u32> = mask.iter().collect();
        assert!(!allowed.is_empty());
        if step > LONG {
            // Ends before all else, then what brackets, quotes and markers consist of.
            let closing = |token: &u32| match u8::try_from(*token) {
                Ok(byte) => b"\"}])<>/|`\\n".contains(&byte),
                Err(_) => true,
            };
            let special = |token: &u32| *token > 255;
            if allowed.contains(&end) {
                allowed = vec![end];
            } else if allowed.iter().any(special) && random.below(3) == 0 {
                allowed.retain(special);
            } else if let Some(next) = goal.next(&allowed, &mut random) {
                allowed = vec![next];
            } else if allowed.iter().any(closing) && random.below(10) > 0 {
                allowed.retain(closing);
            }
        } else if random.below(4) > 0 {
            let common = |token: &u32| *token > 255 || (32..127).contains(token) || *token == 10;
            if allowed.iter().any(common) {
                allowed.retain(common);
            }
        }
        let token = allowed[random.below(allowed.len() as u32) as usize];
        if token == end {
            break;
        }
        matcher
            .consume_token(token)
            .unwrap_or_else(|e| panic!("{e}"));
        tokens.push(token);
        match u8::try_from(token) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(vocabulary.special[token as usize - 256].bytes()),
        }
        if matcher.is_stopped() {
            break;
        }
    }
    let text = String::from_utf8(bytes).expect("grammars admit texts");
    Walk { text, tokens }
}

fn answer_format(calls: CallFormat) -> AnswerFormat {
    let tags = [ThinkingTags::new("<think>", "</think>")];
    let format = AnswerFormat::new(calls.clone());
    if matches!(calls, CallFormat::Harmony) {
        format
    } else {
        format.thinking(tags)
    }
}

/// What ends texts that are not in quotes.
fn goals(format: &AnswerFormat) -> Vec<String> {
    let ends = [
        "/",
        "end",
        "END",
        "suffix",
        "escape",
        "\"",
        "<channel|>",
        "call|>",
    ];
    let mut goals = format.markers();
    goals.retain(|goal| ends.iter().any(|end| goal.contains(end)));
    goals.push("\n</parameter>".to_owned());
    goals
}

/// Tools whose arguments every format can write, and as many kinds of them as there are.
fn offered() -> Vec<Tool> {
    let mut tools = tools();
    tools.push(Tool::function(
        "book-it",
        "",
        json!({
            "type": "object",
            "properties": {
                "when": {"type": "string", "enum": ["now", "l'an prochain \"2\""]},
                "seats": {"type": "integer", "minimum": 1, "maximum": 99},
                "note": {"type": "string", "maxLength": 12},
                "class": {"$ref": "#/$defs/class"},
                "extras": {"type": "array", "items": {"$ref": "#/$defs/class"}, "maxItems": 2},
                "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "comment": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "sure": {"type": "boolean"},
            },
            "required": ["when", "class", "sure"],
            "additionalProperties": false,
            "$defs": {"class": {"type": "string", "enum": ["first", "second"]}},
        }),
    ));
    tools
}

/// Asserts that a text consists of thoughts and calls of these tools that fit their schemas, and
/// returns how many.
fn calls(format: &AnswerFormat, tools: &[Tool], text: &str) -> usize {
    let parts = AnswerParser::new(format).tools(tools).parse_all(text);
    let mut count = 0;
    for part in &parts {
        match part {
            AnswerPart::Thinking(_) => {}
            AnswerPart::ToolCall(call) => {
                let tool = tools.iter().find(|tool| tool.name() == call.name).unwrap();
                let arguments = call.arguments.clone().into();
                let fits = jsonschema::is_valid(tool.parameters(), &arguments);
                assert!(
                    fits,
                    "{text:?}: {arguments} does not fit {}",
                    tool.parameters()
                );
                count += 1;
            }
            other => panic!("{format:?}\n{text:?}\n{other:?}"),
        }
    }
    count
}

fn callable() -> impl Iterator<Item = CallFormat> {
    formats().into_iter().filter(|f| *f != CallFormat::None)
}

/// What constraints leave out: integers without bounds, -0, escapes that nobody needs.
fn is_odd_json(text: &str) -> bool {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    ["-0", "\\u", "\\/"].iter().any(|odd| text.contains(odd))
        || numbers.any(|digits| digits.len() >= 15)
}

#[test]
fn what_required_calls_may_be_is_read_as_such_calls() {
    let tools = offered();
    for calls_format in callable() {
        for special in [false, true] {
            let format = answer_format(calls_format.clone());
            let goals = goals(&format);
            let markers = if special {
                format.markers()
            } else {
                Vec::new()
            };
            let vocabulary = Vocabulary::new(markers);
            let format = format.special_tokens(vocabulary.tokens());
            for in_thinking in [false, true] {
                let format = format.clone().begin_in_thinking(in_thinking);
                for parallel in [false, true] {
                    let grammar = vocabulary.matcher(
                        &format
                            .call_grammar(&tools, &ToolChoice::Required, parallel)
                            .unwrap_or_else(|e| panic!("{calls_format:?}: {e}"))
                            .unwrap(),
                    );
                    let constraint =
                        format.call_constraint(&tools, &ToolChoice::Required, parallel);
                    let constraint = constraint
                        .unwrap_or_else(|e| panic!("{calls_format:?}: {e}"))
                        .unwrap();
                    let table = vocabulary.table();
                    for seed in 0..6 {
                        let Walk { text, tokens } = walk(&vocabulary, &goals, &grammar, seed);
                        if !is_odd_json(&text) {
                            let mut matcher = constraint.matcher(&table).unwrap();
                            for token in tokens {
                                matcher
                                    .accept(Token(i32::try_from(token).unwrap()))
                                    .unwrap_or_else(|e| panic!("{calls_format:?}: {e}: {text:?}"));
                            }
                            assert!(matcher.may_end(), "{calls_format:?}: {text:?}");
                        }
                        let count = calls(&format, &tools, &text);
                        assert!(count >= 1, "{calls_format:?}: {text:?}");
                        assert!(parallel || count == 1, "{calls_format:?}: {text:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn of_one_function_only_that_is_called() {
    let tools = offered();
    let choice = ToolChoice::Function("get_weather".to_owned());
    for calls_format in callable() {
        let format = answer_format(calls_format);
        let goals = goals(&format);
        let vocabulary = Vocabulary::new(format.markers());
        let format = format.special_tokens(vocabulary.tokens());
        let grammar = vocabulary.matcher(
            &format
                .call_grammar(&tools, &choice, false)
                .unwrap()
                .unwrap(),
        );
        for seed in 0..4 {
            let text = walk(&vocabulary, &goals, &grammar, seed).text;
            assert_eq!(calls(&format, &tools[..1], &text), 1, "{text:?}");
        }
    }
}

impl Vocabulary {
    /// A text whose markers are tokens where they can be.
    fn tokenize(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, others @ ..] = rest {
            let special = self
                .tokens()
                .find(|(marker, _)| rest.starts_with(marker.as_bytes()));
            match special {
                Some((marker, token)) => {
                    tokens.push(token);
                    rest = &rest[marker.len()..];
                }
                None => {
                    tokens.push(u32::from(*first));
                    rest = others;
                }
            }
        }
        tokens
    }
}

/// Whether the grammar admits the tokens as a whole answer.
fn admits(grammar: &Matcher, tokens: &[u32]) -> bool {
    let mut matcher = grammar.deep_clone();
    for &token in tokens {
        let mask = matcher.compute_mask_or_eos().unwrap();
        if !mask.is_allowed(token) || matcher.is_stopped() {
            return false;
        }
        matcher.consume_token(token).unwrap();
    }
    matcher.is_stopped() || matcher.is_accepting().unwrap()
}

#[test]
fn where_a_call_is_the_models_choice_anything_may_be_said_and_calls_are_right() {
    let tools = offered();
    for calls_format in callable() {
        for special in [false, true] {
            let format = answer_format(calls_format.clone());
            let goals = goals(&format);
            let markers = if special {
                format.markers()
            } else {
                Vec::new()
            };
            let vocabulary = Vocabulary::new(markers);
            let format = format.special_tokens(vocabulary.tokens());
            let auto = vocabulary.matcher(
                &format
                    .call_grammar(&tools, &ToolChoice::Auto, true)
                    .unwrap()
                    .unwrap(),
            );
            let harmony = calls_format == CallFormat::Harmony;
            let say = |text: &str| {
                let head = if harmony {
                    "<|channel|>final<|message|>"
                } else {
                    ""
                };
                format!("{head}{text}")
            };
            for text in ["Blue.", "Is 1 < 2? \"Yes\" [x] {y}\n", "天青"] {
                let tokens = vocabulary.tokenize(&say(text));
                let admitted = admits(&auto, &tokens);
                assert!(admitted, "{calls_format:?}: {text}");
            }
            let required = vocabulary.matcher(
                &format
                    .call_grammar(&tools, &ToolChoice::Required, true)
                    .unwrap()
                    .unwrap(),
            );
            for seed in 0..4 {
                let Walk { text, tokens } = walk(&vocabulary, &goals, &required, seed);
                let admitted = admits(&auto, &tokens);
                assert!(admitted, "{calls_format:?}: {text:?}");
            }
            let ping = ToolChoice::Function("ping".to_owned());
            let ping =
                vocabulary.matcher(&format.call_grammar(&tools, &ping, false).unwrap().unwrap());
            let walk = walk(&vocabulary, &goals, &ping, 1);
            let (before, after) = walk.text.rsplit_once("ping").unwrap();
            let wrong = format!("{before}launch{after}");
            assert!(
                !admits(&auto, &vocabulary.tokenize(&wrong)),
                "{calls_format:?}: {wrong:?}"
            );
        }
    }
}

#[test]
fn thoughts_are_admitted_before_what_is_said_also_as_tokens() {
    let format = answer_format(CallFormat::Hermes);
    for special in [Vec::new(), format.markers()] {
        let vocabulary = Vocabulary::new(special);
        let format = format.clone().special_tokens(vocabulary.tokens());
        for (in_thinking, text) in [
            (false, "<think>\nHm.\n</think>\n\nBlue."),
            (true, "\nHm.\n</think>\n\nBlue."),
            (
                false,
                "<think>Hm.</think><tool_call>\n{\"name\": \"ping\", \"arguments\": {}}\n</tool_call>",
            ),
        ] {
            let format = format.clone().begin_in_thinking(in_thinking);
            let grammar = vocabulary.matcher(
                &format
                    .call_grammar(&tools(), &ToolChoice::Auto, true)
                    .unwrap()
                    .unwrap(),
            );
            let tokens = vocabulary.tokenize(text);
            assert!(admits(&grammar, &tokens), "{text:?}");
        }
    }
}

#[test]
fn without_tools_or_choice_there_is_no_grammar() {
    let format = answer_format(CallFormat::Hermes);
    assert_eq!(
        format
            .call_grammar(&tools(), &ToolChoice::None, true)
            .unwrap(),
        None
    );
    assert_eq!(
        format.call_grammar(&[], &ToolChoice::Auto, true).unwrap(),
        None
    );
    let none = answer_format(CallFormat::None);
    assert_eq!(
        none.call_grammar(&tools(), &ToolChoice::Auto, true)
            .unwrap(),
        None
    );
}

#[test]
fn what_cannot_be_required_is_an_error_that_names_it() {
    let hermes = answer_format(CallFormat::Hermes);
    let error = |format: &AnswerFormat, tools: &[Tool], choice: &ToolChoice| {
        format.call_grammar(tools, choice, true).unwrap_err()
    };
    let required = ToolChoice::Required;
    assert_eq!(
        error(&hermes, &[], &required).kind(),
        ErrorKind::InvalidArgument
    );
    let launch = ToolChoice::Function("launch".to_owned());
    let found = error(&hermes, &tools(), &launch);
    assert_eq!(found.kind(), ErrorKind::InvalidArgument);
    assert!(found.message().contains("launch"), "{found}");
    let none = answer_format(CallFormat::None);
    assert_eq!(
        error(&none, &tools(), &required).kind(),
        ErrorKind::Unsupported
    );

    let list = Tool::function("f", "", json!({"type": "array"}));
    assert_eq!(
        error(&hermes, &[list], &required).kind(),
        ErrorKind::InvalidArgument
    );
    let coder = answer_format(CallFormat::Qwen3Coder);
    for (schema, keyword) in [
        (
            json!({"properties": {"a": {"type": "string", "pattern": "^x"}}}),
            "pattern",
        ),
        (
            json!({"properties": {"a": {"type": "string", "format": "date"}}}),
            "format",
        ),
        (json!({"oneOf": []}), "oneOf"),
        (
            json!({"properties": {"a": {"enum": ["</parameter>"]}}}),
            "enum",
        ),
    ] {
        let tool = Tool::function("f", "", schema);
        let found = error(&coder, std::slice::from_ref(&tool), &required);
        assert_eq!(found.kind(), ErrorKind::Unsupported);
        assert!(found.message().contains(keyword), "{found}");
        assert!(found.message().contains("`f`"), "{found}");
    }
}
