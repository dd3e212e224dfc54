//! Runners as processes of their own: the fake speaks the protocol that the real one does.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt;

use super::client::RunnerClient;
use super::fake::FakeLoader;
use super::launch::{Launched, Launcher, ProcessLauncher};
use super::process;
use super::wire::*;

const RUNNER: &str = "OLLAMA_TEST_FAKE_RUNNER";

/// The body of the child process; nothing in the test run itself.
#[test]
fn child() {
    if std::env::var_os(RUNNER).is_some() {
        // What the test run has written so far is no part of the first report's line.
        writeln!(std::io::stdout()).unwrap();
        process::run(&mut FakeLoader);
        std::process::exit(1);
    }
}

fn launcher() -> ProcessLauncher {
    ProcessLauncher {
        program: std::env::current_exe().unwrap(),
        arguments: [
            "runner::tests::child",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ]
        .map(Into::into)
        .to_vec(),
        environment: vec![(RUNNER.into(), "1".into())],
    }
}

fn spec() -> Spec {
    Spec {
        model: vec!["m".into()],
        context_length: 4096,
        parallel: 4,
        queue: 100,
        ..Spec::default()
    }
}

async fn ready(launched: &mut Launched) -> Info {
    loop {
        match launched.reports.recv().await.expect("it lives") {
            Report::Measured(_) => launched.control.go(Go {
                memory_budget: Some(1 << 30),
            }),
            Report::Loading(_) => {}
            Report::Ready(info) => return *info,
            Report::Failed(failure) => panic!("{failure}"),
        }
    }
}

async fn started() -> (Launched, RunnerClient, Info) {
    let mut launched = launcher().launch(spec()).await.unwrap();
    let info = ready(&mut launched).await;
    let client = RunnerClient::new(info.port, &launched.token);
    (launched, client, info)
}

fn say(prompt: &str) -> Completion {
    Completion {
        prompt: Prompt::Text(prompt.to_owned()),
        ..Completion::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_travel_and_the_token_is_needed() {
    let (launched, client, info) = started().await;
    assert_eq!(info.context_length, 4096);
    let answer: Vec<Event> = client
        .complete(&say("say:hello"))
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(answer[0], Event::Text("hell".to_owned()));
    assert!(matches!(answer.last(), Some(Event::Finished(_))));
    let stranger = RunnerClient::new(info.port, "guess");
    assert!(stranger.complete(&say("say:hello")).await.is_err());
    assert!(stranger.health().await.is_err());
    assert!(client.health().await.is_ok());
    let tokens: Tokenized = client
        .ask(
            "/tokenize",
            &Tokenize {
                prompt: Prompt::Text("ab".to_owned()),
                add_special: false,
            },
        )
        .await
        .unwrap();
    assert_eq!(tokens.tokens, [97, 98]);
    // Neither arguments nor environment hold the token.
    #[cfg(target_os = "linux")]
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(format!("/proc/{}/{file}", launched.pid.unwrap())).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("runner::tests::child") || file == "environ");
        assert!(!text.contains(&*launched.token), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_that_is_refused_says_why() {
    let (_launched, client, _) = started().await;
    let request = Completion {
        num_ctx: Some(8),
        ..say("say:much longer than that")
    };
    let failure = client.complete(&request).await.err().expect("refused");
    assert!(
        matches!(failure.kind, FailureKind::TooLong { window: 8, .. }),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_dies_ends_its_answers_with_an_error() {
    let (mut launched, client, _) = started().await;
    let answer: Vec<Event> = client.complete(&say("die")).await.unwrap().collect().await;
    assert!(
        matches!(answer.last(), Some(Event::Failed(_))),
        "{answer:?}"
    );
    assert!(launched.reports.recv().await.is_none(), "its end is told");
    assert!(client.health().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_pipe_ends_a_runner_also_while_it_answers() {
    let (mut launched, client, _) = started().await;
    let mut answer = Box::pin(client.complete(&say("hang")).await.unwrap());
    launched.control.end();
    assert!(matches!(answer.next().await, Some(Event::Failed(_))));
    assert!(launched.reports.recv().await.is_none());
    assert!(client.health().await.is_err());
}

/// The server's own death, whatever kind it is, closes the pipe.
#[cfg(unix)]
#[test]
fn no_orphan_outlives_its_server() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let launcher = launcher();
    // A shell in the server's place: it starts the runner with the pipe, and is killed.
    let mut server = Command::new("sh")
        .arg("-c")
        .arg("exec 3<&0; \"$0\" \"$@\" <&3 & echo \"pid $!\"; exec 3<&-; wait")
        .arg(&launcher.program)
        .args(&launcher.arguments)
        .env(RUNNER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = server.stdin.take().unwrap();
    let hello = Hello {
        token: "t".to_owned(),
        spec: spec(),
    };
    writeln!(stdin, "{}", serde_json::to_string(&hello).unwrap()).unwrap();
    writeln!(
        stdin,
        "{}",
        serde_json::to_string(&Go {
            memory_budget: None
        })
        .unwrap()
    )
    .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut pid = None;
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some(number) = line.strip_prefix("pid ") {
            pid = Some(number.to_owned());
        }
        if line.contains("ready") {
            break;
        }
    }
    let pid = pid.expect("its number");
    server.kill().unwrap();
    server.wait().unwrap();
    let lives = || {
        Command::new("kill")
            .args(["-0", &pid])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    assert!(lives(), "it still has its pipe");
    drop(stdin);
    while lives() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_no_runner_fails_with_a_sentence() {
    let wrong = ProcessLauncher {
        program: "false".into(),
        arguments: Vec::new(),
        environment: Vec::new(),
    };
    let mut launched = wrong.launch(spec()).await.unwrap();
    match launched.reports.recv().await {
        Some(Report::Failed(failure)) => assert!(failure.message.contains("stopped"), "{failure}"),
        other => panic!("{other:?}"),
    }
    assert!(launched.reports.recv().await.is_none());
    let missing = ProcessLauncher {
        program: "/no/such/program".into(),
        ..wrong
    };
    let failure = missing
        .launch(spec())
        .await
        .err()
        .expect("it can't be started");
    assert!(!failure.message.contains("/no/such"), "a path: {failure}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_is_killed() {
    let (mut launched, client, _) = started().await;
    let signal = |name: &str| {
        let pid = launched.pid.unwrap().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    };
    signal("-STOP");
    // A signal takes a moment to arrive; then it answers nothing.
    let silence = Duration::from_millis(200);
    while tokio::time::timeout(silence, client.health()).await.is_ok() {}
    launched.control.end();
    assert!(launched.reports.recv().await.is_none(), "it was killed");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_reads_nothing_ends_when_it_is_told_to() {
    let deaf = ProcessLauncher {
        program: "sleep".into(),
        arguments: vec!["3600".into()],
        environment: Vec::new(),
    };
    // More than a pipe holds.
    let spec = Spec {
        adapters: vec!["a".repeat(1 << 20).into()],
        ..spec()
    };
    let mut launched = deaf.launch(spec).await.unwrap();
    launched.control.end();
    assert!(launched.reports.recv().await.is_none(), "it was killed");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_text_is_no_report_and_no_end() {
    let noisy = ProcessLauncher {
        program: "sh".into(),
        arguments: [
            "-c",
            // The shell keeps its output open while it waits.
            r#"printf '\377\n{"loading":0.5}\n'; cat > /dev/null; true"#,
        ]
        .map(Into::into)
        .to_vec(),
        environment: Vec::new(),
    };
    let mut launched = noisy.launch(spec()).await.unwrap();
    assert_eq!(launched.reports.recv().await, Some(Report::Loading(0.5)));
    launched.control.end();
    assert!(launched.reports.recv().await.is_none());
}
