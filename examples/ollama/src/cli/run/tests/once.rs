//! One question and its answer.

use super::*;
use crate::error::Kind;
use crate::runner::wire::ConstraintKind;

#[test]
fn an_answer_is_printed_plain_where_nobody_looks() {
    let mut place = Place::new();
    let said = place.once(&["plain", "say:hello", "big", "world"]).unwrap();
    assert_eq!(said, "hello big world\n\n");
    assert_eq!(place.notes.text(), "");
    assert_eq!(
        place.prompt(),
        "<|user|>say:hello big world<|end|>\n<|assistant|>"
    );
    let long = format!("say:{}", "word ".repeat(60));
    let said = place.once(&["plain", &long]).unwrap();
    assert!(
        !said.trim_end().contains('\n') && !said.contains('\x1b'),
        "{said:?}"
    );
}

#[test]
fn what_is_piped_in_comes_before_the_words() {
    let mut place = Place::new();
    place
        .piped(&["plain", "Sum", "up"], Some("a text\n"))
        .unwrap();
    assert_eq!(
        place.prompt(),
        "<|user|>a text\n Sum up<|end|>\n<|assistant|>"
    );
}

#[test]
fn no_prompt_loads_the_model() {
    let mut place = Place::new();
    assert_eq!(place.piped(&["plain"], Some("")).unwrap(), "");
    assert_eq!(place.live.bench.launches(), 1);
}

#[test]
fn flags_reach_the_request() {
    let mut place = Place::new();
    let schema = r#"{"type": "object"}"#;
    let words = [
        "plain",
        "--format",
        schema,
        "--num-ctx",
        "512",
        "--seed",
        "7",
        "-o",
        "top_k=3",
    ];
    let more = ["--system", "Be brief.", "--keepalive", "0", "Hello"];
    let said = place.once(&[&words[..], &more].concat()).unwrap();
    assert_eq!(said, "{\"a\": 1}\n\n");
    let asked = place.live.bench.asked();
    let kind = asked.constraint.unwrap().kind;
    assert!(matches!(kind, ConstraintKind::JsonSchema(schema) if schema["type"] == "object"));
    assert_eq!((asked.num_ctx, asked.sampling.seed), (Some(512), Some(7)));
    assert_eq!(asked.sampling.top_k, Some(3));
    assert!(
        place.prompt().starts_with("<|system|>Be brief.<|end|>"),
        "{}",
        place.prompt()
    );
    place.soon("it is unloaded at once", |place| {
        let loaded: serde_json::Value = place
            .client
            .ask(axum::http::Method::GET, "/api/ps", &())
            .unwrap();
        loaded["models"] == serde_json::json!([])
    });
}

#[test]
fn thoughts_are_shown_apart_or_not_at_all() {
    let mut place = Place::new();
    let prompt = "say:<think>Let me see.</think>Done.";
    let said = place.once(&["m", "--think", prompt]).unwrap();
    assert_eq!(
        said,
        "Thinking...\nLet me see.\n...done thinking.\n\nDone.\n\n"
    );
    let said = place
        .once(&["m", "--think", "--hidethinking", prompt])
        .unwrap();
    assert_eq!(said, "Done.\n\n");
    let error = place.once(&["plain", "--think", "Hello"]).unwrap_err();
    assert_eq!(error.to_string(), "\"plain\" does not support thinking");
    place.terminal = true;
    let said = place.once(&["m", "--think", prompt]).unwrap();
    assert_eq!(
        said,
        "\x1b[38;5;245m\x1b[1mThinking...\n\x1b[0m\x1b[38;5;245mLet me see.\n\
         \x1b[38;5;245m\x1b[1m...done thinking.\n\n\x1b[0mDone.\n\n"
    );
}

#[test]
fn words_are_wrapped_in_a_terminal() {
    let mut place = Place::terminal();
    let prompt = format!("say:{}", "word ".repeat(30));
    let said = place.once(&["plain", &prompt]).unwrap();
    assert_eq!(said.trim_end().lines().count(), 2, "{said:?}");
    let said = place.once(&["plain", "--nowordwrap", &prompt]).unwrap();
    assert_eq!(said.trim_end().lines().count(), 1, "{said:?}");
    let said = place.once(&["plain", "say:\x1b[2Jx"]).unwrap();
    assert_eq!(said, "␛[2Jx\n\n");
}

#[test]
fn embedding_models_print_their_vector() {
    let mut place = Place::new();
    let said = place.once(&["embed", "abc"]).unwrap();
    let vector: Vec<f32> = serde_json::from_str(&said).unwrap();
    assert_eq!(vector.len(), 4, "{said}");
    assert!(said.ends_with("]\n") && !said.contains(' '), "{said}");
    let said = place.once(&["embed", "--dimensions", "2", "abc"]).unwrap();
    assert_eq!(serde_json::from_str::<Vec<f32>>(&said).unwrap().len(), 2);
    let error = place.piped(&["embed"], Some("")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("embedding models require input text."),
        "{error}"
    );
    let long = "a".repeat(5000);
    place.once(&["embed", &long]).unwrap();
    assert!(
        place.notes.text().contains("was cut"),
        "{}",
        place.notes.text()
    );
    let error = place
        .once(&["embed", "--truncate=false", &long])
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}

#[test]
fn timings_go_to_standard_error() {
    let mut place = Place::new();
    let said = place.once(&["plain", "--verbose", "say:hello"]).unwrap();
    assert_eq!(said, "hello\n\n");
    let notes = place.notes.text();
    let labels: Vec<&str> = notes
        .lines()
        .map(|line| &line[..22.min(line.len())])
        .collect();
    assert_eq!(
        labels,
        [
            "total duration:       ",
            "load duration:        ",
            "prompt eval count:    ",
            "prompt eval duration: ",
            "prompt eval rate:     ",
            "eval count:           ",
            "eval duration:        ",
            "eval rate:            ",
        ]
    );
}

#[test]
fn a_model_that_is_not_there_is_pulled_first() {
    let mut place = Place::new();
    let said = place.once(&["late", "--insecure", "say:here"]).unwrap();
    assert_eq!(said, "here\n\n");
    let pulled = place.live.pulled.lock().unwrap().clone();
    assert_eq!(
        (pulled[0].model.as_str(), pulled[0].insecure),
        ("late", true)
    );
    let said = place
        .once(&["https://pypi.org/project/LLM_x", "say:wheel"])
        .unwrap();
    assert_eq!(said, "wheel\n\n");
    let error = place.once(&["nowhere", "Hello"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pull model manifest: file does not exist"
    );
    assert_eq!(place.live.pulled.lock().unwrap().len(), 3);
    let error = place.once(&["no*name", "Hello"]).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(place.live.pulled.lock().unwrap().len(), 3);
}

#[test]
fn what_fails_is_told() {
    let mut place = Place::new();
    let error = place
        .once(&["plain", "bad:the model is broken"])
        .unwrap_err();
    assert!(error.to_string().contains("the model is broken"), "{error}");
    let error = place.once(&["plain", "die"]).unwrap_err();
    assert!(!matches!(error.kind(), Kind::Cancelled), "{error}");
    assert_eq!(place.out.text(), "last ");
    place.live.stop();
    let error = place.once(&["plain", "Hello"]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no server answers at 127.0.0.1:"),
        "{error}"
    );
}

#[test]
fn a_dropped_message_and_an_ignored_option_are_told() {
    let mut place = Place::new();
    place.once(&["plain", "-o", "low_vram=1", "say:x"]).unwrap();
    let notes = place.notes.text();
    assert!(
        notes.starts_with("Warning: ") && notes.contains("low_vram"),
        "{notes}"
    );
}

#[test]
fn ctrl_c_stops_the_answer_and_the_work() {
    let mut place = Place::new();
    let stop = std::sync::Arc::clone(&place.client.stop);
    let scheduler = place.live.bench.app.scheduler.clone();
    let interrupt = std::thread::spawn(move || {
        while scheduler.granted() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        stop.notify_one();
    });
    let error = place.once(&["plain", "hang"]).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    interrupt.join().unwrap();
    // Nobody runs the client any more, and still the server learns of it.
    place.soon("the work ends", |place| {
        place.live.bench.app.scheduler.granted() == 0
    });
}
