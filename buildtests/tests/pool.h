// Two threads as ggml's CPU backend has them, in the plainest form.

#pragma once

#include "ggml-cpu-impl.h"

#include <atomic>
#include <thread>

struct ggml_threadpool {
    std::atomic<int> chunk{ 0 };
    std::atomic<int> arrived{ 0 };
    int threads = 2;
};

extern "C" {

void ggml_barrier(ggml_threadpool * tp) {
    const int round = tp->arrived.fetch_add(1) / tp->threads;
    while (tp->arrived.load() < (round + 1) * tp->threads) {
        std::this_thread::yield();
    }
}

void ggml_threadpool_chunk_set(ggml_threadpool * tp, int value) {
    tp->chunk = value;
}

int ggml_threadpool_chunk_add(ggml_threadpool * tp, int value) {
    return tp->chunk.fetch_add(value);
}

}  // extern "C"

// Runs `work` in two threads on `size` bytes at `memory`.
template <typename Work> void in_two_threads(void * memory, size_t size, const Work & work) {
    ggml_threadpool pool;
    const auto run = [&](int ith) {
        ggml_compute_params params = {};
        params.ith = ith;
        params.nth = pool.threads;
        params.wsize = size;
        params.wdata = memory;
        params.threadpool = &pool;
        work(&params);
    };
    std::thread other(run, 1);
    run(0);
    other.join();
}
