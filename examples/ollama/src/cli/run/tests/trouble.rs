//! Conversations in which something is stopped, fails or goes away.

use super::session::user;
use super::*;
use crate::cli::run::session::Session;
use crate::error::Kind;

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
