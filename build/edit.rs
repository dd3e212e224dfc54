//! Edits of upstream's sources: exact pieces of text, each of which must be found once.
//! The edited copy lies under `OUT_DIR`.

/// The threads of ggml's CPU backend.
pub const CPU_THREADS: &str = "ggml/src/ggml-cpu/ggml-cpu.c";

/// One piece of text and what takes its place.
pub struct Edit {
    /// What errors call it.
    pub name: &'static str,
    pub find: &'static str,
    pub put: &'static str,
}

/// Threads sleep instead of spinning without end: `src/sys/ggml/barrier.h` says why and how.
const PASSIVE_WAITING: &[Edit] = &[
    Edit {
        name: "include barrier.h",
        find: "#include \"tiled/tiled.h\"\n",
        put: "#include \"tiled/tiled.h\"\n#include \"barrier.h\"\n",
    },
    Edit {
        name: "count of sleeping threads",
        find: "    atomic_int GGML_CACHE_ALIGN n_barrier_passed;\n",
        put: "    atomic_int GGML_CACHE_ALIGN n_barrier_passed;\n    atomic_int n_barrier_asleep;\n",
    },
    Edit {
        name: "nobody sleeps at first",
        find: "        threadpool->n_barrier_passed = 0;\n",
        put: "        threadpool->n_barrier_passed = 0;\n        threadpool->n_barrier_asleep = 0;\n",
    },
    Edit {
        name: "the last thread wakes the others",
        find: "        atomic_fetch_add_explicit(&tp->n_barrier_passed, 1, memory_order_seq_cst);\n",
        put: "        atomic_fetch_add_explicit(&tp->n_barrier_passed, 1, memory_order_seq_cst);\n        \
              lk_barrier_wake(&tp->n_barrier_passed, &tp->n_barrier_asleep);\n",
    },
    Edit {
        name: "bounded spin at the barrier",
        find: "    while (atomic_load_explicit(&tp->n_barrier_passed, memory_order_relaxed) == n_passed) {\n",
        put: "    struct lk_spin spin = lk_spin_at_barrier();\n    \
              while (lk_barrier_spin_on(&spin, &tp->n_barrier_passed, &tp->n_barrier_asleep, n_passed)) {\n",
    },
    Edit {
        name: "time to poll for work",
        find: "    const uint64_t n_rounds = 1024UL * 128 * threadpool->poll;\n",
        put: "    struct lk_spin spin = lk_spin_for_work(threadpool->poll,\n        \
              state->ith < (state->last_graph & GGML_THREADPOOL_N_THREADS_MASK));\n",
    },
    Edit {
        name: "bounded poll for work",
        find: "    for (uint64_t i=0; !ggml_graph_compute_thread_ready(state) && i < n_rounds; i++) {\n",
        put: "    while (!ggml_graph_compute_thread_ready(state) && lk_spin_on(&spin)) {\n",
    },
];

/// The edits of a file of upstream's tree.
pub fn edits(file: &str) -> &'static [Edit] {
    match file {
        CPU_THREADS => PASSIVE_WAITING,
        _ => &[],
    }
}

/// Edits `text`, the contents of `file`.
pub fn apply(file: &str, text: &str) -> Result<String, String> {
    let mut edited = text.to_owned();
    for edit in edits(file) {
        let found = text.matches(edit.find).count();
        if found != 1 {
            return Err(format!(
                "{file}: the text that the edit \"{}\" replaces is there {found} times, not once: \
                 llamakit's edits are made for the pinned llama.cpp. Feature `openmp` needs none of them",
                edit.name
            ));
        }
        edited = edited.replacen(edit.find, edit.put, 1);
    }
    Ok(edited)
}
