//! The usual settings by name, and the two presets, which list every stage and value.

use super::Sampler;
use super::dry::DryBreakers;
use super::stage::Stage;
use crate::error::Result;
use crate::token::Token;

/// Which mirostat ends the chain, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MirostatVersion {
    /// No mirostat: the chain ends with a draw from the distribution.
    #[default]
    Off,
    /// Logit bias, temperature, mirostat 1; all other stages are left out, as llama.cpp does.
    V1,
    /// Logit bias, temperature, mirostat 2; all other stages are left out, as llama.cpp does.
    V2,
}

/// The usual sampler settings by name, for the standard order of stages.
///
/// That order is llama.cpp's (`common_params_sampling::samplers`): logit bias, penalties, DRY,
/// top-n-sigma, top-k, typical-p, top-p, min-p, XTC, (dynamic) temperature, distribution.
/// For any other order give [`Stage`]s to [`Sampler::builder`].
///
/// ```
/// use llamakit::sampler::SamplerParams;
///
/// let mut params = SamplerParams::ollama();
/// params.temperature = 0.2;
/// params.seed = Some(42);
/// let sampler = params.build()?;
/// # Ok::<(), llamakit::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SamplerParams {
    /// Seed of the random numbers; `None` takes a different one each time.
    pub seed: Option<u64>,
    /// Added to logits, see [`Stage::LogitBias`].
    pub logit_bias: Vec<(Token, f32)>,
    /// Window of the three penalties, see [`Stage::Penalties`]; 0 switches them off.
    pub penalty_last_n: u32,
    /// Repeat penalty; 1 is neutral.
    pub repeat_penalty: f32,
    /// Frequency penalty; 0 is neutral.
    pub frequency_penalty: f32,
    /// Presence penalty; 0 is neutral.
    pub presence_penalty: f32,
    /// DRY multiplier, see [`Stage::Dry`]; 0 is neutral.
    pub dry_multiplier: f32,
    /// DRY base.
    pub dry_base: f32,
    /// DRY allowed length.
    pub dry_allowed_length: u32,
    /// DRY window; 0 is neutral.
    pub dry_last_n: u32,
    /// DRY breakers.
    pub dry_breakers: DryBreakers,
    /// Top-n-sigma; 0 is neutral.
    pub top_n_sigma: f32,
    /// Top-k; 0 is neutral.
    pub top_k: u32,
    /// Typical-p; 1 is neutral.
    pub typical_p: f32,
    /// Top-p; 1 is neutral.
    pub top_p: f32,
    /// Min-p; 0 is neutral.
    pub min_p: f32,
    /// XTC probability; 0 is neutral.
    pub xtc_probability: f32,
    /// XTC threshold; above 0.5 is neutral.
    pub xtc_threshold: f32,
    /// Temperature; 0 takes the best of what is left.
    pub temperature: f32,
    /// Range of the dynamic temperature; 0 is a plain temperature.
    pub dynamic_temperature_range: f32,
    /// Exponent of the dynamic temperature.
    pub dynamic_temperature_exponent: f32,
    /// Mirostat instead of the stages above.
    pub mirostat: MirostatVersion,
    /// Mirostat's target surprise in bits.
    pub mirostat_tau: f32,
    /// Mirostat's learning rate.
    pub mirostat_eta: f32,
    /// Least number of candidates for typical-p, top-p, min-p and XTC.
    pub min_keep: usize,
}

impl SamplerParams {
    /// llama.cpp's defaults: `common_params_sampling` in `common/common.h` of the pinned sources.
    /// There is no DRY breaker here, since breakers need the vocabulary; DRY is off.
    #[must_use]
    pub fn llama_cpp() -> Self {
        Self {
            seed: None,
            logit_bias: Vec::new(),
            penalty_last_n: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_last_n: 64,
            dry_breakers: DryBreakers::none(),
            top_n_sigma: 0.0,
            top_k: 40,
            typical_p: 1.0,
            top_p: 0.95,
            min_p: 0.05,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            temperature: 0.8,
            dynamic_temperature_range: 0.0,
            dynamic_temperature_exponent: 1.0,
            mirostat: MirostatVersion::Off,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            min_keep: 0,
        }
    }

    /// Ollama's defaults: `DefaultOptions` in its `api/types.go`, which set temperature 0.8,
    /// top-k 40, top-p 0.9, min-p 0, typical-p 1, a window of 64, frequency and presence penalty 0,
    /// and repeat penalty 1 (1.1 before August 2026, ollama/ollama#17679). Ollama hands them to
    /// llama-server, so what it doesn't set is llama.cpp's, and so is the order.
    #[must_use]
    pub fn ollama() -> Self {
        Self {
            seed: None,
            logit_bias: Vec::new(),
            penalty_last_n: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_last_n: 64,
            dry_breakers: DryBreakers::none(),
            top_n_sigma: 0.0,
            top_k: 40,
            typical_p: 1.0,
            top_p: 0.9,
            min_p: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            temperature: 0.8,
            dynamic_temperature_range: 0.0,
            dynamic_temperature_exponent: 1.0,
            mirostat: MirostatVersion::Off,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            min_keep: 0,
        }
    }

    /// The stages these settings stand for, in order, neutral ones included.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        let min_keep = self.min_keep;
        let bias = Stage::LogitBias(self.logit_bias.clone().into());
        let (tau, eta) = (self.mirostat_tau, self.mirostat_eta);
        let mirostat = match self.mirostat {
            MirostatVersion::Off => None,
            MirostatVersion::V1 => Some(Stage::Mirostat { tau, eta, m: 100 }),
            MirostatVersion::V2 => Some(Stage::MirostatV2 { tau, eta }),
        };
        if let Some(last) = mirostat {
            return vec![bias, Stage::Temperature(self.temperature), last];
        }
        vec![
            bias,
            Stage::Penalties {
                last_n: self.penalty_last_n,
                repeat: self.repeat_penalty,
                frequency: self.frequency_penalty,
                presence: self.presence_penalty,
            },
            Stage::Dry {
                multiplier: self.dry_multiplier,
                base: self.dry_base,
                allowed_length: self.dry_allowed_length,
                last_n: self.dry_last_n,
                breakers: self.dry_breakers.clone(),
            },
            Stage::TopNSigma(self.top_n_sigma),
            Stage::TopK(self.top_k),
            Stage::Typical {
                p: self.typical_p,
                min_keep,
            },
            Stage::TopP {
                p: self.top_p,
                min_keep,
            },
            Stage::MinP {
                p: self.min_p,
                min_keep,
            },
            Stage::Xtc {
                probability: self.xtc_probability,
                threshold: self.xtc_threshold,
                min_keep,
            },
            Stage::DynamicTemperature {
                temperature: self.temperature,
                range: self.dynamic_temperature_range,
                exponent: self.dynamic_temperature_exponent,
            },
            Stage::Distribution,
        ]
    }

    /// Makes the sampler.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind) naming the setting that is out of range.
    pub fn build(&self) -> Result<Sampler> {
        Sampler::builder()
            .seed(self.seed)
            .stages(self.stages())
            .build()
    }
}

impl Default for SamplerParams {
    /// [`SamplerParams::llama_cpp`].
    fn default() -> Self {
        Self::llama_cpp()
    }
}
