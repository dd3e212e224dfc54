//! Vectors of texts and reranking scores.

use llamakit::{
    Batch, Context, ContextParams, Decoded, Embeddings, ErrorKind, Outputs, Pooling, SeqId, Token,
};
use llamakit_testkit::tiny::{self, Tiny};

use crate::{A, context, load, params, refused, run_of};

fn embedder(tiny: &Tiny, sequences: u32, pooling: Pooling) -> Context {
    let params = params()
        .batch_size(64)
        .sequences(sequences)
        .embeddings(true)
        .pooling(pooling);
    context(tiny, &params)
}

fn inputs() -> Vec<Vec<Token>> {
    [12, 3, 30, 1, 25, 12]
        .iter()
        .zip(1..)
        .map(|(&len, seed)| run_of(len, seed))
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn many_at_once_are_what_each_is_alone() {
    for (tiny, pooling) in [
        (tiny::bert(), Pooling::Model),
        (tiny::bert(), Pooling::Cls),
        (tiny::bert(), Pooling::Last),
        (tiny::llama(), Pooling::Mean),
        (tiny::llama(), Pooling::Last),
        (tiny::gemma3(), Pooling::Mean),
        (tiny::mamba(), Pooling::Last),
        (tiny::lfm2(), Pooling::Mean),
    ] {
        let what = format!("{} {pooling:?}", tiny.name());
        let together = embedder(&tiny, 4, pooling).embed(&inputs()).unwrap();
        assert_eq!((together.len(), together.dim()), (6, 64), "{what}");
        let mut alone = embedder(&tiny, 1, pooling);
        for (row, input) in together.iter().zip(inputs()) {
            let single = alone.embed(&[&input]).unwrap();
            let cosine = cosine(row, single.get(0).unwrap());
            assert!(cosine >= 0.9999, "{what}: {cosine}");
        }
        assert!(
            together.cosine(0, 2).unwrap() < 0.9999,
            "{what}: all texts look alike"
        );
        assert!(alone.kv_cache().is_empty());
    }
}

#[test]
fn poolings_are_the_mean_the_first_and_the_last_of_the_tokens() {
    let tiny = tiny::bert();
    let tokens = run_of(9, 1);
    let mut single = embedder(&tiny, 1, Pooling::None);
    let mut batch = Batch::new();
    batch.add_run(&tokens, 0, A, Outputs::All);
    assert_eq!(single.decode(&batch).unwrap(), Decoded::Done);
    let rows: Vec<Vec<f32>> = (0..9)
        .map(|i| single.embedding(i).unwrap().to_vec())
        .collect();
    let mean = (0..64)
        .map(|k| rows.iter().map(|row| row[k]).sum::<f32>() / 9.0)
        .collect();
    for (pooling, want) in [
        (Pooling::Mean, mean),
        (Pooling::Cls, rows[0].clone()),
        (Pooling::Last, rows[8].clone()),
    ] {
        let got = embedder(&tiny, 1, pooling).embed(&[&tokens]).unwrap();
        crate::assert_within(got.get(0).unwrap(), &want, 1e-4, &format!("{pooling:?}"));
    }
}

#[test]
fn normalized_vectors_have_length_one() {
    let embeddings = embedder(&tiny::bert(), 2, Pooling::Mean)
        .embed(&inputs())
        .unwrap();
    let normal = embeddings.clone().normalized();
    for (index, row) in normal.iter().enumerate() {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 1e-5);
        let cosine = cosine(row, embeddings.get(index).unwrap());
        assert!(cosine > 0.99999, "the direction stays");
    }
    let (a, b) = (normal.get(0).unwrap(), normal.get(1).unwrap());
    let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    assert!((dot - embeddings.cosine(0, 1).unwrap()).abs() < 1e-5);
    assert!((embeddings.cosine(3, 3).unwrap() - 1.0).abs() < 1e-6);
    assert_eq!(embeddings.cosine(0, 6), None);
    assert_eq!(embeddings.get(6), None);
}

#[test]
fn no_input_gives_no_vector() {
    let none: Embeddings = embedder(&tiny::bert(), 1, Pooling::Mean)
        .embed(&[] as &[Vec<Token>])
        .unwrap();
    assert!(none.is_empty() && none.iter().next().is_none());
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let mut context = embedder(&tiny::bert(), 2, Pooling::Mean);
    let good = run_of(4, 1);
    let long = context.embed(&[good.clone(), run_of(65, 2)]);
    refused(long, ErrorKind::InvalidArgument, &["input 1", "65", "64"]);
    refused(
        context.embed(&[good.clone(), vec![]]),
        ErrorKind::InvalidArgument,
        &["input 1"],
    );
    let bad = context.embed(&[vec![Token(1_000_000)]]);
    refused(bad, ErrorKind::InvalidArgument, &["1000000"]);
    assert_eq!(context.embed(&[good]).unwrap().len(), 1);
    let mut plain = Context::new(&load(&tiny::bert()), &params().batch_size(64)).unwrap();
    refused(
        plain.embed(&[run_of(3, 1)]),
        ErrorKind::Unsupported,
        &["embeddings"],
    );
    let mut unpooled = embedder(&tiny::bert(), 1, Pooling::None);
    refused(
        unpooled.embed(&[run_of(3, 1)]),
        ErrorKind::Unsupported,
        &["pool"],
    );
}

#[test]
fn pooled_embeddings_are_those_of_the_last_batch() {
    let mut context = embedder(&tiny::bert(), 3, Pooling::Mean);
    refused(
        context.pooled_embedding(A),
        ErrorKind::InvalidArgument,
        &["sequence 0"],
    );
    let mut batch = Batch::new();
    batch.add_run(&run_of(5, 1), 0, SeqId(1), Outputs::All);
    assert_eq!(context.decode(&batch).unwrap(), Decoded::Done);
    assert_eq!(context.pooled_embedding(SeqId(1)).unwrap().len(), 64);
    for seq in [0, 2, 3, 300, u32::MAX] {
        let other = context.pooled_embedding(SeqId(seq));
        refused(
            other,
            ErrorKind::InvalidArgument,
            &[&format!("sequence {seq}")],
        );
    }
    refused(context.embedding(0), ErrorKind::Unsupported, &["pools"]);
}

#[test]
fn ranking_without_a_classifier_is_refused_also_where_the_file_asks_for_it() {
    let rank = 4_u32;
    let tiny = tiny::bert().with("bert.pooling_type", rank);
    let params = ContextParams::new().embeddings(true);
    for params in [params.clone(), params.pooling(Pooling::Rank)] {
        let error = Context::new(&load(&tiny), &params).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("classifier"), "{error}");
    }
}

#[test]
fn a_reranker_scores_documents_in_their_order() {
    let documents = [
        "the little dog",
        "a cat sat on the mat and looked at the sea",
        "rain",
    ];
    let mut context = embedder(&tiny::reranker(), 4, Pooling::Rank);
    assert_eq!(context.pooling(), Pooling::Rank);
    let scores = context.rerank("dog", &documents).unwrap();
    assert_eq!(scores.len(), 3);
    assert!(scores.iter().all(|score| score.is_finite()));
    assert!(scores[0] != scores[1] && scores[1] != scores[2]);
    let mut reversed = documents;
    reversed.reverse();
    let mut back = context.rerank("dog", &reversed).unwrap();
    back.reverse();
    crate::assert_within(&back, &scores, 1e-4, "order of documents");
    let mut alone = embedder(&tiny::reranker(), 1, Pooling::Rank);
    for (document, score) in documents.iter().zip(&scores) {
        let single = alone.rerank("dog", &[document]).unwrap();
        crate::assert_within(&single, &[*score], 1e-4, document);
    }
    assert_ne!(
        context.rerank("rain", &documents).unwrap(),
        scores,
        "the query matters"
    );
    assert!(context.rerank("dog", &[] as &[&str]).unwrap().is_empty());
}

#[test]
fn reranking_needs_a_model_that_ranks() {
    let mut bert = embedder(&tiny::bert(), 1, Pooling::Mean);
    refused(bert.rerank("a", &["b"]), ErrorKind::Unsupported, &["rank"]);
    let params = params()
        .batch_size(64)
        .embeddings(true)
        .pooling(Pooling::Rank);
    let context = Context::new(&load(&tiny::bert()), &params);
    refused(context, ErrorKind::Unsupported, &["classifier"]);
}

#[test]
fn a_text_encoder_of_an_encoder_decoder_embeds() {
    let mut context = embedder(&tiny::t5(), 1, Pooling::Mean);
    match context.embed(&inputs()[..2]) {
        Ok(rows) => assert_eq!(rows.len(), 2),
        Err(error) => assert_ne!(error.kind(), ErrorKind::Poisoned, "{error}"),
    }
    assert!(context.kv_cache().is_empty());
}
