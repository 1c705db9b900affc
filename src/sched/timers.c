/*
 * timers.c - a heap of four children a node: fewer levels, and the children of one share a cache line or two
 *
 * Invariants, under `lock`:
 *   1. heap[i] is not later than its children 4 i + 1 ... 4 i + 4.
 *   2. heap[i].timer->index == i and ->home is this; a timer that is in no heap has no home.
 *   3. earliest is heap[0].due, or INT64_MAX.
 *
 * A timer in the heap belongs to a wait that is going on: its fiber disarms it, under the lock, before it leaves that wait. So what is
 * read of the fiber under the lock, the generation, is of that wait, also when the claim itself comes after the lock.
 */
#include "sched/timers.h"

#include "fiber/cancel.h"

#include <string.h>

enum { CHILDREN = 4, ROOM_MIN = 16, FIRE_AT_ONCE = 64 };

void coir__timers_init(struct timers *timers)
{
    memset(timers, 0, sizeof *timers);
    ck_spinlock_fas_init(&timers->lock);
    atomic_init(&timers->earliest, INT64_MAX);
}

void coir__timers_done(struct timers *timers)
{
    if (timers->heap != NULL)
        coir__free(timers->heap, timers->room * sizeof *timers->heap);
}

static inline bool sooner(const struct timer_entry *a, const struct timer_entry *b)
{
    return a->due < b->due || (a->due == b->due && a->serial < b->serial);
}

static inline void place(struct timers *timers, size_t index, struct timer_entry entry)
{
    timers->heap[index] = entry;
    entry.timer->index = index;
}

static void sift_up(struct timers *timers, size_t index, struct timer_entry entry)
{
    while (index > 0) {
        size_t parent = (index - 1) / CHILDREN;
        if (!sooner(&entry, &timers->heap[parent]))
            break;
        place(timers, index, timers->heap[parent]);
        index = parent;
    }
    place(timers, index, entry);
}

static void sift_down(struct timers *timers, size_t index, struct timer_entry entry)
{
    for (;;) {
        size_t first = index * CHILDREN + 1, best = first;
        if (first >= timers->count)
            break;
        size_t end = first + CHILDREN < timers->count ? first + CHILDREN : timers->count;
        for (size_t child = first + 1; child < end; child++)
            if (sooner(&timers->heap[child], &timers->heap[best]))
                best = child;
        if (!sooner(&timers->heap[best], &entry))
            break;
        place(timers, index, timers->heap[best]);
        index = best;
    }
    place(timers, index, entry);
}

static void note_earliest(struct timers *timers)
{
    store_release(&timers->earliest, timers->count == 0 ? INT64_MAX : timers->heap[0].due);     /* [EPOCH] */
}

static void take_out(struct timers *timers, size_t index)
{
    store_release(&timers->heap[index].timer->home, NULL);     /* [TIMER-OUT] the last that we do with it */
    struct timer_entry last = timers->heap[--timers->count];
    if (index < timers->count) {
        if (index > 0 && sooner(&last, &timers->heap[(index - 1) / CHILDREN]))
            sift_up(timers, index, last);
        else
            sift_down(timers, index, last);
    }
    note_earliest(timers);
}

/* A larger heap in place of one that is full. The allocator is the program's, so it is called with the lock open; meanwhile somebody else may have
 * made room, or used it up again. */
static bool make_room(struct timers *timers)
{
    size_t room = timers->room == 0 ? ROOM_MIN : timers->room * 2;
    spin_unlock(&timers->lock);
    struct timer_entry *heap = coir__alloc(room * sizeof *heap), *old = heap;
    size_t old_room = room;
    spin_lock(&timers->lock);
    if (heap == NULL)
        return false;
    if (room > timers->room) {
        if (timers->count > 0)
            memcpy(heap, timers->heap, timers->count * sizeof *heap);
        old = timers->heap;
        old_room = timers->room;
        timers->heap = heap;
        timers->room = room;
    }
    if (old != NULL) {
        spin_unlock(&timers->lock);
        coir__free(old, old_room * sizeof *old);
        spin_lock(&timers->lock);
    }
    return true;
}

bool coir__timers_arm(struct timers *timers, struct timer *timer)
{
    bool armed = true;
    spin_lock(&timers->lock);
    while (armed && timers->count == timers->room)
        armed = make_room(timers);
    if (armed) {
        store_relaxed(&timer->home, timers);            /* relaxed, all of them: the lock orders it */
        timer->serial = timers->serial++;
        sift_up(timers, timers->count++, (struct timer_entry){ timer->due, timer->serial, timer });
        note_earliest(timers);
    }
    spin_unlock(&timers->lock);
    return armed;
}

void coir__timers_disarm(struct timer *timer)                                           /* MODEL wait.pml: disarm_timer */
{
    struct timers *timers = load_acquire(&timer->home);        /* [TIMER-OUT] */
    if (timers == NULL)
        return;
    spin_lock(&timers->lock);
    if (load_relaxed(&timer->home) != NULL)
        take_out(timers, timer->index);
    spin_unlock(&timers->lock);
}

/* -------------------------------------------------------------------------------------------------------------- firing */

struct due { coir_fiber *fiber; uint64_t generation; enum claimer by; };

struct woken { coir_fiber *first, *last; size_t count; };       /* chained by `next`, the earliest first */

static size_t take_due(struct timers *timers, int64_t now, struct due due[FIRE_AT_ONCE])   /* MODEL wait.pml: timers_fire */
{
    size_t count = 0;
    spin_lock(&timers->lock);
    for (; count < FIRE_AT_ONCE && timers->count > 0 && timers->heap[0].due <= now; count++) {
        struct timer *timer = timers->heap[0].timer;
        due[count] = (struct due){ timer->fiber, wait_generation(&timer->fiber->wait), timer->by };
        if (timer->by == CLAIMED_BY_DEADLINE)           /* of a scope, which stays until it is out of here */
            coir__scope_request(timer->fiber, container_of(timer, struct cancel_scope, timer));
        take_out(timers, 0);
    }
    spin_unlock(&timers->lock);
    return count;
}

/* False: somebody was first. */
static bool end_wait(const struct due *due, struct woken *woken)
{
    coir_fiber *fiber = due->fiber;
    if (due->by == CLAIMED_BY_DEADLINE) {
        coir__cancel_poke(fiber);
        return true;
    }
    enum claim claim = wait_claim(&fiber->wait, due->generation);
    if (claim == CLAIM_LOST)
        return false;
    fiber->result = coir_ok(coir_none());
    fiber->claimed_by = (uint8_t)due->by;
    if (claim == CLAIM_EARLY && !wait_give(&fiber->wait))
        return true;                                    /* its worker goes on with it */
    fiber->next = NULL;
    *(woken->first == NULL ? &woken->first : &woken->last->next) = fiber;
    woken->last = fiber;
    woken->count++;
    return true;
}

/* The earliest is to run first: what a worker pushes one by one it takes in the other order, so there they go as one chain. */
static void make_ready(const struct woken *woken)
{
    if (woken->first == NULL)
        return;
    struct coir__run *run = run_of(woken->first);
    if (seat_is_of(run)) {
        run->driver->start(coir__me.seat, woken->first, woken->last, woken->count);
        return;
    }
    for (coir_fiber *next, *fiber = woken->first; fiber != NULL; fiber = next) {
        next = fiber->next;
        coir__make_ready(fiber);
    }
}

size_t coir__timers_fire(struct timers *timers, int64_t now)
{
    struct due due[FIRE_AT_ONCE];
    struct woken woken = { NULL, NULL, 0 };
    size_t fired = 0;
    while (timers_earliest(timers) <= now) {
        size_t count = take_due(timers, now, due);
        for (size_t i = 0; i < count; i++)
            fired += end_wait(&due[i], &woken);
    }
    make_ready(&woken);
    return fired;
}
