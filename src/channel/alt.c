/*
 * alt.c - an alternative: waits for the first of several things, and takes exactly that one
 *
 * Each case is a primitive's node, and in a run a frame of it, with a place of its own in a queue. Of three kinds:
 *
 *   offers    what takes something away (an item, a permit, a lock): struct coir__offer
 *   events    what stays as it is once it has come (an end, a moment): struct coir__event
 *   skips     what never waits
 *
 * A choice is made in one of these ways; none of them leaves a moment in which two could be made:
 *
 *   1. Before it waits: the cases are tried in order, one at a time, and the first that can go is it. As far as nodes go that need nothing of their own for
 *      that, this is done with the nodes themselves, before anything is made for the run: under load it is all that is done.
 *   2. Under the guards of all offers, taken in the order of their addresses, they are polled once more. Nobody knows of the alternative yet, so
 *      whoever it meets there it may take, even another alternative: that one's wait is claimed, as any waiter's. If none can go all are enqueued
 *      before the first guard is let go.
 *   3. From then on the wait may be claimed, through one of the places, by one claimer, who marks it (NODE_WON). Then the events are armed. If one
 *      has come already the alternative takes its own wait back, unless it was claimed: then what claimed it is the choice.
 *
 * An alternative does not meet itself: while it polls it is in no queue.
 *
 * When the choice is made the frame becomes one of CHOSEN, with the handler of the case. So what was received goes up to it like any result: no
 * cancellation can come between, and a recursion by way of a handler holds no frame.
 */
#include "sync/object.h"

#include "fiber/sleep.h"

#include <coir/channel.h>

#include <string.h>

struct handler { coir_flat_map_fn *fn; void *env; size_t size; };

/* What a node describes; of all its runs. Behind the ios stand the handlers, and behind them what those have captured. */
struct alternative {
    size_t  count, bytes;                               /* bytes: of the whole */
    bool    is_fair;
    size_t *which;                                      /* of a select, where the index goes; or NULL */
    struct handler *handlers;                           /* NULL: it is a select */
    coir_io *ios[];
};

/* Of a run: behind the common part of its frame; and behind it room for what a handler has captured. */
struct branch {
    coir_io           *frame;                           /* NULL: a skip, or it is over */
    ck_spinlock_fas_t *guard;                           /* of an offer; otherwise NULL */
    uint32_t           order;                           /* fair: the index of the case that comes at this place */
    bool               enqueued, begun;                 /* begun: the offer's end() is still to come */
    bool               is_kept;                         /* its object has one reference more, for the moment */
};
struct choosing { struct branch *branches; ck_spinlock_fas_t **guards; };

enum { ALT_SIZE = NODE_SIZE_OF(prim_own) + sizeof(struct choosing), CAPTURED_AT = (ALT_SIZE + 15) / 16 * 16 };

static struct choosing *choosing_of(coir_io *frame) { return (struct choosing *)(void *)((char *)frame + NODE_SIZE_OF(prim_own)); }
static struct alternative *alternative_of(const coir_io *node) { return node->object; }

static bool is_skip(const coir_io *io) { return io->op != OP_PRIM; }
static bool has_begin(const coir_io *io) { return io->prim->offer != NULL && io->prim->offer->begin != NULL; }

/* A node that mentions an object and no value, as most do, can be dropped at once: it leads no deeper. */
static void case_drop(coir_io *io)
{
    if (io == NULL || is_skip(io) || has_begin(io) || !coir__node_sole(io)) {
        coir_io_drop(io);
    } else {
        coir__prim_drop(io);
        coir__node_free(io);
    }
}

static void alternative_free(struct alternative *alternative)
{
    for (size_t i = 0; i < alternative->count; i++)
        case_drop(alternative->ios[i]);
    coir__free(alternative, alternative->bytes);
}

static bool is_event(const struct branch *branch)  { return branch->frame != NULL && branch->guard == NULL; }
static const struct coir__prim *prim_of(const struct branch *branch) { return branch->frame->prim; }

/* --------------------------------------------------------------------------------------------------------- a run's own */

static size_t branches_size(size_t count) { return count * (sizeof(struct branch) + sizeof(ck_spinlock_fas_t *)); }

static void branch_end(struct branch *branch, const coir_io *node)
{
    const struct coir__offer *offer = prim_of(branch)->offer;
    if (branch->begun && offer->end != NULL)
        offer->end(branch->frame);
    if (branch->frame != node)
        coir__node_free(branch->frame);                 /* a frame of a shared node owns nothing */
    branch->frame = NULL;
}

/* Gives up what begin_run() made. */
static void end_run(coir_io *frame)
{
    const struct alternative *alternative = alternative_of(frame);
    struct choosing *choosing = choosing_of(frame);
    if (choosing->branches == NULL)
        return;
    for (size_t i = 0; i < alternative->count; i++)
        if (choosing->branches[i].frame != NULL)
            branch_end(&choosing->branches[i], alternative->ios[i]);
    coir__free(choosing->branches, branches_size(alternative->count));
    choosing->branches = NULL;
}

/* Whether the node is run by others, too: then its place must not stand in the node itself. */
static bool is_shared(const coir_io *alt, coir_io *node) { return alt->flags & NODE_BORROWED || !coir__node_sole(node); }

static bool branch_begin(struct branch *branch, coir_io *alt, coir_io *node, coir_result *result)
{
    const struct coir__offer *offer = node->prim->offer;
    branch->frame = is_shared(alt, node) ? coir__frame_of(node, node_size(node)) : node;
    if (branch->frame == NULL) {
        *result = coir__no_memory();
        return false;
    }
    branch->frame->flags |= NODE_CASE;
    branch->frame->up = alt;
    branch->frame->prim_own.waiter.fiber = NULL;
    if (offer == NULL)
        return true;
    branch->guard = offer->guard(branch->frame);
    branch->begun = offer->begin == NULL || offer->begin(branch->frame, result);
    return branch->begun;
}

/* All that it may need later is had now. */
static bool begin_run(coir_io *frame, coir_result *result)
{
    const struct alternative *alternative = alternative_of(frame);
    struct choosing *choosing = choosing_of(frame);
    size_t count = alternative->count;
    choosing->branches = coir__alloc(branches_size(count));
    if (choosing->branches == NULL) {
        *result = coir__no_memory();
        return false;
    }
    memset(choosing->branches, 0, branches_size(count));
    choosing->guards = (ck_spinlock_fas_t **)(void *)&choosing->branches[count];
    for (size_t i = 0; i < count; i++) {
        coir_io *io = alternative->ios[i];
        choosing->branches[i].order = (uint32_t)i;
        if (!is_skip(io) && !branch_begin(&choosing->branches[i], frame, io, result))
            return false;
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------------------- the choice */

/* The result goes to the handler. (A BORROWED frame owned nothing, and needs nothing any more of the tree that does.) */
static void become_chosen(coir_io *frame, const struct handler *handler)
{
    struct alternative *alternative = frame->flags & NODE_BORROWED ? NULL : alternative_of(frame);
    frame->op = OP_CHOSEN;
    frame->flags = handler->size > 0 ? NODE_CAPTURED : 0;
    frame->flat_map = handler->fn;
    frame->env = handler->size > 0 ? memcpy((char *)frame + CAPTURED_AT, handler->env, handler->size) : handler->env;
    if (alternative != NULL)
        alternative_free(alternative);
}

static void choose(coir_io *frame, size_t i, coir_result *result)
{
    const struct alternative *alternative = alternative_of(frame);
    end_run(frame);
    if (alternative->which != NULL)
        *alternative->which = i;
    if (result->tag == COIR_OK && alternative->handlers != NULL && alternative->handlers[i].fn != NULL)
        become_chosen(frame, &alternative->handlers[i]);
}

/* ------------------------------------------------------------------------------------------------- 1. before it waits */

static size_t draw_below(const coir_fiber *fiber, size_t limit) { return run_of(fiber)->driver->draw(coir__me.seat) % limit; }

/* The n-th case in the order of this run. Fair: one at random of those that are left; `first` was drawn before. */
static size_t case_next(coir_fiber *fiber, coir_io *alt, size_t n, size_t first)
{
    struct branch *branches = choosing_of(alt)->branches;
    uint32_t *at = &branches[n].order;
    if (alternative_of(alt)->is_fair) {
        uint32_t *other = &branches[n == 0 ? first : n + draw_below(fiber, alternative_of(alt)->count - n)].order;
        uint32_t order = *other;
        *other = *at;
        *at = order;
    }
    return *at;
}

static enum prim_step case_try(coir_fiber *fiber, struct branch *branch, coir_result *result)
{
    if (branch->guard != NULL)
        return coir__object_try(fiber, branch->frame, result);
    return coir__prim_attempt(fiber, branch->frame, true, result);
}

static void skip_value(const coir_io *alt, coir_io *io, coir_result *result)
{
    bool has_none = io->op != OP_PURE;
    coir__set_ok(result, has_none ? coir_none() : is_shared(alt, io) ? coir__value_of_shared(io, &io->value) : coir_take(&io->value));
    coir__check(result);
}

/* A skip goes when none before it can; if the order is a chance one, when no other can. That begins with the case that try_nodes() has drawn, *chosen. */
static bool try_in_order(coir_fiber *fiber, coir_io *alt, size_t *chosen, coir_result *result) /* MODEL alt.pml: try_in_order */
{
    const struct alternative *alternative = alternative_of(alt);
    size_t skip = SIZE_MAX, first = *chosen;
    for (size_t n = 0; n < alternative->count && (skip == SIZE_MAX || alternative->is_fair); n++) {
        *chosen = case_next(fiber, alt, n, first);
        if (is_skip(alternative->ios[*chosen]))
            skip = skip == SIZE_MAX ? *chosen : skip;
        else if (case_try(fiber, &choosing_of(alt)->branches[*chosen], result) == PRIM_DONE)
            return true;
    }
    if (skip == SIZE_MAX)
        return false;
    *chosen = skip;
    skip_value(alt, alternative->ios[skip], result);
    return true;
}

/*
 * The same with the nodes themselves, as far as that goes: a shared one that carries a value needs a frame for it. Of a fair one it is the first case
 * of its chance order: if that can go nothing more is needed. *all: all were tried.
 */
static bool try_nodes(coir_fiber *fiber, coir_io *alt, size_t *chosen, bool *all, coir_result *result)
{
    const struct alternative *alternative = alternative_of(alt);
    size_t count = alternative->count, i = alternative->is_fair ? draw_below(fiber, count) : 0;
    *all = false;
    for (size_t tries = alternative->is_fair ? 1 : count; tries > 0; tries--, i++) {
        coir_io *io = alternative->ios[i];
        *chosen = i;
        if (is_skip(io)) {
            if (alternative->is_fair)
                return false;
            skip_value(alt, io, result);
            return true;
        }
        if (has_begin(io))
            return false;
        if (coir__prim_attempt(fiber, io, true, result) == PRIM_DONE)
            return true;
    }
    *all = !alternative->is_fair;
    return false;
}

/* ----------------------------------------------------------------------------------------------- 2. under all the guards */

/* What stands at `root` goes down the heap, whose greatest is on top. */
static void guards_sift(ck_spinlock_fas_t **guards, size_t root, size_t count)
{
    ck_spinlock_fas_t *guard = guards[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && (uintptr_t)guards[child + 1] > (uintptr_t)guards[child])
            child++;
        if ((uintptr_t)guards[child] <= (uintptr_t)guard)
            break;
        guards[root] = guards[child];
    }
    guards[root] = guard;
}

/* A heap: whatever order they come in, it is n log n, in place. */
static void guards_sort(ck_spinlock_fas_t **guards, size_t count)
{
    for (size_t root = count / 2; root-- > 0; )
        guards_sift(guards, root, count);
    for (size_t left = count; left > 1; ) {
        ck_spinlock_fas_t *greatest = guards[0];
        guards[0] = guards[--left];
        guards[left] = greatest;
        guards_sift(guards, 0, left);
    }
}

/* A few are often in order as it is. */
static void guards_sort_few(ck_spinlock_fas_t **guards, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        ck_spinlock_fas_t *guard = guards[i];
        size_t at = i;
        for (; at > 0 && (uintptr_t)guards[at - 1] > (uintptr_t)guard; at--)
            guards[at] = guards[at - 1];
        guards[at] = guard;
    }
}

/* By address, each once. */
static size_t guards_sorted(struct choosing *choosing, size_t count)
{
    enum { FEW = 16 };
    size_t n = 0, unique = 0;
    ck_spinlock_fas_t **guards = choosing->guards;
    for (size_t i = 0; i < count; i++)
        if (choosing->branches[i].guard != NULL)
            guards[n++] = choosing->branches[i].guard;
    (n <= FEW ? guards_sort_few : guards_sort)(guards, n);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || guards[i] != guards[i - 1])
            guards[unique++] = guards[i];
    return unique;
}

/* In the order of this run. DONE, PREPARE: by or for *chosen. */
static enum prim_step poll_all(coir_fiber *fiber, coir_io *alt, size_t *chosen, coir_result *result, struct claimed *claimed)
{
    struct branch *branches = choosing_of(alt)->branches;
    enum prim_step step = PRIM_WAIT;
    for (size_t n = 0; n < alternative_of(alt)->count && step == PRIM_WAIT; n++) {
        size_t i = branches[n].order;
        if (branches[i].guard == NULL)
            continue;
        *chosen = i;
        step = prim_of(&branches[i])->offer->poll(fiber, branches[i].frame, result, claimed);
    }
    return step;
}

/*
 * False from enqueue() says that with this place all who refer to the object would wait for it. Others who wait there, perhaps an earlier case of our own, could
 * not know that when they came. So one reference more keeps the object for the moment, the place is enqueued as any other is, and give_up_kept(), when the guards
 * are free, gives up what then is the last reference but those of waiters: that ends their waits, and takes out those who can be served elsewhere.
 */
static void enqueue_place(coir_fiber *fiber, struct branch *branch)
{
    const struct coir__offer *offer = prim_of(branch)->offer;
    coir_result told;
    branch->enqueued = offer->enqueue(fiber, branch->frame, &told);
    if (likely(branch->enqueued))
        return;
    branch->is_kept = true;
    handle_ref(branch->frame->object);                  /* it begins with its handle */
    branch->enqueued = offer->enqueue(fiber, branch->frame, &told);
    invariant(branch->enqueued);
}

static void enqueue_all(coir_fiber *fiber, coir_io *alt)
{
    uint32_t places = 0;                                /* where somebody may end it; sync/handle.h counts them down */
    for (size_t i = 0; i < alternative_of(alt)->count; i++) {
        struct branch *branch = &choosing_of(alt)->branches[i];
        if (branch->guard != NULL)
            enqueue_place(fiber, branch);
        places += branch->frame != NULL;
    }
    store_relaxed(&alt->refs, places);                  /* relaxed: who looks at it has one of the guards after us */
}

/* After that the wait may have been claimed, by ourselves, if all cases are such. */
static void give_up_kept(coir_io *alt)
{
    for (size_t i = 0; i < alternative_of(alt)->count; i++) {
        struct branch *branch = &choosing_of(alt)->branches[i];
        if (unlikely(branch->is_kept)) {
            const struct coir__prim *prim = prim_of(branch);
            branch->is_kept = false;
            (prim->offer->let_go != NULL ? prim->offer->let_go : prim->drop)(branch->frame);
        }
    }
}

static enum prim_step poll_under_guards(coir_fiber *fiber, coir_io *alt, size_t *chosen, coir_result *result) /* MODEL alt.pml: poll_under_guards */
{
    struct choosing *choosing = choosing_of(alt);
    size_t guards = guards_sorted(choosing, alternative_of(alt)->count);
    CLAIMED(claimed);
    enum prim_step step;
    do {
        for (size_t i = 0; i < guards; i++)
            spin_lock(choosing->guards[i]);
        step = poll_all(fiber, alt, chosen, result, &claimed);
        if (step == PRIM_WAIT)
            enqueue_all(fiber, alt);
        for (size_t i = guards; i-- > 0; )
            spin_unlock(choosing->guards[i]);
    } while (unlikely(step == PRIM_PREPARE) && prim_of(&choosing->branches[*chosen])->offer->prepare(choosing->branches[*chosen].frame));
    claimed_make_ready(&claimed);
    if (step == PRIM_WAIT)
        give_up_kept(alt);
    if (step == PRIM_DONE) {
        coir_io *frame = choosing->branches[*chosen].frame;
        frame->prim->offer->settle(fiber, frame, result);
    }
    if (likely(step != PRIM_PREPARE))
        return step;
    *result = coir__no_memory();
    return PRIM_DONE;
}

/* ------------------------------------------------------------------------------------------------------ 3. the events */

static void leave(coir_fiber *fiber, struct branch *branch)
{
    if (!branch->enqueued)
        return;
    branch->enqueued = branch->begun = false;           /* disarm() is the end, too */
    prim_of(branch)->disarm(fiber, branch->frame);
}

static void leave_all(coir_fiber *fiber, coir_io *alt)                                  /* MODEL alt.pml: leave_all */
{
    for (size_t i = 0; i < alternative_of(alt)->count; i++)
        leave(fiber, &choosing_of(alt)->branches[i]);
}

/* Of one that has come, and is registered nowhere. */
static void give(coir_fiber *fiber, struct branch *branch, coir_result *result)
{
    coir__set_ok(result, coir_none());
    if (prim_of(branch)->event->give != NULL)
        prim_of(branch)->event->give(fiber, branch->frame, result);
}

/* DONE: it was not registered; *result says why, or, of one with an arm() of its own, nothing yet. */
static enum prim_step arm_event(coir_fiber *fiber, struct branch *branch, coir_result *result)
{
    const struct coir__prim *prim = prim_of(branch);
    branch->frame->prim_own.waiter.fiber = fiber;
    enum prim_step step = prim->event->arm == NULL ? prim->arm(fiber, branch->frame, result)
                        : prim->event->arm(fiber, branch->frame)       ? PRIM_WAIT : PRIM_DONE;
    branch->enqueued = step == PRIM_WAIT;
    return step;
}

/* DONE: one had come before, *chosen, and the wait is taken back. */
static enum prim_step arm_events(coir_fiber *fiber, coir_io *alt, size_t *chosen, coir_result *result) /* MODEL alt.pml: arm_events */
{
    for (size_t n = 0; n < alternative_of(alt)->count; n++) {
        size_t i = choosing_of(alt)->branches[n].order;
        struct branch *branch = &choosing_of(alt)->branches[i];
        coir_result come = coir_ok(coir_none());
        if (!is_event(branch) || arm_event(fiber, branch, &come) == PRIM_WAIT)
            continue;
        if (!wait_take_back(&fiber->wait)) {
            coir_result_drop(&come);
            return PRIM_WAIT;
        }
        *chosen = i;
        *result = come;
        if (prim_of(branch)->event->arm != NULL)
            give(fiber, branch, result);
        leave_all(fiber, alt);
        return PRIM_DONE;
    }
    return PRIM_WAIT;
}

/* ----------------------------------------------------------------------------------------------------------- the primitive */

static enum prim_step alt_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    (void)node;
    (void)result;
    return PRIM_WAIT;                                   /* it needs a frame */
}

static enum prim_step alt_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    size_t chosen = 0;
    bool all_tried;
    if (try_nodes(fiber, frame, &chosen, &all_tried, result)) {
        choose(frame, chosen, result);
        return PRIM_DONE;
    }
    if (unlikely(!begin_run(frame, result))) {
        end_run(frame);
        return PRIM_DONE;
    }
    if (!(!all_tried && try_in_order(fiber, frame, &chosen, result)) && poll_under_guards(fiber, frame, &chosen, result) == PRIM_WAIT &&
        arm_events(fiber, frame, &chosen, result) == PRIM_WAIT)
        return PRIM_WAIT;
    choose(frame, chosen, result);
    return PRIM_DONE;
}

/* The place through which the wait was claimed; or else the first event that has come: it was claimed through one of these. */
static size_t chosen_by_claim(coir_io *frame)                                           /* MODEL alt.pml: chosen_by_claim */
{
    const struct branch *branches = choosing_of(frame)->branches;
    size_t count = alternative_of(frame)->count;
    for (size_t i = 0; i < count; i++)
        if (branches[i].guard != NULL && case_has_won(branches[i].frame))
            return i;
    for (size_t n = 0; n < count; n++) {
        const struct branch *branch = &branches[branches[n].order];
        if (is_event(branch) && branch->enqueued && prim_of(branch)->event->has_come(branch->frame))
            return branches[n].order;
    }
    unreachable();
}

static enum prim_step alt_woken(coir_fiber *fiber, coir_io *frame, coir_result *result) /* MODEL alt.pml: woken */
{
    size_t chosen = chosen_by_claim(frame);
    struct branch *branch = &choosing_of(frame)->branches[chosen];
    if (is_event(branch)) {
        leave_all(fiber, frame);
        give(fiber, branch, result);
    } else {
        branch->enqueued = branch->begun = false;       /* woken() is the end of it */
        leave_all(fiber, frame);
        if (prim_of(branch)->woken != NULL)
            (void)prim_of(branch)->woken(fiber, branch->frame, result);
    }
    choose(frame, chosen, result);
    return PRIM_DONE;
}

static void alt_disarm(coir_fiber *fiber, coir_io *frame)                               /* MODEL alt.pml: disarm */
{
    leave_all(fiber, frame);
    end_run(frame);
}

static void alt_drop(coir_io *node) { alternative_free(alternative_of(node)); }

/* Of several nobody knows which will be it. If all are ends of fibers it is let be as who waits for one is: theirs end it. */
static struct waits_for alt_waits_for(const coir_io *frame)
{
    const struct alternative *alternative = alternative_of(frame);
    bool for_fibers = true;
    for (size_t i = 0; i < alternative->count && for_fibers; i++) {
        const coir_io *io = alternative->ios[i];
        for_fibers = io->prim->waits_for != NULL && io->prim->waits_for(io).for_fiber;
    }
    return (struct waits_for){ .for_fiber = for_fibers };
}

static const struct coir__prim alt_prim = {
    .name = "alt", .awaits = "the first of several cases", .size = ALT_SIZE, .attempt = alt_attempt, .arm = alt_arm, .woken = alt_woken,
    .disarm = alt_disarm, .drop = alt_drop, .waits_for = alt_waits_for,
};

/* ----------------------------------------------------------------------------------------------------------------- ios */

/* NULL: it can be one. */
static const char *io_bad(const coir_io *io)
{
    bool can = io->op == OP_PURE || (io->op == OP_PRIM && (io->prim->offer != NULL || io->prim->event != NULL));
    return can ? NULL : "the io of a case is none that can be one";
}

static const char *handler_bad(const coir_case *given)
{
    if (given->size > CAPTURE_MAX)
        return "a case captures more than 64 KiB";
    return given->size > 0 && given->env == NULL ? "bytes of a case is NULL" : NULL;
}

static const char *cases_bad(size_t count, const coir_case *cases)
{
    const char *bad = count == 0 ? "there are no cases" : cases == NULL ? "cases is NULL" : count > UINT32_MAX ? "there are too many cases" : NULL;
    for (size_t i = 0; i < count && bad == NULL; i++)
        bad = handler_bad(&cases[i]);
    return bad;
}

static bool any_null(size_t count, const coir_case *cases)
{
    bool any = false;
    for (size_t i = 0; i < count && cases != NULL; i++)
        any = any || cases[i].io == NULL;
    return any;
}

static void cases_drop(size_t count, const coir_case *cases)
{
    for (size_t i = 0; i < count && cases != NULL; i++)
        coir_io_drop(cases[i].io);
}

static size_t captured_at(size_t size) { return (size + 15) / 16 * 16; }

static void handlers_copy(struct handler *handlers, size_t count, const coir_case *cases, char *room)
{
    for (size_t i = 0; i < count; i++) {
        handlers[i] = (struct handler){ cases[i].fn, cases[i].env, cases[i].size };
        if (cases[i].size > 0)
            handlers[i].env = memcpy(room, cases[i].env, cases[i].size);
        room += captured_at(cases[i].size);
    }
}

/* Takes the ios. NULL: no memory. */
static struct alternative *alternative_new(size_t count, const coir_case *cases, bool has_handlers)
{
    size_t handlers_at = sizeof(struct alternative) + count * sizeof(coir_io *);
    size_t captures_at = captured_at(handlers_at + (has_handlers ? count * sizeof(struct handler) : 0)), bytes = captures_at;
    for (size_t i = 0; i < count && has_handlers; i++)
        bytes += captured_at(cases[i].size);
    struct alternative *alternative = coir__alloc(bytes);
    if (alternative == NULL) {
        cases_drop(count, cases);
        return NULL;
    }
    alternative->count = count;
    alternative->bytes = bytes;
    alternative->handlers = has_handlers ? (struct handler *)(void *)((char *)alternative + handlers_at) : NULL;
    if (has_handlers)
        handlers_copy(alternative->handlers, count, cases, (char *)alternative + captures_at);
    bool complete = true;
    for (size_t i = 0; i < count; i++) {
        alternative->ios[i] = is_skip(cases[i].io) ? coir__sleep_as_case(cases[i].io) : cases[i].io;
        complete = complete && alternative->ios[i] != NULL;
    }
    if (complete)
        return alternative;
    alternative_free(alternative);
    return NULL;
}

/* A node of it; or NULL, and what it has is dropped. */
static coir_io *alternative_node(const char *function, struct alternative *alternative)
{
    size_t captured_max = 0;
    const char *bad = NULL;
    for (size_t i = 0; i < alternative->count && bad == NULL; i++) {
        size_t captured = alternative->handlers == NULL ? 0 : alternative->handlers[i].size;
        bad = io_bad(alternative->ios[i]);
        captured_max = captured > captured_max ? captured : captured_max;
    }
    coir_io *node = bad != NULL ? coir__bad_argument(function, bad) : coir__prim_new_sized(&alt_prim, CAPTURED_AT + captured_max, alternative, 0);
    if (bad != NULL || node == NULL)
        alternative_free(alternative);
    return node;
}

enum kind { BY_PRIORITY, FAIR, SELECT };

static coir_io *alt_io(const char *function, enum kind kind, size_t count, const coir_case *cases, size_t *which)
{
    const char *bad = cases_bad(count, cases);
    bool is_null = any_null(count, cases);
    if (bad != NULL || is_null) {
        cases_drop(count, cases);
        return is_null ? NULL : coir__bad_argument(function, bad);
    }
    struct alternative *alternative = alternative_new(count, cases, kind != SELECT);
    if (alternative == NULL)
        return NULL;
    alternative->is_fair = kind == FAIR;
    alternative->which = which;
    return alternative_node(function, alternative);
}

coir_io *coir_alt(size_t count, const coir_case *cases)      { return alt_io("coir_alt", BY_PRIORITY, count, cases, NULL); }
coir_io *coir_alt_fair(size_t count, const coir_case *cases) { return alt_io("coir_alt_fair", FAIR, count, cases, NULL); }

coir_io *coir_select(size_t *which, size_t count, const coir_case *cases) { return alt_io("coir_select", SELECT, count, cases, which); }
