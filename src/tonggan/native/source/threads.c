#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    BUSY_SPINS = 2000,           /* some 50 microseconds; longer than this the cores may be oversubscribed */
    AWAKE_NANOSECONDS = 2000000, /* a caller that generates is back well before; an idle model costs nothing after */
};

struct worker {
    struct threads *threads;
    pthread_t handle;
    int number;
};

struct threads {
    int count;
    pid_t process; /* threads do not survive fork() */
    pthread_mutex_t turn;
    void (*work)(void *argument, int thread);
    void *argument;
    bool stop;
    pthread_mutex_t sleep_lock;
    pthread_cond_t wake;
    struct worker *workers;
    unsigned last_call; /* calls up to this one are done */
    /* On cache lines of their own: each is polled by all. */
    _Alignas(64) atomic_uint call;
    _Alignas(64) atomic_int num_asleep;
    _Alignas(64) atomic_int num_arrived;
    _Alignas(64) atomic_uint phase;
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static long long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

void threads_barrier(struct threads *threads) {
    const unsigned phase = atomic_load_explicit(&threads->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&threads->num_arrived, 1, memory_order_acq_rel) == threads->count - 1) {
        atomic_store_explicit(&threads->num_arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&threads->phase, phase + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&threads->phase, memory_order_acquire) == phase; spins++) {
        if (spins < BUSY_SPINS)
            relax();
        else
            sched_yield();
    }
}

static void sleep_until_called(struct threads *threads, unsigned seen) {
    pthread_mutex_lock(&threads->sleep_lock);
    /* Sequentially consistent, like the caller's pair: either it sees a sleeper or the sleeper sees its call. */
    atomic_fetch_add(&threads->num_asleep, 1);
    while (atomic_load(&threads->call) == seen) pthread_cond_wait(&threads->wake, &threads->sleep_lock);
    atomic_fetch_sub(&threads->num_asleep, 1);
    pthread_mutex_unlock(&threads->sleep_lock);
}

static void wait_for_call(struct threads *threads, unsigned seen) {
    long long start = 0;
    for (int spins = 0; atomic_load_explicit(&threads->call, memory_order_acquire) == seen; spins++) {
        if (spins < BUSY_SPINS) {
            relax();
            continue;
        }
        if (start == 0) start = nanoseconds();
        if (nanoseconds() - start > AWAKE_NANOSECONDS) {
            sleep_until_called(threads, seen);
            return;
        }
        sched_yield();
    }
}

static void *run_worker(void *argument) {
    struct worker *worker = argument;
    struct threads *threads = worker->threads;
    for (unsigned seen = threads->last_call;; seen++) {
        wait_for_call(threads, seen);
        if (threads->stop) return NULL;
        threads->work(threads->argument, worker->number);
        threads_barrier(threads);
    }
}

static void announce(struct threads *threads) {
    atomic_fetch_add(&threads->call, 1);
    if (atomic_load(&threads->num_asleep) > 0) {
        pthread_mutex_lock(&threads->sleep_lock);
        pthread_cond_broadcast(&threads->wake);
        pthread_mutex_unlock(&threads->sleep_lock);
    }
}

static void stop(struct threads *threads, int num_started) {
    threads->stop = true;
    announce(threads);
    for (int number = 1; number < num_started; number++) pthread_join(threads->workers[number].handle, NULL);
}

static bool start(struct threads *threads) {
    threads->process = getpid();
    threads->stop = false;
    threads->last_call = atomic_load(&threads->call);
    atomic_store(&threads->num_asleep, 0);
    atomic_store(&threads->num_arrived, 0);
    pthread_mutex_init(&threads->turn, NULL);
    pthread_mutex_init(&threads->sleep_lock, NULL);
    pthread_cond_init(&threads->wake, NULL);
    for (int number = 1; number < threads->count; number++) {
        struct worker *worker = &threads->workers[number];
        *worker = (struct worker){.threads = threads, .number = number};
        if (pthread_create(&worker->handle, NULL, run_worker, worker) != 0) {
            stop(threads, number);
            return false;
        }
    }
    return true;
}

struct threads *threads_create(int count) {
    struct threads *threads = NULL;
    if (posix_memalign((void **)&threads, 64, sizeof *threads) != 0) return NULL;
    *threads = (struct threads){.count = count, .workers = calloc((size_t)count, sizeof *threads->workers)};
    if (threads->workers == NULL || !start(threads)) {
        free(threads->workers);
        free(threads);
        return NULL;
    }
    return threads;
}

void threads_free(struct threads *threads) {
    if (threads->process == getpid()) stop(threads, threads->count);
    free(threads->workers);
    free(threads);
}

bool threads_acquire(struct threads *threads) {
    if (threads->process != getpid() && !start(threads)) {
        threads->process = 0; /* tried again by the next call */
        return false;
    }
    pthread_mutex_lock(&threads->turn);
    return true;
}

void threads_release(struct threads *threads) { pthread_mutex_unlock(&threads->turn); }

void threads_run(struct threads *threads, void (*work)(void *argument, int thread), void *argument) {
    threads->work = work;
    threads->argument = argument;
    announce(threads);
    work(argument, 0);
    threads_barrier(threads);
    threads->last_call = atomic_load(&threads->call);
}
