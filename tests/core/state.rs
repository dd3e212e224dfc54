//! Sequences saved to bytes and files, and every way in which these can be wrong.

use std::path::PathBuf;

use llamakit::gguf::Overrides;
use llamakit::{
    Context, ContextParams, ErrorKind, FlashAttention, KvType, Model, ModelParams, SeqId,
};
use llamakit_testkit::tiny;

use crate::{
    A, B, assert_close, context, decode, every_memory, fresh_logits, load, params, record, refused,
    run_of,
};

/// The fixed part before the token record: magic, fingerprint, layout, number of tokens.
const HEADER: usize = 8 + 16 + 8 + 8;

fn saved(context: &mut Context, seq: SeqId) -> Vec<u8> {
    context.kv_cache_mut().save_sequence(seq).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("llamakit-state-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_restored_sequence_goes_on_as_the_saved_one() {
    for tiny in every_memory().into_iter().chain([tiny::moe()]) {
        for unified in [true, false] {
            let params = params().sequences(2).context_length(512).unified(unified);
            let mut one = context(&tiny, &params);
            decode(&mut one, B, &run_of(6, 9));
            decode(&mut one, A, &run_of(40, 1));
            let bytes = saved(&mut one, A);
            let want = decode(&mut one, A, &run_of(5, 2));
            let what = format!("{} unified {unified}", tiny.name());
            // Into another context, another sequence, over what is there.
            let mut two = context(&tiny, &params);
            decode(&mut two, A, &run_of(11, 3));
            decode(&mut two, B, &run_of(11, 4));
            two.kv_cache_mut().restore_sequence(B, &bytes).unwrap();
            assert!(two.kv_cache().tokens(B).eq(run_of(40, 1)), "{what}");
            assert_close(&decode(&mut two, B, &run_of(5, 2)), &want, &what);
            let neighbour = [run_of(11, 3), run_of(2, 5)].concat();
            let neighbour = fresh_logits(&tiny, &crate::params(), &neighbour);
            assert_close(&decode(&mut two, A, &run_of(2, 5)), &neighbour, &what);
            // Back into where it came from.
            one.kv_cache_mut().restore_sequence(A, &bytes).unwrap();
            assert_close(&decode(&mut one, A, &run_of(5, 2)), &want, &what);
        }
    }
}

#[test]
fn every_cache_type_can_be_saved() {
    for kind in [
        KvType::F32,
        KvType::F16,
        KvType::Bf16,
        KvType::Q8_0,
        KvType::Q4_0,
    ] {
        for tiny in [tiny::llama(), tiny::gemma3(), tiny::lfm2()] {
            let params = params().kv_types(kind, kind);
            let mut one = context(&tiny, &params);
            decode(&mut one, A, &run_of(30, 1));
            let bytes = saved(&mut one, A);
            let want = decode(&mut one, A, &run_of(5, 2));
            let mut two = context(&tiny, &params);
            two.kv_cache_mut().restore_sequence(A, &bytes).unwrap();
            let what = format!("{} {kind:?}", tiny.name());
            assert_close(&decode(&mut two, A, &run_of(5, 2)), &want, &what);
        }
    }
}

#[test]
fn an_empty_sequence_is_saved_as_one() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        let bytes = saved(&mut context, A);
        decode(&mut context, A, &run_of(5, 1));
        context.kv_cache_mut().restore_sequence(A, &bytes).unwrap();
        assert!(context.kv_cache().is_empty());
        let want = fresh_logits(&tiny, &params(), &run_of(5, 1));
        assert_close(&decode(&mut context, A, &run_of(5, 1)), &want, tiny.name());
    }
}

#[test]
fn every_damaged_byte_is_noticed_and_nothing_is_changed() {
    for tiny in every_memory() {
        let mut context = context(&tiny, &params());
        decode(&mut context, A, &run_of(12, 1));
        let bytes = saved(&mut context, A);
        let before = record(&context);
        let record_end = HEADER + 12 * 8 + 8;
        let mut places: Vec<usize> = (0..record_end).collect();
        places.extend(bytes.len() - 8..bytes.len());
        let dice = run_of(400, 3);
        places.extend(
            dice.chunks(2)
                .map(|d| (d[0].0 as usize * 251 + d[1].0 as usize * 7919) % bytes.len()),
        );
        for place in places {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] ^= flip;
                let error = context
                    .kv_cache_mut()
                    .restore_sequence(A, &damaged)
                    .unwrap_err();
                assert_eq!(error.kind(), ErrorKind::State, "byte {place}: {error}");
            }
        }
        for cut in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            let error = context
                .kv_cache_mut()
                .restore_sequence(A, &bytes[..cut])
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State, "cut at {cut}: {error}");
        }
        let longer = [&bytes[..], b"\0"].concat();
        refused(
            context.kv_cache_mut().restore_sequence(A, &longer),
            ErrorKind::State,
            &[],
        );
        refused(
            context.kv_cache_mut().restore_sequence(A, &[]),
            ErrorKind::State,
            &["short"],
        );
        refused(
            context.kv_cache_mut().restore_sequence(A, &[7; 300]),
            ErrorKind::State,
            &["no saved"],
        );
        assert_eq!(record(&context), before);
        let got = decode(&mut context, A, &run_of(4, 2));
        let want = fresh_logits(&tiny, &params(), &[run_of(12, 1), run_of(4, 2)].concat());
        assert_close(&got, &want, tiny.name());
    }
}

#[test]
fn another_format_version_is_named() {
    let mut context = context(&tiny::llama(), &params());
    decode(&mut context, A, &run_of(4, 1));
    let mut bytes = saved(&mut context, A);
    bytes[7] = 9;
    refused(
        context.kv_cache_mut().restore_sequence(A, &bytes),
        ErrorKind::State,
        &["version 9"],
    );
}

#[test]
fn states_of_other_models_and_layouts_are_refused() {
    let tiny = tiny::llama();
    let base = || params().sequences(2).context_length(512);
    let mut one = context(&tiny, &base());
    decode(&mut one, A, &run_of(12, 1));
    let bytes = saved(&mut one, A);

    let refuses = |mut context: Context, word: &str| {
        decode(&mut context, B, &run_of(5, 2));
        let before = record(&context);
        refused(
            context.kv_cache_mut().restore_sequence(A, &bytes),
            ErrorKind::State,
            &[word],
        );
        assert_eq!(record(&context), before);
        decode(&mut context, B, &run_of(1, 3));
    };
    for other in [
        tiny::moe(),
        tiny::mamba(),
        tiny::llama().with("general.name", "another"),
        tiny::llama().map_tensor("output.weight", |tensor| tensor.data[0] ^= 1),
    ] {
        refuses(context(&other, &base()), "another model");
    }
    let mut overrides = Overrides::new();
    overrides.set("llama.context_length", 1024).unwrap();
    let overridden = Model::load(tiny.path(), &ModelParams::new().overrides(overrides)).unwrap();
    refuses(Context::new(&overridden, &base()).unwrap(), "another model");
    let layouts: [ContextParams; 5] = [
        base().kv_types(KvType::Q8_0, KvType::Q8_0),
        base().kv_types(KvType::F16, KvType::Bf16),
        base().unified(false),
        base().flash_attention(FlashAttention::Off),
        base().rope_freq_base(5000.0),
    ];
    for layout in &layouts {
        refuses(context(&tiny, layout), "cache types");
    }
    let mut lora = context(&tiny, &base());
    let adapter =
        llamakit::LoraAdapter::load(lora.model(), tiny::lora(&tiny, 4, "a").path()).unwrap();
    lora.set_lora_adapters(&[(adapter, 1.0)]).unwrap();
    refuses(lora, "adapters");
    // Room, batch sizes and threads may differ.
    let small = base()
        .context_length(256)
        .batch_size(32)
        .micro_batch_size(8)
        .threads(2);
    context(&tiny, &small)
        .kv_cache_mut()
        .restore_sequence(B, &bytes)
        .unwrap();
}

#[test]
fn more_tokens_than_the_context_holds_are_refused() {
    for tiny in every_memory() {
        let mut one = context(&tiny, &params().context_length(512));
        for seed in 0..5 {
            decode(&mut one, A, &run_of(60, seed));
        }
        let bytes = saved(&mut one, A);
        let mut two = context(&tiny, &params());
        let error = two.kv_cache_mut().restore_sequence(A, &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{}: {error}", tiny.name());
        let want = fresh_logits(&tiny, &params(), &run_of(5, 1));
        assert_close(&decode(&mut two, A, &run_of(5, 1)), &want, tiny.name());
    }
}

#[test]
fn no_room_beside_other_sequences_is_an_error_too() {
    let tiny = tiny::llama();
    let mut one = context(&tiny, &params().sequences(2));
    decode(&mut one, A, &run_of(100, 1));
    let bytes = saved(&mut one, A);
    let mut two = context(&tiny, &params().sequences(2));
    decode(&mut two, A, &run_of(100, 2));
    decode(&mut two, A, &run_of(100, 3));
    refused(
        two.kv_cache_mut().restore_sequence(B, &bytes),
        ErrorKind::State,
        &["not accept"],
    );
    assert_eq!((two.kv_cache().len(A), two.kv_cache().len(B)), (200, 0));
    two.kv_cache_mut().remove_sequence(A).unwrap();
    two.kv_cache_mut().restore_sequence(B, &bytes).unwrap();
    let want = fresh_logits(&tiny, &params(), &[run_of(100, 1), run_of(4, 5)].concat());
    assert_close(&decode(&mut two, B, &run_of(4, 5)), &want, "with room");
}

#[test]
fn files_are_private_complete_and_replaced_at_once() {
    let folder = scratch("files");
    let path = folder.join("a conversation.state");
    let tiny = tiny::llama();
    let mut one = context(&tiny, &params());
    decode(&mut one, A, &run_of(12, 1));
    std::fs::write(&path, "what was there before").unwrap();
    one.kv_cache_mut().save_sequence_to(A, &path).unwrap();
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(std::fs::read(&path).unwrap(), saved(&mut one, A));
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        1,
        "no temporary file stays"
    );
    let want = decode(&mut one, A, &run_of(5, 2));
    let mut two = context(&tiny, &params());
    two.kv_cache_mut().restore_sequence_from(A, &path).unwrap();
    assert_close(&decode(&mut two, A, &run_of(5, 2)), &want, "from the file");

    std::fs::write(&path, b"LKITSEQ\x01 and rubbish").unwrap();
    let rubbish = two.kv_cache_mut().restore_sequence_from(A, &path);
    refused(rubbish, ErrorKind::State, &["a conversation.state"]);
    let missing = two
        .kv_cache_mut()
        .restore_sequence_from(A, folder.join("missing"));
    refused(missing, ErrorKind::Io, &["missing"]);
    let nowhere = two
        .kv_cache_mut()
        .save_sequence_to(A, folder.join("no/such/folder"));
    refused(nowhere, ErrorKind::Io, &["folder"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_same_model_from_another_place_takes_the_state() {
    let folder = scratch("moved");
    let tiny = tiny::llama();
    let copy = folder.join("copy.gguf");
    std::fs::copy(tiny.path(), &copy).unwrap();
    let mut one = context(&tiny, &params());
    decode(&mut one, A, &run_of(12, 1));
    let bytes = saved(&mut one, A);
    let moved = Model::load(&copy, &ModelParams::new()).unwrap();
    let mut two = Context::new(&moved, &params()).unwrap();
    two.kv_cache_mut().restore_sequence(A, &bytes).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    // The file may go while the model is in use.
    assert!(!saved(&mut two, A).is_empty());
    drop(load(&tiny));
}
