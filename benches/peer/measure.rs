//! Prefill and decode speed of a model as llama-bench measures them, printed as JSON.
//!
//! `measure MODEL.gguf [THREADS [REPETITIONS]]`. Random tokens; no sampling; a context just long
//! enough for each test; one untimed run first. Runs on any build: compare.py looks at `native`.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use llamakit::{Batch, Context, ContextParams, Decoded, Model, ModelParams, Outputs, SeqId, Token};

const PREFILL: usize = 512;
const DECODE: usize = 128;
const SEQ: SeqId = SeqId(0);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args
        .next()
        .ok_or("usage: measure MODEL.gguf [THREADS [REPETITIONS]]")?;
    let threads: u32 = args.next().map_or(Ok(2), |arg| arg.parse())?;
    let repetitions: usize = args.next().map_or(Ok(5), |arg| arg.parse())?;

    let model = Model::load(&path, &ModelParams::new())?;
    let tokens = random_tokens(&model, PREFILL.max(DECODE));

    let mut context = new_context(&model, PREFILL, threads)?;
    let prefill = speeds(&mut context, repetitions, PREFILL, |context| {
        run(context, &tokens[..PREFILL], PREFILL)
    })?;

    let mut context = new_context(&model, DECODE, threads)?;
    let decode = speeds(&mut context, repetitions, DECODE, |context| {
        run(context, &tokens[..DECODE], 1)
    })?;

    let info = llamakit::build_info();
    Ok(writeln!(
        std::io::stdout(),
        "{{\"native\": {}, \"commit\": \"{}\", \"version\": \"{}\", \"threads\": {threads}, \
         \"prefill\": {prefill:?}, \"decode\": {decode:?}}}",
        info.native,
        info.upstream_commit,
        info.upstream_version
    )?)
}

fn new_context(model: &Model, length: usize, threads: u32) -> llamakit::Result<Context> {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    Context::new(
        model,
        &ContextParams::new().context_length(length).threads(threads),
    )
}

/// Tokens per second of each repetition.
fn speeds(
    context: &mut Context,
    repetitions: usize,
    tokens: usize,
    mut test: impl FnMut(&mut Context) -> Result<(), Box<dyn Error>>,
) -> Result<Vec<f64>, Box<dyn Error>> {
    test(context)?;
    let mut speeds = Vec::new();
    for _ in 0..repetitions {
        context.kv_cache_mut().clear()?;
        let start = Instant::now();
        test(context)?;
        speeds.push(tokens as f64 / start.elapsed().as_secs_f64());
    }
    Ok(speeds)
}

/// Decodes the tokens in batches of `size`, each with logits for its last token.
fn run(context: &mut Context, tokens: &[Token], size: usize) -> Result<(), Box<dyn Error>> {
    let mut batch = Batch::new();
    for chunk in tokens.chunks(size) {
        batch.clear();
        batch.add_run(
            chunk,
            context.kv_cache().next_position(SEQ),
            SEQ,
            Outputs::Last,
        );
        if context.decode(&batch)? != Decoded::Done {
            return Err("the decode was not done".into());
        }
        if !context.logits(chunk.len() - 1)?[0].is_finite() {
            return Err("the logits are no numbers".into());
        }
    }
    Ok(())
}

fn random_tokens(model: &Model, count: usize) -> Vec<Token> {
    let n_vocab = model.vocab().n_tokens() as u64;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut tokens: Vec<Token> = (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Token((state % n_vocab) as i32)
        })
        .collect();
    if let (true, Some(bos)) = (model.vocab().adds_bos(), model.vocab().bos()) {
        tokens[0] = bos;
    }
    tokens
}
