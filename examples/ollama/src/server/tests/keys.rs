//! Keys that are added, removed and changed while the server runs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::digest::Digest;

/// A server and its file of keys.
struct Keyed {
    bench: Arc<Bench>,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

fn line(key: &str, rest: &str) -> String {
    format!("{key} {} {rest}\n", Digest::of_bytes(key.as_bytes()))
}

fn ask(key: &str, prompt: &str) -> Request<Body> {
    let body = json!({"model": "plain", "prompt": prompt, "stream": false});
    let mut request = request(Method::POST, "/api/generate", body.to_string());
    let value = format!("Bearer {key}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
    request
}

impl Keyed {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        std::fs::write(&file, text).unwrap();
        let bench = Arc::new(Bench::with(&[("OLLAMA_API_KEYS", file.to_str().unwrap())]));
        Self {
            bench,
            file,
            _dir: dir,
        }
    }

    /// Writes the file, and looks at it as the server does from time to time.
    fn write(&self, text: impl AsRef<[u8]>) {
        std::fs::write(&self.file, text).unwrap();
        self.look();
    }

    fn look(&self) {
        for _ in 0..2 {
            self.bench.app.keys.as_ref().unwrap().look();
        }
    }

    async fn status(&self, key: &str) -> u16 {
        self.bench.send(ask(key, "say:x")).await.status.as_u16()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_runs_notices_what_changes() {
    let keyed = Keyed::new(&line("old", "infer"));
    assert_eq!(keyed.status("old").await, 200);
    assert_eq!(keyed.status("new").await, 401);
    // As long as before, and perhaps at the same time.
    std::fs::write(&keyed.file, line("new", "infer")).unwrap();
    let written = Instant::now();
    while keyed.status("new").await != 200 {
        assert!(written.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(keyed.status("old").await, 401);
    // Put into its place as `ollama keys` and mounted secrets do.
    let other = keyed.file.with_extension("new");
    std::fs::write(&other, line("old", "infer") + &line("new", "infer")).unwrap();
    std::fs::rename(other, &keyed.file).unwrap();
    keyed.look();
    assert_eq!(keyed.status("old").await, 200);
    assert_eq!(keyed.status("new").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_used_changes_nothing() {
    let good = line("a", "infer");
    let keyed = Keyed::new(&good);
    let b = line("b", "infer");
    for bad in [
        format!("{b}nonsense"),
        format!("{b}{b}"),
        format!("{b}{}", "# \n".repeat(1 << 20)),
    ] {
        keyed.write(bad);
        assert_eq!(keyed.status("a").await, 200);
        assert_eq!(keyed.status("b").await, 401);
    }
    keyed.write([b.as_bytes(), b"\xff"].concat());
    assert_eq!(keyed.status("a").await, 200);
    // Gone, and a folder in its place: nobody gets in who did not before.
    std::fs::remove_file(&keyed.file).unwrap();
    keyed.look();
    assert_eq!(keyed.status("a").await, 200);
    assert_eq!(keyed.status("b").await, 401);
    assert_eq!(keyed.bench.get("/api/tags").await.status, 401);
    std::fs::create_dir(&keyed.file).unwrap();
    keyed.look();
    assert_eq!(keyed.status("a").await, 200);
    assert_eq!(keyed.bench.get("/api/tags").await.status, 401);
    std::fs::remove_dir(&keyed.file).unwrap();
    // It is there again.
    keyed.write(&b);
    assert_eq!(keyed.status("a").await, 401);
    assert_eq!(keyed.status("b").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_key_can_be_removed() {
    let keyed = Keyed::new(&line("a", "infer"));
    keyed.write("# nobody\n");
    assert_eq!(keyed.status("a").await, 401);
    assert_eq!(keyed.bench.get("/api/tags").await.status, 401);
    assert_eq!(keyed.bench.get("/livez").await.status, 200);
    keyed.write(line("a", "infer"));
    assert_eq!(keyed.status("a").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_stay_count_on_and_limits_that_change_hold() {
    let keyed = Keyed::new(&(line("a", "infer parallel=1") + &line("b", "infer per-minute=2")));
    let hanging = {
        let (bench, request) = (Arc::clone(&keyed.bench), ask("a", "hang"));
        tokio::spawn(async move { bench.send(request).await })
    };
    while keyed.bench.app.scheduler.granted() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(keyed.status("b").await, 200);
    assert_eq!(keyed.status("b").await, 200);
    let with_c = |a: &str, b: &str| line("a", a) + &line("b", b) + &line("c", "infer");
    keyed.write(with_c("infer parallel=1", "infer per-minute=2"));
    assert_eq!(keyed.status("c").await, 200);
    assert_eq!(keyed.status("a").await, 429);
    assert_eq!(keyed.status("b").await, 429);
    // One more than run, and one more than came.
    keyed.write(with_c("infer parallel=2", "infer per-minute=3"));
    assert_eq!(keyed.status("a").await, 200);
    assert_eq!(keyed.status("b").await, 200);
    assert_eq!(keyed.status("b").await, 429);
    // A limit for what had none counts what runs already.
    keyed.write(with_c("infer", "infer"));
    assert_eq!(keyed.status("a").await, 200);
    keyed.write(with_c("infer parallel=1", "infer"));
    assert_eq!(keyed.status("a").await, 429);
    hanging.abort();
    let _ = hanging.await;
    assert_eq!(keyed.status("a").await, 200);
}
