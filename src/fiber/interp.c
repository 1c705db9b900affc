/*
 * interp.c - the interpreter: runs a fiber until it ends, parks, or has used its budget
 *
 * Two phases. *Down* runs instructions until one has a result; *up* offers it to the frames, one by one, until one goes on. The cases
 * are the sentences of io/ops.h. A frame is the node itself where the fiber owned it, otherwise a shallow copy (io/node.h).
 *
 * The hot state is five locals: `io`, what is to be run, and whether it is `borrowed`; `top`, the frames; `result`; `budget`. SAVE() writes
 * them back before anything that may park or stop. C stack does not grow with the program: nothing here recurses.
 *
 * What a callback was lent and did not take lives until the io that it gave has ended: the frame that called it becomes a KEEP frame
 * under that io, in place, so this never allocates.
 */
#include "fiber/cancel.h"
#include "fiber/local.h"
#include "fiber/par.h"
#include "fiber/retry.h"
#include "fiber/scope.h"
#include "io/do.h"
#include "io/env.h"
#include "io/machine.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------- broken promises */

NOINLINE coir_result coir__gave_null(const coir_fiber *fiber, const char *function)
{
    char label[64];
    return coir__panicf(DOMAIN_ERRNO, ENOMEM, "%s: its callback gave NULL: no memory, or an io or a handle that it used was NULL (fiber%s)", function,
                        coir__fiber_label(fiber, label, sizeof label));
}

static NOINLINE coir_result ran_null(const coir_fiber *fiber)
{
    char label[64];
    return coir__panicf(DOMAIN_ERRNO, ENOMEM, "a NULL io was run: no memory when it was built, or an io or a handle in it was NULL (fiber%s)",
                        coir__fiber_label(fiber, label, sizeof label));
}

static NOINLINE coir_result misused(const coir_fiber *fiber, const char *what)
{
    char label[64];
    return coir__panicf(DOMAIN_COIR, COIR_MISUSE, "%s (fiber%s)", what, coir__fiber_label(fiber, label, sizeof label));
}

/* A handler that broke its promise keeps the failure that it was given, in `also`. */
static NOINLINE coir_result broken_handler(const coir_fiber *fiber, const char *function, coir_result given)
{
    coir_result panic = coir__gave_null(fiber, function);
    coir__also(&panic, given);
    return panic;
}

/* ---------------------------------------------------------------------------------------------------- carried values */

/* The AGAIN node itself is the value that says so: no box. */
static void again_drop(void *node) { coir_io_drop(node); }
static void *again_share(void *node) { return coir_io_ref(node); }
static const coir_type again_type = { "coir_again", again_drop, again_share, NULL };

static NOINLINE coir_result result_of_shared(coir_io *node)
{
    coir_result carried = { node->failure.tag, node->value, node->failure.also };
    if (!(node->flags & NODE_SOLE))
        return coir_result_share(&carried);
    return coir__take_from_shared(node) ? carried : coir__panic_of(coir__taken_before(&node->value));
}

static inline coir_value value_of(coir_io *node, bool borrowed, const coir_value *value)
{
    return borrowed ? coir__value_of_shared(node, value) : *value;
}

/* OK with the value, unless it stands for a panic. */
static inline coir_result ok_of(coir_value value)
{
    return unlikely(coir__is_panic_value(&value)) ? coir__panic_of(value) : coir_ok(value);
}

static inline bool same_object(const coir_value *a, const coir_value *b) { return a->ptr == b->ptr && a->type == b->type; }

/* What a map function gave in place of what it was lent; giving the very same counts as taking it. */
static inline coir_value mapped(coir_value given, coir_value *lent)
{
    if (lent->type != NULL && !same_object(&given, lent))
        coir_drop(*lent);
    return given;
}

static inline bool holds_something(const coir_result *result) { return result->value.type != NULL || result->also != NULL; }

/* ------------------------------------------------------------------------------------------------------ frames at work */

/* What gathers values: ends with the list, which may be a panic. */
static coir_result gather_done(struct gather *gather)
{
    coir_value list = gather->list;
    gather->list = coir_none();
    return ok_of(list);
}

/* Puts value in place of the context (key NULL) or of the key's value; the frame, still to be pushed, will restore what stood. Takes value. False:
 * it stands for a panic, or there is no memory, and *result says so. */
static bool context_enter(coir_fiber *fiber, coir_io *frame, coir_key *key, coir_value value, coir_result *result)
{
    if (unlikely(coir__is_panic_value(&value))) {
        *result = coir__panic_of(value);
        return false;
    }
    struct coir__context *context = key == NULL ? coir__context_with_value(fiber->context, value)
                                                : coir__context_with_key(fiber->context, key, value);
    if (unlikely(context == NULL)) {
        *result = coir__no_memory();
        return false;
    }
    frame->op = OP_RESTORE;
    frame->context = fiber->context;                    /* the reference goes with it */
    fiber->context = context;
    return true;
}

static void context_restore(coir_fiber *fiber, coir_io *frame)
{
    coir__context_drop(fiber->context);
    fiber->context = frame->context;
}

/* What a time-out makes of the cancellation that it asked for. A panic that was met while unwinding counts for more. */
static NOINLINE coir_result timed_out(int64_t limit, coir_result canceled)
{
    coir_drop(canceled.value);
    coir_result result = coir_raise(limit > 0 ? coir__error(DOMAIN_COIR, COIR_TIMEOUT, "coir_timeout: it had not ended after %.3f s", (double)limit / 1e9)
                                              : coir__error(DOMAIN_COIR, COIR_TIMEOUT, "coir_timeout: it was not begun: the limit is zero or less"));
    result.also = canceled.also;
    return coir__settled(result);
}

/* A failure that was met while another result stood: a finalizer's value is of no interest, its failure is. */
static coir_result merged(coir_result first, coir_result finalizer)
{
    if (likely(finalizer.tag == COIR_OK)) {
        coir_drop(finalizer.value);
        return first;
    }
    return coir_result_and(first, finalizer);
}

/* What was acquired goes back; what its holder broke meanwhile nobody is left to be told. */
static void hold_end(coir_fiber *fiber, coir_io *frame)
{
    coir_result end;
    if (!(frame->flags & NODE_SAVED))
        return;
    frame->prim->give_back(fiber, frame, &end);
    coir_result_drop(&end);
}

static void frame_drop(coir_fiber *fiber, coir_io *frame);

/* What running put into a frame: it owns that whether or not it is borrowed. */
static void frame_empty(coir_fiber *fiber, coir_io *frame)
{
    switch (frame->op) {
    case OP_PIN:
        coir_io_drop(frame->pinned);
        break;
    case OP_KEEP:
    case OP_GIVE:
        coir_drop(frame->value);
        break;
    case OP_KEEP_ALL:
    case OP_MERGE:
        coir_result_drop(&frame->result);
        break;
    case OP_RESTORE:
        context_restore(fiber, frame);
        break;
    case OP_MEMBER:
        coir__scope_leave(fiber, frame, NULL);
        break;
    case OP_WHILE:
    case OP_FOR_EACH:
        coir_drop(frame->loop.kept);
        break;
    case OP_ITERATE:
        coir_drop(frame->state);
        break;
    case OP_ZIP:
        coir_drop(frame->zip.gather.list);
        break;
    case OP_TRAVERSE:
        coir_drop(frame->gather.list);
        break;
    case OP_EACH:
        coir_drop(frame->each.list);
        coir_drop(frame->each.gather.list);
        coir_drop(frame->each.kept);
        break;
    case OP_ROUTINE:
        coir_result_drop(&frame->routine.routine.result);
        if (frame->flags & NODE_SAVED)
            coir_result_drop(&frame->routine.outcome);
        FALL_THROUGH;
    case OP_ROUTINE_OVER:
        coir_io_drop(frame->routine.become);
        for (coir_io *next, *hold = frame->routine.holds; hold != NULL; hold = next) {
            next = hold->up;
            frame_drop(fiber, hold);
        }
        break;
    case OP_PULL:
        coir_drop(frame->state);
        break;
    case OP_PRIM:
        if (!(frame->flags & NODE_BORROWED))
            coir__prim_drop(frame);
        break;
    case OP_HOLD:
        hold_end(fiber, frame);
        break;
    case OP_MACHINE:
        frame->machine->empty(fiber, frame);
        if (!(frame->flags & NODE_BORROWED))
            frame->machine->drop(frame);
        break;
    case OP_TIMEOUT:
    case OP_TIMEOUT_TO:
        coir__scope_close(fiber, &timed_of(frame)->scope);
        break;
    }
}

/* The child that a frame has kept: others have run theirs. */
static coir_io *frame_body(const coir_io *frame)
{
    switch (frame->op) {
    case OP_REPEAT:
    case OP_FOREVER:
    case OP_RETRY:
        return frame->body;
    case OP_WHILE:
    case OP_FOR_EACH:
        return frame->loop.body;
    case OP_HOLD:
        return frame->flags & NODE_SAVED ? NULL : frame->hold.body;
    default:
        return NULL;
    }
}

/* A frame that will not be given a result. If children may be left in it, it is dropped as the node that it was. */
static void frame_drop(coir_fiber *fiber, coir_io *frame)
{
    frame_empty(fiber, frame);
    if (frame->flags & NODE_BORROWED || coir__ops[frame->op].children == CHILDREN_NONE) {
        coir__node_free(frame);
    } else {
        frame->child = frame_body(frame);
        coir_io_drop(frame);
    }
}

/* Whether a waker has ended its wait, and gave it what it waited for. */
static bool was_served(coir_fiber *fiber)
{
    return wait_state_of(load_acquire(&fiber->wait.word)) == WAIT_TAKEN && fiber->claimed_by == CLAIMED_BY_WAKER &&
           fiber->result.tag == COIR_OK;
}

/* A HOLD that was served, but has not gone on yet, holds already: it is brought to where going on would have brought it. The result stays:
 * somebody may be giving the fiber one at this moment. */
void coir__fiber_strip(coir_fiber *fiber)                                               /* MODEL callback.pml: strip */
{
    coir_io *frame = fiber->top;
    if (!(fiber->flags & FIBER_WAITING))
        return;
    if (frame->op == OP_HOLD && was_served(fiber)) {
        frame->flags |= NODE_SAVED;
        fiber->io = frame->hold.body;
        fiber->flags = (uint8_t)((fiber->flags & ~FIBER_BORROWED) | (frame->flags & NODE_BORROWED ? FIBER_BORROWED : 0));
    } else {
        frame->prim->disarm(fiber, frame);
    }
    fiber->flags &= (uint8_t)~FIBER_WAITING;
    (void)wait_claim(&fiber->wait, wait_generation(&fiber->wait));      /* from here on nobody looks at its frames, which will go */
}

void coir__frames_drop(coir_fiber *fiber)
{
    while (fiber->top != NULL) {
        coir_io *frame = fiber->top;
        fiber->top = frame->up;
        frame_drop(fiber, frame);
    }
}

/* --------------------------------------------------------------------------------------- the sequential notation's steps */

/* A step gave an io to run. */
static inline bool routine_awaits(const coir_routine *routine, const coir_io *io)
{
    _Static_assert(ROUTINE_AWAIT == 1 && ROUTINE_TRY == 2, "one comparison tells both");
    return likely(io != NULL && routine->flags - 1 < 2);
}

/* What a step that awaits nothing said: the end of the body, or of the final part. */
static coir_result routine_end_of_part(const coir_fiber *fiber, coir_io *frame, coir_io *given)
{
    coir_routine *routine = &frame->routine.routine;
    coir_io_drop(given);                                /* returned without COIR_AWAIT: no notation leaves one */
    switch (routine->flags) {
    case ROUTINE_ENDED:
    case ROUTINE_OVER:
        return coir_result_take(&routine->result);
    case ROUTINE_AWAIT:
    case ROUTINE_TRY:
        return ran_null(fiber);
    case ROUTINE_BECOMES:
    case ROUTINE_LEFT:
        return coir_ok(coir_none());
    default:
        return misused(fiber, "coir_do: the step came to no place that it knows: an await inside a switch of its own, a frame of "
                              "another size than coir_do() was given, or a return without COIR_RETURN");
    }
}

/* The way into COIR_FINALLY. The outcome of the body stands in routine.result, where the final part may look at it. */
static void routine_enter_final(coir_fiber *fiber, coir_io *frame)
{
    frame->routine.routine.at = COIR_FINALLY_;
    frame->flags |= NODE_FINAL;
    frame->floor = final_enter(fiber);
}

/* What the routine ends with, `last` being what its final part ended with. */
static coir_result routine_leave_final(coir_fiber *fiber, coir_io *frame, coir_result last)
{
    coir_routine *routine = &frame->routine.routine;
    final_leave(fiber, frame->floor);
    coir_result outcome = coir_result_take(frame->flags & NODE_SAVED ? &frame->routine.outcome : &routine->result);
    if (frame->flags & NODE_SAVED)
        coir_result_drop(&routine->result);
    return merged(outcome, last);
}

/* Runs the final part up to its first await (true), or to the end (false): then *result is the routine's. */
static bool routine_finalize(coir_fiber *fiber, coir_io *frame, coir_io **io, coir_result *result)
{
    coir_routine *routine = &frame->routine.routine;
    routine_enter_final(fiber, frame);
    routine->flags = 0;
    *io = frame->step(routine);
    if (routine_awaits(routine, *io)) {
        coir__routine_save(frame);
        return true;
    }
    if (likely(routine->flags == ROUTINE_LOST && !(frame->flags & NODE_SAVED))) {
        final_leave(fiber, frame->floor);               /* it has no COIR_FINALLY */
        coir__set(result, &routine->result);
        return false;
    }
    *result = routine_leave_final(fiber, frame, routine_end_of_part(fiber, frame, *io));
    return false;
}

/* After a step that awaits nothing: true: there is an io to run, in the final part; false: the routine has ended with *result. */
static bool routine_part_ended(coir_fiber *fiber, coir_io *frame, coir_io **io, coir_result *result)
{
    coir_routine *routine = &frame->routine.routine;
    if (frame->flags & NODE_FINAL) {
        *result = routine_leave_final(fiber, frame, routine_end_of_part(fiber, frame, *io));
        return false;
    }
    if (unlikely(routine->flags != ROUTINE_ENDED || *io != NULL)) {
        coir_result end = routine_end_of_part(fiber, frame, *io);
        coir_result_drop(&routine->result);
        routine->result = end;
    }
    return routine_finalize(fiber, frame, io, result);
}

enum routine_way { ROUTINE_STEPS, ROUTINE_RUNS, ROUTINE_IS_OVER };

/* Offers the result of what was awaited: the step is to be called; or *io, of the final part, run; or it has ended with *result. */
static inline enum routine_way routine_offer(coir_fiber *fiber, coir_io *frame, coir_io **io, coir_result *result)
{
    coir_routine *routine = &frame->routine.routine;
    bool accepted = likely(result->tag == COIR_OK) || (result->tag == COIR_ERROR && routine->flags == ROUTINE_TRY);
    if (unlikely(!accepted && frame->flags & NODE_FINAL)) {
        *result = routine_leave_final(fiber, frame, *result);
        return ROUTINE_IS_OVER;
    }
    if (unlikely(holds_something(&routine->result)))
        coir_result_drop(&routine->result);
    coir__set(&routine->result, result);
    if (likely(accepted))
        return ROUTINE_STEPS;
    return routine_finalize(fiber, frame, io, result) ? ROUTINE_RUNS : ROUTINE_IS_OVER;
}

/* -------------------------------------------------------------------------------------------------- without memory */

/* Without memory to pin it a shared io of one step is run all the same: so a release that several finalizers share needs none. Takes io. */
static NOINLINE coir_result run_unpinned(coir_fiber *fiber, coir_io *io)
{
    coir_result result, no_memory = coir__no_memory();
    ENV_LOCAL;
    switch (io->op) {
    case OP_DEFER:
        result = coir__checked(io->defer(ENV_OF(io)));
        break;
    case OP_DEFER_READ:
        result = coir__checked(io->read(ENV_OF(io), coir__context_value(fiber)));
        break;
    case OP_PRIM:
        if (coir__prim_attempt(fiber, io, true, &result) == PRIM_DONE)
            break;
        FALL_THROUGH;
    default:
        result = no_memory;
    }
    ENV_BACK();
    coir_io_drop(io);
    return result;
}

/* At the very end of a routine that holds something: the frames of what it holds come on top of its own, the last one acquired uppermost, and
 * are given its outcome one after the other. */
static coir_io *routine_release(coir_io *frame)
{
    coir_io *last = frame->routine.holds, *first = last;
    while (first->up != NULL)
        first = first->up;
    first->up = frame;
    frame->routine.holds = NULL;
    frame->op = OP_ROUTINE_OVER;
    return last;
}

/* After a claim by anyone but a waker. False: there is something left to wait for, the frame is to be armed anew. */
static NOINLINE bool wait_was_interrupted(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    const struct coir__prim *prim = frame->prim;
    if (prim->interrupted != NULL) {
        bool is_over = prim->interrupted(fiber, frame, result) == PRIM_DONE;
        if (is_over && fiber->claimed_by == CLAIMED_BY_CANCEL && result->tag != COIR_CANCELED)
            coir__cancel_declined(fiber);
        return is_over;
    }
    if (fiber->claimed_by == CLAIMED_BY_CANCEL && prim->cancel != NULL) {
        prim->cancel(fiber, frame);
        return false;
    }
    prim->disarm(fiber, frame);
    return true;
}

/* ----------------------------------------------------------------------------------------------------------- forking */

/* One that belongs to the scope that its parent is in, if there is one, unless the parent waits for it. NULL without memory. */
static coir_fiber *fork_new(struct coir__seat *seat, coir_fiber *parent, coir_io *child, bool borrowed, bool is_child)
{
    struct coir__scope *scope = is_child ? NULL : coir__scope_of(parent);
    coir_fiber *fiber = coir__fiber_new(seat, child, borrowed, parent);
    if (likely(fiber == NULL || scope == NULL) || coir__scope_admit(scope, fiber))
        return fiber;
    coir__fiber_unmake(seat, fiber);
    coir_fiber_drop(fiber);
    return NULL;
}

static coir_value fork_one(struct coir__seat *seat, coir_fiber *parent, coir_io *child, bool borrowed)
{
    coir_fiber *fiber = fork_new(seat, parent, child, borrowed, false);
    if (fiber == NULL)
        return coir__no_memory_value();
    seat->run->driver->start(seat, fiber, fiber, 1);
    return coir_own(fiber, &coir_fiber_type);
}

/* All are made before the first is started, so that without memory none runs. */
static coir_value fork_many(struct coir__seat *seat, coir_fiber *parent, coir_io *node, bool borrowed)
{
    uint32_t count = node->many.count;
    coir_value list = coir__list_new(count);
    coir_fiber *first = NULL, *last = NULL;
    uint32_t made = 0;
    for (; made < count && list.type == &coir_list_type; made++) {
        if (!borrowed)
            node->many.index = made + 1;                /* the item is the fiber's, also if there will be none */
        coir_fiber *fiber = fork_new(seat, parent, node->items[made], borrowed, node->flags & NODE_SAVED);
        if (fiber == NULL)
            break;
        if (node->flags & NODE_SAVED)
            coir__fiber_is_child(fiber);
        coir__list_add(&list, coir_own(fiber, &coir_fiber_type));
        *(first == NULL ? &first : &last->next) = fiber;
        last = fiber;
    }
    if (made < count) {
        for (coir_fiber *next, *fiber = first; fiber != NULL; fiber = next) {
            next = fiber->next;
            coir__fiber_unmake(seat, fiber);
        }
        coir_drop(list);
        return coir__no_memory_value();
    }
    if (first != NULL)
        seat->run->driver->start(seat, first, last, count);
    return list;
}

/* What a PAR_EACH shares out among its children, moved out of its node or shared. False: that is no list, *result says so, and the node is gone. */
static bool list_to_share_out(coir_fiber *fiber, coir_io *io, bool borrowed, coir_value *list, coir_result *result)
{
    *list = value_of(io, borrowed, &io->state);
    if (!borrowed)
        io->state = coir_none();
    if (likely(list->type == &coir_list_type))
        return true;
    *result = coir__is_panic_value(list) ? coir__panic_of(*list) : misused(fiber, "coir_par_each: what it was given is not a list");
    if (!coir__is_panic_value(list))
        coir_drop(*list);
    if (!borrowed)
        coir_io_drop(io);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------ the loop */

#define SAVE()        (fiber->io = io, fiber->top = top, coir__set(&fiber->result, &result),                            \
                       fiber->flags = (uint8_t)((fiber->flags & ~FIBER_BORROWED) | (borrowed ? FIBER_BORROWED : 0)))
/* Without memory for a timer the time-out begins a turn later. */
#define GIVE_UP(why)                                                                                                     \
    do {                                                                                                                 \
        if (unlikely(fiber->flags & FIBER_UNTIMED))                                                                      \
            (void)coir__deadlines_arm(seat, fiber);                                                                      \
        SAVE();                                                                                                          \
        return (why);                                                                                                    \
    } while (0)
#define DOWN(op)      case OP_##op
#define UP(op)        case OP_##op
#define GO_DOWN()     goto down
#define GO_UP()       goto up
/* The result is what a callback gives, unless it stands for a panic. */
#define GIVEN(call)                                                                                                      \
    do {                                                                                                                 \
        coir_result given = (call);                                                                                      \
        ENV_BACK();                                                                                                      \
        coir__set(&result, &given);                                                                                      \
        coir__check(&result);                                                                                            \
    } while (0)
/* The result is OK with a value, unless that stands for a panic. */
#define GIVEN_VALUE(expression)                                                                                          \
    do {                                                                                                                 \
        coir_value value_given = (expression);                                                                           \
        ENV_BACK();                                                                                                      \
        coir__set_ok(&result, value_given);                                                                              \
        coir__check(&result);                                                                                            \
    } while (0)
#define FREE_OWNED()  do { if (!borrowed) coir__node_free(io); } while (0)
/* Makes io a frame, with `size` bytes of it of use; its child is left to the case. */
#define PUSH(size)                                                                                                       \
    do {                                                                                                                 \
        frame = io;                                                                                                      \
        if (unlikely(borrowed) && (frame = coir__frame_of(io, (size))) == NULL)                                          \
            goto no_memory;                                                                                              \
    } while (0)
#define PUSHED()      (frame->up = top, top = frame)
#define POP()         (top = frame->up)
#define POP_FREE()    do { POP(); coir__node_free(frame); } while (0)
/* The callback of `frame`, already popped, gave io; what it was lent and left stays under it. */
#define KEEP_LENT()                                                                                                      \
    do {                                                                                                                 \
        borrowed = false;                                                                                                \
        if (likely(result.value.type == NULL)) {                                                                         \
            coir__node_free(frame);                                                                                      \
        } else {                                                                                                         \
            keep_value(frame, result.value);                                                                             \
            note_kept(seat, fiber, frame, top);                                                                          \
            PUSHED();                                                                                                    \
        }                                                                                                                \
    } while (0)

/* After a turn of the machine whose frame is top. */
#define MACHINE_GOES(way, turn)                                                                                          \
    do {                                                                                                                 \
        if (way == MACHINE_RUNS) {                                                                                       \
            io = turn.io;                                                                                                \
            borrowed = turn.borrowed;                                                                                    \
            GO_DOWN();                                                                                                   \
        }                                                                                                                \
        coir__set(&result, &turn.result);                                                                                \
        if (way == MACHINE_STAYS)                                                                                        \
            goto stay;                                                                                                   \
        POP();                                                                                                           \
        if (!(frame->flags & NODE_BORROWED))                                                                             \
            frame->machine->drop(frame);                                                                                 \
        coir__node_free(frame);                                                                                          \
        GO_UP();                                                                                                         \
    } while (0)

static void keep_value(coir_io *frame, coir_value value)
{
    if (frame->flags & NODE_OWNS)
        coir__node_release_env(frame);
    frame->op = OP_KEEP;
    frame->flags = 0;
    coir__set_value(&frame->value, value);
}

static NOINLINE void warn_of_kept(coir_fiber *fiber, uint32_t kept)
{
    coir__warn(fiber, "keeps %u lent values that its callbacks did not take: a recursion in tail position holds each of them until it ends. Take "
               "them (coir_take), recurse over plain values, or use a loop (coir_iterate, coir_for_each, a routine)", (unsigned)kept);
}

/*
 * How many values a fiber keeps stands in the frames that keep them, in the place of the references, which a frame does not need: each says how many
 * there are from it downwards. So it costs the fiber no room and no step on the way up. The next one below is looked for among a few frames,
 * since what lies between two in a recursion is little; where it is more, the count begins anew.
 */
static uint32_t kept_below(coir_io *top)
{
    enum { LOOKS = 4 };
    for (int looks = 0; top != NULL && looks < LOOKS; looks++, top = top->up)
        if (top->op == OP_KEEP || top->op == OP_KEEP_ALL)
            return load_relaxed(&top->refs);
    return 0;
}

/* relaxed: a frame is its fiber's alone. */
static inline void note_kept(struct coir__seat *seat, coir_fiber *fiber, coir_io *frame, coir_io *top)
{
    enum { KEPT_MAX = 10000 };
    uint32_t kept = kept_below(top) + 1;
    store_relaxed(&frame->refs, kept);
    counter_add(&seat->kept, 1);
    if (unlikely(kept > KEPT_MAX))
        warn_of_kept(fiber, kept);
}

enum stop coir__interp(struct coir__seat *seat, coir_fiber *fiber)
{
    coir_io    *io = fiber->io, *top = fiber->top, *frame;
    bool        borrowed = fiber->flags & FIBER_BORROWED;
    coir_result result;
    uint32_t    limit = seat->run->options.budget;
    int64_t     budget = limit == COIR_BUDGET_NONE ? INT64_MAX : (int64_t)limit;
    ENV_LOCAL;

    coir__set(&result, &fiber->result);
    seat->fiber = fiber;
    if (unlikely(fiber->flags & FIBER_WAITING)) {
        budget--;                                       /* what was waited for is a step by itself, which may end a budget of 1 */
        goto resumed;
    }
    if (load_relaxed(&fiber->phase) == PHASE_NEW && unlikely(io == NULL))
        result = ran_null(fiber);
    store_relaxed(&fiber->phase, PHASE_RUNNING);
    if (io == NULL)
        GO_UP();

down:                                                   /* io is not NULL: nodes hold none, and what callbacks give is looked at */
    if (unlikely(--budget < 0)) {
        coir__set_ok(&result, coir_none());
        GIVE_UP(STOP_SPENT);
    }
    if (unlikely(load_relaxed(&fiber->asked)) && coir__cancel_seen(fiber, &result)) {
        if (!borrowed)
            coir_io_drop(io);
        GO_UP();
    }
    if (!borrowed && unlikely(!coir__node_sole(io)))
        goto shared;
dispatch:
    if (io->op <= OP_LAST_PUSHED) {
        if (unlikely(borrowed) && io->op > OP_LAST_PUSHED_SMALL)
            PUSH(NODE_SIZE_OF(result));
        else
            PUSH(NODE_SMALL);
        coir_io *child = io->child;
        PUSHED();
        io = child;
        GO_DOWN();
    }
    switch ((enum op)io->op) {
    DOWN(PURE):
        GIVEN_VALUE(value_of(io, borrowed, &io->value));
        FREE_OWNED();
        GO_UP();
    DOWN(RESULT):
        if (borrowed) {
            result = result_of_shared(io);
        } else {
            coir__set_ok(&result, io->value);
            result.tag = io->failure.tag;
            result.also = io->failure.also;
            coir__node_free(io);
        }
        GO_UP();
    DOWN(AGAIN):
        result = coir_ok(coir_own(borrowed ? coir__node_ref(io) : io, &again_type));
        GO_UP();
    DOWN(DEFER):
        GIVEN(io->defer(ENV_OF(io)));
        FREE_OWNED();
        GO_UP();
    DOWN(DEFER_READ):
        GIVEN(io->read(ENV_OF(io), coir__context_value(fiber)));
        FREE_OWNED();
        GO_UP();
    DOWN(SUSPEND):
        frame = io;
        io = frame->suspend(ENV_OF(frame));
        ENV_BACK();
        if (!borrowed)
            coir__node_free(frame);
        borrowed = false;
        if (unlikely(io == NULL)) {
            result = coir__gave_null(fiber, "coir_suspend");
            GO_UP();
        }
        GO_DOWN();
    DOWN(CALL):
        PUSH(NODE_SIZE_OF(state));
        GIVEN_VALUE(value_of(io, borrowed, &io->state));
        if (unlikely(result.tag != COIR_OK)) {
            coir__node_free(frame);
            GO_UP();
        }
        io = frame->flat_map(ENV_OF(frame), &result.value);
        ENV_BACK();
        KEEP_LENT();
        if (unlikely(io == NULL)) {
            result = coir__gave_null(fiber, "coir_call");
            GO_UP();
        }
        GO_DOWN();

    DOWN(AS): {
        PUSH(NODE_SIZE_OF(state));
        coir_io *child = io->child;
        coir_value value = value_of(io, borrowed, &io->state);
        frame->op = OP_GIVE;
        frame->value = value;
        PUSHED();
        io = child;
        GO_DOWN();
    }
    DOWN(NAMED):
        frame = io;
        io = frame->child;
        if (!borrowed) {
            coir_drop(frame->state);
            coir__node_free(frame);
        }
        GO_DOWN();

    DOWN(SEQUENCE):
        if (io->many.count == 0)
            goto of_none;
        PUSH(NODE_SMALL);
        PUSHED();
        frame->many.index = 1;
        io = frame->items[0];
        GO_DOWN();
    DOWN(ZIP): {
        PUSH(NODE_SIZE_OF(zip));
        coir_io *first = frame->many.count == 0 ? NULL : frame->items[0];
        frame->zip.gather = (struct gather){ .count = frame->many.count, .index = 0, .list = coir__list_new(frame->many.count) };
        PUSHED();
        if (unlikely(first == NULL || coir__is_panic_value(&frame->zip.gather.list)))
            goto gathered_nothing;
        frame->many.index = 1;
        io = first;
        GO_DOWN();
    }
    DOWN(TRAVERSE):
        PUSH(NODE_SIZE_OF(gather));
        frame->gather.index = 0;
        frame->gather.list = coir__list_new(frame->gather.count);
        PUSHED();
        if (unlikely(frame->gather.count == 0 || coir__is_panic_value(&frame->gather.list)))
            goto gathered_nothing;
        io = frame->indexed(ENV_OF(frame), 0);
        ENV_BACK();
        borrowed = false;
        if (unlikely(io == NULL)) {
            result = coir__gave_null(fiber, "coir_traverse");
            GO_UP();
        }
        GO_DOWN();
    DOWN(EACH): {
        PUSH(NODE_SIZE_OF(each));
        coir_value list = value_of(io, borrowed, &io->each.list);
        size_t count = coir_list_size(&list);
        frame->each.list = list;
        frame->each.gather = (struct gather){ .count = count, .index = 0, .list = coir__list_new(count) };
        frame->each.kept = coir_none();
        PUSHED();
        if (unlikely(list.type != &coir_list_type)) {
            result = coir__is_panic_value(&list) ? coir__panic_of(coir_take(&frame->each.list))
                                                 : misused(fiber, "coir_each: what it was given is not a list");
            GO_UP();
        }
        if (unlikely(count == 0 || coir__is_panic_value(&frame->each.gather.list)))
            goto gathered_nothing;
        goto each_next;
    }

    DOWN(ITERATE): {
        PUSH(NODE_SIZE_OF(state));
        coir_value state = value_of(io, borrowed, &io->state);
        frame->state = state;
        PUSHED();
        goto iterate;
    }
    DOWN(REPEAT):
        if (io->times == 0)
            goto of_none;
        FALL_THROUGH;
    DOWN(FOREVER): {
        PUSH(NODE_SMALL);
        coir_io *body = io->child;
        PUSHED();
        frame->body = io = body;
        borrowed = true;                                /* the frame holds it, for all its rounds */
        GO_DOWN();
    }
    DOWN(WHILE): DOWN(FOR_EACH): {
        PUSH(NODE_SIZE_OF(loop));
        coir_io *body = io->child;
        PUSHED();
        frame->loop.body = io = body;
        frame->loop.consuming = false;
        frame->loop.kept = coir_none();
        borrowed = true;
        GO_DOWN();
    }
    DOWN(RETRY): {
        PUSH(node_size(io));
        coir_io *body = io->child;
        PUSHED();
        frame->body = io = body;
        coir__retry_begin(seat, frame);
        borrowed = true;
        GO_DOWN();
    }
    DOWN(REC): {
        if (!borrowed)
            goto pin;                                   /* its callback may make references to it */
        coir_io *self = io;
        io = self->rec(ENV_OF(self), self);
        ENV_BACK();
        borrowed = false;
        if (unlikely(io == NULL)) {
            result = coir__gave_null(fiber, "coir_rec");
            GO_UP();
        }
        GO_DOWN();
    }

    DOWN(ASK):
        FREE_OWNED();
        result = coir_ok(*coir__context_value(fiber));
        result.value.type = NULL;                       /* lent */
        GO_UP();
    DOWN(LOCAL): {
        PUSH(NODE_SIZE_OF(state));
        coir_io *child = io->child;
        if (unlikely(!context_enter(fiber, frame, NULL, value_of(io, borrowed, &io->state), &result)))
            goto refuse_child;
        PUSHED();
        io = child;
        GO_DOWN();
    }
    DOWN(CONTRA_MAP): {
        PUSH(NODE_SMALL);
        coir_io *child = io->child;
        coir_value context = frame->contra_map(ENV_OF(frame), coir__context_value(fiber));
        ENV_BACK();
        if (unlikely(!context_enter(fiber, frame, NULL, context, &result)))
            goto refuse_child;
        PUSHED();
        io = child;
        GO_DOWN();
    }
    DOWN(KEY_GET):
        GIVEN_VALUE(coir_share(coir__context_key(fiber, io->key)));
        if (!borrowed) {
            coir_key_drop(io->key);
            coir__node_free(io);
        }
        GO_UP();
    DOWN(WITH_KEY): {
        PUSH(NODE_SIZE_OF(state));
        coir_io *child = io->child;
        coir_key *key = frame->key;
        bool entered = context_enter(fiber, frame, key, value_of(io, borrowed, &io->state), &result);
        if (!borrowed)
            coir_key_drop(key);
        if (unlikely(!entered))
            goto refuse_child;
        PUSHED();
        io = child;
        GO_DOWN();
    }

    DOWN(ROUTINE):
        PUSH(node_size(io));
        PUSHED();
        goto step;

    DOWN(MASK): {
        PUSH(NODE_SMALL);
        coir_io *child = io->child;
        PUSHED();
        fiber->mask++;
        io = child;
        GO_DOWN();
    }
    DOWN(UNMASK): {
        PUSH(NODE_SMALL);
        coir_io *child = io->child;
        PUSHED();
        if (fiber->mask > load_relaxed(&fiber->floor)) {
            fiber->mask--;
            frame->flags |= NODE_SAVED;
            frame->env = coir__scopes_lower(fiber);
        }
        io = child;
        GO_DOWN();
    }
    DOWN(TIMEOUT): DOWN(TIMEOUT_TO): {
        PUSH(TIMED_SIZE);
        coir_io *child = io->child;
        PUSHED();
        coir__scope_open(fiber, &timed_of(frame)->scope, timed_of(frame)->limit);
        io = child;
        GO_DOWN();
    }

    DOWN(MACHINE): {
        struct machine_turn turn;
        PUSH(node_size(io));
        PUSHED();
        enum machine_way way = frame->machine->begin(fiber, frame, &turn);
        MACHINE_GOES(way, turn);
    }

    DOWN(FORK):
        GIVEN_VALUE(fork_one(seat, fiber, io->child, borrowed));
        FREE_OWNED();
        GO_UP();
    DOWN(PARALLEL):
        GIVEN_VALUE(fork_many(seat, fiber, io, borrowed));
        if (!borrowed)
            coir_io_drop(io);                           /* with what was not forked */
        GO_UP();
    DOWN(RACE): DOWN(RACE_OK): DOWN(RACE_PAIR): DOWN(NOWAIT): DOWN(PAR_ZIP): DOWN(PAR_ZIP_ALL): DOWN(PAR_TRAVERSE): DOWN(PAR_TRAVERSE_ALL):
    DOWN(PAR_EACH): {
        coir_value list = coir_none();
        if (io->op == OP_PAR_EACH && unlikely(!list_to_share_out(fiber, io, borrowed, &list, &result)))
            GO_UP();
        frame = coir__group(io, borrowed, list);
        if (unlikely(frame == NULL))
            goto no_memory;
        PUSHED();
        goto arm;
    }
    DOWN(PULL):
        frame = io;
        PUSHED();
        goto pull;
    DOWN(YIELD):
        FREE_OWNED();
        coir__set_ok(&result, coir_none());
        io = NULL;
        GIVE_UP(STOP_YIELDED);
    DOWN(SELF):
        FREE_OWNED();
        result = coir_ok(coir_own(coir_fiber_ref(fiber), &coir_fiber_type));
        GO_UP();

    DOWN(PRIM): {
        if (likely(coir__prim_attempt(fiber, io, borrowed, &result) == PRIM_DONE)) {
            if (!borrowed) {
                coir__prim_drop(io);
                coir__node_free(io);
            }
            GO_UP();
        }
        PUSH(node_size(io));
        PUSHED();
        frame->prim_own.waiter.fiber = fiber;
        goto arm;
    }
    DOWN(HOLD): {
        PUSH(NODE_SIZE_OF(hold));
        coir_io *child = io->child;
        enum prim_step step = frame->prim->attempt(fiber, frame, &result);
        PUSHED();
        frame->hold.body = child;
        if (likely(step == PRIM_DONE))
            goto prim_done;
        frame->prim_own.waiter.fiber = fiber;
        goto arm;
    }

    default:
        unreachable();
    }

    /* An owned reference to a node that has other owners: pinned from here on, and read only. */
shared:
    if (coir__node_used_up(io)) {
        result = misused(fiber, "an io that was used up is run again: take coir_io_ref() for each further use");
        GO_UP();
    }
    if (io->flags & NODE_STATIC) {
        borrowed = true;
        goto dispatch;
    }
pin:
    if (top != NULL && top->op == OP_PIN) {
        coir_io *before = top->pinned;                  /* nothing below it is left to run */
        top->pinned = io;
        coir_io_drop(before);
    } else {
        frame = coir__node_new(OP_PIN, NODE_SMALL);
        if (unlikely(frame == NULL)) {
            result = run_unpinned(fiber, io);
            GO_UP();
        }
        frame->pinned = io;
        PUSHED();
    }
    borrowed = true;
    goto dispatch;

of_none:
    if (!borrowed)
        coir_io_drop(io);
    coir__set_ok(&result, coir_none());
    GO_UP();

gathered_nothing:
    coir__set_ok(&result, coir_none());                      /* the frame gives its list, empty or a panic */
    GO_UP();

refuse_child:                                           /* result says why; frame, not pushed, held the child */
    if (!borrowed)
        coir_io_drop(frame->child);
    coir__node_free(frame);
    GO_UP();

no_memory:                                              /* for the frame of a borrowed node */
    result = coir__no_memory();
    GO_UP();

arm:                                                    /* frame is top */
    if (unlikely(fiber->flags & FIBER_UNTIMED) && !coir__deadlines_arm(seat, fiber) && coir__deadline_is_wanted(fiber)) {
        result = coir__no_memory();
        goto prim_done;
    }
    fiber->io = NULL;
    fiber->top = top;
    coir__set_ok(&fiber->result, coir_none());          /* what went before has gone its way */
    wait_begin(&fiber->wait);
    fiber->flags = (uint8_t)((fiber->flags & ~FIBER_BORROWED) | FIBER_WAITING);
    fiber->claimed_by = CLAIMED_BY_WAKER;               /* until somebody else says so */
    if (frame->prim->arm(fiber, frame, &result) == PRIM_DONE) {
        wait_give_up(&fiber->wait);
        fiber->flags &= (uint8_t)~FIBER_WAITING;
        goto prim_done;
    }
    seat->fiber = NULL;
    if (wait_let_go(&fiber->wait)) {                    /* somebody else's from here on */
        if (unlikely(load_full(&fiber->asked)))                                 /* W2 [CANCEL]; MODEL cancel.pml: suspend */
            coir__cancel_poke(fiber);
        return STOP_PARKED;
    }
    seat->fiber = fiber;
    coir__set(&result, &fiber->result);

resumed:
    wait_resumed(&fiber->wait);
    fiber->flags &= (uint8_t)~FIBER_WAITING;
    io = NULL;
    frame = top;
    if (unlikely(fiber->claimed_by != CLAIMED_BY_WAKER)) {
        if (!wait_was_interrupted(fiber, frame, &result))
            goto arm;
    } else if (frame->prim->woken != NULL && frame->prim->woken(fiber, frame, &result) == PRIM_WAIT) {
        goto arm;
    }
prim_done:
    if (unlikely(frame->op == OP_CHOSEN))               /* it is given the result */
        GO_UP();
    if (frame->op == OP_HOLD) {
        io = frame->hold.body;
        borrowed = frame->flags & NODE_BORROWED;
        frame->flags |= NODE_SAVED;
        if (likely(result.tag == COIR_OK))
            GO_DOWN();
        if (!borrowed)
            coir_io_drop(io);
    }
    POP();
    if (!(frame->flags & NODE_BORROWED))
        coir__prim_drop(frame);
    coir__node_free(frame);
    GO_UP();

stay:                                                   /* frame is top, a MACHINE that wants to stay with the ROUTINE below */
    if (frame->up == NULL || frame->up->op != OP_ROUTINE) {
        result = misused(fiber, "what COIR_HOLD awaits is run elsewhere");
        GO_UP();                                        /* the machine itself is given that */
    }
    POP();
    frame->up = top->routine.holds;
    top->routine.holds = frame;
    GO_UP();

step:                                                   /* frame is top, a ROUTINE */
    frame->routine.routine.flags = 0;
    {
        coir_routine *routine = &frame->routine.routine;
        coir_io *next = frame->step(routine);
        if (routine_awaits(routine, next)) {
            coir__routine_save(frame);
            io = next;
            borrowed = false;
            GO_DOWN();
        }
        if (likely(routine->flags == ROUTINE_OVER && next == NULL)) {
            coir__set(&result, &routine->result);
            goto routine_over;
        }
        if (routine_part_ended(fiber, frame, &next, &result)) {
            io = next;
            borrowed = false;
            GO_DOWN();
        }
    }
routine_over:
    if (unlikely(frame->routine.holds != NULL)) {
        top = routine_release(frame);
        GO_UP();
    }
    io = frame->routine.become;
    POP_FREE();
    if (likely(io == NULL))
        GO_UP();
    borrowed = false;
    if (likely(result.tag == COIR_OK))
        GO_DOWN();
    coir_io_drop(io);
    GO_UP();

iterate:                                                /* frame is top, its state is what fn is to be lent */
    if (unlikely(coir__is_panic_value(&frame->state))) {
        result = coir__panic_of(coir_take(&frame->state));
        POP_FREE();
        GO_UP();
    }
    io = frame->flat_map(ENV_OF(frame), &frame->state);
    ENV_BACK();
    borrowed = false;
    if (unlikely(io == NULL)) {
        result = coir__gave_null(fiber, "coir_iterate");
        GO_UP();
    }
    GO_DOWN();

pull:                                                   /* frame is top, a PULL */
    io = coir__pull(fiber, frame, &result);
    borrowed = false;
    if (likely(io != NULL))
        GO_DOWN();
    POP_FREE();
    GO_UP();

each_next:                                              /* frame is top */
    coir_put(&frame->each.kept, coir_list_take(&frame->each.list, frame->each.gather.index));
    if (unlikely(coir__is_panic_value(&frame->each.kept))) {
        result = coir__panic_of(coir_take(&frame->each.kept));
        GO_UP();
    }
    io = frame->flat_map(ENV_OF(frame), &frame->each.kept);
    ENV_BACK();
    borrowed = false;
    if (unlikely(io == NULL)) {
        result = coir__gave_null(fiber, "coir_each");
        GO_UP();
    }
    GO_DOWN();

up:
    frame = top;
    if (unlikely(frame == NULL)) {
        fiber->io = NULL;
        fiber->top = NULL;
        coir__set(&fiber->result, &result);
        seat->fiber = NULL;
        return STOP_ENDED;
    }
    if (unlikely(--budget < 0)) {
        io = NULL;
        GIVE_UP(STOP_SPENT);
    }
    switch ((enum op)frame->op) {
    UP(MAP):
        POP();
        if (likely(result.tag == COIR_OK))
            GIVEN_VALUE(mapped(frame->map(ENV_OF(frame), &result.value), &result.value));
        coir__node_free(frame);
        GO_UP();
    UP(FLAT_MAP):
        POP();
        if (unlikely(result.tag != COIR_OK)) {
            coir__node_free(frame);
            GO_UP();
        }
        io = frame->flat_map(ENV_OF(frame), &result.value);
        ENV_BACK();
        KEEP_LENT();
        if (unlikely(io == NULL)) {
            result = coir__gave_null(fiber, "coir_flat_map");
            GO_UP();
        }
        GO_DOWN();
    UP(THEN):
        io = frame->second;
        borrowed = frame->flags & NODE_BORROWED;
        POP_FREE();
        if (unlikely(result.tag != COIR_OK))
            goto leave_second;
        coir_drop(result.value);
        GO_DOWN();
    UP(THEN_KEEP):
        io = frame->second;
        borrowed = frame->flags & NODE_BORROWED;
        if (unlikely(result.tag != COIR_OK)) {
            POP_FREE();
            goto leave_second;
        }
        frame->op = OP_GIVE;
        frame->value = result.value;
        GO_DOWN();
    UP(GIVE): {
        coir_value value = frame->value;
        POP_FREE();
        if (likely(result.tag == COIR_OK)) {
            coir_drop(result.value);
            GIVEN_VALUE(value);
        } else {
            coir_drop(value);
        }
        GO_UP();
    }
    UP(TAP):
        POP();
        if (likely(result.tag == COIR_OK))
            frame->look(ENV_OF(frame), &result.value);
        ENV_BACK();
        coir__node_free(frame);
        GO_UP();
    UP(FLATTEN):
        POP_FREE();
        if (unlikely(result.tag != COIR_OK))
            GO_UP();
        if (unlikely(result.value.type != &coir_io_type)) {
            coir_drop(result.value);
            result = misused(fiber, "coir_flatten: the value is not an io");
            GO_UP();
        }
        io = result.value.ptr;
        borrowed = false;
        GO_DOWN();
    UP(SEQUENCE):
        if (unlikely(result.tag != COIR_OK) || frame->many.index == frame->many.count) {
            POP();
            frame_drop(fiber, frame);
            GO_UP();
        }
        coir_drop(result.value);
        io = frame->items[frame->many.index++];
        borrowed = frame->flags & NODE_BORROWED;
        if (frame->many.index == frame->many.count)
            POP_FREE();                                 /* the last runs in its place */
        GO_DOWN();
    UP(ZIP):
        if (likely(result.tag == COIR_OK && frame->many.count > 0 && !coir__is_panic_value(&frame->zip.gather.list))) {
            coir__list_add(&frame->zip.gather.list, result.value);
            if (frame->many.index < frame->many.count) {
                io = frame->items[frame->many.index++];
                borrowed = frame->flags & NODE_BORROWED;
                GO_DOWN();
            }
        }
        if (result.tag == COIR_OK)
            result = gather_done(&frame->zip.gather);
        POP();
        frame_drop(fiber, frame);
        GO_UP();
    UP(TRAVERSE): {
        struct gather *gather = &frame->gather;
        if (likely(result.tag == COIR_OK && gather->count > 0 && !coir__is_panic_value(&gather->list))) {
            coir__list_add(&gather->list, result.value);
            if (++gather->index < gather->count) {
                io = frame->indexed(ENV_OF(frame), gather->index);
                ENV_BACK();
                borrowed = false;
                if (likely(io != NULL))
                    GO_DOWN();
                result = coir__gave_null(fiber, "coir_traverse");
            }
        }
        if (result.tag == COIR_OK)
            result = gather_done(gather);
        POP();
        frame_drop(fiber, frame);
        GO_UP();
    }
    UP(EACH): {
        struct gather *gather = &frame->each.gather;
        if (likely(result.tag == COIR_OK && gather->count > 0 && !coir__is_panic_value(&gather->list))) {
            coir__list_add(&gather->list, result.value);
            if (++gather->index < gather->count)
                goto each_next;
        }
        if (result.tag == COIR_OK)
            result = gather_done(gather);
        POP();
        frame_drop(fiber, frame);
        GO_UP();
    }

    UP(ATTEMPT):
        POP_FREE();
        if (likely(result.tag != COIR_CANCELED))
            GIVEN_VALUE(coir__box(&result));
        GO_UP();
    UP(REDEEM):
        POP();
        if (unlikely(result.tag == COIR_CANCELED)) {
            coir__node_free(frame);
            GO_UP();
        }
        io = frame->redeem(ENV_OF(frame), &result);
        ENV_BACK();
        borrowed = false;
        if (unlikely(io == NULL)) {
            result = broken_handler(fiber, "coir_redeem", result);
            coir__node_free(frame);
            GO_UP();
        }
        if (likely(!holds_something(&result))) {
            coir__node_free(frame);
            GO_DOWN();
        }
        if (frame->flags & NODE_OWNS)
            coir__node_release_env(frame);
        frame->op = OP_KEEP_ALL;
        frame->flags = 0;
        coir__set(&frame->result, &result);
        note_kept(seat, fiber, frame, top);
        PUSHED();
        GO_DOWN();
    UP(CATCH):
        if (likely(result.tag != COIR_ERROR)) {
            POP_FREE();
            GO_UP();
        }
        goto handle;
    UP(RECOVER):
        if (likely(result.tag != COIR_PANIC)) {
            POP_FREE();
            GO_UP();
        }
        goto handle;
    UP(CATCH_CODE):
        if (result.tag == COIR_ERROR && coir_failed_with(&result, frame->match.code))
            goto instead;
        io = frame->second;
        borrowed = frame->flags & NODE_BORROWED;
        POP_FREE();
        goto leave_second;
    UP(OR_ELSE):
        if (result.tag == COIR_ERROR)
            goto instead;
        io = frame->second;
        borrowed = frame->flags & NODE_BORROWED;
        POP_FREE();
        goto leave_second;
    UP(MAP_ERROR):
        POP();
        if (unlikely(result.tag == COIR_ERROR || result.also != NULL))
            result = coir__map_failures(result, COIR_ERROR, frame->map, ENV_OF(frame));
        ENV_BACK();
        coir__node_free(frame);
        GO_UP();
    UP(MAP_PANIC):
        POP();
        if (unlikely(result.tag == COIR_PANIC || result.also != NULL))
            result = coir__map_failures(result, COIR_PANIC, frame->map, ENV_OF(frame));
        ENV_BACK();
        coir__node_free(frame);
        GO_UP();
    UP(OR_PANIC):
        POP_FREE();
        if (result.tag == COIR_ERROR)
            result.tag = COIR_PANIC;
        GO_UP();

    UP(ON_CANCEL):
        if (likely(result.tag != COIR_CANCELED)) {
            io = frame->second;
            borrowed = frame->flags & NODE_BORROWED;
            POP_FREE();
            goto leave_second;
        }
        FALL_THROUGH;
    UP(FINALLY):
        io = frame->second;
        borrowed = frame->flags & NODE_BORROWED;
        frame->op = OP_MERGE;
        frame->flags |= NODE_FINAL;
        coir__set(&frame->result, &result);
        frame->floor = final_enter(fiber);
        GO_DOWN();
    UP(ON_FAILURE):
        if (likely(result.tag != COIR_ERROR && result.tag != COIR_PANIC)) {
            POP_FREE();
            GO_UP();
        }
        FALL_THROUGH;
    UP(FINALLY_FN): {
        const char *name = frame->op == OP_FINALLY_FN ? "coir_finally_fn" : "coir_on_failure";
        coir__set(&frame->result, &result);
        frame->flags |= NODE_FINAL;
        uint32_t floor = final_enter(fiber);
        io = frame->final(ENV_OF(frame), &frame->result);
        ENV_BACK();
        frame->floor = floor;                           /* env was there */
        frame->op = OP_MERGE;
        borrowed = false;
        if (unlikely(io == NULL)) {
            result = coir__gave_null(fiber, name);
            GO_UP();
        }
        GO_DOWN();
    }
    UP(ALWAYS):
        io = frame->second;
        borrowed = frame->flags & NODE_BORROWED;
        if (unlikely(result.tag == COIR_CANCELED)) {
            POP_FREE();
            goto leave_second;
        }
        if (likely(result.tag == COIR_OK)) {
            POP_FREE();
            coir_drop(result.value);
            GO_DOWN();
        }
        frame->op = OP_MERGE;
        coir__set(&frame->result, &result);
        GO_DOWN();
    UP(MERGE):
        if (frame->flags & NODE_FINAL)
            final_leave(fiber, frame->floor);
        if (likely(result.tag == COIR_OK)) {
            coir_drop(result.value);
            coir__set(&result, &frame->result);
        } else {
            result = coir_result_and(frame->result, result);
        }
        POP_FREE();
        GO_UP();

    UP(ITERATE):
        if (likely(result.tag == COIR_OK && result.value.type == &again_type)) {
            coir_io *again = result.value.ptr;
            bool sole = coir__node_sole(again);
            coir_value state = value_of(again, !sole, &again->value);
            if (sole)
                coir__node_free(again);
            else
                coir_io_drop(again);
            coir_put(&frame->state, state);
            goto iterate;
        }
        POP();
        coir_drop(frame->state);
        coir__node_free(frame);
        GO_UP();
    UP(REPEAT):
        if (likely(result.tag == COIR_OK && --frame->times > 0)) {
            coir_drop(result.value);
            io = frame->body;
            borrowed = true;
            GO_DOWN();
        }
        POP();
        frame_drop(fiber, frame);
        GO_UP();
    UP(FOREVER):
        if (likely(result.tag == COIR_OK)) {
            coir_drop(result.value);
            io = frame->body;
            borrowed = true;
            GO_DOWN();
        }
        POP();
        frame_drop(fiber, frame);
        GO_UP();
    UP(WHILE): {
        bool again = result.tag == COIR_OK && frame->test(ENV_OF(frame), &result.value);
        ENV_BACK();
        if (likely(again)) {
            coir_drop(result.value);
            io = frame->loop.body;
            borrowed = true;
            GO_DOWN();
        }
        POP();
        frame_drop(fiber, frame);
        GO_UP();
    }
    UP(FOR_EACH):
        if (likely(result.tag == COIR_OK && (frame->loop.consuming || !coir_is_none(&result.value)))) {
            if (frame->loop.consuming) {
                coir_drop(result.value);
                coir_put(&frame->loop.kept, coir_none());
                frame->loop.consuming = false;
                io = frame->loop.body;
                borrowed = true;
                GO_DOWN();
            }
            frame->loop.kept = result.value;
            frame->loop.consuming = true;
            io = frame->flat_map(ENV_OF(frame), &frame->loop.kept);
            ENV_BACK();
            borrowed = false;
            if (likely(io != NULL))
                GO_DOWN();
            result = coir__gave_null(fiber, "coir_for_each");
        }
        POP();
        frame_drop(fiber, frame);
        GO_UP();

    UP(RETRY):
        io = coir__retry_next(seat, frame, &result);
        if (io != NULL) {
            borrowed = io == frame->body;               /* otherwise it is a pause, its own */
            GO_DOWN();
        }
        POP();
        frame_drop(fiber, frame);
        GO_UP();

    UP(PULL):
        if (likely(coir__pulled(frame, &result)))
            goto pull;
        POP_FREE();
        GO_UP();
    UP(HOLD): {
        coir_result end;
        POP();
        frame->prim->give_back(fiber, frame, &end);
        if (unlikely(end.tag != COIR_OK))
            result = coir_result_and(result, end);
        if (!(frame->flags & NODE_BORROWED))
            coir__prim_drop(frame);
        coir__node_free(frame);
        GO_UP();
    }
    UP(MASK):
        fiber->mask--;
        POP_FREE();
        GO_UP();
    UP(UNMASK):
        if (frame->flags & NODE_SAVED) {
            fiber->mask++;
            coir__scopes_raise(fiber, frame->env);
        }
        POP_FREE();
        GO_UP();
    UP(TIMEOUT): {
        struct timed *timed = timed_of(frame);
        coir__scope_close(fiber, &timed->scope);
        if (unlikely(result.tag == COIR_CANCELED && coir__scope_meant(fiber, &timed->scope)))
            result = timed_out(timed->limit, result);
        POP_FREE();
        GO_UP();
    }
    UP(TIMEOUT_TO): {
        struct timed *timed = timed_of(frame);
        io = frame->second;
        borrowed = frame->flags & NODE_BORROWED;
        coir__scope_close(fiber, &timed->scope);
        if (likely(result.tag != COIR_CANCELED || !coir__scope_meant(fiber, &timed->scope))) {
            POP_FREE();
            goto leave_second;
        }
        coir_drop(result.value);
        if (likely(result.also == NULL)) {
            POP_FREE();
            GO_DOWN();
        }
        frame->op = OP_MERGE;                           /* what failed while it unwound was nobody's to take */
        frame->flags &= (uint8_t)~NODE_FINAL;
        frame->result = coir__of_failures(result.also);
        GO_DOWN();
    }
    UP(MACHINE): {
        struct machine_turn turn;
        coir__set(&turn.result, &result);
        enum machine_way way = frame->machine->given(fiber, frame, &turn);
        MACHINE_GOES(way, turn);
    }
    UP(OWNS):
        POP();
        if (!(frame->flags & NODE_BORROWED))
            frame->drop(frame->kept_env);
        coir__node_free(frame);
        GO_UP();
    UP(CHOSEN):
        POP();
        if (unlikely(result.tag != COIR_OK)) {
            coir__node_free(frame);
            GO_UP();
        }
        io = frame->flat_map(ENV_OF(frame), &result.value);
        ENV_BACK();
        KEEP_LENT();
        if (unlikely(io == NULL)) {
            result = coir__gave_null(fiber, "coir_alt");
            GO_UP();
        }
        GO_DOWN();
    UP(PIN):
        POP();
        coir_io_drop(frame->pinned);
        coir__node_free(frame);
        GO_UP();
    UP(KEEP):
        POP();
        coir_drop(frame->value);
        coir__node_free(frame);
        GO_UP();
    UP(KEEP_ALL):
        POP();
        coir_result_drop(&frame->result);
        coir__node_free(frame);
        GO_UP();
    UP(MEMBER):
        POP();
        coir__scope_leave(fiber, frame, &result);
        coir__node_free(frame);
        GO_UP();
    UP(RESTORE):
        POP();
        context_restore(fiber, frame);
        coir__node_free(frame);
        GO_UP();
    UP(ROUTINE): {
        coir_io *next;
        switch (routine_offer(fiber, frame, &next, &result)) {
        case ROUTINE_STEPS:
            goto step;
        case ROUTINE_RUNS:
            io = next;
            borrowed = false;
            GO_DOWN();
        case ROUTINE_IS_OVER:
            goto routine_over;
        }
        unreachable();
    }

    UP(ROUTINE_OVER):
        goto routine_over;

    default:
        unreachable();
    }

    /* A handler by callback: frame is top, and not popped. */
handle:
    POP();
    {
        const char *name = frame->op == OP_CATCH ? "coir_catch" : "coir_recover";
        io = frame->flat_map(ENV_OF(frame), &result.value);
        ENV_BACK();
        if (unlikely(io == NULL)) {
            coir__node_free(frame);
            result = broken_handler(fiber, name, result);
            GO_UP();
        }
        coir__failures_drop(result.also);
        result.also = NULL;
        KEEP_LENT();
        GO_DOWN();
    }

    /* A handler by io. */
instead:
    io = frame->second;
    borrowed = frame->flags & NODE_BORROWED;
    POP_FREE();
    coir_result_drop(&result);
    GO_DOWN();

    /* io is not to be run after all; the result goes on. */
leave_second:
    if (!borrowed)
        coir_io_drop(io);
    GO_UP();
}
