/* Threads that stay: they spin while work keeps coming and sleep when it does not. What they compute is not known here.
 */
#ifndef TONGGAN_THREADS_H
#define TONGGAN_THREADS_H

#include <stdbool.h>

struct threads;

/* The caller is one of the `count` threads; NULL when the system gives no more threads or memory. */
struct threads *threads_create(int count);

/* Joins them. */
void threads_free(struct threads *threads);

/* One caller at a time may run work: false when a forked process could not start threads of its own. */
bool threads_acquire(struct threads *threads);
void threads_release(struct threads *threads);

/* Calls work(argument, thread) on every thread, and returns when all are done. */
void threads_run(struct threads *threads, void (*work)(void *argument, int thread), void *argument);

/* Within work: returns once every thread has come here. */
void threads_barrier(struct threads *threads);

#endif
