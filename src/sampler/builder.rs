//! Puts a sampler together from stages and checks it.

use super::Sampler;
use super::chain::Chain;
use super::stage::Stage;
use crate::error::{Error, Result};

/// Makes a [`Sampler`] from stages in the order given; see [`Sampler::builder`].
///
/// ```
/// use llamakit::sampler::{Sampler, Stage};
///
/// let sampler = Sampler::builder()
///     .stage(Stage::TopK(40))
///     .stage(Stage::Temperature(0.7))
///     .stage(Stage::Distribution)
///     .seed(7)
///     .build()?;
/// assert_eq!(sampler.seed(), 7);
/// # Ok::<(), llamakit::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SamplerBuilder {
    stages: Vec<Stage>,
    seed: Option<u64>,
}

impl SamplerBuilder {
    /// Adds a stage at the end.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stages.push(stage);
        self
    }

    /// Adds several stages at the end.
    #[must_use]
    pub fn stages(mut self, stages: impl IntoIterator<Item = Stage>) -> Self {
        self.stages.extend(stages);
        self
    }

    /// The seed of the random numbers. Without one, or with `None`, a different one is taken each
    /// time; [`Sampler::seed`] tells which.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Option<u64>>) -> Self {
        self.seed = seed.into();
        self
    }

    /// Checks all stages and makes the sampler.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) naming the number that is out of range, or
    /// if the last stage, and no other, isn't one that picks a token ([`Stage::Greedy`],
    /// [`Stage::Distribution`], [`Stage::Mirostat`], [`Stage::MirostatV2`]).
    pub fn build(self) -> Result<Sampler> {
        self.stages.iter().try_for_each(Stage::check)?;
        let picking = self.stages.iter().position(Stage::is_last);
        if picking.is_none_or(|i| i + 1 != self.stages.len()) {
            return Err(Error::argument(
                "a sampler's last stage, and no other, must be one that picks a token: \
                 Greedy, Distribution, Mirostat or MirostatV2",
            ));
        }
        Ok(Sampler::from_chain(Chain::new(self.stages, self.seed)))
    }
}
