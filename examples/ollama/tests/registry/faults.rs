//! Downloads that break: what is right in the end, and how much is fetched twice.

use std::time::Duration;

use ollama::{Digest, Kind};

use crate::models::{Fault, Here, MIB, noise, registry, shelf};

const LENGTH: usize = 20 * MIB + 5;

/// Pulls a blob while these things go wrong, and says how many bytes were sent for it.
fn pulled(sums: bool, faults: &[Fault]) -> u64 {
    let weights = noise(LENGTH, 7);
    let shelf = shelf("library/m:latest", &[&weights]);
    {
        let mut shelf = shelf.lock().unwrap();
        shelf.faults = faults.iter().cloned().collect();
        shelf.sums = sums;
    }
    let server = registry(&shelf);
    let here = Here::new();
    let (result, _) = here.pull(&format!("{}/library/m", server.address));
    result.unwrap_or_else(|e| panic!("{faults:?}: {e}"));
    here.store.verify(&Digest::of_bytes(&weights)).unwrap();
    server.sent()
}

fn at_most_a_block_for_each(faults: &[Fault]) {
    let sent = pulled(false, faults);
    // Manifest and settings are a few hundred bytes.
    let most = LENGTH + faults.len() * MIB + 4096;
    assert!(
        sent <= most as u64,
        "{faults:?}: {sent} bytes were sent, {most} are enough"
    );
}

#[test]
fn a_connection_may_be_cut_anywhere() {
    let cuts = (0..=8).flat_map(|block| [block * MIB, block * MIB + 1, (block + 1) * MIB - 1]);
    let cuts: Vec<Fault> = cuts.filter(|&cut| cut < 8 * MIB).map(Fault::Cut).collect();
    for cut in &cuts {
        at_most_a_block_for_each(std::slice::from_ref(cut));
    }
    // Every answer is cut, for as long as it takes: what came is kept each time.
    let all: Vec<Fault> = (0..12).map(|n| Fault::Cut(MIB + n * 1000)).collect();
    at_most_a_block_for_each(&all);
}

#[test]
fn answers_that_are_errors_are_asked_for_again() {
    at_most_a_block_for_each(&[
        Fault::Status(500),
        Fault::Status(502),
        Fault::Later(429, 0),
        Fault::Later(503, 0),
        Fault::Status(408),
    ]);
}

#[test]
fn a_server_that_knows_no_ranges_will_do() {
    let whole = vec![Fault::Whole; 10];
    let sent = pulled(false, &whole);
    // Other connections may have begun before it was known.
    assert!(sent < 3 * LENGTH as u64, "{sent}");
}

#[test]
fn a_flipped_byte_is_found_and_its_block_fetched_again() {
    for at in [0, MIB - 1, 3 * MIB + 5, 8 * MIB - 1] {
        let sent = pulled(true, &[Fault::Flip(at)]);
        // The list has parts of 4 MiB; at most one of them is fetched again, and the list.
        assert!(sent <= (LENGTH + 4 * MIB + 8192) as u64, "{sent}");
    }
    // Without a list as well, for more.
    let sent = pulled(false, &[Fault::Flip(2 * MIB)]);
    assert!(sent <= 2 * LENGTH as u64 + 8192, "{sent}");
    pulled(
        true,
        &[Fault::Flip(5), Fault::Flip(MIB), Fault::Cut(7 * MIB + 1)],
    );
}

#[test]
fn what_can_not_be_made_right_leaves_nothing() {
    for sums in [true, false] {
        let weights = noise(3 * MIB, 8);
        let shelf = shelf("library/m:latest", &[&weights]);
        {
            let mut shelf = shelf.lock().unwrap();
            shelf.sums = sums;
            // Under the digest of the one there is another file.
            let digest = Digest::of_bytes(&weights).to_string();
            shelf
                .blobs
                .insert(digest, std::sync::Arc::new(noise(3 * MIB, 9)));
        }
        let server = registry(&shelf);
        let here = Here::new();
        let error = here
            .pull(&format!("{}/library/m", server.address))
            .0
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        assert!(error.to_string().contains("digest mismatch"), "{error}");
        assert_eq!(here.files(), [] as [&str; 0]);
        assert!(server.sent() < 3 * weights.len() as u64);
    }
}

#[test]
fn files_of_another_length_are_refused() {
    for fault in [
        Fault::Total(5),
        Fault::Total(LENGTH as u64 + 1),
        Fault::Shifted,
    ] {
        let weights = noise(LENGTH, 7);
        let shelf = shelf("library/m:latest", &[&weights]);
        shelf.lock().unwrap().faults = vec![fault.clone(); 50].into();
        let server = registry(&shelf);
        let here = Here::new();
        let error = here
            .pull(&format!("{}/library/m", server.address))
            .0
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{fault:?}: {error}");
    }
}

#[test]
fn short_bodies_are_not_the_end() {
    let weights = noise(2 * MIB + 100, 10);
    let shelf = shelf("library/m:latest", &[&weights]);
    let short = std::sync::Arc::clone(&shelf);
    let count = std::sync::atomic::AtomicU32::new(0);
    let server = crate::server::Server::start(move |request| {
        let mut reply = crate::models::answer(&short, request);
        if reply.body.range.len() > MIB {
            match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                // The connection stays open and nothing more comes.
                0 => {
                    reply.length = Some(reply.body.range.len());
                    reply.body.range.end -= MIB / 2;
                    reply.pause = Duration::from_millis(300);
                }
                // It says that less is coming.
                1 => {
                    let range = &mut reply.body.range;
                    range.end = range.start + MIB + 10;
                    let told = format!(
                        "bytes {}-{}/{}",
                        range.start,
                        range.end - 1,
                        reply.body.bytes.len()
                    );
                    reply.headers = vec![("Content-Range".to_owned(), told)];
                }
                _ => {}
            }
        }
        reply
    });
    let mut here = Here::new();
    here.config.stall = Duration::from_millis(100);
    here.pull(&format!("{}/library/m", server.address))
        .0
        .unwrap();
    here.store.verify(&Digest::of_bytes(&weights)).unwrap();
}

#[test]
fn who_never_recovers_is_given_up_and_what_came_stays() {
    let weights = noise(LENGTH, 7);
    let shelf = shelf("library/m:latest", &[&weights]);
    shelf.lock().unwrap().faults = std::iter::once(Fault::None)
        .chain(vec![Fault::Status(500); 60])
        .collect();
    let server = registry(&shelf);
    let mut here = Here::new();
    here.config.streams = 1;
    let name = format!("{}/library/m", server.address);
    let error = here.pull(&name).0.unwrap_err();
    assert_eq!(error.to_string(), "500: it broke");
    assert_eq!(here.files().len(), 2, "{:?}", here.files());
    shelf.lock().unwrap().faults.clear();
    let before = server.sent();
    here.pull(&name).0.unwrap();
    assert!(server.sent() - before <= (LENGTH - 8 * MIB + 4096) as u64);
}
