/*
 * alt.c - an alternative: waits for the first of several things, and takes exactly that one
 *
 * Each case is a primitive's node, and in a run a frame of it, with a place of its own in a queue. Of two kinds:
 *
 *   offers    what takes something away (an item, a permit, a lock): struct coir__offer
 *   events    what stays as it is once it has come (an end, a moment): armed as they are
 *
 * A choice is made in one of these ways; none of them leaves a moment in which two could be made:
 *
 *   1. Before it waits: the cases are tried in order, each by its own attempt(), and the first that can go is it.
 *   2. Under the guards of all offers, taken in the order of their addresses, they are polled once more. Nobody knows of the alternative yet, so
 *      whoever it meets there it may take, even another alternative: that one's wait is claimed, as any waiter's. If none can go all are enqueued
 *      before the first guard is let go.
 *   3. From then on the wait may be claimed, through one of the places, by one claimer, who marks it (waiter_win()). Then the events are armed. If one
 *      has come already the alternative takes its own wait back, unless it was claimed: then what claimed it is the choice.
 *
 * An alternative does not meet itself: while it polls it is in no queue.
 */
#include "sync/object.h"

#include <coir/channel.h>

#include <string.h>

/* What a node describes; of all its runs. */
struct choice { coir_io *io; coir_flat_map_fn *fn; void *env; size_t size; };

struct alternative {
    size_t  count, bytes;                               /* bytes: of the whole */
    size_t  captured_max;                               /* the most that a handler has captured */
    bool    is_fair, selects;
    size_t *which;                                      /* select */
    struct choice choices[];
};

/* Of a run: behind the common part of its frame. */
struct branch { coir_io *frame; ck_spinlock_fas_t *guard; bool enqueued, begun; };
struct choosing { struct branch *branches; ck_spinlock_fas_t **guards; coir_io *handler; size_t first; };

enum { ALT_SIZE = NODE_SIZE_OF(prim_own) + sizeof(struct choosing), HANDLER_AT = (NODE_SIZE_OF(state) + 15) / 16 * 16 };

static struct choosing *choosing_of(coir_io *frame) { return (struct choosing *)(void *)((char *)frame + NODE_SIZE_OF(prim_own)); }
static struct alternative *alternative_of(const coir_io *node) { return node->object; }

/* ----------------------------------------------------------------------------------------------------------- a run's own */

static size_t branches_size(size_t count) { return count * (sizeof(struct branch) + sizeof(ck_spinlock_fas_t *)); }

/* The i-th case in the order of this run. */
static size_t case_at(const struct choosing *choosing, size_t count, size_t i)
{
    size_t at = choosing->first + i;
    return at < count ? at : at - count;
}

static bool is_skip(const coir_io *io)              { return io->op != OP_PRIM; }
static bool is_event(const struct branch *branch)   { return branch->frame != NULL && branch->guard == NULL; }

static void branch_end(struct branch *branch, const coir_io *node)
{
    const struct coir__offer *offer = branch->frame->prim->offer;
    if (branch->begun && offer != NULL && offer->end != NULL)
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
            branch_end(&choosing->branches[i], alternative->choices[i].io);
    coir__free(choosing->branches, branches_size(alternative->count));
    choosing->branches = NULL;
    if (choosing->handler != NULL)
        coir__node_free(choosing->handler);
    choosing->handler = NULL;
}

/* Whether the node is run by others, too: then its place must not stand in the node itself. */
static bool is_shared(const coir_io *alt, coir_io *node) { return alt->flags & NODE_BORROWED || !coir__node_sole(node); }

static bool branch_begin(struct branch *branch, coir_io *node, bool borrowed, coir_result *result)
{
    branch->frame = borrowed ? coir__frame_of(node, node_size(node)) : node;
    if (branch->frame == NULL) {
        *result = coir__no_memory();
        return false;
    }
    branch->frame->prim_own.waiter = (struct waiter){ NULL, NULL, NULL };
    const struct coir__offer *offer = node->prim->offer;
    branch->begun = true;
    if (offer == NULL)
        return true;
    branch->guard = offer->guard(branch->frame);
    return offer->begin == NULL || offer->begin(branch->frame, result);
}

/* All that it may need later is had now. */
static bool begin_run(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct alternative *alternative = alternative_of(frame);
    struct choosing *choosing = choosing_of(frame);
    size_t count = alternative->count;
    *choosing = (struct choosing){ coir__alloc(branches_size(count)), NULL, NULL, 0 };
    if (choosing->branches != NULL) {
        memset(choosing->branches, 0, branches_size(count));
        choosing->guards = (ck_spinlock_fas_t **)(void *)&choosing->branches[count];
        choosing->handler = alternative->selects ? NULL : coir__node_new(OP_CALL, HANDLER_AT + alternative->captured_max);
    }
    if (choosing->branches == NULL || (!alternative->selects && choosing->handler == NULL)) {
        *result = coir__no_memory();
        return false;
    }
    if (alternative->is_fair)
        choosing->first = (size_t)(run_of(fiber)->driver->draw(coir__me.seat) % count);
    for (size_t i = 0; i < count; i++) {
        struct choice *choice = &alternative->choices[i];
        if (!is_skip(choice->io) && !branch_begin(&choosing->branches[i], choice->io, is_shared(frame, choice->io), result))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- the choice */

/* The io that the handler makes is run next, see coir_alt(): the value is put where the handler will be lent it. */
static void hand_over(struct choosing *choosing, const struct choice *choice, coir_result *result)
{
    coir_io *call = choosing->handler;
    choosing->handler = NULL;
    if (choice->fn == NULL) {
        call->op = OP_PURE;
        coir__set_value(&call->value, result->value);
    } else {
        call->flat_map = choice->fn;
        call->env = choice->env;
        if (choice->size > 0) {
            call->env = memcpy((char *)call + HANDLER_AT, choice->env, choice->size);
            call->flags |= NODE_CAPTURED;
        }
        coir__set_value(&call->state, result->value);
    }
    call->child = NULL;
    *result = coir_ok(coir_own(call, &coir_io_type));
}

static void choose(coir_io *frame, size_t i, coir_result *result)
{
    const struct alternative *alternative = alternative_of(frame);
    struct choosing *choosing = choosing_of(frame);
    if (alternative->which != NULL)
        *alternative->which = i;
    if (!alternative->selects && result->tag == COIR_OK && !coir__is_panic_value(&result->value))
        hand_over(choosing, &alternative->choices[i], result);
    end_run(frame);
}

/* ------------------------------------------------------------------------------------------------- 1. before it waits */

static void skip_value(coir_io *frame, coir_io *io, coir_result *result)
{
    coir__set_ok(result, is_shared(frame, io) ? coir__value_of_shared(io, &io->value) : coir_take(&io->value));
}

static bool try_in_order(coir_fiber *fiber, coir_io *frame, size_t *chosen, coir_result *result)
{
    const struct alternative *alternative = alternative_of(frame);
    struct choosing *choosing = choosing_of(frame);
    size_t skip = SIZE_MAX;
    for (size_t n = 0; n < alternative->count; n++) {
        size_t i = case_at(choosing, alternative->count, n);
        coir_io *io = alternative->choices[i].io;
        *chosen = i;
        if (!is_skip(io)) {
            if (coir__prim_attempt(fiber, choosing->branches[i].frame, true, result) == PRIM_DONE)
                return true;
        } else if (skip == SIZE_MAX) {
            skip = i;
            if (!alternative->is_fair)
                break;
        }
    }
    if (skip == SIZE_MAX)
        return false;
    *chosen = skip;
    return true;
}

/* ----------------------------------------------------------------------------------------------- 2. under all the guards */

/* By address, each once. Shell's sort: there are few of them, as a rule. */
static size_t guards_sorted(struct choosing *choosing, size_t count)
{
    size_t n = 0, unique = 0;
    ck_spinlock_fas_t **guards = choosing->guards;
    for (size_t i = 0; i < count; i++)
        if (choosing->branches[i].guard != NULL)
            guards[n++] = choosing->branches[i].guard;
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            ck_spinlock_fas_t *guard = guards[i];
            size_t at = i;
            for (; at >= gap && (uintptr_t)guards[at - gap] > (uintptr_t)guard; at -= gap)
                guards[at] = guards[at - gap];
            guards[at] = guard;
        }
    for (size_t i = 0; i < n; i++)
        if (i == 0 || guards[i] != guards[i - 1])
            guards[unique++] = guards[i];
    return unique;
}

/* Gives DONE and *chosen; or WAIT, when all are enqueued that somebody can serve; or PREPARE, and *chosen. */
static enum prim_step poll_all(coir_fiber *fiber, coir_io *alt, size_t *chosen, coir_result *result, struct claimed *claimed)
{
    size_t count = alternative_of(alt)->count;
    bool any = false;                                   /* somebody may end the wait */
    struct choosing *choosing = choosing_of(alt);
    for (size_t n = 0; n < count; n++) {
        size_t i = case_at(choosing, count, n);
        struct branch *branch = &choosing->branches[i];
        *chosen = i;
        if (branch->guard == NULL)
            continue;
        enum prim_step step = branch->frame->prim->offer->poll(fiber, branch->frame, result, claimed);
        if (step != PRIM_WAIT)
            return step;
    }
    for (size_t i = 0; i < count; i++) {
        struct branch *branch = &choosing->branches[i];
        branch->enqueued = branch->guard != NULL && branch->frame->prim->offer->enqueue(fiber, branch->frame, result);
        any = any || branch->enqueued || is_event(branch);
        if (branch->guard != NULL && !branch->enqueued)
            *chosen = i;                                /* should all be so, its result is the whole's */
    }
    return any ? PRIM_WAIT : PRIM_DONE;
}

static enum prim_step poll_under_guards(coir_fiber *fiber, coir_io *alt, size_t *chosen, coir_result *result)
{
    struct choosing *choosing = choosing_of(alt);
    size_t count = alternative_of(alt)->count, guards = guards_sorted(choosing, count);
    CLAIMED(claimed);
    enum prim_step step;
    if (guards == 0)
        return PRIM_WAIT;
    for (;;) {
        for (size_t i = 0; i < guards; i++)
            spin_lock(choosing->guards[i]);
        step = poll_all(fiber, alt, chosen, result, &claimed);
        for (size_t i = guards; i-- > 0; )
            spin_unlock(choosing->guards[i]);
        if (likely(step != PRIM_PREPARE))
            break;
        coir_io *frame = choosing->branches[*chosen].frame;
        if (!frame->prim->offer->prepare(frame)) {
            *result = coir__no_memory();
            return PRIM_PREPARE;
        }
    }
    claimed_make_ready(&claimed);
    if (step == PRIM_DONE) {
        coir_io *frame = choosing->branches[*chosen].frame;
        frame->prim->offer->settle(fiber, frame, result);
    }
    return step;
}

/* ------------------------------------------------------------------------------------------------------ 3. the events */

/* All but `except`. */
static void leave_all(coir_fiber *fiber, coir_io *alt, size_t except)
{
    struct choosing *choosing = choosing_of(alt);
    for (size_t i = 0; i < alternative_of(alt)->count; i++) {
        struct branch *branch = &choosing->branches[i];
        if (!branch->enqueued || i == except)
            continue;
        branch->frame->prim->disarm(fiber, branch->frame);
        branch->begun = branch->enqueued = false;       /* disarm() is the end, too */
    }
}

/* Gives DONE when one had come before, with *chosen, and the wait is taken back. */
static enum prim_step arm_events(coir_fiber *fiber, coir_io *alt, size_t *chosen, coir_result *result)
{
    struct choosing *choosing = choosing_of(alt);
    for (size_t i = 0; i < alternative_of(alt)->count; i++) {
        struct branch *branch = &choosing->branches[i];
        coir_result come;
        if (!is_event(branch))
            continue;
        branch->enqueued = branch->frame->prim->arm(fiber, branch->frame, &come) == PRIM_WAIT;
        if (branch->enqueued)
            continue;
        if (!wait_take_back(&fiber->wait)) {
            coir_result_drop(&come);
            return PRIM_WAIT;
        }
        *chosen = i;
        *result = come;
        return PRIM_DONE;
    }
    return PRIM_WAIT;
}

/* ----------------------------------------------------------------------------------------------------------- the primitive */

static enum prim_step alt_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    size_t chosen = 0;
    if (unlikely(!begin_run(fiber, frame, result))) {
        end_run(frame);
        return PRIM_DONE;
    }
    bool found = try_in_order(fiber, frame, &chosen, result);
    if (found && is_skip(alternative_of(frame)->choices[chosen].io))
        skip_value(frame, alternative_of(frame)->choices[chosen].io, result);
    enum prim_step step = found ? PRIM_DONE : poll_under_guards(fiber, frame, &chosen, result);
    if (unlikely(step == PRIM_PREPARE)) {               /* no memory */
        end_run(frame);
        return PRIM_DONE;
    }
    if (step == PRIM_WAIT) {
        step = arm_events(fiber, frame, &chosen, result);
        if (step == PRIM_WAIT)
            return PRIM_WAIT;
        leave_all(fiber, frame, SIZE_MAX);
    }
    choose(frame, chosen, result);
    return PRIM_DONE;
}

/* The place through which the wait was claimed; or else an event that has gone off. */
static size_t chosen_by_claim(coir_io *frame)
{
    struct choosing *choosing = choosing_of(frame);
    size_t count = alternative_of(frame)->count;
    for (size_t i = 0; i < count; i++)
        if (choosing->branches[i].enqueued && waiter_has_won(&choosing->branches[i].frame->prim_own.waiter))
            return i;
    for (size_t i = 0; i < count; i++)
        if (choosing->branches[i].enqueued && is_event(&choosing->branches[i]) &&
            choosing->branches[i].frame->prim->has_come(choosing->branches[i].frame))
            return i;
    unreachable();
}

static enum prim_step alt_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct choosing *choosing = choosing_of(frame);
    size_t chosen = chosen_by_claim(frame);
    struct branch *branch = &choosing->branches[chosen];
    leave_all(fiber, frame, chosen);
    if (branch->frame->prim->woken != NULL)
        (void)branch->frame->prim->woken(fiber, branch->frame, result);
    branch->begun = branch->enqueued = false;
    choose(frame, chosen, result);
    return PRIM_DONE;
}

static void alt_disarm(coir_fiber *fiber, coir_io *frame)
{
    leave_all(fiber, frame, SIZE_MAX);
    end_run(frame);
}

static void alternative_free(struct alternative *alternative)
{
    for (size_t i = 0; i < alternative->count; i++)
        coir_io_drop(alternative->choices[i].io);
    coir__free(alternative, alternative->bytes);
}

static void alt_drop(coir_io *node) { alternative_free(alternative_of(node)); }

static const struct coir__prim alt_prim = {
    .name = "alt", .awaits = "the first of several cases", .size = ALT_SIZE, .arm = alt_arm, .woken = alt_woken,
    .disarm = alt_disarm, .drop = alt_drop,
};

/* ----------------------------------------------------------------------------------------------------------------- ios */

/* NULL: it can be a case. */
static const char *case_bad(const coir_case *given)
{
    const coir_io *io = given->io;
    if (io->op == OP_PURE || (io->op == OP_PRIM && (io->prim->offer != NULL || io->prim->has_come != NULL)))
        return given->size > CAPTURE_MAX ? "a case captures more than 64 KiB" : given->size > 0 && given->env == NULL ? "bytes is NULL" : NULL;
    return "the io of a case is none that can be one";
}

static void cases_drop(size_t count, const coir_case *cases)
{
    for (size_t i = 0; i < count; i++)
        coir_io_drop(cases[i].io);
}

static const char *cases_bad(size_t count, const coir_case *cases)
{
    const char *bad = count == 0 ? "there are no cases" : NULL;
    for (size_t i = 0; i < count && bad == NULL; i++)
        bad = case_bad(&cases[i]);
    return bad;
}

static size_t captured_at(size_t size) { return (size + 15) / 16 * 16; }

/* Takes the ios. NULL: no memory, they are dropped. */
static struct alternative *alternative_new(size_t count, const coir_case *cases)
{
    size_t bytes = captured_at(sizeof(struct alternative) + count * sizeof(struct choice)), at = bytes, most = 0;
    for (size_t i = 0; i < count; i++)
        bytes += captured_at(cases[i].size);
    struct alternative *alternative = coir__alloc(bytes);
    if (alternative == NULL) {
        cases_drop(count, cases);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        struct choice *choice = &alternative->choices[i];
        *choice = (struct choice){ cases[i].io, cases[i].fn, cases[i].env, cases[i].size };
        if (choice->size > 0)
            choice->env = memcpy((char *)alternative + at, cases[i].env, choice->size);
        at += captured_at(choice->size);
        most = choice->size > most ? choice->size : most;
    }
    alternative->count = count;
    alternative->bytes = bytes;
    alternative->captured_max = most;
    return alternative;
}

static coir_io *alt_io(const char *function, size_t count, const coir_case *cases, bool is_fair, bool selects, size_t *which)
{
    bool any_null = count > 0 && cases == NULL;
    for (size_t i = 0; i < count && !any_null; i++)
        any_null = cases[i].io == NULL;
    const char *bad = any_null ? NULL : cases_bad(count, cases);
    if (any_null || bad != NULL) {
        if (cases != NULL)
            cases_drop(count, cases);
        return any_null ? NULL : coir__bad_argument(function, bad);
    }
    struct alternative *alternative = alternative_new(count, cases);
    coir_io *node = alternative == NULL ? NULL : coir__prim_new(&alt_prim, alternative, 0);
    if (node == NULL) {
        if (alternative != NULL)
            alternative_free(alternative);
        return NULL;
    }
    alternative->is_fair = is_fair;
    alternative->selects = selects;
    alternative->which = which;
    return node;
}

coir_io *coir_alt(size_t count, const coir_case *cases) { return coir_flatten(alt_io("coir_alt", count, cases, false, false, NULL)); }
coir_io *coir_alt_fair(size_t count, const coir_case *cases) { return coir_flatten(alt_io("coir_alt_fair", count, cases, true, false, NULL)); }
coir_io *coir_select(size_t *which, size_t count, const coir_case *cases)
{
    return alt_io("coir_select", count, cases, false, true, which);
}
