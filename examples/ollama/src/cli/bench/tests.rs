//! Against a server with fake runners, over real connections.

use std::collections::HashSet;

use super::*;
use crate::runner::wire::Prompt;
use crate::server::tests::Live;

fn args(model: &str) -> BenchArgs {
    BenchArgs {
        model: model.to_owned(),
        clients: 3,
        words: 20,
        tokens: 64,
        rounds: 4,
        json: true,
    }
}

#[test]
fn every_client_asks_and_the_warm_up_does_not_count() {
    let live = Live::new();
    let summary = measure(&args("plain"), &live.settings).unwrap();
    assert_eq!((summary.requests, summary.clients), (12, 3));
    // The fake says two tokens.
    assert_eq!(summary.answer_tokens, 24);
    let first = summary.first_token_ms.unwrap();
    let whole = summary.request_ms.unwrap();
    assert!(first.median > 0.0 && first.median <= whole.median && first.p99 <= whole.p99);
    assert!(summary.all_tokens_per_second > summary.all_answer_tokens_per_second);
    let asked = live.bench.launcher.seen.lock().unwrap().clone();
    assert_eq!(asked.len(), 13, "with one that is not counted");
    let prompts: HashSet<String> = asked
        .iter()
        .map(|asked| match &asked.prompt {
            Prompt::Text(text) => text.clone(),
            Prompt::Segments(pieces) => pieces.iter().map(|piece| piece.t.as_str()).collect(),
        })
        .collect();
    assert_eq!(
        prompts.len(),
        13,
        "each has a prompt of its own: {prompts:?}"
    );
    assert!(asked.iter().all(|asked| asked.ignore_eos));
    let limits: Vec<Option<u64>> = asked.iter().map(|asked| asked.max_tokens).collect();
    assert_eq!(limits[0], Some(8));
    assert!(
        limits[1..].iter().all(|limit| *limit == Some(64)),
        "{limits:?}"
    );
    let table = summary.table();
    for part in [
        "plain: 3 clients, 12 requests",
        "first token, ms",
        "answer, tokens/s",
        "MEDIAN",
        "all together: ",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(
        !table.contains(|c: char| c.is_control() && c != '\n'),
        "{table}"
    );
}

#[test]
fn what_the_server_says_is_told() {
    let live = Live::new();
    let error = measure(&args("nothing"), &live.settings).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let error = measure(&args("embed"), &live.settings).unwrap_err();
    assert!(
        error.to_string().contains("does not support generate"),
        "{error}"
    );
}

#[test]
fn long_prompts_get_a_context_that_holds_them() {
    let plan = |words, tokens| Plan {
        model: "m".to_owned(),
        words,
        tokens,
    };
    let window = |plan: Plan| plan.request(1)["options"]["num_ctx"].as_u64();
    assert_eq!(window(plan(200, 128)), None, "the server's own");
    assert_eq!(window(plan(3000, 128)), Some(9192));
    assert_eq!(window(plan(1, 5000)), Some(5067));
}
