#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    BUSY_SPINS = 2000,             /* some 50 microseconds; longer than this the cores may be oversubscribed */
    AWAKE_NANOSECONDS = 2000000,   /* a caller that generates is back well before; an idle model costs nothing after */
    CREDIT_NANOSECONDS = 20000000, /* gains that make up for later losses; one interruption is no crowd */
    ALONE_NANOSECONDS = 500000000, /* at most so long before sharing is tried again */
    ALONE_PER_LOSS = 8,            /* trying costs about a ninth of the time where it never pays */
};

/* Where a thread's share of the current phase stands: phase << 32 | number of parts << 16 | next part. One word, so
 * that a claim tells what it is a claim of, however late it comes. On a cache line of its own: its thread polls it. */
struct share {
    _Alignas(64) _Atomic uint64_t state;
};

struct worker {
    struct threads *threads;
    pthread_t handle;
    int number;
    uint32_t phase; /* when it was started */
};

struct threads {
    int count;
    pid_t process; /* threads do not survive fork() */
    pthread_mutex_t turn;
    pthread_mutex_t sleep_lock;
    pthread_cond_t wake;
    struct worker *workers;
    struct share *shares;
    atomic_bool stop;
    /* Whether sharing pays; the caller's. */
    long long credit;
    long long alone_until;
    /* Of the job under way. Only who holds a claim, and so keeps its phase from ending, may look at these. */
    const struct job *job;
    uint32_t first_phase; /* phases are numbered through all jobs, so that an old one is never taken for the current */
    /* On a cache line of their own: all write here. */
    _Alignas(64) atomic_int num_done;
    int num_parts;     /* of the current phase's shares together */
    int64_t all_parts; /* of all phases so far */
    _Alignas(64) atomic_int num_asleep;
};

static inline uint32_t phase_of(uint64_t state) { return (uint32_t)(state >> 32); }

static inline int num_parts_of(uint64_t state) { return (int)(state >> 16 & 0xffff); }

static inline int next_of(uint64_t state) { return (int)(state & 0xffff); }

static inline uint32_t current_phase(struct threads *threads, int thread) {
    return phase_of(atomic_load_explicit(&threads->shares[thread].state, memory_order_acquire));
}

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

/* After the last phase comes one without parts, which is the end. The caller's share is written last: the caller may
 * return as soon as it sees the end, and nobody may write after that. */
static void open_phase(struct threads *threads, uint32_t number, int num_parts) {
    threads->num_parts = num_parts * threads->count;
    threads->all_parts += threads->num_parts;
    atomic_store_explicit(&threads->num_done, 0, memory_order_relaxed);
    for (int share = threads->count - 1; share >= 0; share--)
        atomic_store_explicit(&threads->shares[share].state, (uint64_t)number << 32 | (uint64_t)num_parts << 16,
                              memory_order_release);
}

static void open_phase_of_job(struct threads *threads, int phase) {
    const struct job *job = threads->job;
    const int num_parts = phase < job->num_phases ? job->num_parts(job->argument, phase) : 0;
    open_phase(threads, threads->first_phase + (uint32_t)phase, num_parts);
}

/* The look before the claim keeps the count of vain claims, and so the word's lowest bits, below the number of
 * threads. */
static bool claim(struct share *share, uint64_t *state) {
    *state = atomic_load_explicit(&share->state, memory_order_relaxed);
    if (next_of(*state) >= num_parts_of(*state)) return false;
    *state = atomic_fetch_add_explicit(&share->state, 1, memory_order_acq_rel);
    return next_of(*state) < num_parts_of(*state);
}

/* Does what nobody has begun, and opens the next phase if this was the last of it. Returns the number of parts done. */
static int work(struct threads *threads, int thread) {
    int done = 0, phase = 0;
    for (int turn = 0, share = thread; turn < threads->count; turn++, share++) {
        if (share == threads->count) share = 0;
        /* All claims are of one phase: it cannot end before this thread's parts are counted as done. */
        for (uint64_t state; claim(&threads->shares[share], &state); done++) {
            phase = (int)(phase_of(state) - threads->first_phase);
            const struct part part = {share, next_of(state), num_parts_of(state)};
            threads->job->run(threads->job->argument, phase, part, thread);
        }
    }
    if (done == 0) return 0;
    const int num_parts = threads->num_parts; /* may be another phase's after the next line */
    if (atomic_fetch_add_explicit(&threads->num_done, done, memory_order_acq_rel) + done == num_parts)
        open_phase_of_job(threads, phase + 1);
    return done;
}

static void sleep_during(struct threads *threads, int thread, uint32_t phase) {
    pthread_mutex_lock(&threads->sleep_lock);
    atomic_fetch_add(&threads->num_asleep, 1);
    while (current_phase(threads, thread) == phase) pthread_cond_wait(&threads->wake, &threads->sleep_lock);
    atomic_fetch_sub(&threads->num_asleep, 1);
    pthread_mutex_unlock(&threads->sleep_lock);
}

/* Until the phase is over. Returns the nanoseconds that it took beyond some spins; the caller never sleeps. */
static long long wait_during(struct threads *threads, int thread, uint32_t phase) {
    for (int spins = 0; spins < BUSY_SPINS; spins++) {
        if (current_phase(threads, thread) != phase) return 0;
        relax();
    }
    const long long start = nanoseconds();
    long long waited = 0;
    while (current_phase(threads, thread) == phase) {
        if (thread != 0 && waited > AWAKE_NANOSECONDS) {
            sleep_during(threads, thread, phase);
            break;
        }
        sched_yield();
        waited = nanoseconds() - start;
    }
    return waited;
}

static void *run_worker(void *argument) {
    const struct worker *worker = argument;
    struct threads *threads = worker->threads;
    for (uint32_t phase = worker->phase;;) {
        wait_during(threads, worker->number, phase);
        phase = current_phase(threads, worker->number);
        if (threads->stop) return NULL;
        work(threads, worker->number);
    }
}

static void wake_sleepers(struct threads *threads) {
    /* Of this and a sleeper's addition one comes first: the caller sees the sleeper, or the sleeper sees the phase. */
    if (atomic_fetch_add(&threads->num_asleep, 0) == 0) return;
    pthread_mutex_lock(&threads->sleep_lock);
    pthread_cond_broadcast(&threads->wake);
    pthread_mutex_unlock(&threads->sleep_lock);
}

static void stop(struct threads *threads, int num_started) {
    threads->stop = true;
    open_phase(threads, threads->first_phase + 1, 0);
    wake_sleepers(threads);
    for (int number = 1; number < num_started; number++) pthread_join(threads->workers[number].handle, NULL);
}

static bool start(struct threads *threads) {
    threads->process = getpid();
    threads->stop = false;
    atomic_store(&threads->num_asleep, 0);
    open_phase(threads, threads->first_phase, 0);
    pthread_mutex_init(&threads->turn, NULL);
    pthread_mutex_init(&threads->sleep_lock, NULL);
    pthread_cond_init(&threads->wake, NULL);
    for (int number = 1; number < threads->count; number++) {
        struct worker *worker = &threads->workers[number];
        *worker = (struct worker){.threads = threads, .number = number, .phase = threads->first_phase};
        if (pthread_create(&worker->handle, NULL, run_worker, worker) != 0) {
            stop(threads, number);
            return false;
        }
    }
    return true;
}

static void free_memory(struct threads *threads) {
    free(threads->shares);
    free(threads->workers);
    free(threads);
}

struct threads *threads_create(int count) {
    struct threads *threads = NULL;
    if (posix_memalign((void **)&threads, 64, sizeof *threads) != 0) return NULL;
    *threads = (struct threads){.count = count, .workers = calloc((size_t)count, sizeof *threads->workers)};
    if (posix_memalign((void **)&threads->shares, 64, (size_t)count * sizeof *threads->shares) != 0)
        threads->shares = NULL;
    if (threads->workers == NULL || threads->shares == NULL || !start(threads)) {
        free_memory(threads);
        return NULL;
    }
    return threads;
}

void threads_free(struct threads *threads) {
    if (threads->process == getpid()) stop(threads, threads->count);
    free_memory(threads);
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

static void run_alone(const struct threads *threads, const struct job *job) {
    for (int phase = 0; phase < job->num_phases; phase++) {
        const int num_parts = job->num_parts(job->argument, phase);
        for (int share = 0; share < threads->count; share++)
            for (int number = 0; number < num_parts; number++)
                job->run(job->argument, phase, (struct part){share, number, num_parts}, 0);
    }
}

/* A thread that loses its core in the middle of a part is waited for. Where that takes more time than the others save,
 * the caller goes on alone for a while. */
static void judge(struct threads *threads, long long now, long long elapsed, long long waited, int64_t own_parts) {
    const double alone = (double)(elapsed - waited) * (double)threads->all_parts / (double)(own_parts + 1);
    threads->credit += (long long)alone - elapsed;
    if (threads->credit > CREDIT_NANOSECONDS) threads->credit = CREDIT_NANOSECONDS;
    if (threads->credit >= 0) return;
    const long long pause = -threads->credit * ALONE_PER_LOSS;
    threads->alone_until = now + (pause < ALONE_NANOSECONDS ? pause : ALONE_NANOSECONDS);
    threads->credit = 0;
}

void threads_run(struct threads *threads, const struct job *job) {
    const long long start = nanoseconds();
    if (threads->count == 1 || start < threads->alone_until) {
        run_alone(threads, job);
        return;
    }
    threads->job = job;
    threads->all_parts = 0;
    threads->first_phase++;
    open_phase_of_job(threads, 0);
    wake_sleepers(threads);
    const uint32_t end = threads->first_phase + (uint32_t)job->num_phases;
    int64_t own_parts = 0;
    long long waited = 0;
    for (uint32_t phase; (phase = current_phase(threads, 0)) != end;) {
        own_parts += work(threads, 0);
        waited += wait_during(threads, 0, phase);
    }
    threads->first_phase = end;
    const long long now = nanoseconds();
    judge(threads, now, now - start, waited, own_parts);
}
