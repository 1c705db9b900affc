/*
 * park.c - the futex under the event count
 */
#include "sched/park.h"

#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

static int park_gettime(const struct ck_ec_ops *ops, struct timespec *now)
{
    (void)ops;
    return clock_gettime(CLOCK_MONOTONIC, now);
}

static void park_futex_wait(const struct ck_ec_wait_state *state, const uint32_t *address, uint32_t expected,
                            const struct timespec *deadline)
{
    (void)state;
    (void)syscall(SYS_futex, address, FUTEX_WAIT_BITSET_PRIVATE, expected, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void park_futex_wake(const struct ck_ec_ops *ops, const uint32_t *address)
{
    (void)ops;
    (void)syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Several wake one worker, so not single_producer. */
static const struct ck_ec_ops park_ops = {
    .gettime = park_gettime, .wait32 = park_futex_wait, .wake32 = park_futex_wake, .busy_loop_iter = 1,
};
const struct ck_ec_mode coir__park_mode = { .ops = &park_ops, .single_producer = false };

/* The event count would wait in steps of its own, which a single producer needs and which overshoot the deadline: with several each step may
 * last to the end. */
static int park_until_due(const struct ck_ec_wait_state *state, struct timespec *step)
{
    *step = *(const struct timespec *)state->data;
    return 0;
}

void coir__park_wait(struct parking *parking, uint32_t ticket, int64_t due)
{
    struct timespec deadline = timespec_of_ns(due);
    (void)ck_ec32_wait_pred(&parking->count, &coir__park_mode, ticket, park_until_due, &deadline, &deadline);
}
