//! How many threads a step gets: fewer while other processes want the CPUs, more again when they
//! have gone. All threads of a step wait for the one that is not scheduled, so a thread too many
//! costs more than one too few.

use std::time::{Duration, Instant};

/// Follows what the machine really gives, by how long threads waited for a CPU.
///
/// Where the system does not tell (only Linux does), it stays at the most.
pub(crate) struct Governor {
    law: Law,
    waits: Option<Waits>,
    /// Time in steps since the waits were read.
    busy: Duration,
    since: Instant,
}

impl Governor {
    /// From 1 to `most` threads, as many as pay; `most` to begin with.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            law: Law::new(most),
            waits: (most > 1).then(Waits::new).flatten(),
            busy: Duration::ZERO,
            since: Instant::now(),
        }
    }

    /// Always `threads`, as the caller wished.
    pub(crate) fn fixed(threads: u32) -> Self {
        Self {
            waits: None,
            ..Self::new(threads)
        }
    }

    /// Threads for the next step.
    pub(crate) fn threads(&self) -> u32 {
        self.law.threads
    }

    /// Takes notice of a step that took this long; returns the threads for the next one.
    pub(crate) fn after_step(&mut self, took: Duration) -> u32 {
        self.busy += took;
        if let Some(waits) = &mut self.waits
            && self.busy >= waits.interval
        {
            let whole = self.since.elapsed();
            let waited = waits.waited(self.busy);
            // Time between requests says nothing about steps.
            if whole < self.busy * 2 {
                self.law.window(self.busy, waited);
            }
            self.busy = Duration::ZERO;
            self.since = Instant::now();
        }
        self.threads()
    }
}

/// The decision, without clock or files.
struct Law {
    most: u32,
    threads: u32,
    /// What was enough before the number was last raised.
    before: u32,
    /// The last change was a rise, not yet proven by a long quiet time.
    trying: bool,
    /// Time in steps without trouble, since the last change or trouble.
    quiet: Duration,
    /// Quiet time that a rise takes; doubled by each rise that was in vain.
    patience: Duration,
}

impl Law {
    const PATIENCE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

    fn new(most: u32) -> Self {
        Self {
            most,
            threads: most,
            before: most,
            trying: false,
            quiet: Duration::ZERO,
            patience: Self::PATIENCE.0,
        }
    }

    /// Decides after steps of `busy` together, in which threads waited for a CPU for `waited` together.
    fn window(&mut self, busy: Duration, waited: Duration) {
        let lost = waited.as_secs_f64() / busy.as_secs_f64();
        if lost > self.bearable() {
            self.trouble(lost);
            return;
        }
        self.quiet += busy;
        if self.quiet >= self.patience {
            self.trying = self.threads < self.most;
            if self.trying {
                self.before = self.threads;
                self.threads = (self.threads + self.threads.div_ceil(4)).min(self.most);
                self.quiet = Duration::ZERO;
            }
        }
    }

    /// Threads that may wait on average. The last of n threads adds 1/n of the speed at best, and
    /// half of that as a rule, since memory is shared; that much waiting makes it useless.
    fn bearable(&self) -> f64 {
        (0.5 / f64::from(self.threads)).max(0.05)
    }

    /// `lost` threads waited on average, about one for each that is too many.
    fn trouble(&mut self, lost: f64) {
        let surplus = (lost.round() as u32).max(1);
        self.threads = self.threads.saturating_sub(surplus).max(1);
        if self.trying {
            self.threads = self.threads.min(self.before);
            self.patience = (self.patience * 2).min(Self::PATIENCE.1);
        } else if self.quiet >= self.patience {
            self.patience = Self::PATIENCE.0;
        }
        self.trying = false;
        self.quiet = Duration::ZERO;
    }
}

#[cfg(target_os = "linux")]
use linux::Waits;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;
    use std::time::{Duration, Instant};

    /// Time that this process's threads have run and waited for a CPU, from the scheduler's own
    /// record (`schedstat`).
    pub(super) struct Waits {
        threads: HashMap<u32, Time>,
        /// Reading more often would tell less: the scheduler's ticks are up to 10 ms apart.
        pub(super) interval: Duration,
    }

    #[derive(Clone, Copy)]
    struct Time {
        run: Duration,
        waited: Duration,
    }

    impl Waits {
        const INTERVAL: Duration = Duration::from_millis(20);

        /// `None` where the kernel keeps no record.
        pub(super) fn new() -> Option<Self> {
            let threads = read();
            (!threads.is_empty()).then_some(Self {
                threads,
                interval: Self::INTERVAL,
            })
        }

        /// How long threads that wanted a CPU for most of the last `busy` had to wait for one,
        /// summed up, since the last call.
        ///
        /// Other threads of the program wait too, such as one that prints each token. Nobody who
        /// computes waits for them.
        pub(super) fn waited(&mut self, busy: Duration) -> Duration {
            let start = Instant::now();
            let now = read();
            let wanting = now.iter().filter_map(|(id, now)| {
                let before = self.threads.get(id)?;
                let waited = now.waited.saturating_sub(before.waited);
                let run = now.run.saturating_sub(before.run);
                (run + waited >= busy / 2).then_some(waited)
            });
            let waited = wanting.sum();
            self.threads = now;
            // A program of many threads is read less often: never more than 1 % of the time.
            self.interval = Self::INTERVAL.max(start.elapsed() * 100);
            waited
        }
    }

    fn read() -> HashMap<u32, Time> {
        let mut threads = HashMap::new();
        for entry in fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .flatten()
        {
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let time = fs::read_to_string(entry.path().join("schedstat"));
            if let (Some(id), Some(time)) = (id, time.ok().as_deref().and_then(parse)) {
                threads.insert(id, time);
            }
        }
        threads
    }

    /// Nanoseconds run and nanoseconds waited, then a count.
    fn parse(schedstat: &str) -> Option<Time> {
        let mut numbers = schedstat.split_whitespace().map(str::parse);
        Some(Time {
            run: Duration::from_nanos(numbers.next()?.ok()?),
            waited: Duration::from_nanos(numbers.next()?.ok()?),
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn reads_what_the_scheduler_recorded() {
            let time = parse("63197847 65111157 116\n").unwrap();
            assert_eq!(time.run, Duration::from_nanos(63_197_847));
            assert_eq!(time.waited, Duration::from_nanos(65_111_157));
            assert!(parse("").is_none() && parse("1 x 2").is_none());
        }

        #[test]
        fn every_thread_of_the_process_is_seen() {
            let before = read().len();
            let (stop, wait) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || wait.recv());
            let during = read().len();
            drop(stop);
            let _ = thread.join();
            assert!(before >= 1 && during >= 2, "{before}, {during}");
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Waits {
    interval: Duration,
}

#[cfg(not(target_os = "linux"))]
impl Waits {
    fn new() -> Option<Self> {
        None
    }

    fn waited(&mut self, _busy: Duration) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::{Governor, Law};
    use std::time::Duration;

    /// A machine whose scheduler shares CPUs fairly between our threads and other processes.
    struct Machine {
        cpus: u32,
        law: Law,
        /// Time in steps so far.
        time: Duration,
        /// Work done, in steps of one undisturbed thread.
        work: f64,
        changes: u32,
    }

    impl Machine {
        fn new(cpus: u32) -> Self {
            Self {
                cpus,
                law: Law::new(cpus),
                time: Duration::ZERO,
                work: 0.0,
                changes: 0,
            }
        }

        /// One window of 20 ms beside `others` busy processes: the threads for which no CPU is left
        /// share one with a process, and the others wait for them.
        fn window(&mut self, others: u32) {
            let busy = Duration::from_millis(20);
            let threads = self.law.threads;
            let sharing = (threads + others).saturating_sub(self.cpus).min(threads);
            let speed = if sharing > 0 { 0.5 } else { 1.0 };
            self.work += speed * f64::from(threads);
            self.time += busy;
            self.law.window(busy, busy * sharing / 2);
            self.changes += u32::from(self.law.threads != threads);
        }

        fn windows(&mut self, count: u32, others: u32) {
            for _ in 0..count {
                self.window(others);
            }
        }

        fn threads(&self) -> u32 {
            self.law.threads
        }
    }

    #[test]
    fn a_quiet_machine_is_used_whole() {
        let mut machine = Machine::new(4);
        machine.windows(1000, 0);
        assert_eq!((machine.threads(), machine.changes), (4, 0));
    }

    #[test]
    fn a_busy_neighbour_gets_its_cpu_at_once() {
        for cpus in [2, 4, 16] {
            let mut machine = Machine::new(cpus);
            machine.windows(50, 0);
            machine.window(1);
            assert_eq!(machine.threads(), cpus - 1, "{cpus} CPUs");
        }
    }

    #[test]
    fn many_neighbours_get_theirs_soon() {
        let mut machine = Machine::new(16);
        machine.windows(50, 0);
        machine.windows(5, 12);
        assert_eq!(machine.threads(), 4);
        machine.windows(1000, 100);
        assert_eq!(machine.threads(), 1);
    }

    #[test]
    fn trying_for_more_costs_little_beside_a_neighbour_that_stays() {
        let mut machine = Machine::new(4);
        machine.windows(2000, 1);
        // Three threads for 2000 windows would have done 6000.
        assert!(machine.work > 0.98 * 6000.0, "{}", machine.work);
        assert!(machine.changes < 60, "{}", machine.changes);
    }

    #[test]
    fn the_machine_is_used_whole_again_when_the_neighbours_have_gone() {
        let mut machine = Machine::new(8);
        machine.windows(2000, 7);
        assert!(machine.threads() <= 2, "{}", machine.threads());
        let since = machine.time;
        while machine.threads() < 8 {
            machine.window(0);
        }
        let took = machine.time - since;
        assert!(took < Duration::from_secs(15), "{took:?}");
        machine.windows(1000, 0);
        assert_eq!(machine.threads(), 8);
    }

    #[test]
    fn a_hiccup_is_soon_forgotten() {
        let mut machine = Machine::new(2);
        machine.windows(100, 0);
        machine.window(1);
        machine.windows(6, 0);
        assert_eq!(machine.threads(), 2);
        // Also after many neighbours that came and went.
        machine.windows(1000, 1);
        machine.windows(300, 0);
        machine.window(1);
        machine.windows(6, 0);
        assert_eq!(machine.threads(), 2);
    }

    #[test]
    fn bursts_do_not_make_it_flap() {
        let mut machine = Machine::new(2);
        for _ in 0..500 {
            machine.windows(2, 1);
            machine.windows(2, 0);
        }
        // 40 s: a try every 2 s and the doubling before.
        assert!(machine.changes < 60, "{}", machine.changes);
    }

    #[test]
    fn little_waiting_is_borne() {
        let mut law = Law::new(2);
        for _ in 0..100 {
            law.window(Duration::from_millis(20), Duration::from_millis(4));
        }
        assert_eq!(law.threads, 2);
    }

    #[test]
    fn what_the_caller_fixed_stays() {
        let mut governor = Governor::fixed(3);
        for _ in 0..10 {
            assert_eq!(governor.after_step(Duration::from_secs(1)), 3);
        }
        let mut one = Governor::new(1);
        assert_eq!(one.after_step(Duration::from_secs(1)), 1);
        assert_eq!(one.threads(), 1);
    }
}
