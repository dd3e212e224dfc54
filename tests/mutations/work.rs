//! What is done with a damaged model that loads.

use llamakit::{
    Batch, Context, ContextParams, Decoded, Model, Outputs, Result, Sampler, SeqId, Token,
};

const TEXT: &str = "hello <s> world\n1, ünd 2";

/// A text goes through the tokenizer and every layer, and three tokens come back.
pub(crate) fn generate(model: &Model) -> Result<()> {
    let mut context = Context::new(model, &params())?;
    let mut sampler = Sampler::greedy();
    for piece in context.generate(TEXT, &mut sampler)?.max_tokens(3) {
        piece?;
    }
    Ok(())
}

/// Two texts become two vectors.
pub(crate) fn embed(model: &Model) -> Result<()> {
    let mut context = Context::new(model, &params().sequences(2).embeddings(true))?;
    let tokens = model.vocab().tokenize(TEXT, true, true)?;
    let short = &tokens[..tokens.len().min(3)];
    let vectors = context.embed(&[&tokens, short])?;
    assert_eq!(vectors.len(), 2);
    Ok(())
}

/// Two documents get two scores.
pub(crate) fn rerank(model: &Model) -> Result<()> {
    let mut context = Context::new(model, &params().sequences(2).embeddings(true))?;
    let scores = context.rerank("hello", &[TEXT, "world"])?;
    assert_eq!(scores.len(), 2);
    Ok(())
}

/// A text goes through the encoder, and the decoder answers with three tokens.
pub(crate) fn translate(model: &Model) -> Result<()> {
    let mut context = Context::new(model, &params())?;
    let tokens = model.vocab().tokenize(TEXT, true, true)?;
    let mut batch = Batch::new();
    batch.add_run(&tokens, 0, SeqId(0), Outputs::All);
    assert_eq!(context.encode(&batch)?, Decoded::Done);
    let mut sampler = Sampler::greedy();
    let mut next = model.decoder_start_token().unwrap_or(Token(0));
    for position in 0..3 {
        batch.clear();
        batch.add(next, position, &[SeqId(0)], true);
        if context.decode(&batch)? != Decoded::Done {
            break;
        }
        next = sampler.sample(context.logits(0)?)?;
    }
    Ok(())
}

/// Small, so that most of the time goes to loading.
fn params() -> ContextParams {
    ContextParams::new().context_length(64).threads(1)
}
