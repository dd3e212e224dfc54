//! The slow obvious sampler that ours is compared with: double precision, full sorts, one array of
//! candidates in which dropped-by-logit ones stay at -inf, as in llama.cpp.

use llamakit::Token;
use llamakit::sampler::Stage;

pub(crate) struct Reference {
    /// (id, logit), -inf included.
    pub(crate) left: Vec<(usize, f64)>,
    /// How near any decision came to going the other way.
    pub(crate) margin: f64,
}

impl Reference {
    pub(crate) fn run(stages: &[Stage], logits: &[f32], accepted: &[Token]) -> Self {
        let left = logits.iter().map(|&l| f64::from(l)).enumerate().collect();
        let mut this = Self {
            left,
            margin: f64::INFINITY,
        };
        for stage in stages {
            this.apply(stage, accepted);
        }
        this
    }

    /// (id, probability) of what can be drawn, best first.
    pub(crate) fn probabilities(&self) -> Vec<(usize, f64)> {
        let mut sorted = Self {
            left: self.left.clone(),
            margin: 0.0,
        };
        sorted.sort();
        let p = sorted.softmax();
        let entries = sorted.left.iter().zip(p);
        entries
            .filter(|(c, _)| c.1 > f64::NEG_INFINITY)
            .map(|(c, p)| (c.0, p))
            .collect()
    }

    fn sort(&mut self) {
        self.left
            .sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }

    fn softmax(&self) -> Vec<f64> {
        let max = self
            .left
            .iter()
            .map(|c| c.1)
            .fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = self.left.iter().map(|c| (c.1 - max).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    }

    fn entropy(&self) -> f64 {
        let p = self.softmax();
        -p.iter()
            .filter(|&&p| p > 0.0)
            .map(|p| p * p.ln())
            .sum::<f64>()
    }

    fn near(&mut self, a: f64, b: f64) {
        self.margin = self.margin.min((a - b).abs());
    }

    fn apply(&mut self, stage: &Stage, accepted: &[Token]) {
        let window = |n: u32| &accepted[accepted.len().saturating_sub(n as usize)..];
        match stage {
            Stage::LogitBias(biases) => {
                for (id, logit) in &mut self.left {
                    let mine = biases.iter().filter(|b| b.0.0 as usize == *id);
                    *logit += mine.map(|b| f64::from(b.1)).sum::<f64>();
                }
            }
            &Stage::Penalties {
                last_n,
                repeat,
                frequency,
                presence,
            } => {
                for (id, logit) in &mut self.left {
                    let token = Token(*id as i32);
                    let count = window(last_n).iter().filter(|&&t| t == token).count();
                    if count > 0 {
                        let repeat = f64::from(repeat);
                        *logit *= if *logit <= 0.0 { repeat } else { 1.0 / repeat };
                        *logit -= count as f64 * f64::from(frequency) + f64::from(presence);
                    }
                }
            }
            &Stage::Dry {
                multiplier,
                base,
                allowed_length,
                last_n,
                ..
            } => {
                let seen = window(last_n);
                for (id, logit) in &mut self.left {
                    let token = Token(*id as i32);
                    let longest = (1..seen.len())
                        .filter(|&end| seen[end] == token)
                        .map(|end| common_suffix(&seen[..end], seen))
                        .max();
                    let allowed = allowed_length as usize;
                    if let Some(n) = longest.filter(|&n| n >= allowed && seen.len() > allowed) {
                        let exponent = (n - allowed) as i32;
                        *logit -= f64::from(multiplier) * f64::from(base).powi(exponent);
                    }
                }
            }
            &Stage::TopK(k) => {
                self.sort();
                if k > 0 {
                    self.left.truncate(k as usize);
                }
            }
            &Stage::TopP { p, min_keep } => {
                self.sort();
                let mut sum = 0.0;
                for (i, q) in self.softmax().into_iter().enumerate() {
                    sum += q;
                    self.near(sum, f64::from(p));
                    if p < 1.0 && sum >= f64::from(p) && i + 1 >= min_keep {
                        self.left.truncate(i + 1);
                        return;
                    }
                }
            }
            &Stage::MinP { p, min_keep } => {
                if p <= 0.0 {
                    return;
                }
                self.sort();
                let floor = self.left[0].1 + f64::from(p).ln();
                let mut n = self.left.len();
                for i in (0..self.left.len()).rev() {
                    self.near(self.left[i].1, floor);
                    if self.left[i].1 < floor && i >= min_keep.max(1) {
                        n = i;
                    }
                }
                self.left.truncate(n);
            }
            &Stage::Typical { p, min_keep } => {
                if p >= 1.0 {
                    return;
                }
                self.sort();
                let entropy = self.entropy();
                let mut scored: Vec<_> = self.left.iter().zip(self.softmax()).collect();
                let score = |p: f64| (-p.ln() - entropy).abs();
                scored.sort_by(|a, b| score(a.1).total_cmp(&score(b.1)));
                let mut sum = 0.0;
                let mut n = scored.len();
                let mut margin = self.margin;
                for (i, (_, q)) in scored.iter().enumerate() {
                    if let Some(next) = scored.get(i + 1) {
                        let gap = score(next.1) - score(*q);
                        // Only where the cut is does the order matter.
                        if sum <= f64::from(p) && sum + q > f64::from(p) - 1e-9 {
                            margin = margin.min(gap.abs());
                        }
                    }
                    sum += q;
                    margin = margin.min((sum - f64::from(p)).abs());
                    if sum > f64::from(p) && i + 1 >= min_keep {
                        n = i + 1;
                        break;
                    }
                }
                let kept = scored[..n].iter().map(|s| *s.0).collect();
                self.margin = margin;
                self.left = kept;
            }
            &Stage::Xtc {
                probability,
                threshold,
                min_keep,
            } => {
                assert!(
                    probability == 0.0 || probability == 1.0,
                    "no randomness here"
                );
                if probability == 0.0 || threshold > 0.5 || self.left.len() < 2 {
                    return;
                }
                self.sort();
                let p = self.softmax();
                p.iter().for_each(|&q| self.near(q, f64::from(threshold)));
                let top = p.iter().take_while(|&&q| q >= f64::from(threshold)).count();
                let gone = top.saturating_sub(1);
                if gone > 0 && self.left.len() - gone >= min_keep {
                    self.left.drain(..gone);
                }
            }
            &Stage::TopNSigma(n) => {
                if n <= 0.0 || self.left.len() <= 1 {
                    return;
                }
                let finite: Vec<f64> = self
                    .left
                    .iter()
                    .map(|c| c.1)
                    .filter(|l| l.is_finite())
                    .collect();
                let mean = finite.iter().sum::<f64>() / finite.len() as f64;
                let square = finite.iter().map(|l| (l - mean).powi(2)).sum::<f64>();
                let std = (square / finite.len() as f64).sqrt();
                let max = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let floor = max - f64::from(n) * std;
                for i in 0..self.left.len() {
                    self.near(self.left[i].1, floor);
                    if self.left[i].1 < floor {
                        self.left[i].1 = f64::NEG_INFINITY;
                    }
                }
            }
            &Stage::Temperature(t) => self.temperature(f64::from(t)),
            &Stage::DynamicTemperature {
                temperature,
                range,
                exponent,
            } => {
                let (t, range) = (f64::from(temperature), f64::from(range));
                if range <= 0.0 {
                    self.temperature(t);
                } else if self.left.len() > 1 {
                    if self.entropy() < 1e-3 {
                        // A power of an entropy that single precision can't tell from 0.
                        self.margin = 0.0;
                    }
                    let share = self.entropy() / (self.left.len() as f64).ln();
                    let low = (t - range).max(0.0);
                    let power = share.max(0.0).powf(f64::from(exponent));
                    self.temperature(low + (t + range - low) * power);
                }
            }
            Stage::Greedy => {
                self.sort();
                self.left.truncate(1);
            }
            Stage::Mirostat { tau, m, .. } => self.mirostat(f64::from(*tau), *m as usize),
            Stage::MirostatV2 { tau, .. } => {
                self.sort();
                let bits = 2.0 * f64::from(*tau);
                let p = self.softmax();
                p.iter().for_each(|q| self.near(-q.log2(), bits));
                let n = p.iter().take_while(|q| -q.log2() <= bits).count();
                self.left.truncate(n.max(1));
            }
            Stage::Distribution => {}
            other => panic!("no reference for {other:?}"),
        }
    }

    fn temperature(&mut self, t: f64) {
        if t > 0.0 {
            self.left.iter_mut().for_each(|c| c.1 /= t);
        } else {
            self.sort();
            self.left[1..]
                .iter_mut()
                .for_each(|c| c.1 = f64::NEG_INFINITY);
        }
    }

    fn mirostat(&mut self, tau: f64, m: usize) {
        let vocab = self.left.len() as f64;
        self.sort();
        let p = self.softmax();
        let (mut tb, mut tt) = (0.0, 0.0);
        for i in 0..(m - 1).min(p.len() - 1) {
            let t = ((i + 2) as f64 / (i + 1) as f64).ln();
            tb += t * (p[i] / p[i + 1]).ln();
            tt += t * t;
        }
        let s = tb / tt;
        let e = s - 1.0;
        let k = (e * (2.0 * tau).exp2() / (1.0 - vocab.powf(-e))).powf(1.0 / s);
        self.near(k, k.round());
        self.left.truncate((k as usize).max(1));
    }
}

fn common_suffix(a: &[Token], b: &[Token]) -> usize {
    a.iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count()
}
