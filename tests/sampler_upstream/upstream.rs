//! Upstream's own sampler chain, called through the raw layer, for comparison with ours.

#![allow(unsafe_code)]

use std::ptr;

use llamakit::Token;
use llamakit::sampler::Stage;
use llamakit::sys;

/// An owned `llama_sampler` chain made of the same stages as ours.
pub(crate) struct Upstream {
    chain: *mut sys::llama_sampler,
    data: Vec<sys::llama_token_data>,
}

impl Upstream {
    /// Stages with DRY breakers are not supported: those need a vocabulary.
    pub(crate) fn new(stages: &[Stage], n_vocab: usize, seed: u32) -> Self {
        // SAFETY: the out pointer lives through the call.
        let chain = make(|out| unsafe { sys::lk_sampler_chain_init(out) });
        for stage in stages {
            let sampler = stage_sampler(stage, n_vocab as i32, seed);
            // SAFETY: both come from upstream; the chain owns the sampler from here on.
            ok(unsafe { sys::lk_sampler_chain_add(chain, sampler) });
        }
        Self {
            chain,
            data: Vec::with_capacity(n_vocab),
        }
    }

    pub(crate) fn accept(&mut self, token: Token) {
        // SAFETY: the chain is live.
        ok(unsafe { sys::lk_sampler_accept(self.chain, token.0) });
    }

    /// As `llama_sampler_sample`: builds the candidates, applies the chain, reads the selection.
    pub(crate) fn sample(&mut self, logits: &[f32]) -> Token {
        let array = self.apply(logits);
        assert!((0..array.size as i64).contains(&array.selected));
        // SAFETY: `selected` is an index into the array, as just checked.
        Token(unsafe { (*array.data.add(array.selected as usize)).id })
    }

    /// What is left after all stages above -inf: (token, logit, probability).
    pub(crate) fn candidates(&mut self, logits: &[f32]) -> Vec<(Token, f32, f32)> {
        let array = self.apply(logits);
        // SAFETY: upstream keeps `size` entries at `data`, which lies in our vector.
        let left = unsafe { std::slice::from_raw_parts(array.data, array.size) };
        left.iter()
            .filter(|c| c.logit > f32::NEG_INFINITY)
            .map(|c| (Token(c.id), c.logit, c.p))
            .collect()
    }

    fn apply(&mut self, logits: &[f32]) -> sys::llama_token_data_array {
        self.data.clear();
        let entry = |(&logit, id): (&f32, i32)| sys::llama_token_data { id, logit, p: 0.0 };
        self.data.extend(logits.iter().zip(0..).map(entry));
        let mut array = sys::llama_token_data_array {
            data: self.data.as_mut_ptr(),
            size: self.data.len(),
            selected: -1,
            sorted: false,
        };
        // SAFETY: the chain is live and the array describes our vector.
        ok(unsafe { sys::lk_sampler_apply(self.chain, &raw mut array) });
        array
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // SAFETY: the chain is live and not used afterwards; it frees the samplers that it owns.
        ok(unsafe { sys::lk_sampler_free(self.chain) });
    }
}

fn stage_sampler(stage: &Stage, n_vocab: i32, seed: u32) -> *mut sys::llama_sampler {
    // SAFETY: plain numbers, an out pointer that lives, and arrays that outlive their call.
    make(|out| unsafe {
        match *stage {
            Stage::LogitBias(ref biases) => {
                let entry = |b: &(Token, f32)| sys::llama_logit_bias {
                    token: b.0.0,
                    bias: b.1,
                };
                let list: Vec<_> = biases.iter().map(entry).collect();
                sys::lk_sampler_init_logit_bias(n_vocab, list.len() as i32, list.as_ptr(), out)
            }
            Stage::Penalties {
                last_n,
                repeat,
                frequency,
                presence,
            } => {
                let last_n = last_n as i32;
                sys::lk_sampler_init_penalties(n_vocab, last_n, repeat, frequency, presence, out)
            }
            Stage::Dry {
                multiplier,
                base,
                allowed_length,
                last_n,
                ..
            } => sys::lk_sampler_init_dry(
                ptr::null(),
                multiplier,
                base,
                allowed_length as i32,
                last_n as i32,
                ptr::null_mut(),
                0,
                out,
            ),
            Stage::TopK(k) => sys::lk_sampler_init_top_k(k as i32, out),
            Stage::Typical { p, min_keep } => sys::lk_sampler_init_typical(p, min_keep, out),
            Stage::TopP { p, min_keep } => sys::lk_sampler_init_top_p(p, min_keep, out),
            Stage::MinP { p, min_keep } => sys::lk_sampler_init_min_p(p, min_keep, out),
            Stage::Xtc {
                probability,
                threshold,
                min_keep,
            } => sys::lk_sampler_init_xtc(probability, threshold, min_keep, seed, out),
            Stage::TopNSigma(n) => sys::lk_sampler_init_top_n_sigma(n, out),
            Stage::Temperature(t) => sys::lk_sampler_init_temp(t, out),
            Stage::DynamicTemperature {
                temperature,
                range,
                exponent,
            } => sys::lk_sampler_init_temp_ext(temperature, range, exponent, out),
            Stage::Mirostat { tau, eta, m } => {
                sys::lk_sampler_init_mirostat(n_vocab, seed, tau, eta, m as i32, out)
            }
            Stage::MirostatV2 { tau, eta } => sys::lk_sampler_init_mirostat_v2(seed, tau, eta, out),
            Stage::Greedy => sys::lk_sampler_init_greedy(out),
            Stage::Distribution => sys::lk_sampler_init_dist(seed, out),
            ref other => panic!("upstream has no {other:?}"),
        }
    })
}

fn make(
    call: impl FnOnce(*mut *mut sys::llama_sampler) -> sys::lk_status,
) -> *mut sys::llama_sampler {
    let mut sampler = ptr::null_mut();
    ok(call(&raw mut sampler));
    assert!(!sampler.is_null());
    sampler
}

fn ok(status: sys::lk_status) {
    assert_eq!(status, 0, "upstream raised an error");
}
