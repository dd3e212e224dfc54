// Threads at a barrier made of barrier.h as ggml's edited one is: `barrier pass` has four pass it many
// times and checks that none runs ahead; `barrier sleep` waits until a waiting thread sleeps.

#include "barrier.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, ROUNDS = 20000 };

static atomic_int arrived, passed, asleep;
static atomic_int counts[THREADS];
static atomic_int sleeper;

static void barrier(int n_threads) {
    const int old = atomic_load_explicit(&passed, memory_order_relaxed);
    if (atomic_fetch_add(&arrived, 1) == n_threads - 1) {
        atomic_store_explicit(&arrived, 0, memory_order_relaxed);
        atomic_fetch_add(&passed, 1);
        lk_barrier_wake(&passed, &asleep);
        return;
    }
    struct lk_spin spin = lk_spin_at_barrier();
    while (lk_barrier_spin_on(&spin, &passed, &asleep, old)) {
    }
    atomic_thread_fence(memory_order_seq_cst);
}

static void * pass(void * argument) {
    const int own = (int) (intptr_t) argument;
    for (int round = 1; round <= ROUNDS; round++) {
        // Another thread is late each time, by up to a few microseconds.
        for (volatile int i = (own * 7919 + round * 104729) % 4096; i > 0; i--) {
        }
        atomic_store_explicit(&counts[own], round, memory_order_relaxed);
        barrier(THREADS);
        for (int other = 0; other < THREADS; other++) {
            const int count = atomic_load_explicit(&counts[other], memory_order_relaxed);
            if (count < round || count > round + 1) {
                fprintf(stderr, "thread %d is in round %d, thread %d in %d\n", own, round, other, count);
                exit(1);
            }
        }
    }
    return NULL;
}

static void * wait_for_main(void * argument) {
    atomic_store(&sleeper, (int) syscall(SYS_gettid));
    barrier(2);
    return argument;
}

// Ends when the thread sleeps, so never where it spins: then the alarm ends the program.
static void until_asleep(void) {
    while (atomic_load(&sleeper) == 0) {
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(&sleeper));
    char state = 'R';
    while (state != 'S' || atomic_load(&asleep) != 1) {
        FILE * file = fopen(path, "r");
        if (file == NULL || fscanf(file, "%*d (%*[^)]) %c", &state) != 1) {
            exit(1);
        }
        fclose(file);
    }
}

int main(int argc, char ** argv) {
    alarm(60);
    pthread_t threads[THREADS];
    if (argc == 2 && strcmp(argv[1], "sleep") == 0) {
        pthread_create(&threads[0], NULL, wait_for_main, NULL);
        until_asleep();
        barrier(2);
        pthread_join(threads[0], NULL);
    } else {
        for (int i = 0; i < THREADS; i++) {
            pthread_create(&threads[i], NULL, pass, (void *) (intptr_t) i);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    return atomic_load(&asleep) == 0 ? 0 : 1;
}
