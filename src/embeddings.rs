//! Embedding vectors of texts, and scores of a reranking model.

use crate::batch::{Batch, Outputs, SeqId};
use crate::context::{Context, Decoded, Pooling};
use crate::error::{Error, ErrorKind, Result};
use crate::token::Token;
use crate::vocab::Vocab;

/// Embedding vectors, one row per input, all of the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    dim: usize,
    data: Vec<f32>,
}

impl Embeddings {
    /// Rows of `dim` floats each.
    #[cfg(feature = "engine")]
    pub(crate) fn from_rows(dim: usize, data: Vec<f32>) -> Self {
        Self { dim, data }
    }

    /// Floats per vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there is no vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The vector of input `index`, `None` past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[f32]> {
        self.data.chunks_exact(self.dim).nth(index)
    }

    /// The vectors in the order of the inputs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.data.chunks_exact(self.dim)
    }

    /// Scales every vector to length 1 (Euclidean). A vector of zeros stays.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        for row in self.data.chunks_exact_mut(self.dim) {
            let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            if square > 0.0 {
                let scale = (1.0 / square.sqrt()) as f32;
                row.iter_mut().for_each(|x| *x *= scale);
            }
        }
        self
    }

    /// The cosine of the angle between two vectors, from -1 to 1; `None` when an index is past the
    /// end.
    #[must_use]
    pub fn cosine(&self, a: usize, b: usize) -> Option<f32> {
        let (a, b) = (self.get(a)?, self.get(b)?);
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(&x, &y)| f64::from(x) * f64::from(y))
                .sum()
        };
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        Some(if lengths > 0.0 {
            (dot(a, b) / lengths) as f32
        } else {
            0.0
        })
    }
}

/// What a reranking model reads: BOS, query, EOS, SEP, document, EOS, as far as the vocabulary adds
/// them.
pub(crate) fn rerank_inputs(
    vocab: &Vocab,
    query: &str,
    documents: &[impl AsRef<str>],
) -> Result<Vec<Vec<Token>>> {
    let query = vocab.tokenize(query, false, false)?;
    let bos = vocab.bos().filter(|_| vocab.adds_bos());
    let eos = vocab.eos().or(vocab.sep()).filter(|_| vocab.adds_eos());
    let sep = vocab.sep().filter(|_| vocab.adds_sep());
    documents
        .iter()
        .map(|document| {
            let document = vocab.tokenize(document.as_ref(), false, false)?;
            Ok(bos
                .into_iter()
                .chain(query.iter().copied())
                .chain(eos)
                .chain(sep)
                .chain(document)
                .chain(eos)
                .collect())
        })
        .collect()
}

impl Context {
    /// Computes one pooled embedding per input, several inputs at a time where they fit. Forgets
    /// what the context remembered.
    ///
    /// The context must have been created with [`embeddings`](crate::ContextParams::embeddings)
    /// and a pooling; the vectors are as the model gives them, see [`Embeddings::normalized`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] names the input that is empty or longer than the batch size or
    /// the positions the model learned;
    /// [`ErrorKind::Unsupported`] without embeddings or pooling; [`ErrorKind::Cancelled`] when an
    /// abort handle stopped it; else as [`decode`](Self::decode).
    pub fn embed(&mut self, inputs: &[impl AsRef<[Token]>]) -> Result<Embeddings> {
        let dim = match self.pooling() {
            Pooling::Rank => self.model().n_classifier_outputs() as usize,
            _ => self.model().embedding_length(),
        };
        let positions = self.model().position_limit().unwrap_or(u64::MAX);
        let most = usize::try_from(positions)
            .unwrap_or(usize::MAX)
            .min(self.micro_batch_size());
        for (index, input) in inputs.iter().enumerate() {
            let length = input.as_ref().len();
            if length == 0 || length > most {
                return Err(Error::argument(format!(
                    "input {index} has {length} tokens; 1..={most} can be embedded"
                )));
            }
        }
        let mut data = Vec::with_capacity(inputs.len() * dim);
        let mut rest = inputs;
        while !rest.is_empty() {
            let count = self.how_many_fit(rest);
            let (now, later) = rest.split_at(count);
            self.embed_together(now, &mut data)?;
            rest = later;
        }
        Ok(Embeddings { dim, data })
    }

    /// Scores documents against a query with a reranking model; higher is more relevant. The order
    /// is that of `documents`.
    ///
    /// The context must have been created with embeddings and [`Pooling::Rank`]. The input is
    /// BOS, query, EOS, SEP, document, EOS, as far as the vocabulary adds them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] without rank pooling; else as [`embed`](Self::embed), with the
    /// document's index.
    pub fn rerank(&mut self, query: &str, documents: &[impl AsRef<str>]) -> Result<Vec<f32>> {
        if self.pooling() != Pooling::Rank {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "reranking needs a context with rank pooling",
            ));
        }
        let inputs = rerank_inputs(self.model().vocab(), query, documents)?;
        let scores = self.embed(&inputs)?;
        Ok(scores.iter().map(|row| row[0]).collect())
    }

    /// How many of the next inputs go into one batch.
    fn how_many_fit(&self, inputs: &[impl AsRef<[Token]>]) -> usize {
        let most = self.micro_batch_size().min(self.kv_cache().capacity());
        let mut tokens = 0;
        inputs
            .iter()
            .take(self.kv_cache().n_sequences())
            .take_while(|input| {
                tokens += input.as_ref().len();
                tokens <= most
            })
            .count()
            .max(1)
    }

    fn embed_together(
        &mut self,
        inputs: &[impl AsRef<[Token]>],
        data: &mut Vec<f32>,
    ) -> Result<()> {
        self.kv_cache_mut().clear()?;
        let mut batch = Batch::new();
        for (input, seq) in inputs.iter().zip(0..) {
            batch.add_run(input.as_ref(), 0, SeqId(seq), Outputs::All);
        }
        let encoder_only = self.model().has_encoder() && !self.model().has_decoder();
        let done = if encoder_only {
            self.encode(&batch)?
        } else {
            self.decode(&batch)?
        };
        match done {
            Decoded::Done => {}
            Decoded::NoSlot => {
                return Err(Error::argument("the inputs do not fit the context length"));
            }
            Decoded::Aborted { .. } => {
                return Err(Error::new(ErrorKind::Cancelled, "embedding was aborted"));
            }
        }
        for (_, seq) in inputs.iter().zip(0..) {
            data.extend_from_slice(self.pooled_embedding(SeqId(seq))?);
        }
        self.kv_cache_mut().clear()
    }
}
