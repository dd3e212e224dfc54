//! The commands as scripts use them: without a server, into a pipe.

use std::process::{Command, Output};

use llamakit_testkit::tiny;

use crate::fixture::*;

/// No server listens there, whatever this machine runs.
const NOBODY: &str = "127.0.0.1:1";

fn ollama(fixture: &Fixture, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ollama"))
        .args(words)
        .env_clear()
        .env("OLLAMA_HOST", NOBODY)
        .env("OLLAMA_MODELS", fixture.root())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn two_models() -> Fixture {
    let fixture = Fixture::new();
    let weights = tiny::llama().bytes();
    fixture.model(
        &format!("{LIBRARY}/llama3.2/latest"),
        SETTINGS,
        &[
            (MODEL, &weights),
            (TEMPLATE, b"{{ .Prompt }}"),
            (
                SYSTEM,
                b"You are a pirate!\nAhoy, matey!\n\nWeigh anchor!\n",
            ),
            (PARAMS, br#"{"stop":["a b"],"temperature":1}"#),
            (LICENSE, b"MIT License\nand more\n"),
        ],
    );
    fixture.model("hf.co/user/repo/Q8_0", SETTINGS, &[(MODEL, &weights)]);
    fixture
}

#[test]
fn list_prints_a_table() {
    let fixture = two_models();
    let output = ollama(&fixture, &["list"]);
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].starts_with("NAME                    ID              SIZE      MODIFIED"),
        "{lines:?}"
    );
    let llama = lines
        .iter()
        .find(|line| line.starts_with("llama3.2:latest         "))
        .unwrap();
    assert!(llama.contains(" ago    "), "{llama}");
    let (_, digest) = fixture.store().manifest(&name("llama3.2")).unwrap();
    assert!(
        llama.contains(&format!(" {}    ", digest.short())),
        "{llama}"
    );
    assert!(!stdout(&output).contains('\x1b'));
    assert_eq!(stderr(&output), "");
    assert_eq!(
        stdout(&ollama(&fixture, &["ls", "LLAMA"])).lines().count(),
        2
    );
    assert_eq!(
        stdout(&ollama(&fixture, &["ls", "nothing"])),
        "NAME    ID    SIZE    MODIFIED    \n"
    );
}

#[test]
fn list_prints_json() {
    let fixture = two_models();
    let output = ollama(&fixture, &["list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    let models = json["models"].as_array().unwrap();
    let model = models
        .iter()
        .find(|model| model["name"] == "llama3.2:latest")
        .unwrap();
    assert_eq!(model["model"], "llama3.2:latest");
    assert_eq!(model["details"]["quantization_level"], "Q4_K_M");
    assert_eq!(model["digest"].as_str().unwrap().len(), 64);
    assert!(model["size"].as_u64().unwrap() > 100_000);
}

#[test]
fn list_names_what_is_broken_and_goes_on() {
    let fixture = two_models();
    fixture.write_manifest(&format!("{LIBRARY}/broken/latest"), b"{");
    let output = ollama(&fixture, &["list"]);
    assert_eq!(stdout(&output).lines().count(), 3);
    assert!(
        stderr(&output).starts_with("Warning: broken:latest: invalid manifest: "),
        "{output:?}"
    );
}

#[test]
fn models_that_run_elsewhere_have_no_size() {
    let fixture = Fixture::new();
    let settings = r#"{"remote_host":"https://ollama.com:443","remote_model":"big"}"#;
    fixture.model(&format!("{LIBRARY}/m/cloud"), settings, &[(LICENSE, b"l")]);
    let output = ollama(&fixture, &["list"]);
    let line = stdout(&output).lines().last().unwrap();
    assert_eq!(line.split_whitespace().nth(2), Some("-"), "{line}");
}

/// A program that is called `ollama` and serves from a store, and no harm is meant.
#[cfg(target_os = "linux")]
#[test]
fn others_who_serve_from_the_store_are_named() {
    let fixture = two_models();
    let program = fixture.outside().join("ollama");
    std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
    std::fs::write(fixture.outside().join("serve"), "read line").unwrap();
    for (models, warned) in [
        (fixture.root(), true),
        (fixture.outside().join("other"), false),
    ] {
        let mut server = Command::new(&program)
            .arg("serve")
            .current_dir(fixture.outside())
            .env("OLLAMA_MODELS", models)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = server.id();
        // The system says so a moment after the program has begun.
        let command = format!("/proc/{pid}/cmdline");
        while !std::fs::read(&command).unwrap().ends_with(b"serve\0") {
            std::thread::yield_now();
        }
        let output = ollama(&fixture, &["cp", "llama3.2", "x"]);
        drop(server.stdin.take());
        server.wait().unwrap();
        stdout(&output);
        assert_eq!(
            stderr(&output).contains(&format!("process {pid})")),
            warned,
            "{output:?}"
        );
    }
}

#[test]
fn show_prints_sections() {
    let fixture = two_models();
    let output = ollama(&fixture, &["show", "llama3.2"]);
    let info = ollama::show::Info::read(&fixture.store(), &name("llama3.2")).unwrap();
    let (context, embedding) = (
        info.model_info["llama.context_length"].to_string(),
        info.model_info["llama.embedding_length"].to_string(),
    );
    let expected = format!(
        "  Model
    architecture        llama     
    parameters          8.0B      
    context length      {context:<6}    
    embedding length    {embedding:<6}    
    quantization        Q4_K_M    

  Capabilities
    completion    

  Parameters
    stop           \"a    b\"    
    temperature    1           

  System
    You are a pirate!    
    Ahoy, matey!         
    ...                  

  License
    MIT License    
    and more       

"
    );
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "");
}

#[test]
fn show_prints_one_part() {
    let fixture = two_models();
    let show = |flag: &str| stdout(&ollama(&fixture, &["show", "llama3.2", flag])).to_owned();
    assert_eq!(show("--license"), "MIT License\nand more\n\n");
    assert_eq!(
        show("--system"),
        "You are a pirate!\nAhoy, matey!\n\nWeigh anchor!\n"
    );
    assert_eq!(show("--template"), "{{ .Prompt }}");
    assert!(show("--parameters").starts_with("stop                           \"a b\"\n"));
    assert!(show("--modelfile").contains("\nFROM /"));
    let verbose = show("--verbose");
    assert!(
        verbose.contains("  Metadata\n") && verbose.contains("  Tensors\n"),
        "{verbose}"
    );
    assert!(verbose.contains("    llama.context_length "), "{verbose}");
    let json: serde_json::Value = serde_json::from_str(&show("--json")).unwrap();
    assert_eq!(json["capabilities"][0], "completion");
    let two = ollama(&fixture, &["show", "llama3.2", "--license", "--system"]);
    assert_eq!(two.status.code(), Some(1));
    assert!(
        stderr(&two).starts_with("Error: only one of '--license'"),
        "{two:?}"
    );
}

#[test]
fn copies_and_removes() {
    let fixture = two_models();
    let output = ollama(&fixture, &["cp", "llama3.2", "me/copy"]);
    assert_eq!(stdout(&output), "copied 'llama3.2' to 'me/copy'\n");
    let output = ollama(&fixture, &["rm", "llama3.2", "hf.co/user/repo:Q8_0"]);
    assert_eq!(
        stdout(&output),
        "deleted 'llama3.2'\ndeleted 'hf.co/user/repo:Q8_0'\n"
    );
    let listing = fixture.store().list().unwrap();
    assert_eq!((listing.models.len(), listing.broken.len()), (1, 0));
    stdout(&ollama(&fixture, &["rm", "me/copy"]));
    assert!(fixture.files().is_empty());
}

#[test]
fn errors_have_their_line_and_code() {
    let fixture = two_models();
    for (words, error) in [
        (&["rm", "nothing"][..], "Error: model 'nothing' not found\n"),
        (&["show", "nothing"], "Error: model 'nothing' not found\n"),
        (
            &["cp", "nothing", "x"],
            "Error: model 'nothing' not found\n",
        ),
    ] {
        let output = ollama(&fixture, words);
        assert_eq!((output.status.code(), stderr(&output)), (Some(1), error));
        assert!(output.stdout.is_empty());
    }
    let victim = fixture.outside().join("victim");
    std::fs::write(&victim, "x").unwrap();
    for words in [
        &["rm", "../../victim"][..],
        &["rm", "/etc/passwd"],
        &["cp", "llama3.2", "../victim"],
        &["show", "x:../../victim"],
        &["nonsense"],
        &["rm"],
        &["signin"],
        &["launch", "claude"],
    ] {
        let output = ollama(&fixture, words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(
            !stderr(&output).is_empty() && output.stdout.is_empty(),
            "{output:?}"
        );
    }
    assert!(victim.exists());
    let bad = Command::new(env!("CARGO_BIN_EXE_ollama"))
        .arg("list")
        .env_clear()
        .env("OLLAMA_HOST", NOBODY)
        .env("OLLAMA_MODELS", fixture.root())
        .env("OLLAMA_MAX_QUEUE", "many")
        .output()
        .unwrap();
    assert!(stderr(&bad).contains("OLLAMA_MAX_QUEUE"), "{bad:?}");
}

#[test]
fn help_lists_the_environment() {
    let fixture = Fixture::new();
    let help = ollama(&fixture, &["serve", "--help"]);
    // What Ollama lists, and some of what it lacks.
    for name in [
        "OLLAMA_DEBUG",
        "OLLAMA_HOST",
        "OLLAMA_CONTEXT_LENGTH",
        "OLLAMA_KEEP_ALIVE",
        "OLLAMA_MAX_LOADED_MODELS",
        "OLLAMA_MAX_TRANSFER_STREAMS",
        "OLLAMA_MAX_QUEUE",
        "OLLAMA_MODELS",
        "OLLAMA_NUM_PARALLEL",
        "OLLAMA_NO_CLOUD",
        "OLLAMA_NOPRUNE",
        "OLLAMA_ORIGINS",
        "OLLAMA_SCHED_SPREAD",
        "OLLAMA_FLASH_ATTENTION",
        "OLLAMA_KV_CACHE_TYPE",
        "OLLAMA_LLM_LIBRARY",
        "OLLAMA_GPU_OVERHEAD",
        "OLLAMA_IGPU_ENABLE",
        "LLAMA_ARG_FIT",
        "LLAMA_ARG_FIT_TARGET",
        "OLLAMA_LOAD_TIMEOUT",
        "OLLAMA_DETERMINISTIC",
        "OLLAMA_MIRRORS",
        "OLLAMA_API_KEYS",
    ] {
        assert!(
            stdout(&help).contains(&format!("\n      {name} ")),
            "{name}"
        );
    }
    assert!(stdout(&ollama(&fixture, &["--help"])).contains("ollama"));
    assert!(stdout(&ollama(&fixture, &["-v"])).starts_with("ollama version is "));
    let script = ollama(&fixture, &["completion", "bash"]);
    assert!(stdout(&script).contains("complete -F _ollama"));
}

#[test]
fn the_reader_of_the_output_may_leave() {
    let fixture = two_models();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ollama"))
        .arg("list")
        .env_clear()
        .env("OLLAMA_HOST", NOBODY)
        .env("OLLAMA_MODELS", fixture.root())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(stderr(&output), "");
}

/// Whatever happens at once, models come and go whole and shared blobs stay.
#[test]
fn two_processes_at_once() {
    let fixture = two_models();
    std::thread::scope(|scope| {
        for process in 0..2 {
            let fixture = &fixture;
            scope.spawn(move || {
                for n in 0..12 {
                    let (mine, common) = (format!("mine{process}:{n}"), "common".to_owned());
                    for to in [&mine, &common] {
                        stdout(&ollama(fixture, &["cp", "llama3.2", to]));
                    }
                    stdout(&ollama(fixture, &["rm", &mine]));
                    // The other one may have been first.
                    ollama(fixture, &["rm", &common]);
                    fixture.store().prune().unwrap();
                }
            });
        }
    });
    let listing = fixture.store().list().unwrap();
    assert_eq!(
        (listing.models.len(), listing.broken.len()),
        (2, 0),
        "{listing:?}"
    );
    let files = fixture.files();
    assert!(
        files
            .keys()
            .all(|path| !path.to_string_lossy().contains(".tmp-"))
    );
    fixture.store().model(&name("llama3.2")).unwrap();
}

#[test]
fn who_changes_the_store_waits_for_others_who_do() {
    let fixture = two_models();
    let lock = std::fs::File::create(fixture.root().join(".lock")).unwrap();
    fs4::FileExt::lock(&lock).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ollama"))
        .args(["rm", "llama3.2"])
        .env_clear()
        .env("OLLAMA_HOST", NOBODY)
        .env("OLLAMA_MODELS", fixture.root())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..20 {
        assert!(child.try_wait().unwrap().is_none());
        assert!(fixture.store().resolve(&name("llama3.2")).is_ok());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Who only looks does not wait.
    assert_eq!(stdout(&ollama(&fixture, &["list"])).lines().count(), 3);
    drop(lock);
    assert!(child.wait().unwrap().success());
    assert!(fixture.store().resolve(&name("llama3.2")).is_err());
}
