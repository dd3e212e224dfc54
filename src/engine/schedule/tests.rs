//! Admission and steps against a slow, obvious model: every cell of a cache is an object that says
//! which tokens were computed into it, and requests come, go and fail as chance will have it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// Tokens of one request at most.
const WINDOW: usize = 64;

#[derive(Debug, Clone)]
struct Asked {
    key: usize,
    prompt: Vec<Token>,
    answer: usize,
    reuse: bool,
    shifts: bool,
}

#[derive(Debug, Clone)]
enum Op {
    Ask(Asked),
    /// A running or, when there is none at this place, a waiting request ends early.
    Cancel(usize),
    /// A step with so many rows for prompts.
    Step(usize),
    /// All cells are lost and with them the requests whose bits are set.
    Fail(u8),
}

#[derive(Debug, Clone)]
struct Request {
    id: u64,
    asked: Asked,
    tokens: Vec<Token>,
    /// Where each computed token is.
    cells: Vec<usize>,
    wait: Option<Wait>,
    turn: u64,
    /// Steps since then in which it could have taken part.
    passed_over: usize,
    prompt_done: bool,
    shifted: bool,
    answered: usize,
}

impl Request {
    fn worst(&self) -> usize {
        match self.asked.shifts {
            true => WINDOW,
            false => self.asked.prompt.len() + self.asked.answer,
        }
    }

    fn answers(&self) -> bool {
        self.prompt_done && self.tokens.len() - self.cells.len() == 1
    }
}

/// A cache, those who compute in it, and those who wait to.
#[derive(Debug, Clone)]
struct Model {
    keys: Arc<[CacheKey]>,
    limits: Limits,
    /// The tokens up to and with the one that was computed into each cell ever used.
    contents: Vec<Vec<Token>>,
    /// Finished sequences, oldest first.
    cached: Vec<(usize, Vec<Token>, Vec<usize>)>,
    waiting: VecDeque<Request>,
    running: Vec<Request>,
    turn: u64,
    next_id: u64,
    /// Requests in the order in which they were let in.
    admitted: Vec<u64>,
    /// Whether answers end, as opposed to going on to their worst case and staying there.
    ends: bool,
}

impl Model {
    fn new(parallel: usize, pool: usize) -> Self {
        let key = |namespace: &str, adapters: &str| CacheKey {
            namespace: Arc::from(namespace),
            adapters: adapters.to_owned(),
        };
        Self {
            keys: [key("a", ""), key("b", ""), key("a", "x")].into(),
            limits: Limits {
                parallel,
                longest: WINDOW.min(pool),
                pool: Some(pool),
                shares_cells: true,
                grain: 1,
            },
            contents: Vec::new(),
            cached: Vec::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            turn: 0,
            next_id: 1,
            admitted: Vec::new(),
            ends: true,
        }
    }

    fn peer<'a>(&'a self, request: &'a Request) -> Peer<'a> {
        Peer {
            id: request.id,
            key: &self.keys[request.asked.key],
            prompt: &request.asked.prompt,
            reuse: request.asked.reuse && !request.shifted,
            worst: request.worst(),
            done: request.cells.len(),
            wait: request.wait,
            shifts: request.asked.shifts,
        }
    }

    fn peers(&self) -> Vec<Peer<'_>> {
        self.running.iter().map(|r| self.peer(r)).collect()
    }

    /// Distinct cells of the running requests, with or without those that shift.
    fn held(&self, with_shifting: bool) -> BTreeSet<usize> {
        let counted = self
            .running
            .iter()
            .filter(|r| with_shifting || !r.asked.shifts);
        counted.flat_map(|r| r.cells.iter().copied()).collect()
    }

    fn promised(&self) -> usize {
        self.limits.promised(&self.peers(), self.held(false).len())
    }

    /// The longest cached prefix of a request: how many tokens, in which cells.
    fn longest_cached(&self, request: &Request) -> Vec<usize> {
        let most = request.tokens.len() - 1;
        let usable = self
            .cached
            .iter()
            .filter(|cached| request.asked.reuse && cached.0 == request.asked.key);
        let prefixes = usable.map(|(_, tokens, cells)| {
            let pairs = tokens.iter().zip(&request.tokens[..most]);
            &cells[..pairs.take_while(|(a, b)| a == b).count()]
        });
        prefixes
            .max_by_key(|cells| cells.len())
            .unwrap_or_default()
            .to_vec()
    }

    fn fit(&self, request: &Request) -> Fit {
        let peers = self.peers();
        let new = self.peer(request);
        let cached = self.longest_cached(request);
        let start = self
            .limits
            .start(&peers, peers.len(), &new, cached.len(), WORTH_WAITING);
        let held = self.held(false);
        let of_cached = || cached.iter().filter(|cell| held.contains(cell)).count();
        let saved = self.limits.saved(&peers, &new, start, of_cached);
        self.limits.fit(&peers, &new, || held.len(), || saved)
    }

    fn admit(&mut self) {
        while let Some(request) = self.waiting.front() {
            let fit = self.fit(request);
            if self.running.is_empty() {
                assert_ne!(fit, Fit::Later, "nobody is there to wait for");
            }
            match fit {
                Fit::Later => {
                    self.refusal_is_due();
                    return;
                }
                Fit::Grow => drop(self.waiting.pop_front()),
                Fit::Now => {
                    let request = self.waiting.pop_front().unwrap();
                    self.start(request);
                }
            }
        }
    }

    fn start(&mut self, mut request: Request) {
        request.turn = self.turn;
        self.admitted.push(request.id);
        self.seed(&mut request, self.running.len(), WORTH_WAITING);
        self.running.push(request);
    }

    /// Where a request was not let in for want of cells, these would not have sufficed: everybody
    /// goes on to the worst case, and cells are counted.
    fn refusal_is_due(&self) {
        let settled = self.running.iter().all(|request| {
            let leads = |wait: Wait| self.running.iter().any(|r| r.id == wait.leader);
            !request.asked.shifts && request.wait.is_none_or(leads)
        });
        let new = self.waiting[0].clone();
        if !settled || new.asked.shifts || self.running.len() >= self.limits.parallel {
            return;
        }
        if new.worst() > self.limits.longest {
            return;
        }
        let pool = self.limits.pool.unwrap();
        assert!(self.worst_with(new) > pool, "it could have run");
    }

    /// The most cells that the running requests and `new` may take, by letting them.
    fn worst_with(&self, new: Request) -> usize {
        let mut future = self.clone();
        future.limits.pool = Some(usize::MAX);
        future.ends = false;
        future.waiting.clear();
        future.start(new);
        let promised = future.promised();
        while future
            .running
            .iter()
            .any(|r| r.wait.is_some() || r.cells.len() < r.worst())
        {
            future.step(WINDOW);
        }
        let taken = future.held(true).len();
        assert_eq!(promised, taken);
        taken
    }

    fn seed(&mut self, request: &mut Request, before: usize, patience: usize) {
        let cached = self.longest_cached(request);
        let peers = self.peers();
        let start = self
            .limits
            .start(&peers, before, &self.peer(request), cached.len(), patience);
        match start {
            Start::Wait(wait) => request.wait = Some(wait),
            Start::Shared(place, len) => {
                request.wait = None;
                request.cells = self.running[place].cells[..len].to_vec();
            }
            Start::Cached => {
                request.wait = None;
                request.cells = cached;
            }
        }
    }

    fn end_waits(&mut self) {
        for index in 0..self.running.len() {
            let Some(wait) = self.running[index].wait else {
                continue;
            };
            match wake(&self.peers(), wait) {
                Wake::NotYet => {}
                Wake::There(place) => {
                    let shared = self.running[place].cells[..wait.len].to_vec();
                    self.running[index].cells = shared;
                    self.running[index].wait = None;
                }
                Wake::Never => {
                    let mut request = self.running.remove(index);
                    self.seed(&mut request, index, 1);
                    self.running.insert(index, request);
                }
            }
        }
    }

    /// A cell for the token after the first `at` of a sequence; cached sequences make room.
    fn take_cell(&mut self, tokens: &[Token]) -> usize {
        loop {
            let mut used = self.held(true);
            used.extend(self.cached.iter().flat_map(|cached| &cached.2));
            if self.limits.pool.is_none_or(|pool| used.len() < pool) {
                self.contents.push(tokens.to_vec());
                return self.contents.len() - 1;
            }
            assert!(
                !self.cached.is_empty(),
                "the running requests have all cells"
            );
            self.cached.remove(0);
        }
    }

    fn compute(&mut self, index: usize, rows: usize) {
        for _ in 0..rows {
            let request = &self.running[index];
            let tokens = request.tokens[..=request.cells.len()].to_vec();
            let cell = self.take_cell(&tokens);
            self.running[index].cells.push(cell);
        }
    }

    /// Moves the window of a request on that is full, as the engine does: in place where nobody
    /// else has the cells that move, else by computing again.
    fn shift(&mut self, index: usize) {
        let request = &self.running[index];
        if !request.asked.shifts || request.tokens.len() < WINDOW {
            return;
        }
        let (keep, gone) = (4, WINDOW / 2);
        let moved: BTreeSet<usize> = request.cells.iter().skip(keep + gone).copied().collect();
        let others = self.running.iter().filter(|other| other.id != request.id);
        let in_place = request.cells.len() >= keep + gone
            && others
                .flat_map(|other| &other.cells)
                .chain(self.cached.iter().flat_map(|cached| &cached.2))
                .all(|cell| !moved.contains(cell));
        let request = &mut self.running[index];
        request.tokens.drain(keep..keep + gone);
        request.shifted = true;
        if in_place {
            request.cells.drain(keep..keep + gone);
            for (place, &cell) in request.cells.iter().enumerate() {
                self.contents[cell] = request.tokens[..=place].to_vec();
            }
        } else {
            request.cells.clear();
        }
    }

    fn step(&mut self, room: usize) {
        self.end_waits();
        if let Some(pool) = self.limits.pool {
            assert!(self.promised() <= pool, "more is promised than there is");
        }
        (0..self.running.len()).for_each(|index| self.shift(index));
        let busy = |r: &Request| {
            r.wait.is_none() && r.cells.len() < r.tokens.len() && r.cells.len() < r.worst()
        };
        let ready: Vec<Ready<String>> = self
            .running
            .iter()
            .enumerate()
            .filter(|(_, request)| busy(request))
            .map(|(index, r)| (index, r.turn, self.keys[r.asked.key].adapters.clone()))
            .collect();
        let chosen = together(&ready, false);
        self.turn += 1;
        for (index, _, _) in &ready {
            self.running[*index].passed_over += 1;
        }
        let mut rows = BTreeMap::new();
        for &index in &chosen {
            self.running[index].turn = self.turn;
            self.running[index].passed_over = 0;
            if self.running[index].answers() {
                rows.insert(index, 1);
            }
        }
        let answers = rows.len();
        let wanted = chosen
            .iter()
            .filter(|index| !rows.contains_key(index))
            .map(|&index| (index, self.border(index) - self.running[index].cells.len()))
            .collect::<Vec<_>>();
        let parts = share_out(wanted.clone(), room, usize::MAX);
        rows.extend(parts.iter().copied());
        self.check_rows(&ready, &chosen, &rows, room + answers);
        let ids: Vec<(u64, usize)> = rows
            .iter()
            .map(|(&index, &rows)| (self.running[index].id, rows))
            .collect();
        for &(index, rows) in rows.iter().collect::<Vec<_>>().iter() {
            self.compute(*index, *rows);
        }
        for (id, _) in ids {
            let index = self.running.iter().position(|r| r.id == id).unwrap();
            self.draw(index);
        }
        self.check();
    }

    fn border(&self, index: usize) -> usize {
        let request = &self.running[index];
        let waits = self.running.iter().filter_map(|other| other.wait);
        let stops = waits
            .filter(|wait| wait.leader == request.id)
            .map(|wait| wait.len);
        border(request.cells.len(), request.tokens.len(), stops)
    }

    /// What every step must have.
    fn check_rows(
        &self,
        ready: &[Ready<String>],
        chosen: &[usize],
        rows: &BTreeMap<usize, usize>,
        most: usize,
    ) {
        assert!(rows.values().sum::<usize>() <= most, "too many rows");
        if !ready.is_empty() {
            assert!(!rows.is_empty(), "nothing goes on");
        } else if self.ends {
            assert!(self.running.is_empty(), "all wait");
        }
        let Some(&first) = chosen.first() else { return };
        let adapters = |index: usize| &self.keys[self.running[index].asked.key].adapters;
        for (index, _, _) in ready {
            // Every answer has a row, also beside prompts.
            if adapters(*index) == adapters(first) && self.running[*index].answers() {
                assert_eq!(rows.get(index), Some(&1));
            }
            // Whoever was passed over is so at most once for each of the others.
            assert!(self.running[*index].passed_over < self.limits.parallel);
        }
        for (&index, &rows) in rows {
            let request = &self.running[index];
            let end = request.cells.len() + rows;
            for wait in self.running.iter().filter_map(|other| other.wait) {
                let crosses = request.cells.len() < wait.len && wait.len < end;
                assert!(wait.leader != request.id || !crosses, "a border is passed");
            }
        }
    }

    /// Draws a token for a request whose last one is computed.
    fn draw(&mut self, index: usize) {
        let request = &mut self.running[index];
        if request.cells.len() < request.tokens.len() {
            return;
        }
        request.prompt_done = true;
        if request.answered < request.asked.answer {
            request.answered += 1;
            request.tokens.push(Token(request.answered as i32 % 3));
        }
        if self.ends && request.answered == request.asked.answer {
            self.finish(index, true);
        }
    }

    fn finish(&mut self, index: usize, keep: bool) {
        let request = self.running.remove(index);
        if keep && request.asked.reuse && !request.shifted && request.cells.len() >= 8 {
            let tokens = request.tokens[..request.cells.len()].to_vec();
            self.cached.push((request.asked.key, tokens, request.cells));
        }
    }

    fn fail(&mut self, mask: u8) {
        for index in (0..self.running.len()).rev() {
            if mask >> (index % 8) & 1 == 1 {
                self.finish(index, false);
            }
        }
        self.cached.clear();
        for request in &mut self.running {
            request.cells.clear();
            request.wait = None;
        }
        for index in 0..self.running.len() {
            let peers = self.peers();
            let start = self
                .limits
                .start(&peers[..index], index, &peers[index], 0, 1);
            if let Start::Wait(wait) = start {
                self.running[index].wait = Some(wait);
            }
        }
    }

    /// What must be so at any time.
    fn check(&self) {
        for (index, request) in self.running.iter().enumerate() {
            for (place, &cell) in request.cells.iter().enumerate() {
                let expected = &request.tokens[..=place];
                assert_eq!(self.contents[cell], expected, "another's words");
            }
            if let Some(wait) = request.wait {
                assert!(request.cells.is_empty(), "it holds what others may need");
                let leader = self.running.iter().position(|r| r.id == wait.leader);
                assert!(
                    leader.is_none_or(|leader| leader < index),
                    "may be a circle"
                );
            }
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Ask(asked) => {
                self.waiting.push_back(Request {
                    id: self.next_id,
                    tokens: asked.prompt.clone(),
                    asked,
                    cells: Vec::new(),
                    wait: None,
                    turn: 0,
                    passed_over: 0,
                    prompt_done: false,
                    shifted: false,
                    answered: 0,
                });
                self.next_id += 1;
            }
            Op::Cancel(place) if place < self.running.len() => self.finish(place, true),
            Op::Cancel(place) => drop(self.waiting.remove(place)),
            Op::Fail(mask) => self.fail(mask),
            Op::Step(room) => {
                self.admit();
                self.step(room);
            }
        }
        self.check();
    }
}

/// Prompts that share beginnings of all lengths.
fn asked() -> impl Strategy<Value = Asked> {
    let prompt = (0..3_usize, 0..40_usize, 1..20_usize, any::<u32>());
    let prompt = prompt.prop_map(|(base, shared, own, bits)| {
        // The three beginnings part after 12 tokens.
        let common = (0..shared).map(|i| if i < 12 { 7 } else { 10 + base as i32 });
        let own = (0..own).map(|i| (bits >> (i % 32) & 1) as i32);
        common.chain(own).map(Token).collect::<Vec<_>>()
    });
    let key = prop_oneof![6 => Just(0_usize), 1 => Just(1), 2 => Just(2)];
    let mostly = |often| prop::bool::weighted(often);
    (key, prompt, 0..12_usize, mostly(0.9), mostly(0.1)).prop_map(
        |(key, prompt, answer, reuse, shifts)| Asked {
            key,
            answer: if shifts { answer * 12 } else { answer },
            prompt,
            reuse,
            shifts,
        },
    )
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => asked().prop_map(Op::Ask),
        8 => (1..40_usize).prop_map(Op::Step),
        2 => (0..6_usize).prop_map(Op::Cancel),
        1 => any::<u8>().prop_map(Op::Fail),
    ];
    prop::collection::vec(op, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever comes, goes and fails: no request finds the cache full, computes beside its own
    /// tokens, waits for ever or is overtaken, and none waits for cells that are there.
    #[test]
    fn every_request_gets_its_cells_and_its_turn(
        parallel in 1..7_usize,
        pool in 40..200_usize,
        ops in ops(),
    ) {
        let mut model = Model::new(parallel, pool);
        for op in ops {
            model.run(op);
        }
        // Nobody else comes: everybody gets to the end.
        let mut steps = 0;
        while !(model.running.is_empty() && model.waiting.is_empty()) {
            model.run(Op::Step(3));
            steps += 1;
            prop_assert!(steps < 60 * 200, "somebody starves");
        }
        prop_assert!(model.admitted.is_sorted(), "somebody was overtaken");
    }
}

#[test]
fn rows_are_given_in_order_while_there_are_some() {
    let wanted = [(4, 3), (1, 5), (7, 2)];
    assert_eq!(share_out(wanted, 4, 9), [(4, 3), (1, 1)]);
    assert_eq!(share_out(wanted, 100, 2), [(4, 3), (1, 5)]);
    assert_eq!(share_out(wanted, 100, 9), wanted);
    assert_eq!(share_out(wanted, 1, 9), [(4, 1)]);
}

#[test]
fn a_part_ends_at_the_first_stop_ahead() {
    assert_eq!(border(10, 50, [10, 5, 30, 20, 60]), 20);
    assert_eq!(border(30, 50, [10, 30]), 50);
    assert_eq!(border(0, 50, []), 50);
}

#[test]
fn the_one_that_has_waited_longest_chooses_who_computes() {
    let ready = [(0, 5, "a"), (2, 3, "b"), (3, 5, "a"), (4, 4, "b")];
    assert_eq!(together(&ready, false), [2, 4]);
    assert_eq!(together(&ready, true), [2]);
    assert_eq!(together(&ready[..1], false), [0]);
    assert!(together::<()>(&[], false).is_empty());
}
