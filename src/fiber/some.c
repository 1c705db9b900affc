/*
 * some.c - waiting for some of several fibers: until the first fails, for at most so long, or for one end after the other
 *
 * Both watch all of their fibers (struct watch in fiber.h): an end costs the same however many there are, and wakes only when it is waited for.
 */
#include "base/clock.h"
#include "fiber/join.h"

/* ------------------------------------------------------------------------------------------------------------ wait_for */

/* A frame of coir_wait_for(). L: under the watch's lock. */
struct some {
    struct coir_io  node;
    coir_value      fibers;                             /* I: one fiber, or a list of them */
    coir_until      until;                              /* I */
    coir_duration   limit;                              /* I; INT64_MAX: none */
    struct watch    watch;
    struct watched *watched;                           /* one for each fiber, while it waits */
    coir_fiber     *waiter;                             /* L: whose wait ends with what is waited for; NULL: it does not wait yet, or no more */
    size_t          left;                               /* L: how many have not ended */
    bool            is_enough;                          /* L: that of the others nobody waits for */
    struct timer    timer;
};

static struct some *some_of(const coir_io *node) { return (struct some *)(uintptr_t)node; }

static bool ends_wait(const struct some *some, const coir_fiber *ended)
{
    return some->until == COIR_FIRST_ENDED || (some->until == COIR_FIRST_FAILED && ended->result.tag != COIR_OK);
}

/* Under the lock. */
static void some_note(struct some *some, const coir_fiber *ended)
{
    some->left--;
    some->is_enough = some->is_enough || some->left == 0 || ends_wait(some, ended);
}

static struct claimed_wait some_told(struct watch *watch, struct watched *watched, coir_fiber *ended)
{
    struct some *some = container_of(watch, struct some, watch);
    struct claimed_wait claimed = { NULL, CLAIM_LOST };
    (void)watched;
    spin_lock(&watch->lock);
    some_note(some, ended);
    if (some->is_enough && some->waiter != NULL) {
        claimed = coir__waiter_claim(some->waiter);
        some->waiter = NULL;
    }
    spin_unlock(&watch->lock);
    return claimed;
}

/* What there is at this moment: the results of those that have ended. */
static coir_result results_so_far(struct fibers fibers)
{
    coir_value list = coir__list_new(fibers.count);
    for (size_t i = 0; i < fibers.count; i++)
        coir__list_add(&list, coir__fiber_ended(fiber_at(fibers, i)) ? coir_box(coir__fiber_result(fiber_at(fibers, i))) : coir_none());
    return coir__checked(coir_ok(list));
}

static enum prim_step some_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    const struct some *some = some_of(node);
    struct fibers fibers = fibers_of(&some->fibers);
    size_t left = 0;
    bool is_enough = some->limit.ns <= 0;
    for (size_t i = 0; i < fibers.count; i++) {
        bool has_ended = coir__fiber_ended(fiber_at(fibers, i));
        left += !has_ended;
        is_enough = is_enough || (has_ended && ends_wait(some, fiber_at(fibers, i)));
    }
    if (is_enough || left == 0)
        *result = results_so_far(fibers);
    else if ((some->until == COIR_ALL_ENDED || fibers.count == 1) && fibers_contain(fibers, fiber))
        *result = coir__self_join(fiber, "coir_wait_for");
    else
        return PRIM_WAIT;
    return PRIM_DONE;
}

/* Afterwards nobody knows the frame. */
static void some_over(coir_fiber *fiber, coir_io *frame)
{
    struct some *some = some_of(frame);
    struct fibers fibers = fibers_of(&some->fibers);
    coir__note_edge_end(frame);
    run_of(fiber)->driver->timer_disarm(&some->timer);
    for (size_t i = 0; i < fibers.count; i++)
        coir__fiber_unawait(fiber_at(fibers, i), &some->watched[i].waiter);
    coir__free(some->watched, fibers.count * sizeof *some->watched);
    some->watched = NULL;
}

/* True: there is something to wait for, and from here on the wait may be claimed. */
static bool some_begin(coir_fiber *fiber, coir_io *frame)
{
    struct some *some = some_of(frame);
    struct fibers fibers = fibers_of(&some->fibers);
    some->left = fibers.count;
    for (size_t i = 0; i < fibers.count; i++) {
        coir_fiber *other = fiber_at(fibers, i);
        coir__note_edge(fiber, frame, other);
        if (coir__fiber_watch(other, &some->watched[i], &some->watch))
            continue;
        spin_lock(&some->watch.lock);
        some_note(some, other);
        spin_unlock(&some->watch.lock);
    }
    spin_lock(&some->watch.lock);
    bool waits = !some->is_enough;
    some->waiter = waits ? fiber : NULL;
    spin_unlock(&some->watch.lock);
    return waits;
}

/* Without memory for the timer: whether the wait can be taken back, because nobody has ended it meanwhile. */
static bool some_take_back(struct some *some)
{
    spin_lock(&some->watch.lock);
    bool waits = some->waiter != NULL;
    some->waiter = NULL;
    spin_unlock(&some->watch.lock);
    return waits;
}

static bool some_arm_timer(coir_fiber *fiber, struct some *some)
{
    struct coir__run *run = run_of(fiber);
    some->timer.due = ns_add(run->driver->now(run, CLOCK_OF_RUN), some->limit.ns);
    some->timer.fiber = fiber;
    some->timer.by = CLAIMED_BY_WAKER;
    return some->timer.due == INT64_MAX || run->driver->timer_arm(coir__me.seat, &some->timer, CLOCK_OF_RUN);
}

static enum prim_step some_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct some *some = some_of(frame);
    struct fibers fibers = fibers_of(&some->fibers);
    some->watch.told = some_told;
    ck_spinlock_fas_init(&some->watch.lock);
    store_relaxed(&some->timer.home, NULL);             /* relaxed: nobody knows it yet */
    some->watched = coir__alloc(fibers.count * sizeof *some->watched);
    if (some->watched == NULL) {
        *result = coir__no_memory();
        return PRIM_DONE;
    }
    bool waits = some_begin(fiber, frame);
    if (waits && (some_arm_timer(fiber, some) || !some_take_back(some)))
        return PRIM_WAIT;
    some_over(fiber, frame);
    *result = waits ? coir__no_memory() : results_so_far(fibers);
    return PRIM_DONE;
}

static enum prim_step some_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    some_over(fiber, frame);
    *result = results_so_far(fibers_of(&some_of(frame)->fibers));
    return PRIM_DONE;
}

static void some_drop(coir_io *node) { coir_drop(some_of(node)->fibers); }

/* Of several nobody knows which will end it. */
static struct waits_for some_waits_for(const coir_io *frame)
{
    struct fibers fibers = fibers_of(&some_of(frame)->fibers);
    return fibers.count == 1 ? waits_for_fiber(fiber_at(fibers, 0)) : (struct waits_for){ .for_fiber = true };
}

static const struct coir__prim some_prim = {
    .name = "wait_for", .awaits = "the end of some of several fibers", .size = sizeof(struct some), .attempt = some_attempt, .arm = some_arm,
    .woken = some_woken, .disarm = some_over, .drop = some_drop, .waits_for = some_waits_for,
};

coir_io *coir_wait_for(const coir_value *fibers, coir_until until, coir_duration limit)
{
    if (fibers == NULL)
        return NULL;
    if (!coir__all_fibers(fibers))
        return coir__no_fibers("coir_wait_for", fibers);
    if ((unsigned)until > COIR_FIRST_FAILED)
        return coir__bad_argument("coir_wait_for", "until is none of its values");
    coir_io *node = coir__prim_new(&some_prim, NULL, 0);
    if (node == NULL)
        return NULL;
    some_of(node)->fibers = coir_share(fibers);
    some_of(node)->until = until;
    some_of(node)->limit = limit;
    return node;
}

/* -------------------------------------------------------------------------------------------------------- as_completed */

/* L: under the watch's lock. The ends that nobody has been given yet are a queue, by `waiter.next`. */
struct coir_completions {
    _Atomic uint32_t refs;
    struct watch     watch;
    coir_value       fibers;                            /* I: one fiber, or a list of them */
    struct watched  *watched;                           /* I: one for each; NULL where there is none */
    const struct coir__run *run;                        /* I: that of them all; NULL: they are of several */
    size_t           left;                              /* L: how many ends nobody has been given */
    struct waiter   *first, *last;                      /* L */
    coir_fiber      *waiting;                           /* L: for the next one */
};

static struct claimed_wait end_told(struct watch *watch, struct watched *watched, coir_fiber *ended)
{
    coir_completions *ends = container_of(watch, coir_completions, watch);
    struct claimed_wait claimed = { NULL, CLAIM_LOST };
    (void)ended;
    spin_lock(&watch->lock);
    *(ends->first == NULL ? &ends->first : &ends->last->next) = &watched->waiter;
    ends->last = &watched->waiter;
    if (ends->waiting != NULL)
        claimed = coir__waiter_claim(ends->waiting);
    ends->waiting = NULL;
    spin_unlock(&watch->lock);
    return claimed;
}

coir_completions *coir_completions_ref(coir_completions *ends)
{
    if (ends != NULL)
        fetch_add_relaxed(&ends->refs, 1u);
    return ends;
}

void coir_completions_drop(coir_completions *ends)
{
    if (ends == NULL || fetch_sub_acq_rel(&ends->refs, 1u) != 1)
        return;
    struct fibers fibers = fibers_of(&ends->fibers);
    for (size_t i = 0; i < fibers.count; i++)
        coir__fiber_unawait(fiber_at(fibers, i), &ends->watched[i].waiter);
    if (ends->watched != NULL)
        coir__free(ends->watched, fibers.count * sizeof *ends->watched);
    coir_drop(ends->fibers);
    coir__free(ends, sizeof *ends);
}

static void ends_value_drop(void *object) { coir_completions_drop(object); }
static void *ends_value_share(void *object) { return coir_completions_ref(object); }
const coir_type coir_completions_type = { "completions", ends_value_drop, ends_value_share, NULL };

/* Takes `fibers`. NULL without memory. */
static coir_completions *ends_new(coir_value list)
{
    struct fibers fibers = fibers_of(&list);
    coir_completions *ends = coir__alloc(sizeof *ends);
    struct watched *watched = fibers.count == 0 ? NULL : coir__alloc(fibers.count * sizeof *watched);
    if (ends == NULL || (watched == NULL && fibers.count > 0)) {
        if (ends != NULL)
            coir__free(ends, sizeof *ends);
        if (watched != NULL)
            coir__free(watched, fibers.count * sizeof *watched);
        coir_drop(list);
        return NULL;
    }
    *ends = (coir_completions){ .watch = { .told = end_told }, .watched = watched, .fibers = list, .left = fibers.count };
    atomic_init(&ends->refs, 1);
    ck_spinlock_fas_init(&ends->watch.lock);
    return ends;
}

/* One that has ended already is told of at once. */
static void ends_watch(coir_completions *ends)
{
    struct fibers fibers = fibers_of(&ends->fibers);
    ends->run = fibers.count == 0 ? NULL : run_of(fiber_at(fibers, 0));
    for (size_t i = 0; i < fibers.count; i++) {
        coir_fiber *fiber = fiber_at(fibers, i);
        if (run_of(fiber) != ends->run)
            ends->run = NULL;
        ends->watched[i].waiter.next = NULL;
        if (!coir__fiber_watch(fiber, &ends->watched[i], &ends->watch))
            (void)end_told(&ends->watch, &ends->watched[i], fiber);
    }
}

struct as_completed { struct coir_io node; coir_value fibers; };

static struct as_completed *as_completed_of(const coir_io *node) { return (struct as_completed *)(uintptr_t)node; }

static enum prim_step as_completed_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_value list = coir_share(&as_completed_of(node)->fibers);
    coir_completions *ends = ends_new(list);
    (void)fiber;
    if (ends == NULL) {
        *result = coir__no_memory();
        return PRIM_DONE;
    }
    ends_watch(ends);
    *result = coir_ok(coir_own(ends, &coir_completions_type));
    return PRIM_DONE;
}

static void as_completed_drop(coir_io *node) { coir_drop(as_completed_of(node)->fibers); }

static const struct coir__prim as_completed_prim = {
    .name = "as_completed", .awaits = "", .size = sizeof(struct as_completed), .attempt = as_completed_attempt, .drop = as_completed_drop,
};

coir_io *coir_as_completed(const coir_value *fibers)
{
    if (fibers == NULL)
        return NULL;
    if (!coir__all_fibers(fibers))
        return coir__no_fibers("coir_as_completed", fibers);
    coir_io *node = coir__prim_new(&as_completed_prim, NULL, 0);
    if (node != NULL)
        as_completed_of(node)->fibers = coir_share(fibers);
    return node;
}

/* --------------------------------------------------------------------------------------------------- completions_next */

/* Under the lock: the index of the next one that has ended; SIZE_MAX: none has. */
static size_t ends_take(coir_completions *ends)
{
    struct waiter *waiter = ends->first;
    if (waiter == NULL)
        return SIZE_MAX;
    ends->first = waiter->next;
    ends->left--;
    return (size_t)(container_of(waiter, struct watched, waiter) - ends->watched);
}

static coir_result end_of(const coir_completions *ends, size_t index)
{
    coir_value list = coir__list_new(2);
    coir__list_add(&list, coir_int((int64_t)index));
    coir__list_add(&list, coir_box(coir__fiber_result(fiber_at(fibers_of(&ends->fibers), index))));
    return coir__checked(coir_ok(list));
}

/* Takes the next end, or finds that there will be none, or that another waits for it; else, with `waiting`, waits for it. */
static enum prim_step next_take(coir_fiber *fiber, coir_completions *ends, bool waiting, coir_result *result)
{
    spin_lock(&ends->watch.lock);
    size_t index = ends_take(ends);
    bool is_over = index == SIZE_MAX && ends->left == 0, is_taken = !is_over && index == SIZE_MAX && ends->waiting != NULL;
    if (waiting && index == SIZE_MAX && !is_over && !is_taken)
        ends->waiting = fiber;
    spin_unlock(&ends->watch.lock);
    if (index != SIZE_MAX)
        *result = end_of(ends, index);
    else if (is_over)
        coir__set_ok(result, coir_none());
    else if (is_taken)
        *result = coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_completions_next: another fiber waits for the next end already");
    else
        return PRIM_WAIT;
    return PRIM_DONE;
}

static enum prim_step next_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    return next_take(fiber, node->object, false, result);
}

/* What goes on in another run may end the wait. */
static enum prim_step next_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_completions *ends = frame->object;
    counter_add(&coir__me.seat->edges_begun, 1);
    if (ends->run != run_of(fiber)) {
        frame->prim_own.number = 1;
        counter_add(&coir__me.seat->outside_begun, 1);
    }
    enum prim_step step = next_take(fiber, ends, true, result);
    if (step == PRIM_DONE)
        coir__note_edge_end(frame);
    return step;
}

static enum prim_step next_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir__note_edge_end(frame);
    return next_take(fiber, frame->object, false, result);
}

static void next_disarm(coir_fiber *fiber, coir_io *frame)
{
    coir_completions *ends = frame->object;
    coir__note_edge_end(frame);
    spin_lock(&ends->watch.lock);
    if (ends->waiting == fiber)
        ends->waiting = NULL;
    spin_unlock(&ends->watch.lock);
}

static void next_drop(coir_io *node) { coir_completions_drop(node->object); }

static struct waits_for next_waits_for(const coir_io *frame)
{
    const coir_completions *ends = frame->object;
    struct fibers fibers = fibers_of(&ends->fibers);
    return fibers.count == 1 ? waits_for_fiber(fiber_at(fibers, 0)) : (struct waits_for){ .for_fiber = true };
}

static const struct coir__prim next_prim = {
    .name = "completions_next", .awaits = "the end of one of several fibers", .size = NODE_SIZE_OF(prim_own), .attempt = next_attempt,
    .arm = next_arm, .woken = next_woken, .disarm = next_disarm, .drop = next_drop, .waits_for = next_waits_for,
};

coir_io *coir_completions_next(coir_completions *ends)
{
    coir_io *node = ends == NULL ? NULL : coir__prim_new(&next_prim, ends, 0);
    if (node != NULL)
        coir_completions_ref(ends);
    return node;
}
