/*
 * sleep.c - waiting for a moment, of either clock, and asking for the time
 */
#include "fiber/sleep.h"

#include "base/clock.h"
#include "fiber/driver.h"

#include <coir/async.h>

struct sleep {
    struct coir_io node;                                /* its number: how long, or for the epoch clock until when, in ns */
    struct timer   timer;
};

static struct sleep *sleep_of(const coir_io *node) { return (struct sleep *)(uintptr_t)node; }

/* Never early, so the clock is read now; beyond its end there is nothing to arm. */
static enum prim_step timer_arm(coir_fiber *fiber, coir_io *frame, int64_t due, enum clock_kind clock, coir_result *result)
{
    struct timer *timer = &sleep_of(frame)->timer;
    timer->due = due;
    timer->fiber = fiber;
    timer->by = CLAIMED_BY_WAKER;
    store_relaxed(&timer->home, NULL);
    if (due == INT64_MAX || run_of(fiber)->driver->timer_arm(coir__me.seat, timer, clock))
        return PRIM_WAIT;
    *result = coir__no_memory();
    return PRIM_DONE;
}

static enum prim_step sleep_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct coir__run *run = run_of(fiber);
    int64_t due = ns_add(run->driver->now(run, CLOCK_OF_RUN), frame->prim_own.number);
    return timer_arm(fiber, frame, due, CLOCK_OF_RUN, result);
}

static enum prim_step sleep_until_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    return timer_arm(fiber, frame, frame->prim_own.number, CLOCK_OF_EPOCH, result);
}

static void sleep_disarm(coir_fiber *fiber, coir_io *frame)
{
    run_of(fiber)->driver->timer_disarm(&sleep_of(frame)->timer);
}

/* Taken out of its set, it has gone off. (One beyond the end of time was never in one.) */
static bool sleep_has_come(const coir_io *frame)
{
    struct timer *timer = &sleep_of(frame)->timer;
    return timer->due != INT64_MAX && load_acquire(&timer->home) == NULL;
}

static const struct coir__event sleep_event = { .has_come = sleep_has_come };

static const struct coir__prim sleep_prim = {
    .name = "sleep", .awaits = "a moment (coir_sleep)", .size = sizeof(struct sleep),
    .arm = sleep_arm, .disarm = sleep_disarm, .event = &sleep_event,
};

static const struct coir__prim sleep_until_prim = {
    .name = "sleep_until", .awaits = "a moment (coir_sleep_until)", .size = sizeof(struct sleep),
    .arm = sleep_until_arm, .disarm = sleep_disarm,
};

coir_io *coir_sleep(coir_duration duration)
{
    return duration.ns <= 0 ? coir_yield() : coir__prim_new(&sleep_prim, NULL, duration.ns);
}

/* In an alternative a moment that is past has come, and nobody yields. */
static enum prim_step moment_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    struct coir__run *run = run_of(fiber);
    if (node->prim_own.number > run->driver->now(run, CLOCK_OF_EPOCH))
        return PRIM_WAIT;
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static const struct coir__prim moment_prim = {
    .name = "sleep_until", .awaits = "a moment (coir_sleep_until)", .size = sizeof(struct sleep),
    .attempt = moment_attempt, .arm = sleep_until_arm, .disarm = sleep_disarm, .event = &sleep_event,
};

/* Which of the two it is shows when it is run. A timer that is due already would be no yield: who is woken goes before the others. */
static coir_io *sleep_or_yield(void *moment)
{
    struct coir__run *run = coir__me.seat->run;
    int64_t due = *(const int64_t *)moment;
    return due <= run->driver->now(run, CLOCK_OF_EPOCH) ? coir_yield() : coir__prim_new(&sleep_until_prim, NULL, due);
}

coir_io *coir_sleep_until(struct timespec epoch_time)
{
    int64_t due = ns_of_timespec(epoch_time);
    if (epoch_time.tv_nsec < 0 || epoch_time.tv_nsec >= NS_PER_SECOND)
        return coir__bad_argument("coir_sleep_until", "tv_nsec is not within 0 and 999999999");
    return coir_suspend_copy(sleep_or_yield, &due, sizeof due);
}

coir_io *coir__sleep_as_case(coir_io *io)
{
    if (io->op == OP_SUSPEND && io->suspend == sleep_or_yield) {
        int64_t due = *(const int64_t *)io->env;
        coir_io_drop(io);
        return coir__prim_new(&moment_prim, NULL, due);
    }
    if (io->op != OP_YIELD)
        return io;
    coir_io_drop(io);
    return coir_unit();
}

/* ---------------------------------------------------------------------------------------------------------------- now */

static enum prim_step now_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    struct coir__run *run = run_of(fiber);
    (void)node;
    *result = coir_ok(coir_int(run->driver->now(run, CLOCK_OF_RUN)));
    return PRIM_DONE;
}

static const struct coir__prim now_prim = {
    .name = "now", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = now_attempt,
};

coir_io *coir_now(void) { return coir__prim_new(&now_prim, NULL, 0); }
