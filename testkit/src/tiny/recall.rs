//! Models of the other kinds of memory that tell what they remember. A token is a high and a low digit, each held
//! elsewhere in the memory; the next token is made of both, by a margin that rounding does not reach.

use super::recurrent::{CONV, INNER, RANK, STATE};
use super::{Tiny, decoder, recurrent, vocab};

/// High digits: 13 times 32 are all bytes and merged pieces of the byte-level vocabularies.
const HIGH: u64 = 13;
const LOW: u64 = 32;
/// How far the digits move on from the one remembered to the next token's.
const HIGH_STEP: u64 = 5;
const LOW_STEP: u64 = 11;

const EMBD: u64 = 64;
/// Places in an embedding: one for each high digit, one for each low digit, and one that is always set.
const LOW_AT: u64 = 16;
const ALWAYS: u64 = LOW_AT + LOW;
/// How much louder what is remembered is than the current token.
const GAIN: f32 = 8.0;
/// How far logits lie apart.
const SPREAD: f32 = 4.0;

const HEAD: u64 = 32;
/// Makes the softmax pick one position.
const SHARPNESS: f32 = 30.0;
/// How far the attention layers look back, in gemma3 the windowed one first.
const WINDOWED: usize = 12;
const FAR: usize = 20;
/// Taps of lfm2's convolution.
const LFM2_CONV: u64 = 3;
/// Tokens with this high digit (160 to 191) put their low digit into mamba's state; others leave it there.
const LOUD: u64 = 5;

/// A model for each kind of memory whose greedy next token shows what it remembers: plain, sliding window, recurrent,
/// hybrid. [`recalled`] says which token that is.
#[must_use]
pub fn recalling() -> [Tiny; 4] {
    [decoder::lookback(FAR as u32), gemma3(), mamba(), lfm2()]
}

/// The token that one of [`recalling`] gives after `tokens`: at least 21, one of 160 to 191 among them, none above 415.
///
/// # Panics
/// For other models, and when there are too few tokens.
#[must_use]
pub fn recalled(model: &Tiny, tokens: &[u32]) -> u32 {
    let back = |distance: usize| u64::from(tokens[tokens.len() - 1 - distance]);
    let loud = || {
        tokens
            .iter()
            .rev()
            .map(|&token| u64::from(token))
            .find(|token| token / LOW == LOUD)
    };
    let (high, low) = match model.name() {
        "lookback" => {
            return decoder::lookback_successor(back(FAR) as u32, (HIGH * LOW) as u32 + 3);
        }
        "recall-gemma3" => (back(WINDOWED), back(FAR)),
        "recall-mamba" => (back(CONV as usize - 1), loud().expect("a loud token")),
        "recall-lfm2" => (back(LFM2_CONV as usize - 1), back(FAR)),
        other => panic!("{other} does not recall"),
    };
    let (high, low) = (
        (high / LOW + HIGH_STEP) % HIGH,
        (low % LOW + LOW_STEP) % LOW,
    );
    (high * LOW + low) as u32
}

/// gemma3: the windowed layer carries the high digit, the other one the low digit.
fn gemma3() -> Tiny {
    let mut tiny = decoder::base("recall-gemma3", "gemma3", vocab::bpe("llama-bpe"));
    tiny.hparams([
        ("attention.head_count", 1_u32.into()),
        ("attention.head_count_kv", 1_u32.into()),
        ("attention.sliding_window", 32_u32.into()),
        ("attention.sliding_window_pattern", 2_u32.into()),
    ]);
    let tiny = digits(tiny, "output_norm.weight");
    // Embeddings come in 8 times as loud here, and the norm after attention leaves 8 in one place of 64.
    let layers = [(WINDOWED, 0, HIGH), (FAR, LOW_AT, LOW)];
    layers
        .into_iter()
        .zip(0..)
        .fold(tiny, |mut tiny, ((distance, at, digits), i)| {
            attention(&mut tiny, i, 1, distance, at, digits, 1.0);
            tiny.tensor(
                format!("blk.{i}.post_attention_norm.weight"),
                &[EMBD],
                vec![GAIN; EMBD as usize],
            );
            silent_feed_forward(&mut tiny, i, EMBD);
            tiny.tensor(
                format!("blk.{i}.post_ffw_norm.weight"),
                &[EMBD],
                vec![1.0; EMBD as usize],
            );
            tiny
        })
}

/// lfm2: the convolution carries the high digit, attention the low digit.
fn lfm2() -> Tiny {
    let mut tiny = recurrent::lfm2_base("recall-lfm2", &[0, 1], EMBD, LFM2_CONV);
    tiny.tensor("blk.0.attn_norm.weight", &[EMBD], vec![1.0; EMBD as usize]);
    // Both gates are open wide; the third part is what the convolution gets.
    let gates = 0..2 * EMBD;
    let input = (0..EMBD).map(|i| (2 * EMBD + i, i, 1.0));
    let weights = gates.map(|row| (row, ALWAYS, 1.0 / normed())).chain(input);
    tiny.tensor(
        "blk.0.shortconv.in_proj.weight",
        &[EMBD, 3 * EMBD],
        sparse(EMBD, 3 * EMBD, weights),
    );
    let oldest = (0..EMBD).map(|row| (row, 0, 1.0));
    tiny.tensor(
        "blk.0.shortconv.conv.weight",
        &[LFM2_CONV, EMBD],
        sparse(LFM2_CONV, EMBD, oldest),
    );
    let high = (0..HIGH).map(|i| (i, i, GAIN / normed()));
    tiny.tensor(
        "blk.0.shortconv.out_proj.weight",
        &[EMBD, EMBD],
        sparse(EMBD, EMBD, high),
    );
    silent_feed_forward(&mut tiny, 0, EMBD);
    // The high digit of before is so loud in its input that the norm leaves about one of the others.
    attention(&mut tiny, 1, 2, FAR, LOW_AT, LOW, GAIN);
    silent_feed_forward(&mut tiny, 1, EMBD);
    digits(tiny, "token_embd_norm.weight")
}

/// mamba: the convolution carries the high digit, the state the low digit of the last loud token, however long ago.
fn mamba() -> Tiny {
    /// Channel of the convolution that is on for loud tokens.
    const GATE: u64 = ALWAYS + 1;
    /// A step this long forgets all there was and takes the token in; its opposite does neither.
    const STEP: f32 = 20.0;
    let silu = |x: f32| x / (1.0 + (-x).exp());
    let on = silu(normed());
    let sized = |len: u64, value: f32| vec![value; len as usize];
    let mut tiny = recurrent::mamba_base("recall-mamba", 1);
    tiny.tensor("blk.0.attn_norm.weight", &[EMBD], sized(EMBD, 1.0));
    let channels = (0..=ALWAYS).map(|i| (i, i, 1.0)).chain([(GATE, LOUD, 1.0)]);
    let open = (INNER..2 * INNER).map(|row| (row, ALWAYS, 1.0));
    tiny.tensor(
        "blk.0.ssm_in.weight",
        &[EMBD, 2 * INNER],
        sparse(EMBD, 2 * INNER, channels.chain(open)),
    );
    // High digits come out when they are about to leave the convolution, all else at once.
    let taps = (0..INNER).map(|row| (row, if row < HIGH { 0 } else { CONV - 1 }, 1.0));
    tiny.tensor(
        "blk.0.ssm_conv1d.weight",
        &[CONV, INNER],
        sparse(CONV, INNER, taps),
    );
    tiny.tensor("blk.0.ssm_conv1d.bias", &[INNER], sized(INNER, 0.0));
    let rows = RANK + 2 * STATE;
    let gates = [
        (0, GATE, 2.0 * STEP / on),
        (RANK, ALWAYS, 1.0 / on),
        (RANK + STATE, ALWAYS, 1.0 / on),
    ];
    tiny.tensor(
        "blk.0.ssm_x.weight",
        &[INNER, rows],
        sparse(INNER, rows, gates),
    );
    let low = LOW_AT..LOW_AT + LOW;
    tiny.tensor(
        "blk.0.ssm_dt.weight",
        &[RANK, INNER],
        sparse(RANK, INNER, low.clone().map(|row| (row, 0, 1.0))),
    );
    tiny.tensor("blk.0.ssm_dt.bias", &[INNER], sized(INNER, -STEP));
    tiny.tensor("blk.0.ssm_a", &[STATE, INNER], sized(STATE * INNER, -1.0));
    let skip = (0..INNER).map(|row| if row < HIGH { 1.0 } else { 0.0 });
    tiny.tensor("blk.0.ssm_d", &[INNER], skip.collect());
    let high = (0..HIGH).map(|i| (i, i, GAIN / (on * on)));
    let low = low.map(|i| (i, i, GAIN / (STEP * on * on)));
    tiny.tensor(
        "blk.0.ssm_out.weight",
        &[INNER, EMBD],
        sparse(INNER, EMBD, high.chain(low)),
    );
    digits(tiny, "output_norm.weight")
}

/// What a norm makes of each of the three ones of an embedding.
fn normed() -> f32 {
    (EMBD as f32 / 3.0).sqrt()
}

/// A matrix of zeros but for (row, column, value).
fn sparse(columns: u64, rows: u64, values: impl IntoIterator<Item = (u64, u64, f32)>) -> Vec<f32> {
    let mut matrix = vec![0.0; (columns * rows) as usize];
    for (row, column, value) in values {
        matrix[(row * columns + column) as usize] = value;
    }
    matrix
}

/// Sets embeddings and output: the logit of a token is how loud its digits' predecessors are. Control tokens have no
/// digits and are never said.
fn digits(mut tiny: Tiny, norm: &str) -> Tiny {
    for kept in ["token_embd.weight", "output.weight", norm] {
        tiny = tiny.without_tensor(kept);
    }
    let n_vocab = HIGH * LOW + 3;
    let ordinary = 0..HIGH * LOW;
    let shown = ordinary.clone().flat_map(|token| {
        [
            (token, token / LOW, 1.0),
            (token, LOW_AT + token % LOW, 1.0),
        ]
    });
    let always = (0..n_vocab).map(|token| (token, ALWAYS, 1.0));
    tiny.tensor(
        "token_embd.weight",
        &[EMBD, n_vocab],
        sparse(EMBD, n_vocab, shown.chain(always)),
    );
    let said = ordinary.flat_map(|token| {
        let high = (token / LOW + HIGH - HIGH_STEP) % HIGH;
        let low = (token % LOW + LOW - LOW_STEP) % LOW;
        [(token, high, SPREAD), (token, LOW_AT + low, SPREAD)]
    });
    tiny.tensor(
        "output.weight",
        &[EMBD, n_vocab],
        sparse(EMBD, n_vocab, said),
    );
    tiny.tensor(norm, &[EMBD], vec![1.0; EMBD as usize]);
    tiny
}

/// Attention that takes `digits` places of the embedding from `at` on over from the token `distance` positions ago.
///
/// Queries and keys come from the place that is always set, and have the same length whatever else is there: the norms
/// of queries and keys see to it. Rotation then makes the scores peak at that distance.
fn attention(
    tiny: &mut Tiny,
    i: u64,
    heads: u64,
    distance: usize,
    at: u64,
    digits: u64,
    gain: f32,
) {
    let wide = heads * HEAD;
    let rotated = |by: f32, heads: u64| {
        let weights = (0..heads * HEAD).map(move |row| {
            let (place, half) = (row % HEAD, HEAD / 2);
            let theta = 10_000_f32.powf(-((place % half * 2) as f32) / HEAD as f32);
            let (sin, cos) = (by * theta).sin_cos();
            (row, ALWAYS, if place < half { cos } else { sin })
        });
        sparse(EMBD, heads * HEAD, weights)
    };
    // A norm makes the mean square of what is 1/2 on average one.
    let sharp = vec![SHARPNESS / 2_f32.sqrt(); HEAD as usize];
    tiny.tensor(
        format!("blk.{i}.attn_norm.weight"),
        &[EMBD],
        vec![1.0; EMBD as usize],
    );
    tiny.tensor(
        format!("blk.{i}.attn_q.weight"),
        &[EMBD, wide],
        rotated(-(distance as f32), heads),
    );
    tiny.tensor(
        format!("blk.{i}.attn_k.weight"),
        &[EMBD, HEAD],
        rotated(0.0, 1),
    );
    let taken = (0..digits).map(|place| (place, at + place, 1.0));
    tiny.tensor(
        format!("blk.{i}.attn_v.weight"),
        &[EMBD, HEAD],
        sparse(EMBD, HEAD, taken),
    );
    let given = (0..digits).map(|place| (at + place, place, gain));
    tiny.tensor(
        format!("blk.{i}.attn_output.weight"),
        &[wide, EMBD],
        sparse(wide, EMBD, given),
    );
    tiny.tensor(
        format!("blk.{i}.attn_q_norm.weight"),
        &[HEAD],
        sharp.clone(),
    );
    tiny.tensor(format!("blk.{i}.attn_k_norm.weight"), &[HEAD], sharp);
}

fn silent_feed_forward(tiny: &mut Tiny, i: u64, wide: u64) {
    tiny.tensor(
        format!("blk.{i}.ffn_norm.weight"),
        &[EMBD],
        vec![1.0; EMBD as usize],
    );
    tiny.tensor(
        format!("blk.{i}.ffn_gate.weight"),
        &[EMBD, wide],
        sparse(EMBD, wide, []),
    );
    tiny.tensor(
        format!("blk.{i}.ffn_up.weight"),
        &[EMBD, wide],
        sparse(EMBD, wide, []),
    );
    tiny.tensor(
        format!("blk.{i}.ffn_down.weight"),
        &[wide, EMBD],
        sparse(wide, EMBD, []),
    );
}
