/*
 * driven.h - fibers without a pool: slots of a slab that wait, and a driver that only notes who was made ready
 *
 *     stage_open();
 *     wait_parked(stage.fibers[3]);                    it waits, as after coir_sleep()
 *     coir__timers_fire(&timers, now);
 *     CHECK_INT(stage.ready[0], 3);
 */
#ifndef DRIVEN_H
#define DRIVEN_H

#include "program.h"

#include "fiber/driver.h"

enum { STAGE_FIBERS = 200, STAGE_READY = 1 << 16 };

static struct {
    struct coir__run run;
    struct coir__seat seat;
    struct slab     *slab;
    coir_fiber      *fibers[STAGE_FIBERS];
    atomic_int       readied[STAGE_FIBERS];             /* how often each was made ready */
    atomic_int       pins, ready_count;
    int              ready[STAGE_READY];                /* their numbers in the order in which they are to run */
} stage;

static int stage_number(coir_fiber *fiber) { return (int)fiber->id; }

/* By one thread at a time: who fires. */
static void stage_ready(struct coir__run *run, coir_fiber *fiber)
{
    (void)run;
    stage.ready[atomic_load(&stage.ready_count) % STAGE_READY] = stage_number(fiber);
    atomic_fetch_add(&stage.ready_count, 1);
    atomic_fetch_add(&stage.readied[stage_number(fiber)], 1);
}

static void stage_start(struct coir__seat *seat, coir_fiber *first, coir_fiber *last, size_t count)
{
    CHECK_PTR(seat, &stage.seat);
    for (coir_fiber *next; first != NULL; first = next, count--) {
        next = first == last ? NULL : first->next;
        stage_ready(&stage.run, first);
    }
    CHECK_UINT(count, 0);
}

static void stage_pin(struct coir__run *run) { (void)run; atomic_fetch_add(&stage.pins, 1); }
static void stage_unpin(struct coir__run *run) { (void)run; atomic_fetch_sub(&stage.pins, 1); }

static void stage_open(void)
{
    static const struct driver driver = { .ready = stage_ready, .start = stage_start, .pin = stage_pin, .unpin = stage_unpin };
    memset(&stage, 0, sizeof stage);
    stage.run.driver = &driver;
    stage.seat.run = &stage.run;
    stage.slab = aligned_alloc(SLAB_SIZE, SLAB_SIZE);
    if (stage.slab == NULL)
        abort();
    memset(stage.slab, 0, SLAB_SIZE);
    atomic_init(&stage.slab->run, &stage.run);
    size_t stride = (sizeof(coir_fiber) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    for (int i = 0; i < STAGE_FIBERS; i++) {
        stage.fibers[i] = (coir_fiber *)(void *)((char *)stage.slab + SLAB_FIBERS_AT + (size_t)i * stride);
        stage.fibers[i]->id = (uint64_t)i;
    }
}

static void stage_close(void)
{
    CHECK_INT(atomic_load(&stage.pins), 0);
    free(stage.slab);
}

static inline void wait_parked(coir_fiber *fiber)
{
    wait_begin(&fiber->wait);
    CHECK(wait_let_go(&fiber->wait));
}

static inline bool stage_waits(coir_fiber *fiber) { return wait_state_of(load_acquire(&fiber->wait.word)) == WAIT_PARKED; }

/* Whether this thread is where the run's fibers run: then what it makes ready need not go through the driver's pins. */
static inline void stage_sit(bool here) { coir__me.seat = here ? &stage.seat : NULL; }

#endif
