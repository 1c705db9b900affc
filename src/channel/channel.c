/*
 * channel.c - a channel: a ring of values under a guard, and those who wait at either end of it
 *
 * Invariants, under the guard, when nobody is at work:
 *   1. Receivers wait only while the ring is empty and no sender waits. Senders wait only while the ring is full. (But an alternative that
 *      both sends and receives may stand at both ends: it does not meet itself.)
 *   2. Who waits at an end that is over has been woken: receivers when it is closed, all when it is poisoned.
 *   3. The ring grows while the guard is free: nothing is allocated, and no foreign code called, under it.
 *
 * A value is in one place: the sender's frame, the ring, the receiver's result. Who meets a waiter moves it after the claim is won, so a sender that is
 * canceled still has it, and a receiver that is canceled never got it.
 */
#include "channel/channel.h"
#include "channel/ring.h"

#include "resource/resource.h"

#include <inttypes.h>
#include <string.h>

struct coir_channel {
    struct object object;
    size_t        capacity;                             /* I */
    bool          closed, poisoned;                     /* L */
    struct ring   ring;                                 /* L */
    _Atomic size_t size;                                /* A, written under the guard: of the ring, for who looks on */
    union {
        struct queue receivers;                         /* L */
        struct buried buried;                           /* of a dead one */
    };
    struct queue  senders;                              /* L */
};

static const char to_receive[] = "an item of channel", to_send[] = "room in channel";

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_channel *coir_channel_new(size_t capacity)
{
    bool valid = capacity <= SIZE_MAX / 2 || capacity == COIR_UNBOUNDED;
    coir_channel *channel = valid ? coir__alloc(sizeof *channel) : NULL;
    if (channel == NULL) {
        errno = valid ? ENOMEM : EINVAL;
        return NULL;
    }
    object_init(&channel->object);
    channel->capacity = capacity;
    channel->closed = channel->poisoned = false;
    channel->ring = (struct ring){ NULL, 0, 0, 0 };
    atomic_init(&channel->size, 0);
    channel->receivers = channel->senders = (struct queue){ NULL, NULL };
    return channel;
}

coir_channel *coir_channel_ref(coir_channel *channel)
{
    if (channel != NULL)
        handle_ref(&channel->object.handle);
    return channel;
}

/* There may be channels in channels. */
static void channel_empty(struct buried *buried)
{
    coir_channel *channel = container_of(buried, coir_channel, buried);
    coir__ring_drop(&channel->ring);
    coir__object_done(&channel->object);
    coir__free(channel, sizeof *channel);
}

static NOINLINE void channel_let_go(coir_channel *channel)
{
    struct queue *const queues[] = { &channel->receivers, &channel->senders, NULL };
    if (coir__object_let_go(&channel->object, queues, "coir_channel", "a partner at channel"))
        coir__bury(&channel->buried, channel_empty);
}

void coir_channel_drop(coir_channel *channel)
{
    if (channel != NULL && !object_left(&channel->object))
        channel_let_go(channel);
}

static void value_drop(void *object) { coir_channel_drop(object); }
static void *value_share(void *object) { return coir_channel_ref(object); }
static void value_print(const void *object, FILE *out) { fprintf(out, "channel %" PRIu64, coir_channel_id(object)); }
const coir_type coir_channel_type = { "channel", value_drop, value_share, value_print };

coir_value coir_channel_value(coir_channel *channel)
{
    return channel == NULL ? coir_panic_value("coir_channel_value: channel is NULL") : coir_own(channel, &coir_channel_type);
}

uint64_t coir_channel_id(const coir_channel *channel) { return channel == NULL ? 0 : channel->object.serial; }

size_t coir_channel_size(const coir_channel *channel)
{
    return channel == NULL ? 0 : load_relaxed(&((coir_channel *)(uintptr_t)channel)->size);
}

bool coir_channel_expose(coir_channel *channel) { return channel != NULL && coir__object_expose(&channel->object); }

/* -------------------------------------------------------------------------------------------------------- under guard */

static inline bool channel_serves(coir_channel *channel, const coir_fiber *fiber)
{
    return likely(channel->object.user == run_of(fiber)->token)
           || object_serves(&channel->object, fiber, queue_is_empty(&channel->receivers) && queue_is_empty(&channel->senders));
}

static coir_io *first_of(const struct queue *queue) { return frame_of_waiter(queue->first); }

/* To the first who waits at that end, whose claim can be won. */
static ALWAYS_INLINE bool claim_first(coir_channel *channel, struct queue *queue, coir_io **frame, coir_fiber **fiber, enum claim *claim)   /* MODEL alt.pml: claim_first */
{
    while (!queue_is_empty(queue)) {
        *frame = first_of(queue);
        *claim = handle_queue_claim(&channel->object.handle, queue, fiber);
        if (*claim != CLAIM_LOST)
            return true;
    }
    return false;
}

static ALWAYS_INLINE coir_value take_from_sender(coir_channel *channel, bool *found, struct claimed *claimed)
{
    coir_io *frame;
    coir_fiber *fiber;
    enum claim claim;
    *found = claim_first(channel, &channel->senders, &frame, &fiber, &claim);
    if (!*found)
        return coir_none();
    coir_value value = coir_take(&sent_of(frame)->value);
    claimed_add_ok(claimed, fiber, claim, coir_none());
    return value;
}

enum meeting {
    MET, BUSY, CLOSED, POISONED,
    CRAMPED,                                            /* the ring must grow first */
    ABANDONED, FOREIGN                                  /* nobody could ever come; another run's fibers use it */
};

/* Takes *value, if it gives MET. */
static ALWAYS_INLINE enum meeting channel_put(coir_channel *channel, coir_value *value, struct claimed *claimed)      /* MODEL alt.pml: poll */
{
    coir_io *frame;
    coir_fiber *fiber;
    enum claim claim;
    struct ring *ring = &channel->ring;
    if (unlikely(channel->closed))
        return channel->poisoned ? POISONED : CLOSED;
    if (claim_first(channel, &channel->receivers, &frame, &fiber, &claim)) {
        claimed_add_ok(claimed, fiber, claim, coir_take(value));
        return MET;
    }
    if (ring->count >= channel->capacity)
        return BUSY;
    if (unlikely(ring->count == ring->room))
        return CRAMPED;
    ring_push(ring, coir_take(value));
    store_relaxed(&channel->size, ring->count);
    return MET;
}

static ALWAYS_INLINE enum meeting channel_take(coir_channel *channel, coir_value *value, struct claimed *claimed)     /* MODEL alt.pml: poll */
{
    struct ring *ring = &channel->ring;
    bool found;
    if (ring->count > 0) {
        *value = ring_pop(ring);
        if (!queue_is_empty(&channel->senders)) {
            coir_value next = take_from_sender(channel, &found, claimed);
            if (found)
                ring_push(ring, next);
        }
        store_relaxed(&channel->size, ring->count);
        return MET;
    }
    *value = take_from_sender(channel, &found, claimed);
    if (found)
        return MET;
    return channel->poisoned ? POISONED : channel->closed ? CLOSED : BUSY;
}

/* After CRAMPED, without the guard. False: there is no memory. */
static bool channel_grow(coir_channel *channel) { return coir__ring_grow(&channel->ring, &channel->object.guard); }

/* --------------------------------------------------------------------------------------------------- results of waits */

/*
 * What is known under the guard, and what a waker knows, is told in place of a value: the error is made afterwards, by who goes on. (Waking allocates
 * nothing, and neither does who holds a guard.)
 */
static const coir_type told_type = { .name = "end of channel" };

static coir_value told(enum meeting how) { return (coir_value){ .type = &told_type, .u64 = how }; }

static coir_result over(const char *function, const coir_channel *channel, const char *how, int code)
{
    return coir_raise(coir__error(DOMAIN_COIR, code, "%s: channel %" PRIu64 " is %s", function, channel->object.serial, how));
}

/* The result that was told: what it means. */
static ALWAYS_INLINE void settle(const coir_fiber *fiber, const coir_io *frame, const char *function, const char *awaits, coir_result *result)
{
    const coir_channel *channel = frame->object;
    if (likely(result->value.type != &told_type || result->tag != COIR_OK))
        return;
    switch ((enum meeting)result->value.u64) {
    case CLOSED:
        *result = over(function, channel, "closed", COIR_CLOSED);
        break;
    case POISONED:
        *result = over(function, channel, "poisoned", COIR_POISONED);
        break;
    case ABANDONED:
        *result = coir__handle_abandoned(fiber, function, awaits, channel->object.serial);
        break;
    default:
        *result = refused(function);
    }
}

/* L. */
static void wake_all(coir_channel *channel, struct queue *queue, enum meeting how, struct claimed *claimed)
{
    coir_io *frame;
    coir_fiber *fiber;
    enum claim claim;
    while (claim_first(channel, queue, &frame, &fiber, &claim))
        claimed_add_ok(claimed, fiber, claim, told(how));
}

static struct ck_spinlock_fas *guard_of(const coir_io *frame) { return &((coir_channel *)frame->object)->object.guard; }

static ALWAYS_INLINE bool enqueue(struct queue *queue, coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_channel *channel = frame->object;
    object_note(&channel->object);
    if (likely(handle_queue_push(&channel->object.handle, queue, &frame->prim_own.waiter, fiber)))
        return true;
    object_note_end(&channel->object);
    coir__set_ok(result, told(ABANDONED));
    return false;
}

static void leave(struct queue *queue, coir_io *frame)
{
    coir_channel *channel = frame->object;
    spin_lock(&channel->object.guard);
    handle_queue_remove(&channel->object.handle, queue, &frame->prim_own.waiter);
    spin_unlock(&channel->object.guard);
    object_note_end(&channel->object);
}

static struct waits_for channel_waits_for(const coir_io *frame)
{
    const coir_channel *channel = frame->object;
    return (struct waits_for){ .object = channel->object.serial };
}

/* ------------------------------------------------------------------------------------------------------------ receive */

enum receiving { RECEIVE, NEXT, TRY };                  /* a receiver's number */

static const char *receiver_name(const coir_io *node)
{
    static const char *const names[] = { "coir_receive", "coir_next", "coir_try_receive" };
    return names[node->prim_own.number];
}

static ALWAYS_INLINE enum prim_step receive_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    coir_channel *channel = frame->object;
    coir_value value;
    enum meeting meeting = FOREIGN;
    if (likely(channel_serves(channel, fiber)))
        meeting = channel_take(channel, &value, claimed);
    if (meeting == BUSY)
        return PRIM_WAIT;
    coir__set_ok(result, likely(meeting == MET) ? value : told(meeting));
    return PRIM_DONE;
}

static ALWAYS_INLINE void receive_settle(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    if (result->value.type != &told_type || result->tag != COIR_OK) {
        if (frame->prim_own.number == NEXT && result->tag == COIR_OK)
            coir__mark_zero(&result->value);            /* none is the end */
    } else if (result->value.u64 == CLOSED && frame->prim_own.number == NEXT) {
        coir__set_ok(result, coir_none());
    } else {
        settle(fiber, frame, receiver_name(frame), to_receive, result);
    }
}

static enum prim_step receive_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_channel *channel = node->object;
    CLAIMED(claimed);
    spin_lock(&channel->object.guard);
    enum prim_step step = receive_poll(fiber, (coir_io *)(uintptr_t)node, result, &claimed);
    spin_unlock(&channel->object.guard);
    claimed_make_ready(&claimed);
    if (step == PRIM_DONE)
        receive_settle(fiber, (coir_io *)(uintptr_t)node, result);
    return step;
}

static ALWAYS_INLINE bool receive_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_channel *channel = frame->object;
    return enqueue(&channel->receivers, fiber, frame, result);
}

static enum prim_step receive_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_channel *channel = frame->object;
    object_note_end(&channel->object);
    receive_settle(fiber, frame, result);
    return PRIM_DONE;
}

static void receive_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    leave(&((coir_channel *)frame->object)->receivers, frame);
}

static void channel_unref(coir_io *node) { coir_channel_drop(node->object); }

static const struct coir__offer receive_offer = { .guard = guard_of, .poll = receive_poll, .enqueue = receive_enqueue, .settle = receive_settle };

static enum prim_step receive_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    return object_arm(&receive_offer, fiber, frame, result);
}

static const struct coir__prim receive_prim = {
    .name = "receive", .awaits = to_receive, .size = NODE_SIZE_OF(prim_own), .attempt = receive_attempt, .arm = receive_arm,
    .woken = receive_woken, .disarm = receive_disarm, .drop = channel_unref, .waits_for = channel_waits_for, .offer = &receive_offer,
    .arms_at_once = true,
    .exposed_by = "coir_channel_expose",
};

static enum prim_step try_receive_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    if (receive_attempt(fiber, node, result) == PRIM_WAIT)
        *result = coir_raise(coir__error(DOMAIN_ERRNO, EAGAIN, "coir_try_receive: channel %" PRIu64 " is empty", coir_channel_id(node->object)));
    return PRIM_DONE;
}

static const struct coir__prim try_receive_prim = {
    .name = "try_receive", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = try_receive_attempt, .drop = channel_unref,
};

/* --------------------------------------------------------------------------------------------------------------- send */

static bool send_prepare(coir_io *frame) { return channel_grow(frame->object); }

static ALWAYS_INLINE enum prim_step send_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    coir_channel *channel = frame->object;
    enum meeting meeting = FOREIGN;
    if (likely(channel_serves(channel, fiber)))
        meeting = channel_put(channel, &sent_of(frame)->value, claimed);
    if (meeting == BUSY)
        return PRIM_WAIT;
    if (unlikely(meeting == CRAMPED))
        return PRIM_PREPARE;
    coir__set_ok(result, likely(meeting == MET) ? coir_none() : told(meeting));
    return PRIM_DONE;
}

static inline void send_settle(coir_fiber *fiber, coir_io *frame, coir_result *result) { settle(fiber, frame, "coir_send", to_send, result); }

static ALWAYS_INLINE bool send_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_channel *channel = frame->object;
    return enqueue(&channel->senders, fiber, frame, result);
}

static enum prim_step send_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_channel *channel = frame->object;
    object_note_end(&channel->object);
    sent_end(frame);
    send_settle(fiber, frame, result);
    return PRIM_DONE;
}

static void send_disarm(coir_fiber *fiber, coir_io *frame)
{
    (void)fiber;
    leave(&((coir_channel *)frame->object)->senders, frame);
    sent_end(frame);
}

static void send_drop(coir_io *node)
{
    sent_drop(node);
    coir_channel_drop(node->object);
}

static const struct coir__offer send_offer = {
    .guard = guard_of, .begin = sent_begin, .end = sent_end, .prepare = send_prepare, .poll = send_poll, .enqueue = send_enqueue,
    .settle = send_settle, .let_go = channel_unref,
};

static enum prim_step send_arm(coir_fiber *fiber, coir_io *frame, coir_result *result) { return object_arm(&send_offer, fiber, frame, result); }

static const struct coir__prim send_prim = {
    .name = "send", .awaits = to_send, .size = SENT_SIZE, .arm = send_arm, .woken = send_woken,
    .disarm = send_disarm, .drop = send_drop, .waits_for = channel_waits_for, .offer = &send_offer,
    .exposed_by = "coir_channel_expose",
};

static enum prim_step try_send_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_channel *channel = frame->object;
    CLAIMED(claimed);
    enum prim_step step;
    if (unlikely(!sent_begin(frame, result)))
        return PRIM_DONE;
    do {
        spin_lock(&channel->object.guard);
        step = send_poll(fiber, frame, result, &claimed);
        spin_unlock(&channel->object.guard);
    } while (step == PRIM_PREPARE && channel_grow(channel));
    claimed_make_ready(&claimed);
    sent_end(frame);
    if (unlikely(step == PRIM_PREPARE))
        *result = coir__no_memory();
    else if (step == PRIM_WAIT || result->value.type != &told_type)
        coir__set_ok(result, coir_bool(step == PRIM_DONE));
    else
        settle(fiber, frame, "coir_try_send", to_send, result);
    return PRIM_DONE;
}

static const struct coir__prim try_send_prim = {
    .name = "try_send", .awaits = "", .size = SENT_SIZE, .arm = try_send_arm, .drop = send_drop,
};

/* ------------------------------------------------------------------------------------------------------- close, poison */

void coir_close(coir_channel *channel)
{
    CLAIMED(claimed);
    if (channel == NULL)
        return;
    coir_channel_ref(channel);                          /* who is woken may drop the caller's */
    spin_lock(&channel->object.guard);
    channel->closed = true;
    wake_all(channel, &channel->receivers, channel->poisoned ? POISONED : CLOSED, &claimed);
    spin_unlock(&channel->object.guard);
    claimed_make_ready(&claimed);
    coir_channel_drop(channel);
}

void coir_poison(coir_channel *channel)
{
    CLAIMED(claimed);
    if (channel == NULL)
        return;
    coir_channel_ref(channel);
    spin_lock(&channel->object.guard);
    channel->closed = channel->poisoned = true;
    struct ring ring = channel->ring;
    channel->ring = (struct ring){ NULL, 0, 0, 0 };
    store_relaxed(&channel->size, (size_t)0);
    wake_all(channel, &channel->receivers, POISONED, &claimed);
    wake_all(channel, &channel->senders, POISONED, &claimed);
    spin_unlock(&channel->object.guard);
    claimed_make_ready(&claimed);
    coir__ring_drop(&ring);
    coir_channel_drop(channel);
}

static enum prim_step close_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    coir_close(node->object);
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static enum prim_step poison_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    coir_poison(node->object);
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static const struct coir__prim close_prim = {
    .name = "close", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = close_attempt, .drop = channel_unref,
};
static const struct coir__prim poison_prim = {
    .name = "poison", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = poison_attempt, .drop = channel_unref,
};

/* --------------------------------------------------------------------------------------------------------------- ios */

static ALWAYS_INLINE coir_io *node_of_size(size_t size, const struct coir__prim *prim, coir_channel *channel, int64_t number)
{
    coir_io *node = channel == NULL ? NULL : prim_node(prim, size, channel, number);
    if (likely(node != NULL))
        handle_ref(&channel->object.handle);
    return node;
}

static coir_io *channel_io(const struct coir__prim *prim, coir_channel *channel, int64_t number)
{
    return node_of_size(NODE_SIZE_OF(prim_own), prim, channel, number);
}

coir_io *coir_receive(coir_channel *channel)     { return channel_io(&receive_prim, channel, RECEIVE); }
coir_io *coir_next(coir_channel *channel)        { return channel_io(&receive_prim, channel, NEXT); }
coir_io *coir_try_receive(coir_channel *channel) { return channel_io(&try_receive_prim, channel, TRY); }

static coir_io *send_io(const struct coir__prim *prim, coir_channel *channel, coir_value value)
{
    if (coir__is_panic_value(&value))
        return coir_pure(value);
    return sent_put(node_of_size(SENT_SIZE, prim, channel, 0), value);
}

coir_io *coir_send(coir_channel *channel, coir_value value)     { return send_io(&send_prim, channel, value); }
coir_io *coir_try_send(coir_channel *channel, coir_value value) { return send_io(&try_send_prim, channel, value); }

static coir_io *ending_with(const struct coir__prim *prim, coir_channel *channel, coir_io *io)
{
    coir_io *end = channel_io(prim, channel, 0);
    if (io != NULL && end != NULL)
        return coir_finally(io, end);
    coir_io_drop(io);
    coir_io_drop(end);
    return NULL;
}

coir_io *coir_closing(coir_channel *channel, coir_io *io)   { return ending_with(&close_prim, channel, io); }
coir_io *coir_poisoning(coir_channel *channel, coir_io *io) { return ending_with(&poison_prim, channel, io); }

/* ------------------------------------------------------------------------------------------------------------ threads */

/* NULL: a thread may use it there. */
static const char *thread_refused(const coir_channel *channel, bool waits)
{
    if (channel == NULL)
        return "channel is NULL";
    if (!load_relaxed(&channel->object.exposed))        /* relaxed: whoever gave it to this thread exposed it before */
        return "the channel is not exposed (coir_channel_expose)";
    return waits && (coir__me.seat != NULL || coir__me.in_hook > 0) ? "called from a callback: it would block a worker" : NULL;
}

static coir_result thread_error(const char *function, const char *why)
{
    return coir_raise(coir__error(DOMAIN_COIR, COIR_REFUSED, "%s: %s", function, why));
}

/* Takes *value, if it gives MET. BUSY: also when there is no memory. */
static enum meeting thread_put(coir_channel *channel, coir_value *value)
{
    CLAIMED(claimed);
    enum meeting meeting;
    do {
        spin_lock(&channel->object.guard);
        meeting = channel_put(channel, value, &claimed);
        spin_unlock(&channel->object.guard);
    } while (meeting == CRAMPED && channel_grow(channel));
    claimed_make_ready(&claimed);
    return meeting;
}

static enum meeting thread_take(coir_channel *channel, coir_value *value)
{
    CLAIMED(claimed);
    spin_lock(&channel->object.guard);
    enum meeting meeting = channel_take(channel, value, &claimed);
    spin_unlock(&channel->object.guard);
    claimed_make_ready(&claimed);
    return meeting;
}

/* A thread that waits is a run of one fiber, whose worker is that thread. */
static coir_result in_own_run(coir_io *io) { return coir_run(io, COIR_OPTIONS(.workers = 1)); }

coir_result coir_thread_send(coir_channel *channel, coir_value value)
{
    const char *refused = thread_refused(channel, true);
    if (unlikely(coir__is_panic_value(&value)))
        return coir__panic_of(value);
    if (refused == NULL)
        return thread_put(channel, &value) == MET ? coir_ok(coir_none()) : in_own_run(coir_send(channel, value));
    coir_drop(value);
    return thread_error("coir_thread_send", refused);
}

coir_result coir_thread_receive(coir_channel *channel)
{
    coir_value value;
    const char *refused = thread_refused(channel, true);
    if (refused != NULL)
        return thread_error("coir_thread_receive", refused);
    return thread_take(channel, &value) == MET ? coir_ok(value) : in_own_run(coir_receive(channel));
}

bool coir_thread_try_send(coir_channel *channel, coir_value value)
{
    bool is_sent = thread_refused(channel, false) == NULL && !coir__is_panic_value(&value) && thread_put(channel, &value) == MET;
    coir_drop(value);
    return is_sent;
}

bool coir_thread_try_receive(coir_channel *channel, coir_value *value)
{
    bool is_received = value != NULL && thread_refused(channel, false) == NULL && thread_take(channel, value) == MET;
    if (value != NULL && !is_received)
        *value = coir_none();
    return is_received;
}
