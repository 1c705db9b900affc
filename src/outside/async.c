/*
 * async.c - callback handles: a fiber suspends until foreign code calls back
 *
 * A handle names a slot and a ticket. Slots live in memory that goes back only when the library is unloaded, so a handle may be used however
 * late: what it finds is a slot, and the ticket tells whether it still means this handle.
 *
 *   slot           owner                       word
 *   free           the pool                    even: the last ticket + 1
 *   armed          the fiber that waits        odd: the ticket
 *   used           its fiber, to give it back  even: the ticket + 1
 *
 * A cancellation only asks: it ends the fiber's wait, the worker calls the type's cancel(), and the fiber waits anew, for the callback alone. A
 * callback that comes in between finds no wait to end.
 *
 * [CALLBACK]  armed -> used is one compare-and-swap: who makes it has the right, once, to wake the fiber. It acquires what the store that
 *   armed the slot released: the fiber. The slot goes back to the pool only when that fiber has gone on, which the winner causes; so
 *   the winner may read slot->fiber. Tickets cannot come round: 2^63 uses of one slot.
 *
 * [MEET]  A handle is good for the wait that it was made in. Of a later one its caller knows nothing that is ordered, so it must not claim it by
 *   itself: the winner whose claim was lost to the cancellation, and the fiber that waits anew, meet in `meet`, once each; whoever comes
 *   second finds the other. The winner first: it has left the result, lets go of all, and the fiber takes it without waiting. The fiber
 *   first: it has left the generation of its new wait, which the winner claims. Each change releases what was written before it, and acquires.
 */
#include "outside/async.h"

#include "fiber/cancel.h"

#include <string.h>

struct slot {
    _Atomic uint64_t word;                              /* A [CALLBACK] */
    coir_fiber      *fiber;                             /* set before the slot is armed, as is the next */
    uint64_t         generation;                        /* of the wait that the handle was made in */
    struct slot     *next;                              /* L: in the pool */
    _Atomic uint64_t meet;                              /* A [MEET]: NOBODY_MET, LEFT_RESULT, or a generation, shifted by one */
    coir_result      left;                              /* by the winner */
};
enum { NOBODY_MET = 0, LEFT_RESULT = 1 };

/* ---------------------------------------------------------------------------------------------------------- the pool */

enum { SLOTS_PER_CHUNK = 128 };

struct slot_chunk { struct slot_chunk *next; struct slot slots[SLOTS_PER_CHUNK]; };

static struct {
    ck_spinlock_fas_t  lock;
    struct slot       *free;
    struct slot_chunk *chunks;
    _Atomic bool       overdue;                         /* somebody has a handle that he has not called, of a fiber that is gone */
} pool = { .lock = CK_SPINLOCK_FAS_INITIALIZER };

/* Whether a handle may still be called for the first time: by a thread that coir does not know. */
static bool slots_are_called_for(void)
{
    bool any = load_relaxed(&pool.overdue);
    for (struct slot_chunk *chunk = pool.chunks; chunk != NULL; chunk = chunk->next)
        for (int i = 0; i < SLOTS_PER_CHUNK; i++)
            any = any || load_relaxed(&chunk->slots[i].word) % 2 == 1;
    return any;
}

/* When the process ends under a run, foreign code may go on for a moment: then all stays. */
static void slots_give_back(void)
{
    if (slots_are_called_for())
        return;
    for (struct slot_chunk *next, *chunk = pool.chunks; chunk != NULL; chunk = next) {
        next = chunk->next;
        coir__release(chunk, sizeof *chunk);
    }
    pool.chunks = NULL;
    pool.free = NULL;
}

static _Atomic uint64_t resumes_refused;

uint64_t coir__resumes_refused(void) { return load_relaxed(&resumes_refused); }

static void slot_give(struct slot *slot)                                                /* MODEL callback.pml: slot_give */
{
    spin_lock(&pool.lock);
    slot->next = pool.free;
    pool.free = slot;
    spin_unlock(&pool.lock);
}

static struct slot *slot_take(void)                                                     /* MODEL callback.pml: slot_take */
{
    static struct unload at_unload = { NULL, slots_give_back };
    spin_lock(&pool.lock);
    struct slot *slot = pool.free;
    if (slot != NULL)
        pool.free = slot->next;
    spin_unlock(&pool.lock);
    if (slot != NULL)
        return slot;
    struct slot_chunk *chunk = coir__allocate(sizeof *chunk);
    if (chunk == NULL)
        return NULL;
    for (int i = 0; i < SLOTS_PER_CHUNK; i++) {
        atomic_init(&chunk->slots[i].word, 0);
        chunk->slots[i].next = i > 1 ? &chunk->slots[i - 1] : NULL;
    }
    spin_lock(&pool.lock);
    chunk->slots[1].next = pool.free;
    pool.free = &chunk->slots[SLOTS_PER_CHUNK - 1];
    bool first = pool.chunks == NULL;
    chunk->next = pool.chunks;
    pool.chunks = chunk;
    spin_unlock(&pool.lock);
    if (first)
        coir__at_unload(&at_unload);
    return &chunk->slots[0];
}

/* ----------------------------------------------------------------------------------------------------- the instruction */

struct async {
    struct coir_io node;                                /* its object is the coir_async_type */
    void          *env;
    struct slot   *slot;                                /* of a frame that waits */
    size_t         op_at;                               /* where `op` stands in the node */
};

static struct async *async_of(const coir_io *node) { return (struct async *)(uintptr_t)node; }

static enum prim_step async_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    (void)node;
    (void)result;
    return PRIM_WAIT;
}

/* What the callback brought after a cancellation had asked for it: a value wins, an error is the answer to the request. */
static coir_result after_cancel(coir_result brought)
{
    if (brought.tag == COIR_OK || brought.tag == COIR_CANCELED)
        return brought;
    coir_result canceled = coir_result_of(COIR_CANCELED, coir_none());
    if (brought.tag == COIR_PANIC)
        return coir_result_and(canceled, brought);
    canceled.also = brought.also;
    brought.also = NULL;
    coir_result_drop(&brought);
    return canceled;
}

static enum prim_step async_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)   /* MODEL callback.pml: woken */
{
    counter_add(&coir__me.seat->callbacks_done, 1);
    slot_give(async_of(frame)->slot);
    async_of(frame)->slot = NULL;
    if (unlikely(frame->flags & NODE_FINAL)) {
        *result = after_cancel(*result);
        if (result->tag != COIR_CANCELED)
            coir__cancel_declined(fiber);
    }
    return PRIM_DONE;
}

/* After a cancellation: waits on, for nothing but the callback. */
static enum prim_step async_wait_anew(coir_fiber *fiber, coir_io *frame, coir_result *result)   /* MODEL callback.pml: wait_anew */
{
    struct slot *slot = async_of(frame)->slot;
    uint64_t met = NOBODY_MET;
    if (cas_acq_rel(&slot->meet, &met, wait_generation(&fiber->wait) << 1))     /* [MEET] */
        return PRIM_WAIT;
    *result = slot->left;
    return async_woken(fiber, frame, result);
}

static enum prim_step async_arm(coir_fiber *fiber, coir_io *frame, coir_result *result) /* MODEL callback.pml: arm */
{
    struct async *async = async_of(frame);
    const coir_async_type *type = frame->object;
    if (frame->flags & NODE_FINAL)
        return async_wait_anew(fiber, frame, result);
    async->slot = slot_take();
    if (async->slot == NULL) {
        *result = coir__no_memory();
        return PRIM_DONE;
    }
    async->slot->fiber = fiber;
    async->slot->generation = wait_generation(&fiber->wait);
    store_relaxed(&async->slot->meet, (uint64_t)NOBODY_MET);                    /* relaxed: the store below releases it */
    uint64_t ticket = load_relaxed(&async->slot->word) + 1;
    store_release(&async->slot->word, ticket);                                  /* [CALLBACK] */
    counter_add(&coir__me.seat->callbacks_begun, 1);
    type->start(async->env, (char *)frame + async->op_at, (coir_callback){ async->slot, ticket });
    return PRIM_WAIT;
}

static bool async_can_cancel(const coir_io *frame) { return ((const coir_async_type *)frame->object)->cancel != NULL; }

static void async_cancel(coir_fiber *fiber, coir_io *frame)
{
    const coir_async_type *type = frame->object;
    (void)fiber;
    frame->flags |= NODE_FINAL;
    type->cancel(async_of(frame)->env, (char *)frame + async_of(frame)->op_at);
}

/* Somebody is just calling: until he has either claimed the fiber's wait or left his result, which nobody wants. */
static void await_winner(coir_fiber *fiber, struct slot *slot)                          /* MODEL callback.pml: await_winner */
{
    uint32_t looks = 0;
    for (;;) {
        if (load_acquire(&slot->meet) == LEFT_RESULT) {                         /* [MEET] */
            coir_result_drop(&slot->left);
            return;
        }
        /* In this order: who else takes the wait has said before that it was him. */
        if (wait_state_of(load_acquire(&fiber->wait.word)) == WAIT_TAKEN && fiber->claimed_by == CLAIMED_BY_WAKER)
            return;
        spin_pause(&looks);
    }
}

/* Of a fiber that will not go on, in a run that was stopped, or that a verdict ended: whoever calls now is too late. */
static void async_disarm(coir_fiber *fiber, coir_io *frame)                             /* MODEL callback.pml: disarm */
{
    struct async *async = async_of(frame);
    uint64_t ticket = load_relaxed(&async->slot->word);
    bool won = ticket % 2 == 1 && cas_acq_rel(&async->slot->word, &ticket, ticket + 1);
    if (won && frame->prim == &coir__async_prim)         /* nobody has the handle of a blocking call that was not begun */
        store_relaxed(&pool.overdue, true);             /* relaxed: read when nobody is at work any more */
    else
        await_winner(fiber, async->slot);
    counter_add(&coir__me.seat->callbacks_done, 1);
    slot_give(async->slot);
}

#define ASYNC_AS(called, awaited, a_thread)                                                                              \
    {                                                                                                         \
        .name = (called), .awaits = (awaited), .blocks = (a_thread), .size = sizeof(struct async), .attempt = async_attempt, .arm = async_arm,   \
        .woken = async_woken, .disarm = async_disarm, .can_cancel = async_can_cancel, .cancel = async_cancel,  \
    }
const struct coir__prim coir__async_prim = ASYNC_AS("async", "a callback", false), coir__blocking_prim = ASYNC_AS("blocking", "a blocking call", true);

static size_t rounded(size_t size) { return (size + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP; }

coir_io *coir__async_new(const struct coir__prim *prim, const coir_async_type *type, size_t env_size, void **env)
{
    size_t op_at = rounded(sizeof(struct async)), env_at = op_at + rounded(type->op_size);
    coir_io *node = coir__prim_new_sized(prim, env_at + env_size, (void *)(uintptr_t)type, 0);
    if (node == NULL)
        return NULL;
    async_of(node)->op_at = op_at;
    async_of(node)->env = *env = (char *)node + env_at;
    return node;
}

static coir_io *async_node(const char *function, const coir_async_type *type, struct env_given given)
{
    if (type == NULL || type->start == NULL)
        return coir__bad_argument(function, "type, or its start, is NULL");
    if (type->op_size > CAPTURE_MAX)
        return coir__bad_argument(function, "op_size is more than 64 KiB");
    const char *bad = coir__callback_bad((any_fn *)type->start, given);
    if (bad != NULL)
        return coir__bad_argument(function, bad);
    void *env;
    coir_io *node = coir__async_new(&coir__async_prim, type, given.bytes == LENT ? 0 : given.bytes, &env);
    if (node == NULL)
        return NULL;
    if (given.bytes == LENT)
        async_of(node)->env = (void *)(uintptr_t)given.env;
    else if (given.bytes > 0)
        memcpy(env, given.env, given.bytes);
    return node;
}

coir_io *coir_async(const coir_async_type *type, void *env) { return async_node("coir_async", type, lent(env)); }
coir_io *coir_async_copy(const coir_async_type *type, const void *bytes, size_t size)
{
    return async_node("coir_async_copy", type, captured(bytes, size));
}

/* ------------------------------------------------------------------------------------------------------ foreign side */

/* The fiber that waits on k, for the one caller who comes first. */
static coir_fiber *callback_win(coir_callback k)                                        /* MODEL callback.pml: win */
{
    struct slot *slot = k.slot;
    uint64_t ticket = k.ticket;
    coir__thread_used();
    if (slot == NULL || k.ticket % 2 == 0 || !cas_acq_rel(&slot->word, &ticket, ticket + 1))     /* [CALLBACK] */
        return NULL;
    return slot->fiber;
}

/* The winner alone may wake the fiber. Pinned before the claim: a run that is being stopped waits for it. */
static void callback_deliver(struct slot *slot, coir_fiber *fiber, coir_result result)  /* MODEL callback.pml: deliver */
{
    struct coir__run *run = run_of(fiber);
    run->driver->pin(run);
    if (unlikely(!coir__claim(fiber, slot->generation, CLAIMED_BY_WAKER, result))) {
        uint64_t met = NOBODY_MET;
        slot->left = result;
        if (!cas_acq_rel(&slot->meet, &met, LEFT_RESULT) &&                     /* [MEET] */
            !coir__claim(fiber, met >> 1, CLAIMED_BY_WAKER, result))
            store_release(&slot->meet, LEFT_RESULT);    /* a verdict was first: async_disarm() waits for us */
    }
    run->driver->unpin(run);
}

bool coir_resume(coir_callback k, coir_result result)                                   /* MODEL callback.pml: resume */
{
    coir_fiber *fiber = callback_win(k);
    if (fiber == NULL) {
        fetch_add_relaxed(&resumes_refused, (uint64_t)1);
        coir_result_drop(&result);
        return false;
    }
    callback_deliver(k.slot, fiber, coir__checked(result));
    return true;
}

void coir_callback_drop(coir_callback k)
{
    coir_fiber *fiber = callback_win(k);
    if (fiber == NULL)
        return;
    char label[64];
    callback_deliver(k.slot, fiber, coir__panicf(DOMAIN_COIR, COIR_ABANDONED, "coir_async: the callback handle was dropped uncalled (fiber%s)",
                                         coir__fiber_label(fiber, label, sizeof label)));
}
