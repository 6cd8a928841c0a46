/* Threads that stay: they spin while work keeps coming and sleep when it does not. What they compute is not known here.
 *
 * No thread is waited for that has not begun: other programs may hold its core. Whoever has one does what is left.
 */
#ifndef TONGGAN_THREADS_H
#define TONGGAN_THREADS_H

#include <stdbool.h>
#include <stdint.h>

struct threads;

/* One of the `count` parts of a thread's share of a phase. */
struct part {
    int share;
    int number;
    int count;
};

/* Work in phases, each of which begins when the last is done. A phase has a share for each thread, cut into parts; a
 * thread does its own share's parts in order, and then what is left of others' shares. */
struct job {
    int num_phases;
    /* Parts that each share of a phase is cut into: 1 to 2^15. */
    int (*num_parts)(void *argument, int phase);
    void (*run)(void *argument, int phase, struct part part, int thread);
    void *argument;
};

/* The caller is one of the `count` threads; NULL when the system gives no more threads or memory. */
struct threads *threads_create(int count);

/* Joins them. */
void threads_free(struct threads *threads);

/* One caller at a time may run work: false when a forked process could not start threads of its own. */
bool threads_acquire(struct threads *threads);
void threads_release(struct threads *threads);

/* Returns when all phases of the job are done, and no thread looks at it any more. */
void threads_run(struct threads *threads, const struct job *job);

#endif
