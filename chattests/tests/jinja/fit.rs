//! Conversations that are too long, begun answers, and templates that want messages otherwise.

use llamakit::chat::{ChatTemplate, Conversation, Fitted, Message, SpecialTexts, ToolCall};
use llamakit::{Error, Segment};
use serde_json::Map;

use crate::common::{CLOCK, joined, published};

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// User and assistant must take turns.
const TURNS: &str = "{% for m in messages if m.role != 'system' %}\
    {% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}{% endif %}[{{ m.content }}]{% endfor %}";

fn jinja(source: &str) -> ChatTemplate {
    ChatTemplate::jinja(source, &SpecialTexts::default()).unwrap()
}

fn turns(count: usize) -> Vec<Message> {
    let mut messages = vec![Message::system("sys")];
    for at in 0..count {
        messages.push(Message::user(format!("user {at}")));
        messages.push(Message::assistant(format!("answer {at}")));
    }
    messages.push(Message::user("last"));
    messages
}

/// Counts bytes, and how often it was asked.
fn fit(
    template: &ChatTemplate,
    messages: Vec<Message>,
    limit: usize,
) -> (Result<Fitted, Error>, usize) {
    let mut asked = 0;
    let fitted = template.render_within(&Conversation::new(messages), limit, &mut |segments| {
        asked += 1;
        Ok(segments.iter().map(|segment| segment.text.len()).sum())
    });
    (fitted, asked)
}

#[test]
fn the_oldest_messages_are_dropped_and_no_more_than_needed() {
    let template = jinja(CHATML);
    let messages = turns(3);
    let whole = joined(
        &template
            .render(&Conversation::new(messages.clone()))
            .unwrap(),
    )
    .len();
    let fitted = fit(&template, messages.clone(), whole).0.unwrap();
    assert_eq!(
        (fitted.dropped.len(), fitted.count, fitted.full_count),
        (0, whole, whole)
    );
    for count in 1..=6 {
        let mut shorter = messages.clone();
        shorter.drain(1..=count);
        let expected = joined(&template.render(&Conversation::new(shorter)).unwrap());
        let fitted = fit(&template, messages.clone(), expected.len()).0.unwrap();
        assert_eq!(joined(&fitted.segments), expected);
        assert_eq!(fitted.dropped, (1..=count).collect::<Vec<_>>());
        assert_eq!((fitted.count, fitted.full_count), (expected.len(), whole));
        let limit = expected.len() - 1;
        if count < 6 {
            assert_eq!(
                fit(&template, messages.clone(), limit)
                    .0
                    .unwrap()
                    .dropped
                    .len(),
                count + 1
            );
        } else {
            let error = fit(&template, messages.clone(), limit)
                .0
                .unwrap_err()
                .to_string();
            for number in [whole, expected.len(), limit] {
                assert!(error.contains(&number.to_string()), "{error}");
            }
        }
    }
}

#[test]
fn a_thousand_messages_are_not_a_thousand_renderings() {
    let (fitted, asked) = fit(&jinja(CHATML), turns(500), 5000);
    let fitted = fitted.unwrap();
    assert!(
        fitted.count <= 5000 && fitted.count > 4900,
        "{}",
        fitted.count
    );
    assert!(asked < 15, "{asked}");
}

#[test]
fn results_stay_with_their_calls_and_the_last_message_stays() {
    let mut call = Message::assistant("call");
    call.tool_calls = vec![ToolCall::new("f", Map::new())];
    let call = || call.clone();
    let tool = || Message::tool("f", "result");
    let messages = vec![
        Message::system("one"),
        Message::user("u"),
        call(),
        tool(),
        tool(),
        Message::system("two"),
        Message::user("v"),
        call(),
        tool(),
    ];
    let template = jinja(CHATML);
    let whole = joined(
        &template
            .render(&Conversation::new(messages.clone()))
            .unwrap(),
    )
    .len();
    assert_eq!(
        fit(&template, messages.clone(), whole - 1)
            .0
            .unwrap()
            .dropped,
        [1]
    );
    let one = fit(&template, messages.clone(), whole - 30).0.unwrap();
    assert_eq!(one.dropped, [1, 2, 3, 4]);
    let least = fit(&template, messages.clone(), one.count - 1).0.unwrap();
    assert_eq!(least.dropped, [1, 2, 3, 4, 6]);
    assert!(fit(&template, messages, least.count - 1).0.is_err());
}

#[test]
fn what_the_template_refuses_is_not_tried_to_the_end() {
    let template = jinja(TURNS);
    let mut messages = turns(8);
    messages.remove(0);
    let fitted = fit(&template, messages, 30).0.unwrap();
    assert_eq!(joined(&fitted.segments), "[user 7][answer 7][last]");
    assert_eq!(fitted.dropped.len(), 14);
}

#[test]
fn an_error_of_the_counter_is_the_error() {
    let template = jinja(CHATML);
    let error = template
        .render_within(&Conversation::new(turns(1)), 1, &mut |_| {
            template
                .render(&Conversation::new([Message::new("x", "")]))
                .and_then(|_| ChatTemplate::jinja("{{", &SpecialTexts::default()).map(|_| 0))
        })
        .unwrap_err();
    assert!(error.message().contains("tag"), "{error}");
}

fn groups(segments: &[Segment]) -> Vec<(Option<u32>, String)> {
    let mut groups: Vec<(Option<u32>, String)> = Vec::new();
    for segment in segments {
        match groups
            .last_mut()
            .filter(|(group, _)| *group == segment.group)
        {
            Some((_, text)) => text.push_str(&segment.text),
            None => groups.push((segment.group, segment.text.clone())),
        }
    }
    groups
}

#[test]
fn groups_are_messages_with_what_the_template_writes_around_them() {
    let template = jinja(CHATML);
    let segments = template
        .render_in_groups(&Conversation::new(turns(2)))
        .unwrap();
    let turn = |role: &str, content: &str| format!("<|im_start|>{role}\n{content}<|im_end|>\n");
    let expected = [
        (None, turn("system", "sys")),
        (Some(1), turn("user", "user 0")),
        (Some(2), turn("assistant", "answer 0")),
        (Some(3), turn("user", "user 1")),
        (Some(4), turn("assistant", "answer 1")),
        (None, turn("user", "last") + "<|im_start|>assistant\n"),
    ];
    assert_eq!(groups(&segments), expected);
    assert!(
        template
            .render(&Conversation::new(turns(2)))
            .unwrap()
            .iter()
            .all(|s| s.group.is_none())
    );
}

/// Whatever groups there are in published templates: without those of the first turns the text is what
/// the template writes for the other messages.
#[test]
fn without_its_groups_a_text_is_that_of_the_other_messages() {
    let mut grouped = 0;
    for published in published() {
        let template = ChatTemplate::jinja(&published.source, &published.texts).unwrap();
        let mut conversation = Conversation::new(turns(3));
        conversation.clock = Some(CLOCK);
        let Ok(segments) = template.render_in_groups(&conversation) else {
            continue;
        };
        assert_eq!(
            joined(&segments),
            joined(&template.render(&conversation).unwrap())
        );
        if segments.iter().all(|segment| segment.group.is_none()) {
            continue;
        }
        grouped += 1;
        for pairs in [1, 2, 3] {
            let kept = segments
                .iter()
                .filter(|s| s.group.is_none_or(|group| group > 2 * pairs));
            let text: String = kept.map(|segment| segment.text.as_str()).collect();
            let mut shorter = conversation.clone();
            shorter.messages.drain(1..=2 * pairs as usize);
            let expected = joined(&template.render(&shorter).unwrap());
            assert_eq!(text, expected, "{}", published.name);
        }
    }
    assert!(grouped > 60, "{grouped} of {}", published().len());
}

#[test]
fn begun_answers_end_the_text() {
    let begun = |content: &str| {
        let mut conversation =
            Conversation::new([Message::user("Hi"), Message::assistant(content)]);
        conversation.continue_last_message = true;
        conversation
    };
    let template = jinja(CHATML);
    for content in ["", "Well", "Well, ", "\n", "<|im_end|>"] {
        let text = joined(&template.render(&begun(content)).unwrap());
        let start = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n".to_owned();
        assert_eq!(text, start + content);
    }
    // Stripped by the template, stripped here.
    let trimmed = jinja("{% for m in messages %}[{{ m.content|trim }}]{% endfor %}");
    assert_eq!(
        joined(&trimmed.render(&begun("Well, ")).unwrap()),
        "[Hi][Well,"
    );
    for (source, messages, cause) in [
        (
            "{% for m in messages %}{{ m.content|upper }}{% endfor %}",
            vec![Message::assistant("a")],
            "as it is",
        ),
        (
            "{% for m in messages[:-1] %}{{ m.content }}{% endfor %}",
            vec![Message::assistant("a")],
            "as it is",
        ),
        (
            "{% for m in messages %}{{ m.content + m.content }}{% endfor %}",
            vec![Message::assistant("a")],
            "several times",
        ),
        (
            "nothing",
            vec![Message::assistant("a")],
            "no message's content",
        ),
        (CHATML, vec![Message::user("a")], "assistant"),
        (CHATML, vec![], "no message to continue"),
    ] {
        let mut conversation = Conversation::new(messages);
        conversation.continue_last_message = true;
        let error = jinja(source).render(&conversation).unwrap_err();
        assert!(error.message().contains(cause), "{error}");
    }
}

#[test]
fn templates_without_a_system_role_get_it_from_the_user() {
    let template = jinja(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}",
    );
    assert!(!template.capabilities().unwrap().system);
    let conversation = Conversation::new([
        Message::system("a"),
        Message::system("b"),
        Message::user("c"),
    ]);
    assert_eq!(
        joined(&template.render(&conversation).unwrap()),
        "<user>a\n\nb\n\nc"
    );
    let error = template.exact(true).render(&conversation).unwrap_err();
    assert!(error.message().contains("no"), "{error}");
}
