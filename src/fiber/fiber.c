/*
 * fiber.c - the life of a fiber: from a slab, to its end, to those who wait for it, and back
 *
 * Slabs. A fiber's memory is a slot of one of its run's slabs; the slabs are the only registry. A seat keeps the slots that became
 * free on it. A handle given up on a thread that is not a worker of the run (or after its end) makes the slot a stray of its slab,
 * which a seat of the run collects, if the run lives.
 *
 * [SLAB]  The last to let go of a slab frees it. `outstanding` begins at SLAB_BIAS; each stray takes one off, each collected stray puts one
 *   back, and the end of the run takes off SLAB_BIAS less the slots that are still in use or strays. Whoever brings it to 0
 *   is the last: before the end of the run nobody can, after it nobody but those who drop handles touches the slab.
 *
 * [FIBER-END]  The end stores the result, then releases PHASE_ENDED, both under the fiber's lock; who acquires ENDED may read the result
 *   without it. Waiters register under the lock, so none comes between the last look and the list that is woken.
 */
#include "fiber/fiber.h"

#include "fiber/cancel.h"
#include "fiber/local.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

enum { FIBER_STRIDE = (sizeof(coir_fiber) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE };
enum { SLAB_FIBERS = (SLAB_SIZE - SLAB_FIBERS_AT) / FIBER_STRIDE };
_Static_assert(sizeof(struct slab) <= SLAB_FIBERS_AT, "the slots begin behind the slab's head");

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif
#ifdef ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
/* What a free slot may still be read for: its wait's word and its phase and flags stand; the rest is poisoned. */
#define slot_poison(fiber)   __asan_poison_memory_region(&(fiber)->top, offsetof(coir_fiber, refs) - offsetof(coir_fiber, top))
#define slot_unpoison(fiber) __asan_unpoison_memory_region((fiber), sizeof(coir_fiber))
#else
#define slot_poison(fiber)   ((void)(fiber))
#define slot_unpoison(fiber) ((void)(fiber))
#endif

static coir_fiber *slot_of(struct slab *slab, uint32_t index)
{
    return (coir_fiber *)(void *)((char *)slab + SLAB_FIBERS_AT + (size_t)index * FIBER_STRIDE);
}

/*
 * An ended fiber whose result is its own handle does not count that reference: nobody else could give it up, and the fiber would stay for ever.
 * Who asks for the result gets one that is counted. (Handles that fibers hold of each other, or of themselves inside a list, are rings of
 * references, which counting cannot free.)
 */
static bool is_own_handle(const coir_fiber *fiber)
{
    return fiber->result.value.type == &coir_fiber_type && fiber->result.value.ptr == fiber;
}

/* What an ended fiber has as its result, when its slot becomes free. */
static void result_done(coir_fiber *fiber)
{
    if (is_own_handle(fiber))
        fiber->result.value = coir_none();
    coir_result_drop(&fiber->result);
}

/* --------------------------------------------------------------------------------------------------------------- slots */

static void block_drop(struct slab *first)
{
    if (fetch_sub_acq_rel(&first->block_refs, 1u) == 1)
        coir__chunk_free(first, (size_t)first->block_slabs * SLAB_SIZE, SLAB_SIZE);
}

static void slab_free(struct slab *slab)
{
    for (coir_fiber *stray = load_acquire(&slab->strays); stray != NULL; stray = stray->next)
        result_done(stray);                             /* what came too late to be told */
    uint32_t count = load_relaxed(&slab->count);
    for (uint32_t i = 0; i < count; i++)
        slot_unpoison(slot_of(slab, i));
    block_drop(slab->block);
}

static void slab_let_go(struct slab *slab, int32_t count)
{
    if (fetch_sub_acq_rel(&slab->outstanding, count) == count)                  /* [SLAB] */
        slab_free(slab);
}

static void seat_put_free(struct coir__seat *seat, coir_fiber *fiber)
{
    fiber->flags = FIBER_FREE;
    fiber->next = seat->free_fibers;
    seat->free_fibers = fiber;
    slot_poison(fiber);
}

/* Whether the failure of an ended fiber is still to be told. */
static bool is_unseen(coir_fiber *fiber)
{
    bool failed = fiber->result.tag == COIR_ERROR || fiber->result.tag == COIR_PANIC || fiber->result.also != NULL;
    return failed && !load_relaxed(&fiber->seen);
}

static void tell_unseen(struct coir__run *run, coir_fiber *fiber)
{
    if (likely(!is_unseen(fiber)) || exchange_acq_rel(&fiber->seen, 1) != 0 || run->options.on_unseen_failure == NULL)
        return;
    coir_result shown = fiber->result;
    if (is_own_handle(fiber))
        shown.value = coir_lend(fiber);                 /* of a dead one no further reference can be made */
    coir__me.in_hook++;
    run->options.on_unseen_failure(run->options.env, fiber->id, &shown);
    coir__me.in_hook--;
}

static coir_fiber *strays_take(struct slab *slab)
{
    int32_t count = 0;
    coir_fiber *first = exchange_acq_rel(&slab->strays, NULL);
    for (const coir_fiber *stray = first; stray != NULL; stray = stray->next)
        count++;
    fetch_add_acq_rel(&slab->outstanding, count);
    return first;
}

/* Of a stray whose failure nobody saw the failure is told here, on a worker. */
static void strays_keep(struct coir__seat *seat, coir_fiber *strays)
{
    for (coir_fiber *next, *stray = strays; stray != NULL; stray = next) {
        next = stray->next;
        tell_unseen(seat->run, stray);
        result_done(stray);
        seat_put_free(seat, stray);
    }
}

/* Collects the strays of a slab or two, so that all come round in the end and no call takes long. */
static bool strays_collect(struct coir__seat *seat)
{
    struct coir__run *run = seat->run;
    bool any = false;
    for (int looks = 0; looks < 2; looks++) {
        spin_lock(&run->slabs_lock);
        struct slab *slab = run->strays_next != NULL ? run->strays_next : run->slabs;
        run->strays_next = slab == NULL ? NULL : slab->next;
        spin_unlock(&run->slabs_lock);
        coir_fiber *strays = slab == NULL ? NULL : strays_take(slab);
        any = any || strays != NULL;
        strays_keep(seat, strays);                      /* not under the lock: it calls the program */
    }
    return any;
}

/* The first slab of a new block, twice as large as the seat's last one. */
static struct slab *block_new(const struct slab *last)
{
    uint32_t slabs = last == NULL ? 1 : last->block->block_slabs * 2;
    slabs = slabs < BLOCK_SLABS_MAX ? slabs : BLOCK_SLABS_MAX;
    size_t size = (size_t)slabs * SLAB_SIZE;
    struct slab *first = coir__chunk(size, slabs == BLOCK_SLABS_MAX ? size : SLAB_SIZE);
    if (first == NULL)
        return NULL;
    if (slabs == BLOCK_SLABS_MAX)
        (void)madvise(first, size, MADV_HUGEPAGE);
    atomic_init(&first->block_refs, 1);
    first->block_slabs = slabs;
    return first;
}

static bool slab_add(struct coir__seat *seat)
{
    struct coir__run *run = seat->run;
    struct slab *last = seat->slab, *first = last == NULL ? NULL : last->block;
    if (first == NULL || seat->block_used == first->block_slabs) {
        first = block_new(last);
        if (first == NULL)
            return false;
        seat->block_used = 0;
    }
    struct slab *slab = (struct slab *)(void *)((char *)first + (size_t)seat->block_used++ * SLAB_SIZE);
    fetch_add_relaxed(&first->block_refs, 1u);
    slab->block = first;
    atomic_init(&slab->run, run);
    atomic_init(&slab->outstanding, SLAB_BIAS);
    atomic_init(&slab->strays, NULL);
    atomic_init(&slab->count, 0);
    seat->slab = slab;
    spin_lock(&run->slabs_lock);
    slab->next = run->slabs;
    run->slabs = slab;
    spin_unlock(&run->slabs_lock);
    return true;
}

/* A slot that was never used. [SLOT] Who looks through the run's fibers acquires the count, and sees the slots below it made. */
static coir_fiber *slot_make(struct slab *slab)
{
    uint32_t index = load_relaxed(&slab->count);
    coir_fiber *fiber = slot_of(slab, index);
    atomic_init(&fiber->wait.word, 0);
    atomic_init(&fiber->phase, PHASE_ENDED);
    atomic_init(&fiber->refs, 0);
    fiber->flags = FIBER_FREE;
    store_release(&slab->count, index + 1);                                     /* [SLOT] */
    return fiber;
}

static NOINLINE coir_fiber *slot_take_slow(struct coir__seat *seat)
{
    bool full = seat->slab == NULL || load_relaxed(&seat->slab->count) == SLAB_FIBERS;
    if (!full)
        return slot_make(seat->slab);
    if (strays_collect(seat)) {
        coir_fiber *fiber = seat->free_fibers;
        seat->free_fibers = fiber->next;
        return fiber;
    }
    return slab_add(seat) ? slot_make(seat->slab) : NULL;
}

static inline coir_fiber *slot_take(struct coir__seat *seat)
{
    coir_fiber *fiber = seat->free_fibers;
    if (likely(fiber != NULL))
        seat->free_fibers = fiber->next;
    else
        fiber = slot_take_slow(seat);
    if (fiber != NULL)
        slot_unpoison(fiber);
    return fiber;
}

static void slot_give(coir_fiber *fiber)
{
    struct slab *slab = slab_of(fiber);
    if (likely(seat_is_of(load_relaxed(&slab->run)) && coir__me.seat != NULL)) {
        seat_put_free(coir__me.seat, fiber);
        return;
    }
    coir_fiber *first = load_relaxed(&slab->strays);
    do
        fiber->next = first;
    while (!cas_acq_rel(&slab->strays, &first, fiber));                         /* [SLAB] taken all at once: no ABA */
    slab_let_go(slab, 1);
}

/* ------------------------------------------------------------------------------------------------------- begin and end */

static uint64_t id_take(struct coir__seat *seat)
{
    static _Atomic uint64_t ids = 1;
    enum { BLOCK = 256 };
    if (unlikely(seat->id_next == seat->id_end)) {
        seat->id_next = fetch_add_relaxed(&ids, (uint64_t)BLOCK);
        seat->id_end = seat->id_next + BLOCK;
    }
    return seat->id_next++;
}

/* The name of a fiber is the label of the io that it begins with. */
static void *name_of(coir_io *io)
{
    if (io == NULL || coir__node_used_up(io) || io->op != OP_NAMED)
        return NULL;
    coir_value name = coir_share(&io->state);
    if (name.type == &coir_string_type)
        return name.ptr;
    coir_drop(name);
    return NULL;
}

coir_fiber *coir__fiber_new(struct coir__seat *seat, coir_io *io, bool borrowed, coir_fiber *parent)
{
    coir_fiber *fiber = slot_take(seat);
    if (fiber == NULL) {
        if (!borrowed)
            coir_io_drop(io);
        return NULL;
    }
    fiber->next = NULL;
    fiber->top = NULL;
    fiber->io = borrowed ? coir__node_ref(io) : io;
    coir__set_ok(&fiber->result, coir_none());
    fiber->id = id_take(seat);
    fiber->context = parent == NULL ? NULL : coir__context_ref(parent->context);
    fiber->waiters = NULL;
    fiber->held = NULL;
    fiber->name = name_of(io);
    ck_spinlock_fas_init(&fiber->lock);
    fiber->flags = 0;
    fiber->claimed_by = CLAIMED_BY_WAKER;
    store_relaxed(&fiber->seen, 0);
    fiber->mask = 0;
    store_relaxed(&fiber->floor, 0);
    store_relaxed(&fiber->asked, load_relaxed(&seat->run->canceling));
    store_relaxed(&fiber->requested, load_relaxed(&seat->run->canceling));
    store_relaxed(&fiber->cancels, 0);
    store_relaxed(&fiber->is_child, 0);
    store_relaxed(&fiber->refs, 2);                     /* relaxed: nobody knows the fiber yet; so the phase */
    store_relaxed(&fiber->phase, PHASE_NEW);
    counter_add(&seat->forked, 1);
    return fiber;
}

static void fiber_empty(struct buried *buried)
{
    coir_fiber *fiber = container_of(buried, coir_fiber, buried);
    result_done(fiber);
    slot_give(fiber);
}

/* A result may hold another fiber's handle, so dropping it must not recurse. Away from the workers of a run that goes on a failure that nobody
 * saw is left in the slot: a worker tells it. */
static NOINLINE void fiber_free_slow(coir_fiber *fiber)
{
    struct coir__run *run = load_acquire(&slab_of(fiber)->run);
    if (unlikely(fiber->context != NULL))
        coir__context_drop(fiber->context);
    if (unlikely(fiber->name != NULL))
        coir_string_type.drop(fiber->name);
    fiber->context = NULL;
    fiber->name = NULL;
    if (seat_is_of(run) && run != NULL)
        tell_unseen(run, fiber);
    else if (run != NULL && is_unseen(fiber)) {
        slot_give(fiber);
        return;
    }
    if (fiber->flags & FIBER_TYPED)
        coir__bury(&fiber->buried, fiber_empty);
    else
        slot_give(fiber);
}

/* The last reference has gone; nearly always on a worker of its run, and nothing is left to be dropped or told. */
static inline void fiber_free(coir_fiber *fiber)
{
    struct coir__seat *seat = coir__me.seat;
    bool at_home = seat != NULL && seat->run == load_acquire(&slab_of(fiber)->run);
    if (likely(at_home && fiber->result.tag == COIR_OK && !(fiber->flags & FIBER_TYPED) && fiber->context == NULL && fiber->name == NULL))
        seat_put_free(seat, fiber);
    else
        fiber_free_slow(fiber);
}

static inline void ref_drop(coir_fiber *fiber)
{
    if (load_acquire(&fiber->refs) == 1) {
        store_relaxed(&fiber->refs, 0);
        fiber_free(fiber);
    } else if (fetch_sub_acq_rel(&fiber->refs, 1u) == 1) {
        fiber_free(fiber);
    }
}

coir_fiber *coir_fiber_ref(coir_fiber *fiber)
{
    if (fiber != NULL)
        fetch_add_relaxed(&fiber->refs, 1u);
    return fiber;
}

void coir_fiber_drop(coir_fiber *fiber)
{
    if (fiber != NULL)
        ref_drop(fiber);
}

static inline enum claim claim_wait_of(coir_fiber *waiting, uint64_t generation)
{
    struct coir__run *run = run_of(waiting);
    if (unlikely(!seat_is_of(run)))
        run->driver->pin(run);                          /* before the claim: after it nothing else keeps that run */
    enum claim claim = wait_claim(&waiting->wait, generation);
    if (claim == CLAIM_LOST)
        unpin_foreign(run);
    return claim;
}
static inline enum claim claim_waiting(coir_fiber *waiting) { return claim_wait_of(waiting, wait_generation(&waiting->wait)); }

struct claimed_wait coir__waiter_claim(coir_fiber *waiting) { return (struct claimed_wait){ waiting, claim_waiting(waiting) }; }
struct claimed_wait coir__waiter_claim_of(coir_fiber *waiting, uint64_t generation)
{
    return (struct claimed_wait){ waiting, claim_wait_of(waiting, generation) };
}

/* In place of the fiber of a waiter that is a watch's. */
static coir_fiber watching;

static NOINLINE struct claimed_wait tell_watch(struct waiter *waiter, coir_fiber *ended)
{
    struct watched *watched = container_of(waiter, struct watched, waiter);
    return watched->watch->told(watched->watch, watched, ended);
}

/* Claims all who wait; those that are parked are made ready when the lock is free again, since making ready may take long. */
static coir_fiber *waiters_claim(coir_fiber *fiber)                                     /* MODEL join.pml: waiters_claim */
{
    coir_fiber *first = NULL, **last = &first;
    for (struct waiter *next, *waiter = fiber->waiters; waiter != NULL; waiter = next) {
        coir_fiber *other = waiter->fiber;
        enum claim claim;
        next = waiter->next;
        waiter->next = waiter->prev = NULL;
        waiter->fiber = NULL;                           /* no longer in the list: coir__fiber_unawait() sees it */
        if (unlikely(other == &watching)) {
            struct claimed_wait claimed = tell_watch(waiter, fiber);
            other = claimed.fiber;
            claim = claimed.claim;
        } else {
            claim = claim_waiting(other);
        }
        if (claim == CLAIM_LOST)
            continue;
        struct coir__run *run = run_of(other);          /* pinned, if it is another's */
        coir__set_ok(&other->result, coir_lend(waiter));        /* which of several: coir_wait_any() asks */
        other->claimed_by = CLAIMED_BY_WAKER;
        if (claim == CLAIM_EARLY && !wait_give(&other->wait)) {
            unpin_foreign(run);
            continue;
        }
        other->next = NULL;
        *last = other;
        last = &other->next;
    }
    fiber->waiters = NULL;
    return first;
}

/* From outside its run the fiber is pushed with the run pinned: otherwise it might end the run while the waker still wakes a worker. (Who may meet a
 * run that is being stopped has pinned it before the claim.) */
void coir__make_ready(coir_fiber *fiber)                                                /* MODEL wait.pml: make_ready */
{
    struct coir__run *run = run_of(fiber);
    if (likely(seat_is_of(run))) {
        run->driver->ready(run, fiber);
        return;
    }
    run->driver->pin(run);
    run->driver->ready(run, fiber);
    run->driver->unpin(run);
}

static void held_let_go(coir_fiber *fiber)
{
    while (fiber->held != NULL) {
        struct held *held = fiber->held;
        coir__held_remove(fiber, held);
        held->abandon(held);
    }
}

/* "lock 3", or "locks 7, 5, 3" */
static const char *held_text(const struct held *held, char *buffer, size_t size)
{
    enum { SHOWN = 8 };
    size_t length = (size_t)snprintf(buffer, size, held->next == NULL ? "lock" : "locks"), shown = 0;
    for (; held != NULL && shown < SHOWN; held = held->next, shown++)
        length += (size_t)snprintf(buffer + length, size - length, "%s %" PRIu64, shown == 0 ? "" : ",", held->serial);
    if (held != NULL)
        snprintf(buffer + length, size - length, " and more");
    return buffer;
}

static void held_abandon_all(coir_fiber *fiber)
{
    char label[64], locks[256];
    coir_result panic = coir__panicf(DOMAIN_COIR, COIR_MISUSE, "fiber%s ended while it held %s",
                                     coir__fiber_label(fiber, label, sizeof label), held_text(fiber->held, locks, sizeof locks));
    fiber->result = coir_result_and(fiber->result, panic);
    held_let_go(fiber);
}

/* Of a fiber that ends with more than plain bits. */
static void result_settle(coir_fiber *fiber)
{
    fiber->flags |= FIBER_TYPED | (coir__result_can_share(&fiber->result) ? FIBER_SHARABLE : 0);
    if (unlikely(is_own_handle(fiber)))
        fetch_sub_release(&fiber->refs, 1u);            /* not the last: the run has one until the fiber has ended */
}

/* A child is asked by whom it belongs to, if that one heeds the request: inside a finalizer it may go on. */
static bool ask_to_end(void *env, coir_fiber *fiber)
{
    (void)env;
    if (!load_full(&fiber->is_child))                                           /* [CHILD] */
        coir__cancel_request(fiber);
    return true;
}

/* Those who are forked from now on are asked as they begin: see coir__fiber_new(). */
static void cancel_rest(struct coir__run *run)
{
    (void)exchange_full(&run->canceling, true);                                 /* [CHILD] */
    coir__run_each(run, ask_to_end, NULL);
}

/* What an ending fiber leaves, if it does. */
static NOINLINE void fiber_settle(struct coir__seat *seat, coir_fiber *fiber)
{
    if (unlikely(fiber->flags & FIBER_MAIN) && seat->run->options.cancel_rest)
        cancel_rest(seat->run);
    if (unlikely(fiber->held != NULL))
        held_abandon_all(fiber);
    if (unlikely(fiber->context != NULL)) {
        coir__context_drop(fiber->context);
        fiber->context = NULL;
    }
    if (fiber->result.value.type != NULL || fiber->result.also != NULL)
        result_settle(fiber);
}

void coir__fiber_end(struct coir__seat *seat, coir_fiber *fiber)                        /* MODEL join.pml: end */
{
    const coir_result *result = &fiber->result;
    bool bare = fiber->held == NULL && fiber->context == NULL && result->value.type == NULL && result->also == NULL;
    if (unlikely(!bare || fiber->flags & FIBER_MAIN))
        fiber_settle(seat, fiber);
    counter_add(&seat->ended, 1);
    if (load_acquire(&fiber->refs) == 1) {              /* no handle: nobody can wait */
        store_relaxed(&fiber->refs, 0);
        store_release(&fiber->phase, PHASE_ENDED);
        fiber_free(fiber);
        return;
    }
    spin_lock(&fiber->lock);
    store_release(&fiber->phase, PHASE_ENDED);                                  /* [FIBER-END] */
    coir_fiber *woken = fiber->waiters == NULL ? NULL : waiters_claim(fiber);
    spin_unlock(&fiber->lock);
    ref_drop(fiber);                                    /* not the last reference if somebody was woken: he has one */
    for (coir_fiber *next; woken != NULL; woken = next) {
        struct coir__run *run = run_of(woken);
        next = woken->next;
        if (likely(run == seat->run)) {
            run->driver->next(run, woken);
        } else {
            run->driver->ready(run, woken);
            run->driver->unpin(run);
        }
    }
}

void coir__fiber_unmake(struct coir__seat *seat, coir_fiber *fiber)
{
    counter_add(&seat->ended, 1);
    coir__fiber_strip(fiber);
    coir__fiber_discard(fiber);
}

void coir__fiber_discard(coir_fiber *fiber)
{
    if (fiber->io != NULL && !(fiber->flags & FIBER_BORROWED))
        coir_io_drop(fiber->io);
    fiber->io = NULL;
    coir__frames_drop(fiber);
    if (fiber->context != NULL)
        coir__context_drop(fiber->context);
    fiber->context = NULL;
    held_let_go(fiber);
    spin_lock(&fiber->lock);                 /* somebody outside may be asking it to end: see request_from_outside() */
    coir_result given = fiber->result;                  /* by somebody, before it was out of all queues */
    fiber->result = coir__panicf(DOMAIN_COIR, COIR_STOPPED, "the run was stopped before this fiber had ended");
    fiber->flags |= FIBER_TYPED | FIBER_SHARABLE;
    store_relaxed(&fiber->seen, 1);
    store_release(&fiber->phase, PHASE_ENDED);
    spin_unlock(&fiber->lock);
    coir_result_drop(&given);
    coir_fiber_drop(fiber);
}

/* ------------------------------------------------------------------------------------------------------ results, waking */

const coir_type coir__gone_type = { "gone", NULL, NULL, NULL };

/* Out of a result that cannot be shared: the first to ask gets it, and leaves a value that says so. */
static coir_result result_take_once(coir_fiber *fiber)
{
    spin_lock(&fiber->lock);
    coir_result result = fiber->result;
    bool gone = result.value.type == &coir__gone_type;
    if (is_own_handle(fiber))
        coir_fiber_ref(fiber);
    if (!gone)
        fiber->result.value = coir_own((void *)(uintptr_t)result.value.type, &coir__gone_type);
    fiber->result.also = NULL;
    spin_unlock(&fiber->lock);
    if (!gone)
        return result;
    const coir_type *type = result.value.ptr;
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "the result of fiber %" PRIu64 " cannot be shared (its type is %s), and another has it",
                        fiber->id, type == NULL || type->name == NULL ? "plain" : type->name);
}

coir_result coir__fiber_result(coir_fiber *fiber)
{
    store_relaxed(&fiber->seen, 1);
    if (likely(!(fiber->flags & FIBER_TYPED)))
        return fiber->result;
    if (!(fiber->flags & FIBER_SHARABLE))
        return result_take_once(fiber);
    return coir_result_share(&fiber->result);
}

coir_result coir__fiber_move_result(coir_fiber *fiber)
{
    coir_result result;
    if (unlikely(is_own_handle(fiber)))
        return coir__fiber_result(fiber);
    store_relaxed(&fiber->seen, 1);
    coir__set(&result, &fiber->result);
    coir__set_ok(&fiber->result, coir_none());
    return result;
}

bool coir__fiber_await(coir_fiber *fiber, struct waiter *waiter)                        /* MODEL join.pml: await */
{
    bool registered = false;
    spin_lock(&fiber->lock);
    if (load_relaxed(&fiber->phase) != PHASE_ENDED) {   /* relaxed: under the lock */
        waiter->prev = NULL;
        waiter->next = fiber->waiters;
        if (waiter->next != NULL)
            waiter->next->prev = waiter;
        fiber->waiters = waiter;
        registered = true;
    }
    spin_unlock(&fiber->lock);
    return registered;
}

bool coir__fiber_watch(coir_fiber *fiber, struct watched *watched, struct watch *watch)
{
    watched->waiter.fiber = &watching;
    watched->watch = watch;
    bool registered = coir__fiber_await(fiber, &watched->waiter);
    if (!registered)
        watched->waiter.fiber = NULL;
    return registered;
}

void coir__fiber_watch_new(coir_fiber *fiber, struct watched *watched, struct watch *watch)
{
    watched->waiter = (struct waiter){ NULL, NULL, &watching };
    watched->watch = watch;
    fiber->waiters = &watched->waiter;
}

/* Who comes to wait is put before those who wait already, so it stays the last. */
struct watch *coir__fiber_watched_by(const coir_fiber *fiber)
{
    const struct waiter *waiter = fiber->waiters;
    while (waiter != NULL && waiter->next != NULL)
        waiter = waiter->next;
    if (waiter == NULL || waiter->fiber != &watching)
        return NULL;
    return ((const struct watched *)(const void *)((const char *)waiter - offsetof(struct watched, waiter)))->watch;
}

void coir__fiber_unawait(coir_fiber *fiber, struct waiter *waiter)                      /* MODEL join.pml: unawait */
{
    spin_lock(&fiber->lock);
    if (waiter->fiber != NULL) {
        if (waiter->next != NULL)
            waiter->next->prev = waiter->prev;
        if (waiter->prev != NULL)
            waiter->prev->next = waiter->next;
        else
            fiber->waiters = waiter->next;
    }
    spin_unlock(&fiber->lock);
}

bool coir__claim(coir_fiber *fiber, uint64_t generation, enum claimer by, coir_result result)
{
    enum claim claim = wait_claim(&fiber->wait, generation);
    if (claim == CLAIM_LOST)
        return false;
    coir__set(&fiber->result, &result);
    fiber->claimed_by = (uint8_t)by;
    if (claim == CLAIM_PARKED || wait_give(&fiber->wait))
        coir__make_ready(fiber);
    return true;
}

void coir__deliver(coir_fiber *fiber, enum claim claim, coir_result result)             /* MODEL wait.pml: deliver */
{
    invariant(claim != CLAIM_LOST);
    coir__set(&fiber->result, &result);
    fiber->claimed_by = CLAIMED_BY_WAKER;
    if (claim == CLAIM_PARKED || wait_give(&fiber->wait))
        coir__make_ready(fiber);
}

/* ------------------------------------------------------------------------------------------------------------ holding */

void coir__held_add(coir_fiber *fiber, struct held *held)
{
    held->prev = NULL;
    held->next = fiber->held;
    if (held->next != NULL)
        held->next->prev = held;
    fiber->held = held;
}

void coir__held_remove(coir_fiber *fiber, struct held *held)
{
    if (held->next != NULL)
        held->next->prev = held->prev;
    if (held->prev != NULL)
        held->prev->next = held->next;
    else
        fiber->held = held->next;
}

/* ------------------------------------------------------------------------------------------------------------ the run */

struct run_token *coir__run_token_ref(struct run_token *token)
{
    fetch_add_relaxed(&token->refs, 1u);
    return token;
}

void coir__run_token_drop(struct run_token *token)
{
    if (token != NULL && fetch_sub_acq_rel(&token->refs, 1u) == 1)
        coir__free(token, sizeof *token);
}

const char *coir__options_bad(const coir_options *options)
{
    if (options->size != 0 && options->size != sizeof *options)
        return "options.size is of another version";
    if (options->workers > COIR_WORKERS_MAX)
        return "options.workers is more than COIR_WORKERS_MAX";
    if (options->idle_sleep.ns < 0)
        return "options.idle_sleep is negative";
    if (options->on_deadlock != COIR_DEADLOCK_PANIC && options->on_deadlock != COIR_DEADLOCK_STOP)
        return "options.on_deadlock is none of its values";
    return NULL;
}

bool coir__run_init(struct coir__run *run, const struct driver *driver, const coir_options *options)
{
    memset(run, 0, sizeof *run);
    run->driver = driver;
    run->options = *options;
    ck_spinlock_fas_init(&run->slabs_lock);
    run->token = coir__alloc(sizeof *run->token);
    if (run->token == NULL)
        return false;
    atomic_init(&run->token->refs, 1);
    atomic_init(&run->token->ended, false);
    return true;
}

static uint32_t slab_in_use(struct slab *slab)
{
    uint32_t in_use = 0, count = load_relaxed(&slab->count);
    for (uint32_t i = 0; i < count; i++)
        in_use += !(slot_of(slab, i)->flags & FIBER_FREE);
    return in_use;
}

/* Tells what nobody saw, also of fibers whose handles live on. Such a one is held meanwhile: its last handle may go at any time. */
static void slab_tell_unseen(struct coir__run *run, struct slab *slab)
{
    uint32_t count = load_relaxed(&slab->count);
    strays_keep(coir__me.seat, strays_take(slab));
    for (uint32_t i = 0; i < count; i++) {
        coir_fiber *fiber = slot_of(slab, i);
        uint32_t refs = load_relaxed(&fiber->refs);
        while (refs > 0 && !cas_acq_rel(&fiber->refs, &refs, refs + 1))
            ;
        if (refs == 0)
            continue;
        tell_unseen(run, fiber);
        coir_fiber_drop(fiber);
    }
}

void coir__run_done(struct coir__run *run)
{
    /* Telling calls the program, which may drop handles: so it is over before what is left is counted. */
    for (struct slab *slab = run->slabs; slab != NULL; slab = slab->next)
        slab_tell_unseen(run, slab);
    for (struct slab *next, *slab = run->slabs; slab != NULL; slab = next) {
        next = slab->next;
        struct slab *block = slab == slab->block ? slab : NULL;
        uint32_t in_use = slab_in_use(slab);
        store_release(&slab->run, NULL);                /* before the last one may free it */
        slab_let_go(slab, SLAB_BIAS - (int32_t)in_use);
        if (block != NULL)
            block_drop(block);
    }
    run->slabs = NULL;
    store_release(&run->token->ended, true);
    coir__run_token_drop(run->token);
}

void coir__run_each(struct coir__run *run, bool (*visit)(void *env, coir_fiber *fiber), void *env)
{
    spin_lock(&run->slabs_lock);
    struct slab *slab = run->slabs;
    spin_unlock(&run->slabs_lock);           /* slabs are only ever added, at the front */
    for (; slab != NULL; slab = slab->next) {
        uint32_t count = load_acquire(&slab->count);                            /* [SLOT] */
        for (uint32_t i = 0; i < count; i++)
            if (load_acquire(&slot_of(slab, i)->phase) != PHASE_ENDED && !visit(env, slot_of(slab, i)))
                return;
    }
}

static bool strip(void *env, coir_fiber *fiber)
{
    (void)env;
    coir__fiber_strip(fiber);
    return true;
}

static bool discard(void *env, coir_fiber *fiber)
{
    (void)env;
    coir__fiber_discard(fiber);
    return true;
}

void coir__run_strip(struct coir__run *run)
{
    run->is_stopped = true;
    coir__run_each(run, strip, NULL);
}

void coir__run_discard(struct coir__run *run) { coir__run_each(run, discard, NULL); }
