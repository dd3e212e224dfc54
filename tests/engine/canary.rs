//! Many clients at once: nobody reads another's words, and nobody's answer depends on the others.

use super::*;

/// A small generator of repeatable choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// 16 clients, each with words of its own; answers, cancellations, shared beginnings, guesses.
fn clients(tiny: &Tiny, requests: u64, micro: u32) {
    const CLIENTS: u64 = 16;
    let params = params()
        .context_length(128)
        .parallel(6)
        .micro_batch_size(micro)
        .checkpoint_gap(16);
    let engine = engine(tiny, &params);
    let prefix = run_of(24, 77);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (engine, prefix) = (engine.clone(), &prefix);
            scope.spawn(move || {
                let mut dice = Dice(0x9e37_79b9 + client);
                // Its own words, which it asks with again and again.
                let own = run_of(12, 500 + client as u32);
                let prompt = [prefix.clone(), own].concat();
                let expected = solo(tiny, &prompt, 40);
                for round in 0..requests / CLIENTS {
                    let request = greedy(&prompt, 40).speculate(dice.roll(2) == 0);
                    let mut answer = engine.submit(request).unwrap();
                    if dice.roll(3) == 0 {
                        let events = dice.roll(30) as usize;
                        answer.by_ref().take(events).for_each(drop);
                        continue;
                    }
                    let tokens = answer.complete().unwrap().tokens;
                    assert_eq!(tokens, expected, "client {client}, round {round}");
                }
            });
        }
    });
}

#[test]
fn sixteen_clients_read_only_their_own_words() {
    clients(&tiny::lookback(12), 700, 512);
}

#[test]
fn nor_do_they_where_steps_have_several_parts() {
    clients(&tiny::lookback(12), 300, 4);
}
