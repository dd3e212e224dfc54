//! Templates of model files: the real ones, several in one file, none.

use llamakit::chat::{
    ChatTemplate, Conversation, Message, SpecialTexts, TemplateLanguage, Thinking, Tool,
};
use llamakit::gguf::{File, Writer};
use llamakit::{ErrorKind, Origin, Segment};
use llamakit_testkit::fetch;
use serde_json::json;

use crate::common::{conversations, joined, published};

const CONTROL: i32 = 3;

/// A vocabulary of these control tokens, and one that is text.
fn file(control: &[&str], templates: &[(&str, &str)]) -> File {
    let mut writer = Writer::new();
    let mut tokens = control.to_vec();
    tokens.push("text");
    let mut types = vec![CONTROL; control.len()];
    types.push(1);
    writer.set("general.architecture", "llama").unwrap();
    writer.set("tokenizer.ggml.tokens", tokens).unwrap();
    writer.set("tokenizer.ggml.token_type", types).unwrap();
    writer.set("tokenizer.ggml.bos_token_id", 0_u32).unwrap();
    for (key, source) in templates {
        writer.set(*key, *source).unwrap();
    }
    File::from_bytes(writer.to_bytes()).unwrap()
}

fn hello() -> Conversation {
    Conversation::new([Message::user("Hello!")])
}

#[test]
fn real_models_have_theirs() {
    let smollm = File::open(fetch::model(fetch::SMOLLM2).unwrap()).unwrap();
    let template = ChatTemplate::from_gguf(&smollm).unwrap();
    assert_eq!(template.language(), TemplateLanguage::Jinja);
    assert!(template.source().contains("im_start"));
    assert_eq!(
        joined(&template.render(&hello()).unwrap()),
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
         <|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
    );
    for recorded in conversations() {
        // All that its template knows are roles and contents.
        let mut conversation = recorded.conversation;
        conversation.continue_last_message = false;
        let segments = template.render(&conversation).unwrap();
        let from_messages = segments
            .iter()
            .filter(|segment| segment.origin == Origin::Message);
        let says: Vec<&str> = from_messages.map(|segment| segment.text.as_str()).collect();
        for message in conversation
            .messages
            .iter()
            .filter(|message| !message.content.is_empty())
        {
            assert!(
                says.contains(&message.content.as_str()),
                "{}: {says:?}",
                recorded.name
            );
        }
    }
    // A base model without one; its vocabulary says which it would have.
    let gemma = File::open(fetch::model(fetch::GEMMA3).unwrap()).unwrap();
    let template = ChatTemplate::from_gguf(&gemma).unwrap();
    let told = Conversation::new([Message::system("Be brief."), Message::user("Hello!")]);
    let expected =
        "<bos><start_of_turn>user\nBe brief.\n\nHello!<end_of_turn>\n<start_of_turn>model\n";
    assert_eq!(joined(&template.render(&told).unwrap()), expected);
}

#[test]
fn files_can_have_several() {
    let tool = || Tool::function("f", "", json!({}));
    let named = |name: &str| format!("tokenizer.chat_template{name}");
    let several = file(
        &["<s>"],
        &[
            (&named(""), "plain"),
            (&named(".tool_use"), "{{ bos_token }}tools"),
            (&named(".rag"), "documents"),
            (&named(".broken"), "{{"),
        ],
    );
    let template = ChatTemplate::from_gguf(&several).unwrap();
    assert_eq!(joined(&template.render(&hello()).unwrap()), "plain");
    assert_eq!(
        joined(&template.render(&hello().tools([tool()])).unwrap()),
        "<s>tools"
    );
    let rag = ChatTemplate::named_from_gguf(&several, "rag").unwrap();
    assert_eq!(joined(&rag.render(&hello()).unwrap()), "documents");
    assert!(ChatTemplate::named_from_gguf(&several, "broken").is_err());
    let error = ChatTemplate::named_from_gguf(&several, "none").unwrap_err();
    assert!(error.message().contains("tool_use, rag, broken"), "{error}");
    // One that is broken hurts only those who need it.
    let broken = file(
        &["<s>"],
        &[(&named(".default"), "plain"), (&named(".tool_use"), "{{")],
    );
    let template = ChatTemplate::from_gguf(&broken).unwrap();
    assert_eq!(joined(&template.render(&hello()).unwrap()), "plain");
    assert!(template.render(&hello().tools([tool()])).is_err());
}

#[test]
fn files_without_one_are_known_by_their_tokens() {
    let render = |control: &[&str]| {
        let turns = [
            Message::user("Hi"),
            Message::assistant("Ho"),
            Message::user("Hm"),
        ];
        ChatTemplate::from_gguf(&file(control, &[]))
            .and_then(|t| t.render(&Conversation::new(turns)))
    };
    for (control, expected) in [
        (
            &["<|endoftext|>", "<|im_start|>", "<|im_end|>"][..],
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n<|im_start|>user\nHm<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            &[
                "<|begin|>",
                "<|start_header_id|>",
                "<|end_header_id|>",
                "<|eot_id|>",
            ],
            "<|begin|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|>\
          <|start_header_id|>user<|end_header_id|>\n\nHm<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            &["<s>", "<|user|>", "<|assistant|>", "<|end|>"],
            "<|user|>\nHi<|end|>\n<|assistant|>\nHo<|end|>\n<|user|>\nHm<|end|>\n<|assistant|>\n",
        ),
        (
            &["<bos>", "<start_of_turn>", "<end_of_turn>"],
            "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHo<end_of_turn>\n<start_of_turn>user\nHm<end_of_turn>\n<start_of_turn>model\n",
        ),
    ] {
        assert_eq!(joined(&render(control).unwrap()), expected);
    }
    for control in [
        &["<s>", "</s>"][..],
        &[
            "<s>",
            "<start_of_turn>",
            "<end_of_turn>",
            "<|user|>",
            "<|assistant|>",
            "<|end|>",
        ],
    ] {
        let error = render(control).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("no chat template"), "{error}");
    }
}

#[test]
fn control_tokens_of_the_file_are_what_messages_can_not_write() {
    let source = "{{ bos_token }}{{ messages[0].content }}<x>";
    let template = ChatTemplate::from_gguf(&file(
        &["<s>", "<x>"],
        &[("tokenizer.chat_template", source)],
    ))
    .unwrap();
    let segments = template
        .render(&Conversation::new([Message::user("<s><x>")]))
        .unwrap();
    assert_eq!(
        segments,
        [
            Segment::template("<s>"),
            Segment::message("<s><x>"),
            Segment::template("<x>")
        ]
    );
}

#[test]
fn capabilities_are_found() {
    let of = |name: &str| {
        let published = published()
            .iter()
            .find(|published| published.name == name)
            .unwrap();
        ChatTemplate::jinja(&published.source, &published.texts)
            .unwrap()
            .capabilities()
            .unwrap()
    };
    let qwen = of("trl-qwen3");
    assert!(qwen.system && qwen.tools && qwen.tool_calls && qwen.thinking_switch);
    assert!(!qwen.thinking_levels && !qwen.documents);
    assert!(of("trl-gptoss").thinking_levels);
    assert!(!of("trl-gemma").system);
    assert!(!of("trl-phi3").tools);
    let plain = ChatTemplate::jinja("{{ messages[0].content }}", &SpecialTexts::default()).unwrap();
    assert!(!plain.capabilities().unwrap().thinking_switch);
}

#[test]
fn thinking_reaches_templates_by_their_own_names() {
    let say = |source: &str, thinking: Thinking| {
        let template = ChatTemplate::jinja(source, &SpecialTexts::default()).unwrap();
        joined(
            &template
                .render(&Conversation::new([]).thinking(thinking))
                .unwrap(),
        )
    };
    use llamakit::chat::ThinkingLevel::{High, Low, Max};
    for (source, default, off, on, max) in [
        (
            "{{ enable_thinking is defined and enable_thinking }}",
            "False",
            "False",
            "True",
            "True",
        ),
        ("{{ thinking }}", "", "False", "True", "True"),
        ("{{ reasoning_effort }}", "", "", "", "high"),
        (
            "{{ reasoning_effort in ['none', 'max'] }}{{ reasoning_effort }}",
            "False",
            "Truenone",
            "False",
            "Truemax",
        ),
        ("{{ thinking_budget }}", "", "0", "", ""),
    ] {
        let said = [
            Thinking::Default,
            Thinking::Off,
            Thinking::On,
            Thinking::Level(Max),
        ]
        .map(|t| say(source, t));
        assert_eq!(said, [default, off, on, max], "{source}");
    }
    assert_eq!(
        say(
            "{{ reasoning_effort }}{{ thinking_budget }}",
            Thinking::Level(Low)
        ),
        "low1024"
    );
    assert_eq!(
        say(
            "{{ reasoning_effort }}{{ thinking_budget }}",
            Thinking::Level(High)
        ),
        "high16384"
    );
}
