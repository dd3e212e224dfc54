//! Conversations, line by line.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;
use crate::cli::run::session::{Lines, Session, Typed};
use crate::runner::wire::Prompt;
use crate::server::tests::{PLAIN, add_with};
use crate::store::manifest::media;
use llamakit_testkit::tiny;

/// A user who types this.
pub(super) struct User {
    typed: VecDeque<Typed>,
    /// Whether each line belonged to a longer text.
    more: Vec<bool>,
    keeps: bool,
}

impl Lines for User {
    fn next(&mut self, more: bool) -> Result<Typed> {
        self.more.push(more);
        Ok(self.typed.pop_front().unwrap_or(Typed::End))
    }

    fn keep(&mut self, keep: bool) {
        self.keeps = keep;
    }
}

pub(super) fn user(lines: &[&str]) -> User {
    User {
        typed: lines
            .iter()
            .map(|line| Typed::Line((*line).to_owned()))
            .collect(),
        more: Vec::new(),
        keeps: true,
    }
}

impl Place {
    /// A conversation with the model `plain`, or what `words` say. What was written to standard output.
    pub(super) fn talk(&mut self, words: &[&str], user: &mut User) -> Result<String> {
        self.terminal = true;
        let screen = self.screen();
        let revive = || Ok(());
        Session::begin(&self.client, setup(words, None)?, screen, &revive)?.run(user)?;
        Ok(self.out.text())
    }

    /// The prompts that the runner got.
    pub(super) fn prompts(&self) -> Vec<String> {
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
    let mut first = user(&[
        "\"\"\"",
        "first",
        "",
        "say:last\"\"\"",
        "\"\"\"say:short\"\"\"",
        "/bye",
    ]);
    let said = place.talk(&["plain"], &mut first).unwrap();
    assert_eq!(said, "last\n\nshort\n\n");
    assert_eq!(first.more, [false, true, true, true, false, false]);
    assert!(place.prompts()[0].starts_with("<|user|>first\n\nsay:last<|end|>"));
    // Ctrl-C gives the text up and says how to leave.
    let mut user = user(&["\"\"\"", "x", "say:y"]);
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
    let first = "<|system|>Be long.<|end|>\n<|user|>Hello<|end|>\n<|assistant|>";
    assert_eq!(place.prompts()[0], first, "of two in a row the second one");
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
    assert_eq!(prompt, format!("<|system|>Be brief.<|end|>\n{end}"));
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
