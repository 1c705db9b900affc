/*
 * queue.c - a queue of work: values under a guard, who waits at either end, and who waits until all of it is done
 *
 * Invariants, under the guard, when nobody is at work:
 *   1. Getters wait only while nothing is inside. Putters wait only while it is full, of COIR_FULL_WAIT; it is never full of nothing, so never both.
 *      (But an alternative that both puts and gets may stand at one of the ends: it does not meet itself.)
 *   2. `unfinished` is the number of values that came in and are not done: each is counted when it comes in, or is handed to a getter; and taken off when it
 *      is done, or is dropped from inside. Joiners wait only while it is not 0.
 *   3. Who waits at an end that is over has been woken: getters when it is closed, putters too when it is poisoned.
 *   4. The room inside grows while the guard is free: nothing is allocated or dropped, and no foreign code called, under it.
 *
 * A value is in one place: the putter's frame, inside, the getter's result. What is dropped from inside to make room changes places with the new one: so it
 * stands in the putter's frame, and is dropped as what was not put is.
 */
#include "channel/channel.h"
#include "channel/heap.h"
#include "channel/ring.h"

#include "resource/resource.h"

#include <coir/queue.h>

#include <inttypes.h>
#include <string.h>

struct coir_queue {
    struct object  object;
    size_t         capacity;                            /* I */
    coir_when_full when_full;                           /* I */
    bool           by_priority;                         /* I */
    bool           closed, poisoned;                    /* L */
    struct ring    ring;                                /* L: one of them, see by_priority */
    struct heap    heap;
    _Atomic size_t size;                                /* A, written under the guard: how many are inside, for who looks on; and so are these */
    _Atomic uint64_t unfinished, dropped;
    union {
        struct queue getters;                           /* L */
        struct buried buried;                           /* of a dead one */
    };
    struct queue   putters, joiners;                    /* L */
};

static const char to_get[] = "an item of queue", to_put[] = "room in queue", to_join[] = "all to be done of queue";

/* ------------------------------------------------------------------------------------------------------------- handle */

static coir_queue *queue_new(size_t capacity, coir_when_full when_full, bool by_priority)
{
    bool valid = (capacity > 0 && capacity <= SIZE_MAX / 2) || capacity == COIR_UNBOUNDED;
    valid = valid && (unsigned)when_full <= COIR_FULL_DROP_OLD && !(by_priority && when_full == COIR_FULL_DROP_OLD);
    coir_queue *queue = valid ? coir__alloc(sizeof *queue) : NULL;
    if (queue == NULL) {
        errno = valid ? ENOMEM : EINVAL;
        return NULL;
    }
    memset(queue, 0, sizeof *queue);
    object_init(&queue->object);
    queue->capacity = capacity;
    queue->when_full = when_full;
    queue->by_priority = by_priority;
    return queue;
}

coir_queue *coir_queue_new(size_t capacity, coir_when_full when_full)             { return queue_new(capacity, when_full, false); }
coir_queue *coir_queue_new_by_priority(size_t capacity, coir_when_full when_full) { return queue_new(capacity, when_full, true); }

coir_queue *coir_queue_ref(coir_queue *queue)
{
    if (queue != NULL)
        handle_ref(&queue->object.handle);
    return queue;
}

/* There may be queues in queues. */
static void queue_empty(struct buried *buried)
{
    coir_queue *queue = container_of(buried, coir_queue, buried);
    coir__ring_drop(&queue->ring);
    coir__heap_drop(&queue->heap);
    coir__object_done(&queue->object);
    coir__free(queue, sizeof *queue);
}

void coir_queue_drop(coir_queue *queue)
{
    if (queue == NULL)
        return;
    struct queue *const queues[] = { &queue->getters, &queue->putters, &queue->joiners, NULL };
    if (coir__object_let_go(&queue->object, queues, "coir_queue", "others at queue"))
        coir__bury(&queue->buried, queue_empty);
}

static void value_drop(void *object) { coir_queue_drop(object); }
static void *value_share(void *object) { return coir_queue_ref(object); }
static void value_print(const void *object, FILE *out) { fprintf(out, "queue %" PRIu64, coir_queue_id(object)); }
const coir_type coir_queue_type = { "queue", value_drop, value_share, value_print };

coir_value coir_queue_value(coir_queue *queue)
{
    return queue == NULL ? coir_panic_value("coir_queue_value: queue is NULL") : coir_own(queue, &coir_queue_type);
}

uint64_t coir_queue_id(const coir_queue *queue) { return queue == NULL ? 0 : queue->object.serial; }
bool coir_queue_expose(coir_queue *queue)       { return queue != NULL && coir__object_expose(&queue->object); }

/* relaxed: snapshots. */
size_t coir_queue_size(const coir_queue *queue)         { return queue == NULL ? 0 : load_relaxed(&((coir_queue *)(uintptr_t)queue)->size); }
uint64_t coir_queue_unfinished(const coir_queue *queue) { return queue == NULL ? 0 : load_relaxed(&((coir_queue *)(uintptr_t)queue)->unfinished); }
uint64_t coir_queue_dropped(const coir_queue *queue)    { return queue == NULL ? 0 : load_relaxed(&((coir_queue *)(uintptr_t)queue)->dropped); }

/* ------------------------------------------------------------------------------------------------- inside, under guard */

static size_t inside_count(const coir_queue *queue) { return queue->by_priority ? queue->heap.count : queue->ring.count; }
static size_t inside_room(const coir_queue *queue)  { return queue->by_priority ? queue->heap.room : queue->ring.room; }

/* There is room. */
static void inside_push(coir_queue *queue, coir_value value, int64_t priority)
{
    if (queue->by_priority)
        heap_push(&queue->heap, value, priority);
    else
        ring_push(&queue->ring, value);
}

static coir_value inside_pop(coir_queue *queue) { return queue->by_priority ? heap_pop(&queue->heap) : ring_pop(&queue->ring); }

/* After CRAMPED, without the guard. False: there is no memory. */
static bool inside_grow(coir_queue *queue)
{
    return queue->by_priority ? coir__heap_grow(&queue->heap, &queue->object.guard) : coir__ring_grow(&queue->ring, &queue->object.guard);
}

/* relaxed: under the guard; others look on. */
static void note_size(coir_queue *queue) { store_relaxed(&queue->size, inside_count(queue)); }
static void add_to(_Atomic uint64_t *count, uint64_t n) { store_relaxed(count, load_relaxed(count) + n); }

/* -------------------------------------------------------------------------------------------------------- under guard */

static bool queue_is_unused(const coir_queue *queue)
{
    return queue->getters.first == NULL && queue->putters.first == NULL && queue->joiners.first == NULL;
}

/* To the first who waits there, whose claim can be won. */
static bool claim_first(coir_queue *queue, struct queue *waiters, coir_io **frame, coir_fiber **fiber, enum claim *claim)
{
    while (!queue_is_empty(waiters)) {
        *frame = frame_of_waiter(waiters->first);
        *claim = handle_queue_claim(&queue->object.handle, waiters, fiber);
        if (*claim != CLAIM_LOST)
            return true;
    }
    return false;
}

static void wake_all(coir_queue *queue, struct queue *waiters, coir_value with, struct claimed *claimed)
{
    coir_io *frame;
    coir_fiber *fiber;
    enum claim claim;
    while (claim_first(queue, waiters, &frame, &fiber, &claim))
        claimed_add_ok(claimed, fiber, claim, with);
}

/* So many are done, or were dropped from inside. */
static void finish(coir_queue *queue, uint64_t count, struct claimed *claimed)
{
    uint64_t unfinished = load_relaxed(&queue->unfinished) - count;
    store_relaxed(&queue->unfinished, unfinished);
    if (unfinished == 0)
        wake_all(queue, &queue->joiners, coir_none(), claimed);
}

enum meeting {
    MET, DROPPED, BUSY, CLOSED, POISONED,
    CRAMPED                                             /* the room inside must grow first */
};

/* The new one in the place of the oldest, which is *value from now on. */
static void slide(coir_queue *queue, coir_value *value)
{
    coir_value oldest = inside_pop(queue);
    inside_push(queue, *value, 0);
    coir__set_value(value, oldest);
    add_to(&queue->dropped, 1);
}

static enum meeting put_into_full(coir_queue *queue, coir_value *value)
{
    switch (queue->when_full) {
    case COIR_FULL_DROP_OLD:
        slide(queue, value);
        return MET;
    case COIR_FULL_DROP_NEW:
        add_to(&queue->dropped, 1);
        return DROPPED;
    default:
        return BUSY;
    }
}

/* Takes *value, if it gives MET; what *value is then is to be dropped. */
static enum meeting queue_put(coir_queue *queue, coir_value *value, int64_t priority, struct claimed *claimed)
{
    coir_io *frame;
    coir_fiber *fiber;
    enum claim claim;
    if (unlikely(queue->closed))
        return queue->poisoned ? POISONED : CLOSED;
    if (claim_first(queue, &queue->getters, &frame, &fiber, &claim)) {
        add_to(&queue->unfinished, 1);
        claimed_add_ok(claimed, fiber, claim, coir_take(value));
        return MET;
    }
    if (inside_count(queue) >= queue->capacity)
        return put_into_full(queue, value);
    if (unlikely(inside_count(queue) == inside_room(queue)))
        return CRAMPED;
    inside_push(queue, coir_take(value), priority);
    add_to(&queue->unfinished, 1);
    note_size(queue);
    return MET;
}

/* When one has been taken out: the first who waits for room puts his in. */
static void let_in(coir_queue *queue, struct claimed *claimed)
{
    coir_io *frame;
    coir_fiber *fiber;
    enum claim claim;
    if (!claim_first(queue, &queue->putters, &frame, &fiber, &claim))
        return;
    inside_push(queue, coir_take(&sent_of(frame)->value), frame->prim_own.number);
    add_to(&queue->unfinished, 1);
    claimed_add_ok(claimed, fiber, claim, coir_bool(true));
}

static enum meeting queue_take(coir_queue *queue, coir_value *value, struct claimed *claimed)
{
    if (inside_count(queue) == 0)
        return queue->poisoned ? POISONED : queue->closed ? CLOSED : BUSY;
    *value = inside_pop(queue);
    let_in(queue, claimed);
    note_size(queue);
    return MET;
}

/* --------------------------------------------------------------------------------------------------- results of waits */

/* What is known under the guard, and what a waker knows, is told in place of a value: the error is made afterwards, by who goes on. */
static const coir_type told_type = { .name = "end of queue" };

static coir_value told(enum meeting how) { return (coir_value){ .type = &told_type, .u64 = how }; }

static coir_result over(const coir_io *frame, enum meeting how)
{
    char function[FUNCTION_SIZE];
    return coir_raise(coir__error(DOMAIN_COIR, how == POISONED ? COIR_POISONED : COIR_CLOSED, "%s: queue %" PRIu64 " is %s",
                                  coir__function_of(frame->prim, function), coir_queue_id(frame->object), how == POISONED ? "poisoned" : "closed"));
}

/* What was told: what it means. False: nothing was. */
static bool settle(coir_fiber *fiber, const coir_io *frame, coir_result *result)
{
    if (coir__object_told(fiber, frame, result))
        return true;
    if (likely(result->value.type != &told_type || result->tag != COIR_OK))
        return false;
    *result = over(frame, (enum meeting)result->value.u64);
    return true;
}

/* ----------------------------------------------------------------------------------------------------- at any queue */

static struct ck_spinlock_fas *guard_of(const coir_io *frame) { return &((coir_queue *)frame->object)->object.guard; }

/* False: it is refused, and *result says so. */
static bool serves(const coir_fiber *fiber, coir_queue *queue, coir_result *result)
{
    if (likely(object_serves(&queue->object, fiber, queue_is_unused(queue))))
        return true;
    coir__object_tell(result, WHY_REFUSED);
    return false;
}

static void leave(struct queue *waiters, coir_io *frame)
{
    coir_queue *queue = frame->object;
    spin_lock(&queue->object.guard);
    handle_queue_remove(&queue->object.handle, waiters, &frame->prim_own.waiter);
    spin_unlock(&queue->object.guard);
    object_note_end(&queue->object);
}

static void queue_unref(coir_io *node) { coir_queue_drop(node->object); }

/* ---------------------------------------------------------------------------------------------------------------- put */

static bool put_prepare(coir_io *frame) { return inside_grow(frame->object); }

static enum prim_step put_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    coir_queue *queue = frame->object;
    if (unlikely(!serves(fiber, queue, result)))
        return PRIM_DONE;
    enum meeting meeting = queue_put(queue, &sent_of(frame)->value, frame->prim_own.number, claimed);
    if (meeting == BUSY)
        return PRIM_WAIT;
    if (unlikely(meeting == CRAMPED))
        return PRIM_PREPARE;
    coir__set_ok(result, likely(meeting <= DROPPED) ? coir_bool(meeting == MET) : told(meeting));
    return PRIM_DONE;
}

static bool put_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_queue *queue = frame->object;
    return coir__object_enqueue(&queue->putters, fiber, frame, result);
}

static void put_settle(coir_fiber *fiber, coir_io *frame, coir_result *result) { (void)settle(fiber, frame, result); }

static enum prim_step put_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    object_note_end(frame->object);
    sent_end(frame);
    put_settle(fiber, frame, result);
    return PRIM_DONE;
}

static void put_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    leave(&((coir_queue *)frame->object)->putters, frame);
    sent_end(frame);
}

static void put_drop(coir_io *node)
{
    sent_drop(node);
    coir_queue_drop(node->object);
}

static const struct coir__offer put_offer = {
    .guard = guard_of, .begin = sent_begin, .end = sent_end, .prepare = put_prepare, .poll = put_poll, .enqueue = put_enqueue,
    .settle = put_settle, .let_go = queue_unref,
};

/* One struct for each name by which it is called. */
#define PUT_PRIM(words)                                                                                                   \
    { .name = words, .awaits = to_put, .size = SENT_SIZE, .arm = coir__object_arm, .woken = put_woken, .disarm = put_disarm, \
      .drop = put_drop, .waits_for = coir__object_waits_for, .exposed_by = "coir_queue_expose", .offer = &put_offer }
static const struct coir__prim put_prim = PUT_PRIM("queue_put"), put_at_prim = PUT_PRIM("queue_put_at");

static enum prim_step try_put_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_queue *queue = frame->object;
    CLAIMED(claimed);
    enum prim_step step;
    if (unlikely(!sent_begin(frame, result)))
        return PRIM_DONE;
    do {
        spin_lock(&queue->object.guard);
        step = put_poll(fiber, frame, result, &claimed);
        spin_unlock(&queue->object.guard);
    } while (step == PRIM_PREPARE && inside_grow(queue));
    claimed_make_ready(&claimed);
    sent_end(frame);
    if (unlikely(step == PRIM_PREPARE))
        *result = coir__no_memory();
    else if (step == PRIM_WAIT)
        coir__set_ok(result, coir_bool(false));
    else
        put_settle(fiber, frame, result);
    return PRIM_DONE;
}

#define TRY_PUT_PRIM(words) { .name = words, .awaits = "", .size = SENT_SIZE, .arm = try_put_arm, .drop = put_drop }
static const struct coir__prim try_put_prim = TRY_PUT_PRIM("queue_try_put"), try_put_at_prim = TRY_PUT_PRIM("queue_try_put_at");

/* ---------------------------------------------------------------------------------------------------------------- get */

enum getting { GET, NEXT, TRY };                        /* a getter's number */

static enum prim_step get_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    coir_queue *queue = frame->object;
    coir_value value;
    if (unlikely(!serves(fiber, queue, result)))
        return PRIM_DONE;
    enum meeting meeting = queue_take(queue, &value, claimed);
    if (meeting == BUSY)
        return PRIM_WAIT;
    coir__set_ok(result, likely(meeting == MET) ? value : told(meeting));
    return PRIM_DONE;
}

static void get_settle(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    bool is_next = frame->prim_own.number == NEXT;
    if (is_next && result->tag == COIR_OK && result->value.type == &told_type && result->value.u64 == CLOSED)
        coir__set_ok(result, coir_none());
    else if (!settle(fiber, frame, result) && is_next && result->tag == COIR_OK)
        coir__mark_zero(&result->value);                /* none is the end */
}

static enum prim_step get_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_queue *queue = node->object;
    coir_io *frame = (coir_io *)(uintptr_t)node;
    CLAIMED(claimed);
    spin_lock(&queue->object.guard);
    enum prim_step step = get_poll(fiber, frame, result, &claimed);
    spin_unlock(&queue->object.guard);
    claimed_make_ready(&claimed);
    if (step == PRIM_DONE)
        get_settle(fiber, frame, result);
    return step;
}

static bool get_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_queue *queue = frame->object;
    return coir__object_enqueue(&queue->getters, fiber, frame, result);
}

static enum prim_step get_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    object_note_end(frame->object);
    get_settle(fiber, frame, result);
    return PRIM_DONE;
}

static void get_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    leave(&((coir_queue *)frame->object)->getters, frame);
}

static const struct coir__offer get_offer = { .guard = guard_of, .poll = get_poll, .enqueue = get_enqueue, .settle = get_settle };

#define GET_PRIM(words)                                                                                                   \
    { .name = words, .awaits = to_get, .size = NODE_SIZE_OF(prim_own), .attempt = get_attempt, .arm = coir__object_arm,   \
      .woken = get_woken, .disarm = get_disarm, .drop = queue_unref, .waits_for = coir__object_waits_for, .exposed_by = "coir_queue_expose", .offer = &get_offer, \
      .arms_at_once = true }
static const struct coir__prim get_prim = GET_PRIM("queue_get"), next_prim = GET_PRIM("queue_next");

static enum prim_step try_get_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    if (get_attempt(fiber, node, result) == PRIM_WAIT)
        *result = coir_raise(coir__error(DOMAIN_ERRNO, EAGAIN, "coir_queue_try_get: queue %" PRIu64 " is empty", coir_queue_id(node->object)));
    return PRIM_DONE;
}

static const struct coir__prim try_get_prim = {
    .name = "queue_try_get", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = try_get_attempt, .drop = queue_unref,
};

/* ----------------------------------------------------------------------------------------------------------- get many */

/* Behind the common part of the node, and of its frame. The list is had before anything is put into it: a run has it from its beginning. */
struct many { size_t max, room; coir_value list; };
enum { MANY_SIZE = NODE_SIZE_OF(prim_own) + sizeof(struct many), AT_ONCE_MAX = 1024 };          /* so that nobody spins at the guard for long */
static struct many *many_of(coir_io *node) { return (struct many *)(void *)((char *)node + NODE_SIZE_OF(prim_own)); }

static bool many_begin(coir_io *frame, coir_result *result)
{
    struct many *many = many_of(frame);
    size_t size = coir_queue_size(frame->object), room = size < many->max ? size : many->max;
    many->room = room < 1 ? 1 : room > AT_ONCE_MAX ? AT_ONCE_MAX : room;
    many->list = coir__list_new(many->room);
    if (likely(!coir__is_panic_value(&many->list)))
        return true;
    *result = coir__panic_of(coir_take(&many->list));
    return false;
}

static void many_end(coir_io *frame) { coir_drop(coir_take(&many_of(frame)->list)); }

static enum prim_step many_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    struct many *many = many_of(frame);
    coir_value value;
    enum prim_step step = get_poll(fiber, frame, result, claimed);
    if (step == PRIM_WAIT || result->value.type == &told_type || coir__object_is_told(result))
        return step;
    coir__list_add(&many->list, result->value);
    while (coir_list_size(&many->list) < many->room && queue_take(frame->object, &value, claimed) == MET)
        coir__list_add(&many->list, value);
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static void many_settle(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    if (!settle(fiber, frame, result) && result->tag == COIR_OK)
        coir__set_ok(result, coir_take(&many_of(frame)->list));
}

/* Whoever put it handed it over alone. */
static enum prim_step many_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    object_note_end(frame->object);
    if (!settle(fiber, frame, result) && result->tag == COIR_OK) {
        coir__list_add(&many_of(frame)->list, result->value);
        coir__set_ok(result, coir_take(&many_of(frame)->list));
    }
    many_end(frame);
    return PRIM_DONE;
}

static void many_disarm(coir_fiber *fiber, coir_io *frame)
{
    get_disarm(fiber, frame);
    many_end(frame);
}

static const struct coir__offer many_offer = {
    .guard = guard_of, .begin = many_begin, .end = many_end, .poll = many_poll, .enqueue = get_enqueue, .settle = many_settle,
};

static const struct coir__prim many_prim = {
    .name = "queue_get_many", .awaits = to_get, .size = MANY_SIZE, .arm = coir__object_arm, .woken = many_woken, .disarm = many_disarm,
    .drop = queue_unref, .waits_for = coir__object_waits_for, .exposed_by = "coir_queue_expose", .offer = &many_offer,
};

/* --------------------------------------------------------------------------------------------------------- done, join */

/* False: as many were done as were put. */
static bool done_once(coir_queue *queue, struct claimed *claimed)
{
    if (load_relaxed(&queue->unfinished) == 0)
        return false;
    finish(queue, 1, claimed);
    return true;
}

static coir_result done_too_often(const coir_fiber *fiber, const coir_queue *queue)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "coir_queue_done: fiber%s has done one more than was put into queue %" PRIu64,
                        coir__fiber_label(fiber, label, sizeof label), queue->object.serial);
}

static enum prim_step done_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_queue *queue = node->object;
    CLAIMED(claimed);
    coir__set_ok(result, coir_none());
    spin_lock(&queue->object.guard);
    bool is_served = serves(fiber, queue, result), is_done = is_served && done_once(queue, &claimed);
    spin_unlock(&queue->object.guard);
    claimed_make_ready(&claimed);
    if (unlikely(!is_served))
        (void)settle(fiber, node, result);
    else if (unlikely(!is_done))
        *result = done_too_often(fiber, queue);
    return PRIM_DONE;
}

static const struct coir__prim done_prim = {
    .name = "queue_done", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = done_attempt, .drop = queue_unref,
};

static enum prim_step join_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    coir_queue *queue = frame->object;
    (void)claimed;
    coir__set_ok(result, coir_none());
    if (likely(serves(fiber, queue, result)) && load_relaxed(&queue->unfinished) > 0)
        return PRIM_WAIT;
    return PRIM_DONE;
}

static bool join_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_queue *queue = frame->object;
    return coir__object_enqueue(&queue->joiners, fiber, frame, result);
}

static enum prim_step join_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    (void)result;
    object_note_end(frame->object);
    return PRIM_DONE;
}

static void join_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    leave(&((coir_queue *)frame->object)->joiners, frame);
}

static const struct coir__offer join_offer = { .guard = guard_of, .poll = join_poll, .enqueue = join_enqueue, .settle = put_settle };

static const struct coir__prim join_prim = {
    .name = "queue_wait_done", .awaits = to_join, .size = NODE_SIZE_OF(prim_own), .arm = coir__object_arm, .woken = join_woken,
    .disarm = join_disarm, .drop = queue_unref, .waits_for = coir__object_waits_for, .exposed_by = "coir_queue_expose", .offer = &join_offer,
};

/* ------------------------------------------------------------------------------------------------------- close, poison */

void coir_queue_close(coir_queue *queue)
{
    CLAIMED(claimed);
    if (queue == NULL)
        return;
    coir_queue_ref(queue);                              /* who is woken may drop the caller's */
    spin_lock(&queue->object.guard);
    queue->closed = true;
    wake_all(queue, &queue->getters, told(queue->poisoned ? POISONED : CLOSED), &claimed);
    spin_unlock(&queue->object.guard);
    claimed_make_ready(&claimed);
    coir_queue_drop(queue);
}

void coir_queue_poison(coir_queue *queue)
{
    CLAIMED(claimed);
    if (queue == NULL)
        return;
    coir_queue_ref(queue);
    spin_lock(&queue->object.guard);
    queue->closed = queue->poisoned = true;
    struct ring ring = queue->ring;
    struct heap heap = queue->heap;
    uint64_t inside = inside_count(queue), unfinished = load_relaxed(&queue->unfinished);
    queue->ring = (struct ring){ .room = 0 };
    queue->heap = (struct heap){ .room = 0 };
    note_size(queue);
    wake_all(queue, &queue->getters, told(POISONED), &claimed);
    wake_all(queue, &queue->putters, told(POISONED), &claimed);
    finish(queue, inside < unfinished ? inside : unfinished, &claimed);        /* done may have been said of what nobody had got */
    spin_unlock(&queue->object.guard);
    claimed_make_ready(&claimed);
    coir__ring_drop(&ring);
    coir__heap_drop(&heap);
    coir_queue_drop(queue);
}

static enum prim_step close_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    coir_queue_close(node->object);
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static const struct coir__prim close_prim = {
    .name = "queue_close", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = close_attempt, .drop = queue_unref,
};

/* --------------------------------------------------------------------------------------------------------------- ios */

static coir_io *queue_io(const struct coir__prim *prim, coir_queue *queue, int64_t number)
{
    coir_io *node = queue == NULL ? NULL : coir__prim_new(prim, queue, number);
    if (node != NULL)
        coir_queue_ref(queue);
    return node;
}

coir_io *coir_queue_get(coir_queue *queue)       { return queue_io(&get_prim, queue, GET); }
coir_io *coir_queue_next(coir_queue *queue)      { return queue_io(&next_prim, queue, NEXT); }
coir_io *coir_queue_try_get(coir_queue *queue)   { return queue_io(&try_get_prim, queue, TRY); }
coir_io *coir_queue_done(coir_queue *queue)      { return queue_io(&done_prim, queue, 0); }
coir_io *coir_queue_wait_done(coir_queue *queue) { return queue_io(&join_prim, queue, 0); }

coir_io *coir_queue_get_many(coir_queue *queue, size_t max)
{
    if (queue != NULL && max == 0)
        return coir__bad_argument("coir_queue_get_many", "max is 0");
    coir_io *node = queue_io(&many_prim, queue, GET);
    if (node != NULL)
        *many_of(node) = (struct many){ .max = max };
    return node;
}

static coir_io *put_io(const struct coir__prim *prim, coir_queue *queue, int64_t priority, coir_value value)
{
    if (coir__is_panic_value(&value))
        return coir_pure(value);
    return sent_put(queue_io(prim, queue, priority), value);
}

static coir_io *put_at_io(const char *function, const struct coir__prim *prim, coir_queue *queue, int64_t priority, coir_value value)
{
    if (queue == NULL || queue->by_priority)
        return put_io(prim, queue, priority, value);
    coir_drop(value);
    return coir__bad_argument(function, "a queue without priorities");
}

coir_io *coir_queue_put(coir_queue *queue, coir_value value)     { return put_io(&put_prim, queue, 0, value); }
coir_io *coir_queue_try_put(coir_queue *queue, coir_value value) { return put_io(&try_put_prim, queue, 0, value); }

coir_io *coir_queue_put_at(coir_queue *queue, int64_t priority, coir_value value)
{
    return put_at_io("coir_queue_put_at", &put_at_prim, queue, priority, value);
}

coir_io *coir_queue_try_put_at(coir_queue *queue, int64_t priority, coir_value value)
{
    return put_at_io("coir_queue_try_put_at", &try_put_at_prim, queue, priority, value);
}

coir_io *coir_queue_closing(coir_queue *queue, coir_io *io) { return coir_finally(io, queue_io(&close_prim, queue, 0)); }

/* --------------------------------------------------------------------------------------------------------------- each */

struct worker { coir_queue *queue; coir_flat_map_fn *fn; void *env; size_t size; };             /* size: of the worker with what is behind it */
enum { WORKER_SIZE = (sizeof(struct worker) + 15) / 16 * 16 };

static void worker_drop(void *worker_)
{
    struct worker *worker = worker_;
    coir_queue_drop(worker->queue);
    coir__free(worker, worker->size);
}

static struct worker *worker_new(coir_queue *queue, coir_flat_map_fn *fn, struct env_given given)
{
    bool copies = given.bytes != LENT;
    size_t size = WORKER_SIZE + (copies ? given.bytes : 0);
    struct worker *worker = coir__alloc(size);
    if (worker == NULL)
        return NULL;
    void *env = (void *)(uintptr_t)given.env;
    if (copies && given.bytes > 0)
        env = memcpy((char *)worker + WORKER_SIZE, given.env, given.bytes);
    *worker = (struct worker){ coir_queue_ref(queue), fn, env, size };
    return worker;
}

static void done_at_once(coir_queue *queue)
{
    CLAIMED(claimed);
    spin_lock(&queue->object.guard);
    (void)done_once(queue, &claimed);
    spin_unlock(&queue->object.guard);
    claimed_make_ready(&claimed);
}

/* In the worker's mask: between the get and the finalizer nothing can come. Without memory there is no finalizer: it is done here. */
static coir_io *work_on(void *worker_, coir_value *item)
{
    struct worker *worker = worker_;
    coir_io *io = coir_finally(coir_cancelable(worker->fn(worker->env, item)), coir_queue_done(worker->queue));
    if (unlikely(io == NULL))
        done_at_once(worker->queue);
    return io;
}

static coir_io *each(const char *function, coir_queue *queue, coir_flat_map_fn *fn, struct env_given given)
{
    const char *bad = coir__callback_bad((any_fn *)fn, given);
    if (queue == NULL || bad != NULL)
        return queue == NULL ? NULL : coir__bad_argument(function, bad);
    struct worker *worker = worker_new(queue, fn, given);
    if (worker == NULL)
        return NULL;
    coir_io *loop = coir_for_each(coir_cancelable(coir_queue_next(queue)), work_on, worker);
    return coir_owns(coir_uncancelable(loop), worker, worker_drop);
}

coir_io *coir_queue_each(coir_queue *queue, coir_flat_map_fn *fn, void *env) { return each("coir_queue_each", queue, fn, lent(env)); }

coir_io *coir_queue_each_copy(coir_queue *queue, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    return each("coir_queue_each_copy", queue, fn, captured(bytes, size));
}

/* ------------------------------------------------------------------------------------------------------------ threads */

static bool is_for_threads(const coir_queue *queue)
{
    return queue != NULL && load_relaxed(&queue->object.exposed);       /* relaxed: whoever gave it to this thread exposed it before */
}

bool coir_thread_queue_try_put(coir_queue *queue, coir_value value)
{
    CLAIMED(claimed);
    enum meeting meeting = BUSY;
    if (is_for_threads(queue) && !coir__is_panic_value(&value))
        do {
            spin_lock(&queue->object.guard);
            meeting = queue_put(queue, &value, 0, &claimed);
            spin_unlock(&queue->object.guard);
        } while (meeting == CRAMPED && inside_grow(queue));
    claimed_make_ready(&claimed);
    coir_drop(value);
    return meeting == MET;
}

bool coir_thread_queue_try_get(coir_queue *queue, coir_value *value)
{
    CLAIMED(claimed);
    enum meeting meeting = BUSY;
    if (value == NULL)
        return false;
    *value = coir_none();
    if (!is_for_threads(queue))
        return false;
    spin_lock(&queue->object.guard);
    meeting = queue_take(queue, value, &claimed);
    spin_unlock(&queue->object.guard);
    claimed_make_ready(&claimed);
    return meeting == MET;
}

bool coir_thread_queue_done(coir_queue *queue)
{
    CLAIMED(claimed);
    if (!is_for_threads(queue))
        return false;
    coir_queue_ref(queue);                              /* who is woken may drop the caller's */
    spin_lock(&queue->object.guard);
    bool is_done = done_once(queue, &claimed);
    spin_unlock(&queue->object.guard);
    claimed_make_ready(&claimed);
    coir_queue_drop(queue);
    return is_done;
}
