// How ggml's threads wait for each other and for work: they spin for a bounded time, then sleep in
// the kernel. Upstream's spin has no end, and beside other busy processes it takes a core from the
// very thread that is awaited. Linux and Android; the edits that call this are in build/edit.rs.

#pragma once

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Longer than threads that all run are usually apart, and about what it takes to sleep and be woken.
#ifndef LK_BARRIER_SPIN_NS
#    define LK_BARRIER_SPIN_NS 100000
#endif

// A spin that stops after `limit_ns`. Time bounds it, not rounds: a pause takes 1 to 50 ns,
// depending on the CPU.
struct lk_spin {
    int64_t limit_ns;
    int64_t since_ns;
    uint32_t rounds;
};

static inline struct lk_spin lk_spin_for(int64_t limit_ns) {
    return (struct lk_spin) { limit_ns, 0, 0 };
}

// Whether to spin for another round. Most waits are over before the clock is read at all.
static inline bool lk_spin_on(struct lk_spin * spin) {
    if (++spin->rounds % 64 != 0) {
        return true;
    }
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    const int64_t now_ns = (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
    if (spin->since_ns == 0) {
        spin->since_ns = now_ns;
    }
    return now_ns - spin->since_ns < spin->limit_ns;
}

// How long this thread spins at its next barrier: half as long after each wait that it had to sleep
// through, all of it again after one that it did not. Beside busy processes, threads of one graph come
// to share a CPU; then all spinning is in vain, and takes that CPU from the thread that is awaited.
static _Thread_local int64_t lk_barrier_spin_ns = LK_BARRIER_SPIN_NS;

static inline struct lk_spin lk_spin_at_barrier(void) {
    return lk_spin_for(lk_barrier_spin_ns);
}

// How long a worker polls for the next graph, by upstream's level of 0 to 100: 2 ms at its default
// of 50, which outlasts the sampling of a token. A worker that the last graph had no use for will
// hardly be wanted by the next.
static inline struct lk_spin lk_spin_for_work(uint32_t poll, bool used) {
    return lk_spin_for(used ? (int64_t) poll * 40000 : 0);
}

// Whether to spin for another round until `passed` is no longer `old`. Sleeps when the spin is over,
// and returns false once the barrier has been passed.
//
// No wake-up is lost. The sleeper adds itself to `asleep`, then loads `passed`; the last thread to
// arrive adds to `passed`, then loads `asleep`. All four are sequentially consistent, so if the
// sleeper still finds the old value, the other finds the sleeper and wakes it. FUTEX_WAIT compares
// `passed` again under the lock that FUTEX_WAKE takes: a wake between that load and falling asleep
// finds the value changed. What was computed before the barrier is published by upstream's own fences.
static inline bool lk_barrier_spin_on(struct lk_spin * spin, atomic_int * passed, atomic_int * asleep, int old) {
    if (atomic_load_explicit(passed, memory_order_relaxed) != old) {
        lk_barrier_spin_ns = LK_BARRIER_SPIN_NS;
        return false;
    }
    if (lk_spin_on(spin)) {
        return true;
    }
    atomic_fetch_add_explicit(asleep, 1, memory_order_seq_cst);
    while (atomic_load_explicit(passed, memory_order_seq_cst) == old) {
        syscall(SYS_futex, passed, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    }
    atomic_fetch_sub_explicit(asleep, 1, memory_order_relaxed);
    lk_barrier_spin_ns /= 2;
    return false;
}

// After the last thread has added to `passed`. A system call only where someone sleeps.
static inline void lk_barrier_wake(atomic_int * passed, atomic_int * asleep) {
    if (atomic_load_explicit(asleep, memory_order_seq_cst) > 0) {
        syscall(SYS_futex, passed, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    }
}
