/*
 * park.h - how a thread falls asleep and is woken: one event count for each worker
 *
 * [PARK]  The accident: the waker sees nobody asleep, the worker sees no work and sleeps for ever.
 *
 *     worker, about to sleep               waker
 *     S1  counts itself among the idle     K1  push the fiber
 *         full fence                           full fence
 *     S2  looks into every queue           K2  read how many are idle
 *
 * The fences are in one total order. If S2 misses K1, the worker's fence came first, so K2 finds it among the idle and wakes it. The
 * event count closes the rest: its value is read before S1, so a wake-up after S1 makes coir__park_wait() return at once.
 *
 * A waker that sees somebody spinning wakes nobody. So there S1 is also the store with which the spinner says that it has stopped, and S2 the look
 * that it takes then, wherever that is: worker_spin() has a fence of its own. Without it the spinner could take what it found, and run it for as
 * long as it likes, while what is pushed after that is left to its spinning.
 *
 * S1, S2: pool.c, worker_rest(). K1, K2: pool.c, pool_inject(). Concurrency Kit's ck_ec is the event count.
 */
#ifndef SCHED_PARK_H
#define SCHED_PARK_H

#include "base/clock.h"

#include <ck_ec.h>

struct parking { struct ck_ec32 count; };

extern const struct ck_ec_mode coir__park_mode;

static inline void park_init(struct parking *parking) { ck_ec32_init(&parking->count, 0); }
/* park_ticket: before the last look for work. */
static inline uint32_t park_ticket(const struct parking *parking) { return ck_ec32_value(&parking->count); }
/* coir__park_wait: sleeps until a wake-up after that ticket, or until `due` on the monotonic clock (INT64_MAX: no bound). */
void coir__park_wait(struct parking *parking, uint32_t ticket, int64_t due);
static inline void park_wake(struct parking *parking) { ck_ec32_add(&parking->count, &coir__park_mode, 1); }

#endif
