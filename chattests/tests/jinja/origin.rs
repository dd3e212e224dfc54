//! Nothing that a message writes is the template's, in any template and at any place.

use std::collections::BTreeSet;

use llamakit::chat::{ChatTemplate, Conversation, Message, SpecialTexts, Thinking, Tool, ToolCall};
use llamakit::{Origin, Segment};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::common::{CLOCK, Published, joined, of_origin, published};

/// Where a text can be put into a conversation.
const PLACES: usize = 14;

/// A conversation with a text at some of the places; each also has a text of its own.
fn conversation(texts: &[String; PLACES], shape: usize) -> Conversation {
    let [
        system,
        user,
        said,
        thought,
        name,
        key,
        argument,
        result,
        last,
        description,
        parameter,
        about,
        title,
        role,
    ] = texts;
    let mut arguments = Map::new();
    arguments.insert(format!("key{key}"), format!("value {argument}").into());
    arguments.insert(
        "nested".to_owned(),
        json!([{ format!("k{key}"): [argument, 1, null, true] }]),
    );
    let mut call = ToolCall::new(format!("find{name}"), arguments);
    call.id = Some("abcdef123".to_owned());
    let mut calls = Message::assistant(format!("Let me see {said}"));
    calls.thinking = (shape & 1 > 0).then(|| format!("I think {thought}"));
    calls.tool_calls = vec![call];
    let mut answered = Message::tool(format!("find{name}"), format!("found {result}"));
    answered.tool_call_id = Some("abcdef123".to_owned());
    let mut messages = vec![
        Message::system(format!("Know {system} this")),
        Message::user(format!("Tell {user} me")),
    ];
    if shape & 2 > 0 {
        messages.extend([calls, answered]);
    }
    messages.push(Message::assistant(format!("{said} I said")));
    messages.push(Message::user(last));
    if shape & 4 > 0 {
        messages.insert(1, Message::new(role, "As you like"));
    }
    let mut conversation = Conversation::new(messages);
    if shape & 2 > 0 {
        let parameters = json!({
            "type": "object",
            "properties": {
                format!("p{parameter}"): {"type": "string", "description": format!("It is {about}")},
                "other": {"type": "array", "items": {"type": about}, "enum": ["a", about]},
            },
            "required": [format!("p{parameter}")],
        });
        let tool = Tool::function(
            &format!("find{name}"),
            &format!("Finds {description}"),
            parameters,
        );
        conversation.tools = vec![tool];
    }
    if shape & 8 > 0 {
        conversation.documents =
            vec![json!({"title": format!("On {title}"), "text": title, "doc_id": title})];
    }
    if shape & 16 > 0 {
        conversation.thinking = if shape & 1 > 0 {
            Thinking::On
        } else {
            Thinking::Off
        };
    }
    conversation.clock = Some(CLOCK);
    conversation
}

fn none() -> [String; PLACES] {
    std::array::from_fn(|_| String::new())
}

/// What the template itself writes that could be a control token.
fn tokens(published: &Published) -> Vec<String> {
    let mut found = BTreeSet::new();
    let source = &published.source;
    for (open, close) in [("<", ">"), ("[", "]")] {
        for (at, _) in source.match_indices(open) {
            let rest = &source[at..];
            if let Some(end) = rest.find(close)
                && rest[1..end]
                    .chars()
                    .all(|c| c.is_alphanumeric() || "/|_▁｜-".contains(c))
                && end > 2
            {
                found.insert(rest[..=end].to_owned());
            }
        }
    }
    found.extend(published.texts.bos.clone());
    found.extend(published.texts.eos.clone());
    found.into_iter().collect()
}

/// How often the template writes a token, all of it.
fn written(segments: &[Segment], token: &str) -> usize {
    let mut runs = vec![String::new()];
    for segment in segments {
        match (segment.origin, runs.last_mut()) {
            (Origin::Template, Some(run)) => run.push_str(&segment.text),
            _ => runs.push(String::new()),
        }
    }
    runs.iter().map(|run| run.matches(token).count()).sum()
}

fn check(
    published: &Published,
    control: &[String],
    texts: &[String; PLACES],
    token: &str,
    shape: usize,
) -> Result<(), String> {
    let mut special = published.texts.clone();
    special.control = control.to_vec();
    let template = ChatTemplate::jinja(&published.source, &special).unwrap();
    let hostile = conversation(texts, shape);
    let Ok(text) = template.clone().raw(true).render(&hostile) else {
        return Ok(());
    };
    let segments = template.render(&hostile).map_err(|e| e.to_string())?;
    if joined(&segments) != joined(&text) {
        return Err("the text is another".to_owned());
    }
    // With something in its place that is no token, and treated alike.
    let harmless = texts.clone().map(|text| text.replace(token, "Zq7"));
    let Ok(expected) = template.render(&conversation(&harmless, shape)) else {
        return Ok(());
    };
    let (is, expected) = (written(&segments, token), written(&expected, token));
    if is > expected {
        return Err(format!(
            "{token} {is} times for {expected}:\n{}",
            joined(&segments)
        ));
    }
    Ok(())
}

#[test]
fn a_token_in_a_message_is_text_at_every_place_of_every_template() {
    let mut failures = Vec::new();
    for published in published() {
        let tokens = tokens(published);
        for token in &tokens {
            for control in [&tokens[..], &[]] {
                // All places at once, then each alone where it is cheap to say so.
                let texts = std::array::from_fn(|_| token.clone());
                for shape in [2, 3, 31] {
                    if let Err(failure) = check(published, control, &texts, token, shape) {
                        failures.push(format!("{} {token} {shape}: {failure}", published.name));
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn pieces(tokens: Vec<String>) -> impl Strategy<Value = String> {
    let token = proptest::sample::select(tokens);
    let cut = (token.clone(), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(token, at, head)| {
            let at = at.index(token.chars().count() + 1);
            let part = |(index, _): &(usize, char)| (*index < at) == head;
            token
                .chars()
                .enumerate()
                .filter(part)
                .map(|(_, char)| char)
                .collect::<String>()
        },
    );
    let plain = "[a-z .,'\"\\\\{}%<>|/\n\u{e9}\u{1F98A}\u{F0041}\u{FDD0}]{0,6}";
    let piece = prop_oneof![3 => token, 3 => cut, 4 => plain];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn case() -> impl Strategy<Value = (usize, [String; PLACES], String, usize, bool)> {
    (0..published().len()).prop_flat_map(|at| {
        let tokens = tokens(&published()[at]);
        let tokens = if tokens.is_empty() {
            vec!["<|x|>".to_owned()]
        } else {
            tokens
        };
        let texts = proptest::collection::vec(pieces(tokens.clone()), PLACES);
        let token = proptest::sample::select(tokens);
        (Just(at), texts, token, 0..32usize, any::<bool>()).prop_map(
            |(at, texts, token, shape, listed)| {
                (at, texts.try_into().unwrap(), token, shape, listed)
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn no_text_of_any_message_becomes_a_token((at, texts, token, shape, listed) in case()) {
        let published = &published()[at];
        let tokens = tokens(published);
        let control = if listed { &tokens[..] } else { &[] };
        let result = check(published, control, &texts, &token, shape);
        prop_assert!(result.is_ok(), "{}, {token}: {}", published.name, result.unwrap_err());
    }
}

#[test]
fn what_a_message_says_is_its_own() {
    for published in published() {
        let template = ChatTemplate::jinja(&published.source, &published.texts).unwrap();
        let Ok(segments) = template.render(&conversation(&none(), 0)) else {
            continue;
        };
        let own = of_origin(&segments, Origin::Message);
        let written = of_origin(&segments, Origin::Template);
        for text in ["Tell", "me", "I said"] {
            assert!(own.contains(text), "{}: {segments:?}", published.name);
            assert!(
                !written.contains(text) || text == "me",
                "{}: {segments:?}",
                published.name
            );
        }
    }
}

/// A template whose output depends on how a text is spelled: nothing hides that.
#[test]
fn a_template_that_hides_who_writes_is_an_error_or_safe() {
    let special = |control: &str| {
        let mut texts = SpecialTexts::default();
        texts.control = vec![control.to_owned()];
        texts
    };
    let user = |content: &str| Conversation::new([Message::user(content)]);
    // Compares characters by their order, which spelling changes.
    let source = "{% for m in messages %}{% for c in m.content %}{% if c < 'zz' %}{{ c }}{% else %}?{% endif %}{% endfor %}<e>{% endfor %}";
    let template = ChatTemplate::jinja(source, &special("<e>")).unwrap();
    let harmless = template.render(&user("abc")).unwrap();
    assert_eq!(joined(&harmless), "abc<e>");
    let error = template.render(&user("a<e>c")).unwrap_err();
    assert!(error.message().contains("messages[0].content"), "{error}");
    // Characters that the search for who writes may use are found all the same.
    let echo = ChatTemplate::jinja("{{ messages[0].content }}<e>", &special("<e>")).unwrap();
    for content in [
        "\u{4003C}e>",
        "\u{4003C}\u{5003C}e>\u{1F98A}",
        "\u{F003C}e>\u{FDD0}",
    ] {
        let segments = echo.render(&user(content)).unwrap();
        assert_eq!(
            segments,
            [Segment::message(content), Segment::template("<e>")]
        );
    }
    let all: String = (4..=16)
        .filter_map(|plane| char::from_u32(plane << 16))
        .collect();
    let error = echo.render(&user(&all)).unwrap_err();
    assert!(error.message().contains("all planes"), "{error}");
}

#[test]
fn raw_text_is_all_the_templates() {
    let template =
        ChatTemplate::jinja("a{{ messages[0].content }}b", &SpecialTexts::default()).unwrap();
    let conversation = Conversation::new([Message::user("<x>")]);
    let segments = template.raw(true).render(&conversation).unwrap();
    assert_eq!(segments, [Segment::template("a<x>b")]);
}

/// Variables come from a request as messages do, but for those of the vocabulary.
#[test]
fn further_variables_are_text_too() {
    let mut texts = SpecialTexts::default();
    texts.bos = Some("<s>".to_owned());
    let template = ChatTemplate::jinja("{{ bos_token }}{{ date }}", &texts).unwrap();
    let mut conversation = Conversation::new([]);
    conversation
        .extra
        .insert("date".to_owned(), Value::from("<s>"));
    let expected = [Segment::template("<s>"), Segment::message("<s>")];
    assert_eq!(template.render(&conversation).unwrap(), expected);
    conversation
        .extra
        .insert("bos_token".to_owned(), Value::from("<t>"));
    assert_eq!(
        template.render(&conversation).unwrap(),
        [Segment::message("<t><s>")]
    );
}
