//! Conversations, line by line.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;
use crate::cli::run::session::{Lines, Session, Typed};
use crate::error::Kind;
use crate::runner::wire::Prompt;
use crate::server::tests::{PLAIN, add_with};
use crate::store::manifest::media;
use llamakit_testkit::tiny;

/// A user who types this.
struct User {
    typed: VecDeque<Typed>,
    /// Whether each line belonged to a longer text.
    more: Vec<bool>,
    keeps: bool,
    /// What happens before a line is typed, by its place.
    between: Vec<(usize, Box<dyn FnMut()>)>,
}

impl Lines for User {
    fn next(&mut self, more: bool) -> Result<Typed> {
        let at = self.more.len();
        self.more.push(more);
        for (when, what) in &mut self.between {
            if *when == at {
                what();
            }
        }
        Ok(self.typed.pop_front().unwrap_or(Typed::End))
    }

    fn keep(&mut self, keep: bool) {
        self.keeps = keep;
    }
}

fn user(lines: &[&str]) -> User {
    User {
        typed: lines
            .iter()
            .map(|line| Typed::Line((*line).to_owned()))
            .collect(),
        more: Vec::new(),
        keeps: true,
        between: Vec::new(),
    }
}

impl Place {
    /// A conversation with the model `plain`, or what `words` say. What was written to standard output.
    fn talk(&mut self, words: &[&str], user: &mut User) -> Result<String> {
        self.terminal = true;
        let screen = self.screen();
        let revive = || Ok(());
        Session::begin(&self.client, setup(words, None)?, screen, &revive)?.run(user)?;
        Ok(self.out.text())
    }

    /// The prompts that the runner got.
    fn prompts(&self) -> Vec<String> {
        let seen = self.live.bench.launcher.seen.lock().unwrap();
        let text = |prompt: &Prompt| match prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Segments(pieces) => pieces.iter().map(|piece| piece.t.as_str()).collect(),
        };
        seen.iter().map(|asked| text(&asked.prompt)).collect()
    }
}

#[test]
fn the_model_is_loaded_first_and_the_conversation_is_remembered() {
    let mut place = Place::new();
    assert_eq!(place.talk(&["plain"], &mut user(&[])).unwrap(), "");
    assert_eq!(place.live.bench.launches(), 1);
    let said = place.talk(
        &["plain"],
        &mut user(&["say:one", "", "say:two", "/bye", "say:three"]),
    );
    assert_eq!(said.unwrap(), "one\n\ntwo\n\n");
    assert_eq!(
        place.prompts(),
        [
            "<|user|>say:one<|end|>\n<|assistant|>",
            "<|user|>say:one<|end|>\n<|assistant|>one<|end|>\n<|user|>say:two<|end|>\n<|assistant|>",
        ]
    );
}

#[test]
fn texts_of_several_lines() {
    let mut place = Place::new();
    let mut user = user(&[
        "\"\"\"",
        "first",
        "",
        "say:last\"\"\"",
        "\"\"\"say:short\"\"\"",
        "/bye",
    ]);
    let said = place.talk(&["plain"], &mut user).unwrap();
    assert_eq!(said, "last\n\nshort\n\n");
    assert_eq!(user.more, [false, true, true, true, false, false]);
    assert!(place.prompts()[0].starts_with("<|user|>first\n\nsay:last<|end|>"));
    // Ctrl-C gives the text up and says how to leave.
    let mut user = super::session::user(&["\"\"\"", "x", "say:y"]);
    user.typed.insert(2, Typed::Interrupt);
    let said = place.talk(&["plain"], &mut user).unwrap();
    assert_eq!(said, "Use Ctrl + d or /bye to exit.\ny\n\n");
}

#[test]
fn what_is_set_reaches_the_request() {
    let mut place = Place::new();
    let mut user = user(&[
        "/set parameter seed 7",
        "/set parameter stop yy zz",
        "/set parameter top_k many",
        "/set format json",
        "/set system Be brief.",
        "/set system Be long.",
        "Hello",
        "/set noformat",
        "/clear",
        "/set nothink",
        "say:plain",
    ]);
    let said = place
        .talk(&["plain", "--num-ctx", "512"], &mut user)
        .unwrap();
    assert_eq!(
        said,
        "Set parameter 'seed' to '7'\n\
         Set parameter 'stop' to 'yy, zz'\n\
         Couldn't set parameter: option \"top_k\" must be an integer from 0 to 10000000\n\
         Set format to 'json' mode.\n\
         Set system message.\nSet system message.\n\
         {\"a\": 1}\n\n\
         Disabled format.\nCleared session context\nSet 'nothink' mode.\n\
         plain\n\n"
    );
    let seen = place.live.bench.launcher.seen.lock().unwrap().clone();
    assert_eq!(
        (seen[0].sampling.seed, seen[0].num_ctx),
        (Some(7), Some(512))
    );
    assert_eq!(seen[0].stop, ["yy", "zz"]);
    assert!(seen[0].constraint.is_some() && seen[1].constraint.is_none());
    assert_eq!(
        place.prompts()[1],
        "<|system|>Be long.<|end|>\n<|user|>say:plain<|end|>\n<|assistant|>"
    );
    assert!(
        place
            .notes
            .text()
            .contains("does not support thinking output")
    );
}

#[test]
fn other_settings_say_what_they_did() {
    let mut place = Place::new();
    let mut user = user(&[
        "/set wordwrap",
        "/set nowordwrap",
        "/set verbose",
        "/set quiet",
        "/set think",
        "/set think high",
        "/set think much",
        "/set format xml",
        "/set nohistory",
        "/set fire",
        "/set",
        "/set parameter seed",
    ]);
    let said = place.talk(&["m"], &mut user).unwrap();
    assert_eq!(
        said,
        "Set 'wordwrap' mode.\nSet 'nowordwrap' mode.\nSet 'verbose' mode.\nSet 'quiet' mode.\n\
         Set 'think' mode.\nSet 'think' mode to 'high'.\n\
         error: invalid think value \"much\" (must be high, medium, low, or max)\n\
         Invalid or missing format. For 'json' mode use '/set format json'\n\
         Unknown command '/set fire'. Type /? for help\n"
    );
    let notes = place.notes.text();
    assert!(notes.contains("/set system <string>") && notes.contains("Available Parameters:"));
    assert!(!user.keeps);
}

#[test]
fn verbose_shows_timings_after_each_answer() {
    let mut place = Place::new();
    place
        .talk(&["plain"], &mut user(&["say:x", "/set verbose", "say:y"]))
        .unwrap();
    assert_eq!(
        place.notes.text().matches("eval rate:").count(),
        2,
        "prompt and answer, once"
    );
}

#[test]
fn unknown_commands_are_said_and_help_is_there() {
    let mut place = Place::new();
    let mut user = user(&[
        "/foo bar",
        "/show fire",
        "/load",
        "/?",
        "/? shortcuts",
        "/show",
    ]);
    let said = place.talk(&["plain"], &mut user).unwrap();
    assert_eq!(
        said,
        "Unknown command '/foo'. Type /? for help\n\
         Unknown command '/show fire'. Type /? for help\n\
         Usage:\n  /load <modelname>\n"
    );
    let notes = place.notes.text();
    for part in ["/bye            Exit", "Ctrl + d", "/show info"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn the_model_is_shown_with_what_was_set() {
    let mut place = Place::new();
    let parts = [
        (media::PARAMS, r#"{"top_k": 7}"#),
        (media::SYSTEM, "Be kind."),
    ];
    add_with(
        &place.live.bench.store,
        "tuned",
        &tiny::llama(),
        Some(PLAIN),
        &parts,
    );
    let mut user = user(&[
        "/show info",
        "/show license",
        "/set parameter seed 7",
        "/show parameters",
        "/show system",
        "/set system Be brief.",
        "/show system",
        "/show template",
        "/show modelfile",
    ]);
    let said = place.talk(&["tuned"], &mut user).unwrap();
    let begin = "No license was specified for this model.\n\
        Set parameter 'seed' to '7'\n\
        Model defined parameters:\n  top_k";
    assert!(said.starts_with(begin), "{said}");
    for part in [
        "User defined parameters:\n  seed                           7\n",
        "Be kind.\n\nSet system message.\nBe brief.\n\n",
        "\nFROM ",
        "SYSTEM Be brief.",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let notes = place.notes.text();
    assert!(
        notes.contains("  Model\n    architecture        llama"),
        "{notes}"
    );
}

#[test]
fn other_models_are_listed_and_loaded() {
    let mut place = Place::new();
    let mut user = user(&[
        "say:a",
        "/load nothing",
        "/load embed",
        "/load m",
        "say:b",
        "/list",
    ]);
    let said = place.talk(&["plain"], &mut user).unwrap();
    let begin = "a\n\nLoading model 'nothing'\nCouldn't find model 'nothing'\n\
        Loading model 'embed'\nLoading model 'm'\nb\n\nNAME ";
    assert!(said.starts_with(begin), "{said}");
    assert!(said.contains("\nplain:latest "), "{said}");
    assert!(
        place.notes.text().contains("'embed' makes embeddings"),
        "{}",
        place.notes.text()
    );
    assert_eq!(
        place.prompts()[1],
        "<|user|>say:b<|end|>\n<|assistant|>",
        "nothing of the other one"
    );
}

#[test]
fn a_saved_conversation_goes_on() {
    let mut place = Place::new();
    let mut first = user(&[
        "/set system Be brief.",
        "/set parameter num_predict 2",
        "say:hello",
        "/save a/b/c/d/e",
        "/save mine",
        "/bye",
    ]);
    let said = place.talk(&["plain"], &mut first).unwrap();
    assert!(
        said.ends_with("error: The model name 'a/b/c/d/e' is invalid\nCreated new model 'mine'\n"),
        "{said}"
    );
    let said = place.talk(&["mine"], &mut user(&["say:more"])).unwrap();
    assert_eq!(said, ">>> say:hello\nhello\n\nmore\n\n");
    let prompt = place.prompts().pop().unwrap();
    let end = "<|user|>say:hello<|end|>\n<|assistant|>hello<|end|>\n<|user|>say:more<|end|>\n<|assistant|>";
    assert!(
        prompt.starts_with("<|system|>Be brief.") && prompt.ends_with(end),
        "{prompt}"
    );
    let params: Value = place
        .client
        .ask(
            axum::http::Method::POST,
            "/api/show",
            &json!({ "model": "mine" }),
        )
        .unwrap();
    assert!(
        params["parameters"]
            .as_str()
            .unwrap()
            .contains("num_predict"),
        "{params}"
    );
}

#[test]
fn a_stopped_answer_is_part_of_the_conversation() {
    let mut place = Place::new();
    let stop = std::sync::Arc::clone(&place.client.stop);
    let seen = std::sync::Arc::clone(&place.live.bench.launcher.seen);
    // Before the model says anything: as if it had not been asked.
    let interrupt = std::thread::spawn(move || {
        while seen.lock().unwrap().is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        stop.notify_one();
    });
    let said = place
        .talk(&["plain"], &mut user(&["hang", "say:on"]))
        .unwrap();
    interrupt.join().unwrap();
    assert_eq!(said, "\n\non\n\n");
    assert_eq!(place.prompts()[1], "<|user|>say:on<|end|>\n<|assistant|>");
    // In the middle: as far as it came.
    let stop = std::sync::Arc::clone(&place.client.stop);
    let out = Written::default();
    let screen = Screen::test(
        Box::new(Stopping(out.clone(), stop)),
        Box::new(Written::default()),
        false,
    );
    let revive = || Ok(());
    let session = Session::begin(
        &place.client,
        setup(&["plain"], None).unwrap(),
        screen,
        &revive,
    );
    session
        .unwrap()
        .run(&mut user(&[
            "slow:20 say:abcdefghijklmnopqrstuvwxyz",
            "say:on",
        ]))
        .unwrap();
    let said = out.text();
    let heard = said.split("\n\n").next().unwrap();
    assert!(!heard.is_empty() && heard.len() < 26, "{said}");
    let remembered = format!("<|assistant|>{heard}<|end|>\n<|user|>say:on<|end|>");
    let last = place.prompts().pop().unwrap();
    assert!(last.contains(&remembered), "{last}");
}

/// Somebody who presses Ctrl-C at the first words, once.
struct Stopping(Written, std::sync::Arc<tokio::sync::Notify>);

impl Write for Stopping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.text().is_empty() {
            self.1.notify_one();
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_fails_is_said_and_the_conversation_stays() {
    let mut place = Place::new();
    let mut user = user(&["say:one", "bad:out of order", "say:two"]);
    let said = place.talk(&["plain"], &mut user).unwrap();
    assert_eq!(said, "one\n\ntwo\n\n");
    assert!(
        place.notes.text().contains("out of order"),
        "{}",
        place.notes.text()
    );
    assert_eq!(
        place.prompts()[2],
        "<|user|>say:one<|end|>\n<|assistant|>one<|end|>\n<|user|>say:two<|end|>\n<|assistant|>"
    );
}

#[test]
fn a_lost_server_is_said_and_can_come_back() {
    let mut place = Place::new();
    place.terminal = true;
    let screen = place.screen();
    let notes = place.notes.clone();
    let tries = std::cell::Cell::new(0);
    let revive = || {
        tries.set(tries.get() + 1);
        Ok(())
    };
    let client = Client::new(&place.live.settings).unwrap();
    let session =
        Session::begin(&client, setup(&["plain"], None).unwrap(), screen, &revive).unwrap();
    place.live.stop();
    session
        .run(&mut user(&["say:one", "say:two", "/list", "/bye"]))
        .unwrap();
    let said = notes.text();
    assert_eq!(
        said.matches("no server answers at 127.0.0.1:").count(),
        3,
        "{said}"
    );
    assert_eq!(tries.get(), 1, "before each message once it was lost");
}

#[test]
fn models_that_cannot_converse_are_refused() {
    let mut place = Place::new();
    let error = place.talk(&["embed"], &mut user(&[])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("embedding models require input text."),
        "{error}"
    );
    let error = place.talk(&["nowhere"], &mut user(&[])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pull model manifest: file does not exist"
    );
}

#[test]
fn what_nobody_reads_ends_the_conversation() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let place = Place::new();
    let screen = Screen::test(Box::new(Closed), Box::new(Written::default()), false);
    let revive = || Ok(());
    let session = Session::begin(
        &place.client,
        setup(&["plain"], None).unwrap(),
        screen,
        &revive,
    );
    let error = session
        .unwrap()
        .run(&mut user(&["say:one", "say:two"]))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(place.prompts().len(), 1);
}
