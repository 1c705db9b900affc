/*
 * scope.c - coir_scope(), coir_supervise(): what io forks, however deep, ends before io does
 *
 * A scope is an object that its owner's frame and all its members count. It travels as an entry of the context, so children inherit it and a fork
 * without one costs nothing. A member has a frame at the bottom of its stack, MEMBER, before it starts: whatever becomes of the fiber, its
 * end passes through there, and tells the scope.
 *
 * The owner's frame is a machine (io/machine.h):
 *
 *   phase       what runs above it                       when it has ended
 *   BODY        io, under a cancel_scope                 closes that; OK: waits; otherwise asks the members to end, and waits for the last
 *   WAITING     the wait for the members                 OK: all together are the result; otherwise (canceled, or the grace is over) asks
 *                                                        the members to end, and waits for the last
 *   LAST        the same, masked                         all together are the result
 * The waits are made beforehand: they need no memory.
 *
 * Under `lock` (L): who leaves unlinks itself and, if it is the first to fail in a coir_scope(), asks the others and the owner's body to end. The
 * owner waits until the list is empty; `waiting` says that its wait may be claimed. Whoever claims it touches the scope no more, and
 * the owner none but under the lock, so the two cannot miss each other.
 */
#include "fiber/scope.h"

#include "fiber/cancel.h"
#include "fiber/local.h"
#include "fiber/par.h"
#include "io/machine.h"

#include <coir/fiber.h>

enum kind { CANCELS, SUPERVISES };

struct coir__scope {
    _Atomic uint32_t refs;
    enum kind        kind;                              /* I */
    coir_fiber      *owner;                             /* I; alive as long as there is a member */
    ck_spinlock_fas_t lock;
    coir_io         *members;                           /* L: their MEMBER frames */
    struct cancel_scope *body;                          /* L: while io runs; then NULL */
    bool             waiting;                           /* L: the owner's wait may be claimed */
    bool             canceling;                         /* L: the members are asked to end, and so who is forked from now on */
    bool             canceled_from_outside;             /* L: a member was canceled though nobody here had asked it */
    coir_failure    *failed;                            /* L: of the members, the first failure first */
};

/* ------------------------------------------------------------------------------------------------------------- counted */

static void scope_drop(void *object)
{
    struct coir__scope *scope = object;
    if (fetch_sub_acq_rel(&scope->refs, 1u) != 1)
        return;
    coir__failures_drop(scope->failed);
    coir__free(scope, sizeof *scope);
}

static void *scope_share(void *object)
{
    fetch_add_relaxed(&((struct coir__scope *)object)->refs, 1u);
    return object;
}

static const coir_type scope_type = { "scope", scope_drop, scope_share, NULL };

struct coir__scope *coir__scope_of(const coir_fiber *fiber)
{
    if (likely(fiber->context == NULL))
        return run_of(fiber)->root;
    struct coir__scope *scope = coir_cast(coir__context_key(fiber, &coir__scope_key), &scope_type);
    return scope != NULL ? scope : run_of(fiber)->root;
}

bool coir__scope_awaits(const coir_fiber *other, const coir_fiber *fiber)
{
    const struct coir__context *context = fiber->context;
    for (const coir_value *value; (value = coir__context_next(&context, &coir__scope_key)) != NULL; ) {
        const struct coir__scope *scope = coir_cast(value, &scope_type);
        if (scope == NULL)
            return false;                               /* detached */
        if (scope->owner == other || coir__is_ancestor(other, scope->owner))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- members */

bool coir__scope_admit(struct coir__scope *scope, coir_fiber *fiber)
{
    coir_io *frame = coir__node_new(OP_MEMBER, NODE_SIZE_OF(member));
    if (frame == NULL)
        return false;
    frame->up = NULL;
    frame->scope = scope_share(scope);
    frame->member.fiber = fiber;
    frame->member.prev = NULL;
    spin_lock(&scope->lock);
    frame->member.next = scope->members;
    if (frame->member.next != NULL)
        frame->member.next->member.prev = frame;
    scope->members = frame;
    if (scope->canceling && !load_relaxed(&fiber->is_child)) {
        store_relaxed(&fiber->requested, 1);            /* relaxed: it has not begun */
        store_relaxed(&fiber->asked, 1);
    }
    spin_unlock(&scope->lock);
    fiber->top = frame;
    return true;
}

/* L. Nobody waits for a lock of ours when it is made ready, so it may be done here; and a member that is in the list is alive. One whose parent
 * waits for it is asked by that. All are asked before the first is woken: see coir__cancel_note(). */
static void ask_members(struct coir__scope *scope)
{
    scope->canceling = true;
    for (coir_io *frame = scope->members; frame != NULL; frame = frame->member.next)
        if (!load_relaxed(&frame->member.fiber->is_child))
            coir__cancel_note(frame->member.fiber);
    for (coir_io *frame = scope->members; frame != NULL; frame = frame->member.next)
        if (!load_relaxed(&frame->member.fiber->is_child))
            coir__cancel_poke(frame->member.fiber);
}

void coir__scope_adopt(struct coir__scope *scope, coir_fiber *fiber)
{
    spin_lock(&scope->lock);
    store_relaxed(&fiber->is_child, 0);
    bool canceling = scope->canceling;
    spin_unlock(&scope->lock);
    if (canceling)
        coir__cancel_request(fiber);
}

/* L. */
static void ask_all(struct coir__scope *scope)
{
    if (scope->canceling)
        return;
    ask_members(scope);
    if (scope->body != NULL) {
        coir__scope_request(scope->owner, scope->body);
        coir__cancel_poke(scope->owner);
    }
}

/* L. */
static void unlink_member(struct coir__scope *scope, coir_io *frame)
{
    if (frame->member.next != NULL)
        frame->member.next->member.prev = frame->member.prev;
    if (frame->member.prev != NULL)
        frame->member.prev->member.next = frame->member.next;
    else
        scope->members = frame->member.next;
}

static bool has_failed(const coir_result *result)
{
    return result->tag == COIR_ERROR || result->tag == COIR_PANIC || result->also != NULL;
}

static bool can_share(const coir_result *result)
{
    bool can = coir_can_share(&result->value);
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f))
        can = can && coir_can_share(coir_failure_value(f));
    return can;
}

/* The failure of a member counts in its scope, whoever else looks at it. What cannot be shared the scope gets. */
static coir_result failure_for_scope(const coir_fiber *fiber, coir_result *result)
{
    if (can_share(result))
        return coir_result_share(result);
    char label[64];
    coir_result failure = *result;
    *result = coir__panicf(DOMAIN_COIR, COIR_MISUSE, "the failure of fiber%s cannot be shared, and its scope has it",
                           coir__fiber_label(fiber, label, sizeof label));
    return failure;
}

/* L. What the end of a member means for the others. Takes failure. */
static void note_end(struct coir__scope *scope, coir_tag tag, bool counts, coir_failure *failure)
{
    if (scope->kind == SUPERVISES)
        return;
    bool from_outside = tag == COIR_CANCELED && !scope->canceling;
    scope->failed = coir__failures_join(scope->failed, failure);
    scope->canceled_from_outside = scope->canceled_from_outside || from_outside;
    if (counts || from_outside)
        ask_all(scope);
}

void coir__scope_leave(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    struct coir__scope *scope = frame->scope;
    bool is_told = result != NULL && !load_relaxed(&fiber->is_child);           /* a child's end its parent makes something of */
    bool counts = is_told && scope->kind == CANCELS && has_failed(result) && result->tag != COIR_CANCELED;
    coir_failure *failure = counts ? coir__failures_of(failure_for_scope(fiber, result)) : NULL;       /* not under the lock: it allocates */
    enum claim claim = CLAIM_LOST;
    coir_fiber *owner = scope->owner;
    if (counts)
        store_relaxed(&fiber->seen, 1);                 /* the scope tells it */
    spin_lock(&scope->lock);
    unlink_member(scope, frame);
    if (is_told)
        note_end(scope, result->tag, counts, failure);
    if (scope->members == NULL && scope->waiting) {
        scope->waiting = false;
        claim = wait_claim(&owner->wait, wait_generation(&owner->wait));
    }
    spin_unlock(&scope->lock);
    if (claim != CLAIM_LOST)
        coir__deliver(owner, claim, coir_ok(coir_none()));
    scope_drop(scope);
}

/* ------------------------------------------------------------------------------------------------------ the owner's wait */

static bool scope_is_empty(struct coir__scope *scope, bool waiting)
{
    spin_lock(&scope->lock);
    bool is_empty = scope->members == NULL;
    scope->waiting = waiting && !is_empty;
    spin_unlock(&scope->lock);
    return is_empty;
}

static enum prim_step wait_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    *result = coir_ok(coir_none());
    return scope_is_empty(node->object, false) ? PRIM_DONE : PRIM_WAIT;
}

static enum prim_step wait_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    (void)fiber;
    *result = coir_ok(coir_none());
    return scope_is_empty(frame->object, true) ? PRIM_DONE : PRIM_WAIT;
}

static void wait_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    (void)scope_is_empty(frame->object, false);
}

static struct waits_for wait_waits_for(const coir_io *frame)
{
    (void)frame;
    return (struct waits_for){ .for_fiber = true, .is_let_be = true };
}

static void wait_drop(coir_io *node) { scope_drop(node->object); }

static const struct coir__prim wait_prim = {
    .name = "wait_for_children", .awaits = "the end of a scope's children", .size = NODE_SIZE_OF(prim_own), .attempt = wait_attempt,
    .arm = wait_arm, .disarm = wait_disarm, .drop = wait_drop, .waits_for = wait_waits_for,
};

/* ------------------------------------------------------------------------------------------------------ the owner's frame */

enum phase { BODY, WAITING, LAST };

struct owner {
    coir_io      *io;                                   /* taken when it is run, unless the frame is borrowed */
    enum kind     kind;
    int64_t       grace;                                /* how long the members have when io has ended; INT64_MAX: no bound */
    /* Of a frame. */
    enum phase    phase;
    struct coir__scope *scope;
    struct coir__context *context;                      /* what stood before */
    struct cancel_scope body;
    coir_io      *wait, *last_wait;                     /* made beforehand */
    coir_result   result;                               /* io's */
    coir_result   waited;                               /* how the first wait ended, if it was not OK */
    bool          was_first;                            /* io had failed before any member did */
};

static struct owner *owner_of(coir_io *node) { return (struct owner *)(void *)((char *)node + NODE_SMALL); }
enum { OWNER_SIZE = NODE_SMALL + sizeof(struct owner) };

static struct coir__scope *scope_new(coir_fiber *owner, enum kind kind)
{
    struct coir__scope *scope = coir__alloc(sizeof *scope);
    if (scope == NULL)
        return NULL;
    *scope = (struct coir__scope){ .kind = kind, .owner = owner };
    atomic_init(&scope->refs, 1);
    ck_spinlock_fas_init(&scope->lock);
    return scope;
}

static coir_io *wait_new(struct coir__scope *scope)
{
    coir_io *wait = coir__prim_new(&wait_prim, scope, 0);
    if (wait != NULL)
        (void)scope_share(scope);
    return wait;
}

static void owner_empty(coir_fiber *fiber, coir_io *frame)
{
    struct owner *owner = owner_of(frame);
    if (owner->phase == BODY && owner->scope != NULL && owner->scope->body != NULL) {
        coir__scope_close(fiber, &owner->body);
        coir__context_drop(fiber->context);
        fiber->context = owner->context;
    }
    coir_io_drop(owner->wait);
    coir_io_drop(owner->last_wait);
    coir_result_drop(&owner->result);
    coir_result_drop(&owner->waited);
    if (owner->scope != NULL)
        scope_drop(owner->scope);
    owner->wait = owner->last_wait = NULL;
    owner->scope = NULL;
}

/* All that the scope will need. False: no memory. */
static bool owner_prepare(coir_fiber *fiber, struct owner *owner)
{
    owner->scope = scope_new(fiber, owner->kind);
    if (owner->scope == NULL)
        return false;
    owner->wait = wait_new(owner->scope);
    owner->last_wait = wait_new(owner->scope);
    if (owner->grace != INT64_MAX)
        owner->wait = coir_timeout(owner->wait, coir_ns(owner->grace));
    struct coir__context *context = coir__context_with_key(fiber->context, &coir__scope_key, coir_own(scope_share(owner->scope), &scope_type));
    if (context == NULL || owner->wait == NULL || owner->last_wait == NULL) {
        coir__context_drop(context);
        return false;
    }
    owner->context = fiber->context;
    fiber->context = context;
    return true;
}

static enum machine_way owner_begin(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    struct owner *owner = owner_of(frame);
    owner->phase = BODY;
    owner->scope = NULL;
    owner->wait = owner->last_wait = NULL;
    owner->result = owner->waited = coir_ok(coir_none());
    owner->was_first = false;
    if (!owner_prepare(fiber, owner)) {
        owner_empty(fiber, frame);
        turn->result = coir__no_memory();
        return MACHINE_IS_OVER;
    }
    coir__scope_open(fiber, &owner->body, INT64_MAX);
    owner->scope->body = &owner->body;                  /* without the lock: nobody knows the scope yet */
    turn->io = owner->io;
    turn->borrowed = frame->flags & NODE_BORROWED;
    if (!turn->borrowed)
        owner->io = NULL;
    return MACHINE_RUNS;
}

/* The members are asked to end, and nothing keeps the owner from waiting for them. */
static enum machine_way wait_for_last(coir_fiber *fiber, struct owner *owner, struct machine_turn *turn)
{
    struct coir__scope *scope = owner->scope;
    spin_lock(&scope->lock);
    if (!scope->canceling)
        ask_members(scope);
    spin_unlock(&scope->lock);
    owner->phase = LAST;
    fiber->mask++;
    turn->io = owner->last_wait;
    owner->last_wait = NULL;
    return MACHINE_RUNS;
}

/* io has ended. */
static enum machine_way body_ended(coir_fiber *fiber, struct owner *owner, struct machine_turn *turn)
{
    struct coir__scope *scope = owner->scope;
    bool failed = turn->result.tag != COIR_OK;
    spin_lock(&scope->lock);
    scope->body = NULL;                                 /* from here on no member asks it */
    owner->was_first = failed && scope->failed == NULL && !scope->canceled_from_outside;
    spin_unlock(&scope->lock);
    coir__scope_close(fiber, &owner->body);
    if (turn->result.tag == COIR_CANCELED && coir__scope_meant(fiber, &owner->body)) {
        coir_failure *also = turn->result.also;         /* canceled by a member's end, which is what counts */
        turn->result = also == NULL ? coir_ok(coir_none()) : coir__of_failures(also);
    }
    owner->result = turn->result;
    coir__context_drop(fiber->context);
    fiber->context = owner->context;
    turn->borrowed = false;
    if (failed)
        return wait_for_last(fiber, owner, turn);
    owner->phase = WAITING;
    turn->io = owner->wait;
    owner->wait = NULL;
    return MACHINE_RUNS;
}

/* A member was canceled by somebody else: so is the owner, if it can see that. */
static coir_result owner_canceled(coir_fiber *fiber, coir_result result)
{
    coir_result more = coir_result_of(COIR_CANCELED, coir_none());
    if (fiber->mask == 0)
        coir__cancel_request(fiber);
    else
        more = coir_raise(coir__error(DOMAIN_COIR, COIR_CHILD_CANCELED, "coir_scope: a child was canceled"));
    return coir_result_and(result, more);
}

/* All members have ended. */
static coir_result owner_result(coir_fiber *fiber, struct owner *owner)
{
    struct coir__scope *scope = owner->scope;
    coir_result result = coir_result_take(&owner->result);
    if (scope->failed != NULL) {
        coir_result failed = coir__of_failures(scope->failed);
        scope->failed = NULL;
        result = owner->was_first || result.tag == COIR_OK ? coir_result_and(result, failed) : coir_result_and(failed, result);
    }
    if (scope->canceled_from_outside)
        result = owner_canceled(fiber, result);
    if (owner->waited.tag == COIR_CANCELED || owner->waited.tag == COIR_PANIC)      /* otherwise the grace was over */
        result = coir_result_and(result, coir_result_take(&owner->waited));
    return result;
}

static enum machine_way owner_given(coir_fiber *fiber, coir_io *frame, struct machine_turn *turn)
{
    struct owner *owner = owner_of(frame);
    turn->borrowed = false;
    switch (owner->phase) {
    case BODY:
        return body_ended(fiber, owner, turn);
    case WAITING:
        owner->waited = turn->result;
        if (turn->result.tag != COIR_OK)
            return wait_for_last(fiber, owner, turn);
        break;
    case LAST:
        fiber->mask--;
        coir_result_drop(&turn->result);
        break;
    }
    turn->result = owner_result(fiber, owner);
    owner_empty(fiber, frame);
    return MACHINE_IS_OVER;
}

static void owner_drop(coir_io *node) { coir_io_drop(owner_of(node)->io); }

/* --------------------------------------------------------------------------------------------------------------- ios */

static const struct coir__machine scope_machine = {
    .name = "scope", .begin = owner_begin, .given = owner_given, .empty = owner_empty, .drop = owner_drop,
};
static const struct coir__machine supervise_machine = {
    .name = "supervise", .begin = owner_begin, .given = owner_given, .empty = owner_empty, .drop = owner_drop,
};

static coir_io *owner_io(const struct coir__machine *machine, enum kind kind, coir_io *io, int64_t grace)
{
    coir_io *node = io == NULL ? NULL : coir__node_new(OP_MACHINE, OWNER_SIZE);
    if (node == NULL) {
        coir_io_drop(io);
        return NULL;
    }
    node->child = NULL;
    node->machine = machine;
    node->object = NULL;
    owner_of(node)->io = io;
    owner_of(node)->kind = kind;
    owner_of(node)->grace = grace;
    return node;
}

coir_io *coir_scope(coir_io *io)     { return owner_io(&scope_machine, CANCELS, io, INT64_MAX); }
coir_io *coir_supervise(coir_io *io) { return owner_io(&supervise_machine, SUPERVISES, io, INT64_MAX); }
coir_io *coir_supervise_drain(coir_io *io, coir_duration grace) { return owner_io(&supervise_machine, SUPERVISES, io, grace.ns); }
coir_io *coir_fork_detached(coir_io *io) { return coir_with_key(&coir__scope_key, coir_none(), coir_fork(io)); }
