//! What survives a restart of the engine, and every file that must not be believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};
use std::time::Duration;

use super::*;
use llamakit::engine::Overflow;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a file before namespace and tokens.
const FIXED: usize = 56;
/// Where the tokens begin in the state that follows the header: after magic, model, layout, count.
const RECORD: usize = 40;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("llamakit-disk-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn params(&self) -> EngineParams {
        params().checkpoint_gap(32).state_dir(&self.0)
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn only_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    fn bytes(&self) -> u64 {
        let len = |path: &PathBuf| fs::metadata(path).unwrap().len();
        self.files().iter().map(len).sum()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lets an engine answer one request and end.
fn answer_and_end(tiny: &Tiny, params: &EngineParams, request: Request) -> Completion {
    let engine = engine(tiny, params);
    let answer = complete(&engine, request);
    engine.shutdown(Duration::from_secs(60));
    answer
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Writes to [`LOG`].
struct Logger;

impl std::io::Write for Logger {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All warnings since the first call.
fn warnings() -> String {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_writer(|| Logger)
            .init();
    });
    String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned()
}

#[test]
fn a_prompt_is_not_computed_again_after_a_restart() {
    for tiny in every_memory() {
        let folder = Folder::new(&format!("restart-{}", tiny.name()));
        let mut conversation = run_of(100, 1);
        let first = {
            let engine = engine(&tiny, &folder.params());
            let first = complete(&engine, greedy(&conversation, 20));
            engine.shutdown(Duration::from_secs(60));
            assert!(engine.metrics().prefixes_written > 0, "{}", tiny.name());
            first
        };
        let engine = engine(&tiny, &folder.params());
        let again = complete(&engine, greedy(&conversation, 20));
        assert_eq!(again.finished.cached_tokens, 99, "{}", tiny.name());
        assert_eq!(engine.metrics().prefixes_restored, 1, "{}", tiny.name());
        // From now on it is in memory.
        let third = complete(&engine, greedy(&conversation, 20));
        assert_eq!(third.finished.cached_tokens, 99, "{}", tiny.name());
        assert_eq!(engine.metrics().prefixes_restored, 1, "{}", tiny.name());
        drop(engine);
        conversation.extend(&first.tokens);
        conversation.extend(run_of(15, 2));
        let later = answer_and_end(&tiny, &folder.params(), greedy(&conversation, 10));
        assert!(later.finished.cached_tokens >= 119, "{}", tiny.name());
        if tiny.name().contains("lookback") {
            assert_eq!(again.tokens, first.tokens);
            assert_eq!(third.tokens, first.tokens);
            assert_eq!(later.tokens, solo(&tiny, &conversation, 10));
        }
    }
}

#[test]
fn deterministic_answers_stay_the_same() {
    for tiny in every_memory() {
        let folder = Folder::new(&format!("deterministic-{}", tiny.name()));
        let params = folder.params().deterministic(true).micro_batch_size(32);
        let prompt = run_of(90, 7);
        // What an engine of another kind computed may differ in the last bits.
        answer_and_end(&tiny, &folder.params(), greedy(&prompt, 30));
        let first = answer_and_end(&tiny, &params, greedy(&prompt, 30));
        let second = answer_and_end(&tiny, &params, greedy(&prompt, 30));
        assert_eq!(first.finished.cached_tokens, 0, "{}", tiny.name());
        assert_eq!(second.finished.cached_tokens, 64, "{}", tiny.name());
        assert_eq!(second.tokens, first.tokens, "{}", tiny.name());
    }
}

#[test]
fn nothing_is_written_unless_asked_for() {
    let tiny = tiny::llama();
    let folder = Folder::new("off");
    let engine_off = engine(&tiny, &params());
    complete(&engine_off, greedy(&run_of(50, 1), 4));
    engine_off.shutdown(Duration::from_secs(60));
    assert_eq!(engine_off.metrics().prefixes_written, 0);
    let request = || greedy(&run_of(50, 1), 4);
    answer_and_end(&tiny, &folder.params().reuse(false), request());
    assert!(!folder.0.exists());
    answer_and_end(&tiny, &folder.params(), request().reuse(false));
    let adapter = tiny::lora(&tiny, 4, "a");
    let with_adapter = engine(&tiny, &folder.params());
    let adapter = LoraAdapter::load(with_adapter.model(), adapter.path()).unwrap();
    complete(&with_adapter, request().lora_adapters(vec![(adapter, 1.0)]));
    drop(with_adapter);
    assert_eq!(folder.files(), [] as [PathBuf; 0]);
}

#[test]
fn what_is_there_is_used_only_by_those_who_may() {
    let tiny = tiny::lookback(7);
    let folder = Folder::new("apart");
    let prompt = run_of(80, 5);
    let cached = |tiny: &Tiny, params: &EngineParams, request: Request| {
        let engine = engine(tiny, params);
        let answer = complete(&engine, request.max_tokens(10));
        assert_eq!(answer.tokens, solo(tiny, &prompt, 10));
        // Ends without writing anything new.
        fs::rename(&folder.0, folder.0.with_extension("away")).unwrap();
        fs::write(&folder.0, "").unwrap();
        drop(engine);
        fs::remove_file(&folder.0).unwrap();
        fs::rename(folder.0.with_extension("away"), &folder.0).unwrap();
        answer.finished.cached_tokens
    };
    let ask = || greedy(&prompt, 10);
    answer_and_end(&tiny, &folder.params(), ask().namespace("one"));
    let same = folder.params();
    assert_eq!(cached(&tiny, &same, ask().namespace("one")), 79);
    assert_eq!(cached(&tiny, &same, ask().namespace("two")), 0);
    assert_eq!(cached(&tiny, &same, ask()), 0);
    assert_eq!(cached(&tiny, &same, ask().namespace("one").reuse(false)), 0);
    let other = tiny::lookback(8);
    assert_eq!(cached(&other, &same, ask().namespace("one")), 0);
    let wide = same
        .clone()
        .kv_types(llamakit::KvType::F32, llamakit::KvType::F32);
    assert_eq!(cached(&tiny, &wide, ask().namespace("one")), 0);
    let adapter = tiny::lora(&tiny, 4, "a");
    let with_adapter = engine(&tiny, &same);
    let adapter = LoraAdapter::load(with_adapter.model(), adapter.path()).unwrap();
    let request = ask().namespace("one").lora_adapters(vec![(adapter, 1.0)]);
    assert_eq!(complete(&with_adapter, request).finished.cached_tokens, 0);
}

/// Some models rotate keys differently in contexts that are longer than what they were trained on
/// first; the tiny one only says that it is one of them.
#[test]
fn a_context_beyond_the_original_length_is_another_one() {
    let key = "llama.rope.scaling.original_context_length";
    let tiny = tiny::llama().with(key, 512_u32);
    let folder = Folder::new("stretched");
    let ask = |pool: u32| {
        let params = folder.params().pool(pool);
        let answer = answer_and_end(&tiny, &params, greedy(&run_of(50, 1), 4));
        answer.finished.cached_tokens
    };
    assert_eq!([ask(512), ask(1024), ask(768), ask(256)], [0, 0, 49, 49]);
}

/// Asks for the prompt whose state a damaged file should have, and for its answer without it.
struct Doubter {
    tiny: Tiny,
    folder: Folder,
    prompt: Vec<Token>,
    expected: Vec<Token>,
    path: PathBuf,
    good: Vec<u8>,
}

impl Doubter {
    fn new(name: &str) -> Self {
        warnings();
        let tiny = tiny::lookback(7);
        let folder = Folder::new(name);
        let prompt = run_of(40, 11);
        let expected = solo(&tiny, &prompt, 8);
        answer_and_end(&tiny, &folder.params(), greedy(&prompt, 8));
        let path = folder.only_file();
        let good = fs::read(&path).unwrap();
        Self {
            tiny,
            folder,
            prompt,
            expected,
            path,
            good,
        }
    }

    /// The header's length: its checksum ends there.
    fn header(&self) -> usize {
        let tokens = u32::from_le_bytes(self.good[44..48].try_into().unwrap());
        FIXED + tokens as usize * 4 + 8
    }

    /// Recomputes all checksums of a file without namespace, so that only its content is wrong.
    fn sealed(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let (header, end) = (self.header(), bytes.len());
        let state = xxh3_64(&bytes[header..end - 8]);
        bytes[end - 8..].copy_from_slice(&state.to_le_bytes());
        let head = xxh3_64(&bytes[..header - 8]);
        bytes[header - 8..header].copy_from_slice(&head.to_le_bytes());
        bytes
    }

    /// Checks that a file is not used for anything, named in the log, and harms no answer.
    #[track_caller]
    fn assert_ignored(&self, what: &str, bytes: &[u8]) {
        fs::write(&self.path, bytes).unwrap();
        self.assert_path_ignored(what);
    }

    #[track_caller]
    fn assert_path_ignored(&self, what: &str) {
        let path = self.path.to_str().unwrap();
        let mentions = || warnings().matches(path).count();
        let before = mentions();
        let engine = engine(&self.tiny, &self.folder.params());
        for round in 0..2 {
            let answer = complete(&engine, greedy(&self.prompt, 8));
            assert_eq!(answer.tokens, self.expected, "{what}");
            let cached = answer.finished.cached_tokens;
            assert_eq!(cached, [0, 39][round], "{what}");
        }
        assert_eq!(engine.metrics().prefixes_restored, 0, "{what}");
        assert_eq!(mentions(), before + 1, "{what}");
    }
}

#[test]
fn a_file_that_was_cut_short_is_ignored() {
    let doubter = Doubter::new("cut");
    let (header, len) = (doubter.header(), doubter.good.len());
    let around = |place: usize| place - 1..=place + 1;
    let lengths = [0, 1, 20, 44]
        .into_iter()
        .chain(
            [8, FIXED, header - 8, header, header + RECORD, len - 8]
                .map(around)
                .into_iter()
                .flatten(),
        )
        .chain([len / 2, len - 1]);
    for len in lengths {
        doubter.assert_ignored(&format!("{len} bytes"), &doubter.good[..len]);
    }
    doubter.assert_ignored("longer", &[&doubter.good[..], &[0]].concat());
}

#[test]
fn a_file_with_a_changed_byte_is_ignored() {
    let doubter = Doubter::new("flipped");
    let (header, len) = (doubter.header(), doubter.good.len());
    let fields = [0, 7, 8, 23, 24, 39, 40, 43, 44, 47, 48, 55];
    let tokens = [FIXED, FIXED + 3, FIXED + 70, header - 9];
    let checksum = [header - 8, header - 1];
    let state = [0, 7, 8, 24, 32, RECORD, RECORD + 4, RECORD + 100].map(|place| header + place);
    let data = [header + (len - header) / 2, len - 100, len - 9];
    let end = [len - 8, len - 1];
    let places = fields
        .into_iter()
        .chain(tokens)
        .chain(checksum)
        .chain(state);
    for place in places.chain(data).chain(end) {
        let mut bytes = doubter.good.clone();
        bytes[place] ^= 0x10;
        doubter.assert_ignored(&format!("byte {place}"), &bytes);
    }
}

#[test]
fn random_damage_is_ignored() {
    let doubter = Doubter::new("random");
    let mut random = 99_u64;
    let mut below = |limit: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % limit
    };
    for round in 0..60 {
        let mut bytes = doubter.good.clone();
        for _ in 0..=below(6) {
            let near = [doubter.header(), bytes.len()][below(2)];
            let place = below(near);
            match below(4) {
                0 => bytes[place] ^= 1 << below(8),
                1 => bytes[place] = bytes[place].wrapping_add(1),
                2 => drop(bytes.drain(place..bytes.len().min(place + 1 + below(9)))),
                _ => bytes.insert(place, below(256) as u8),
            }
            if bytes.is_empty() {
                break;
            }
        }
        if bytes != doubter.good {
            doubter.assert_ignored(&format!("round {round}"), &bytes);
        }
    }
}

#[test]
fn what_is_no_file_of_ours_is_ignored() {
    let doubter = Doubter::new("foreign");
    doubter.assert_ignored("text", b"These are notes about something else.");
    doubter.assert_ignored("zeros", &[0; 5000]);
    doubter.assert_ignored("a model", &doubter.tiny.bytes());
    fs::remove_file(&doubter.path).unwrap();
    fs::create_dir(&doubter.path).unwrap();
    doubter.assert_path_ignored("a folder");
    #[cfg(unix)]
    {
        fs::remove_dir(&doubter.path).unwrap();
        let kept = doubter.folder.0.join("elsewhere");
        fs::write(&kept, &doubter.good).unwrap();
        std::os::unix::fs::symlink(&kept, &doubter.path).unwrap();
        doubter.assert_path_ignored("a link");
    }
}

/// Files with right checksums and wrong contents.
#[test]
fn a_well_made_lie_is_ignored() {
    let doubter = Doubter::new("lie");
    assert_eq!(doubter.sealed(doubter.good.clone()), doubter.good);
    let header = doubter.header();
    let lie = |place: usize, value: &[u8]| {
        let mut bytes = doubter.good.clone();
        bytes[place..place + value.len()].copy_from_slice(value);
        doubter.sealed(bytes)
    };
    let record = header + RECORD;
    let last =
        record + 8 * (u32::from_le_bytes(doubter.good[44..48].try_into().unwrap()) as usize - 1);
    let i32s = |value: i32| value.to_le_bytes();
    for (what, bytes) in [
        (
            "a token that does not exist",
            lie(FIXED + 8, &i32s(1 << 20)),
        ),
        ("a negative token", lie(FIXED + 8, &i32s(-1))),
        ("another token in the state", lie(record + 12, &i32s(77))),
        (
            "no such token in the state",
            lie(record + 12, &i32s(1 << 20)),
        ),
        ("a gap in the state", lie(last, &i32s(1000))),
        ("positions that do not ascend", lie(record, &i32s(5))),
        ("another model's state", lie(header + 8, &[1; 16])),
        ("a state of another layout", lie(header + 24, &[1; 8])),
        ("a huge count", lie(header + 32, &[0xff; 8])),
        ("a huge state", lie(48, &[0xff; 8])),
        ("a huge number of tokens", lie(44, &[0xff; 4])),
        ("garbage for upstream", lie(last + 16, &[0xff; 64])),
    ] {
        doubter.assert_ignored(what, &bytes);
    }
    // The header tells of another prompt than the state: that prompt gets its own answer.
    let bytes = lie(FIXED + 4 * 20, &i32s(77));
    fs::write(&doubter.path, bytes).unwrap();
    let mut other = doubter.prompt.clone();
    other[20] = Token(77);
    let answer = answer_and_end(&doubter.tiny, &doubter.folder.params(), greedy(&other, 8));
    assert_eq!(answer.finished.cached_tokens, 0);
    assert_eq!(answer.tokens, solo(&doubter.tiny, &other, 8));
}

#[test]
fn running_answers_survive_a_file_that_clears_the_memory() {
    let doubter = Doubter::new("cleared");
    let mut bytes = doubter.good.clone();
    let record = doubter.header() + RECORD;
    let tokens = u32::from_le_bytes(bytes[44..48].try_into().unwrap()) as usize;
    let last = record + 8 * (tokens - 1);
    // The record ends elsewhere than the memory, which is found out when it is already there.
    bytes[last..last + 4].copy_from_slice(&1000_i32.to_le_bytes());
    fs::write(&doubter.path, doubter.sealed(bytes)).unwrap();
    let engine = engine(&doubter.tiny, &doubter.folder.params());
    let long = run_of(60, 12);
    let mut running = engine.submit(greedy(&long, 190)).unwrap();
    while !matches!(running.next(), Some(Event::Token(_))) {}
    let answer = complete(&engine, greedy(&doubter.prompt, 8));
    assert_eq!(answer.tokens, doubter.expected);
    let running = running.complete().unwrap();
    assert_reason(&running.finished, "MaxTokens");
    let rest = &solo(&doubter.tiny, &long, 190)[190 - running.tokens.len()..];
    assert_eq!(running.tokens, rest);
}

#[test]
fn the_latest_prefixes_stay_below_the_cap() {
    for tiny in every_memory() {
        let folder = Folder::new(&format!("cap-{}", tiny.name()));
        let prompt = |index: u32| run_of(60, 200 + index);
        answer_and_end(&tiny, &folder.params(), greedy(&prompt(0), 4));
        let cap = folder.bytes() * 5 / 2;
        let params = folder.params().state_cap(cap);
        for round in [1, 3] {
            let engine = engine(&tiny, &params);
            for index in round..round + 2 {
                complete(&engine, greedy(&prompt(index), 4));
            }
            drop(engine);
            assert!(folder.bytes() <= cap, "{}: {}", tiny.name(), folder.bytes());
        }
        let engine = engine(&tiny, &params);
        for (index, there) in [(4, true), (3, true), (0, false)] {
            let cached = complete(&engine, greedy(&prompt(index), 4))
                .finished
                .cached_tokens;
            assert_eq!(cached >= 40, there, "{}: {index}, {cached}", tiny.name());
        }
        drop(engine);
        answer_and_end(&tiny, &params.state_cap(100), greedy(&prompt(9), 4));
        assert_eq!(folder.bytes(), 0, "{}", tiny.name());
    }
}

#[test]
fn what_was_used_last_leaves_last() {
    let tiny = tiny::llama();
    let folder = Folder::new("order");
    let first = engine(&tiny, &folder.params());
    let cached = |engine: &Engine, index: u32| {
        let answer = complete(engine, greedy(&run_of(60, 300 + index), 4));
        answer.finished.cached_tokens
    };
    for index in [0, 1, 2, 3, 0] {
        cached(&first, index);
    }
    drop(first);
    let half = folder.bytes() / 2 + 1;
    let second = engine(&tiny, &folder.params().state_cap(half));
    assert!(folder.bytes() <= half);
    assert_eq!(
        [0, 1, 2, 3].map(|index| cached(&second, index)),
        [59, 0, 0, 59]
    );
}

#[test]
fn a_conversation_that_grows_takes_one_file() {
    let tiny = tiny::lookback(7);
    let folder = Folder::new("grows");
    let mut conversation = run_of(40, 13);
    for turn in 0..4 {
        let written = |expected: u64| {
            let engine = engine(&tiny, &folder.params());
            let answer = complete(&engine, greedy(&conversation, 10));
            engine.shutdown(Duration::from_secs(60));
            assert_eq!(engine.metrics().prefixes_written, expected, "turn {turn}");
            folder.only_file();
            answer
        };
        let answer = written(1);
        assert_eq!(answer.finished.cached_tokens > 0, turn > 0);
        // Asked again, nothing is new.
        assert_eq!(written(0).tokens, answer.tokens);
        conversation.extend(answer.tokens);
        conversation.extend(run_of(10, turn));
    }
}

#[cfg(unix)]
#[test]
fn others_cannot_read_prompts() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("mode");
    answer_and_end(&tiny::llama(), &folder.params(), greedy(&run_of(50, 1), 4));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0), 0o700);
    assert_eq!(mode(&folder.only_file()), 0o600);
}

#[test]
fn engines_share_a_folder() {
    let tiny = tiny::lookback(7);
    let folder = Folder::new("shared");
    let [one, two] = [run_of(60, 21), run_of(60, 22)];
    let (first, second) = (
        engine(&tiny, &folder.params()),
        engine(&tiny, &folder.params()),
    );
    complete(&first, greedy(&one, 8));
    complete(&second, greedy(&two, 8));
    complete(&second, greedy(&one, 8));
    std::thread::scope(|scope| {
        scope.spawn(|| drop(first));
        scope.spawn(|| drop(second));
    });
    assert_eq!(folder.files().len(), 2);
    let third = engine(&tiny, &folder.params());
    let answer = complete(&third, greedy(&one, 8));
    assert_eq!(answer.finished.cached_tokens, 59);
    assert_eq!(answer.tokens, solo(&tiny, &one, 8));
    // Another engine may remove a file at any time.
    for path in folder.files() {
        fs::remove_file(path).unwrap();
    }
    let answer = complete(&third, greedy(&two, 8));
    assert_eq!(answer.finished.cached_tokens, 0);
    assert_eq!(answer.tokens, solo(&tiny, &two, 8));
}

#[test]
fn a_folder_that_cannot_be_used_stops_nothing() {
    let tiny = tiny::lookback(7);
    let folder = Folder::new("unusable");
    let prompt = run_of(50, 31);
    fs::write(&folder.0, "a file").unwrap();
    for path in [folder.0.clone(), folder.0.join("below")] {
        let params = params().state_dir(path);
        let answer = answer_and_end(&tiny, &params, greedy(&prompt, 8));
        assert_eq!(answer.tokens, solo(&tiny, &prompt, 8));
    }
    assert_eq!(fs::read(&folder.0).unwrap(), b"a file");
    fs::remove_file(&folder.0).unwrap();
    // It goes away while the engine runs.
    let engine = engine(&tiny, &folder.params());
    fs::remove_dir(&folder.0).unwrap();
    complete(&engine, greedy(&prompt, 8));
    engine.shutdown(Duration::from_secs(60));
    assert_eq!(engine.metrics().prefixes_written, 0);
}

#[test]
fn a_prefix_that_does_not_fit_beside_running_answers_waits_for_another_time() {
    let tiny = tiny::lookback(7);
    let folder = Folder::new("room");
    let prefix = run_of(200, 41);
    answer_and_end(&tiny, &folder.params(), greedy(&prefix, 8));
    let small = folder.params().parallel(2).pool(256);
    let engine = engine(&tiny, &small);
    // Never ends, and never has fewer than 80 of the 256 cells.
    let endless = greedy(&run_of(100, 42), usize::MAX)
        .context_length(180)
        .overflow(Overflow::Shift { keep: 0 });
    let mut running = engine.submit(endless).unwrap();
    while !matches!(running.next(), Some(Event::Token(_))) {}
    let short = [&prefix[..40], &run_of(5, 43)].concat();
    let answer = complete(&engine, greedy(&short, 8));
    assert_eq!(answer.finished.cached_tokens, 0);
    assert_eq!(answer.tokens, solo(&tiny, &short, 8));
    drop(running);
    let whole = [&prefix[..180], &run_of(5, 44)].concat();
    let answer = complete(&engine, greedy(&whole, 8));
    assert_eq!(answer.finished.cached_tokens, 180);
    assert_eq!(answer.tokens, solo(&tiny, &whole, 8));
}

#[test]
fn what_a_request_had_computed_when_the_engine_ended_is_kept() {
    let tiny = tiny::llama();
    let folder = Folder::new("ended");
    let prompt = run_of(60, 51);
    let engine = engine(&tiny, &folder.params());
    let mut running = engine.submit(greedy(&prompt, 150)).unwrap();
    while !matches!(running.next(), Some(Event::Token(_))) {}
    drop(engine);
    let again = answer_and_end(&tiny, &folder.params(), greedy(&prompt, 4));
    assert_eq!(again.finished.cached_tokens, 59);
}
