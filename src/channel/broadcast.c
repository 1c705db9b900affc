/*
 * broadcast.c - a broadcast: one ring of messages under a guard, and for each subscriber a place in it
 *
 * The messages have numbers, from 0 on. `first` is that of the oldest in the ring, `next` that of the one to come. A subscriber has received those before its
 * `next`; one whose `next` is less than `first` has lost some.
 *
 * Invariants, under the guard, when nobody is at work:
 *   1. The ring holds at most `capacity` messages. At most `replay` of them, the oldest in it, are wanted by no subscriber: a message's `wanted` says how
 *      many want it.
 *      Who wants one wants all behind it.
 *   2. Receivers wait only at a subscription that has nothing left. Publishers wait only while the ring is full and its oldest is wanted, of COIR_SLOW_WAIT.
 *   3. Receivers whose subscription is over have been woken; and, when it is closed and no publisher waits, all receivers.
 *   4. The ring grows while the guard is free: nothing is allocated or dropped, no foreign code is called, under it.
 *
 * The ring has a reference to a message, and so has who is about to give it to his fiber: the share of its value is made by that fiber, without the guard. A
 * publisher has made his message before he comes to the guard; at most one goes when one comes, and takes its place in his frame, where it is dropped.
 */
#include "channel/channel.h"
#include "channel/ring.h"

#include "resource/resource.h"
#include "value/object.h"

#include <coir/broadcast.h>

#include <inttypes.h>

struct message {
    _Atomic uint32_t refs;                              /* A [REFS] */
    coir_value       value;                             /* I */
    size_t           wanted;                            /* L */
    struct message  *next;                              /* L: of those that are to be dropped */
};

struct coir_broadcast {
    struct object  object;
    size_t         capacity, replay;                    /* I */
    coir_when_slow when_slow;                           /* I */
    bool           closed;                              /* L */
    struct ring    ring;                                /* L: of messages, each as a value */
    uint64_t       next;                                /* L */
    union {
        struct queue publishers;                        /* L */
        struct buried buried;                           /* of a dead one */
    };
    coir_subscription *subscriptions;                   /* L */
    _Atomic size_t count;                               /* A, written under the guard: of the subscriptions */
};

struct coir_subscription {
    coir_broadcast    *broadcast;                       /* I */
    _Atomic uint32_t   refs;                            /* A [REFS] */
    bool               is_over;                         /* L */
    uint64_t           next;                            /* L */
    _Atomic uint64_t   lost;                            /* A, written under the guard */
    struct queue       receivers;                       /* L */
    coir_subscription *after, *before;                  /* L */
};

static const char to_publish[] = "room in broadcast", to_receive[] = "a message of broadcast";

/* ----------------------------------------------------------------------------------------------------------- messages */

static void message_unref(void *message_)
{
    struct message *message = message_;
    if (fetch_sub_acq_rel(&message->refs, 1u) > 1)                              /* [REFS] */
        return;
    coir_drop(message->value);
    coir__free(message, sizeof *message);
}
static const coir_type message_type = { "message", message_unref, NULL, NULL };

/* Takes value. A panic value without memory. */
static coir_value message_new(coir_value value)
{
    struct message *message = coir__alloc(sizeof *message);
    if (message == NULL) {
        coir_drop(value);
        return coir__no_memory_value();
    }
    *message = (struct message){ .value = value };
    atomic_init(&message->refs, 1);
    return coir_own(message, &message_type);
}

static coir_value one_more(struct message *message)
{
    fetch_add_relaxed(&message->refs, 1u);              /* relaxed: the ring has one */
    return coir_own(message, &message_type);
}

/* What is in the message, of which the caller has a reference: the value itself if nobody else has one. */
static coir_value opened(coir_value boxed)
{
    struct message *message = boxed.ptr;
    coir_value value = refs_is_sole(&message->refs) ? coir_take(&message->value) : coir_share(&message->value);
    message_unref(message);
    return value;
}

static void messages_drop(struct message *message)
{
    for (struct message *next; message != NULL; message = next) {
        next = message->next;
        message_unref(message);
    }
}

/* ------------------------------------------------------------------------------------------------------------- handle */

coir_broadcast *coir_broadcast_new(size_t capacity, coir_when_slow when_slow, size_t replay)
{
    bool valid = capacity > 0 && (capacity <= SIZE_MAX / 2 || capacity == COIR_UNBOUNDED) && replay <= capacity && (unsigned)when_slow <= COIR_SLOW_FAIL;
    coir_broadcast *broadcast = valid ? coir__alloc(sizeof *broadcast) : NULL;
    if (broadcast == NULL) {
        errno = valid ? ENOMEM : EINVAL;
        return NULL;
    }
    memset(broadcast, 0, sizeof *broadcast);
    object_init(&broadcast->object);
    broadcast->capacity = capacity;
    broadcast->replay = replay;
    broadcast->when_slow = when_slow;
    return broadcast;
}

coir_broadcast *coir_broadcast_ref(coir_broadcast *broadcast)
{
    if (broadcast != NULL)
        handle_ref(&broadcast->object.handle);
    return broadcast;
}

/* There may be broadcasts in the messages of broadcasts. */
static void broadcast_empty(struct buried *buried)
{
    coir_broadcast *broadcast = container_of(buried, coir_broadcast, buried);
    coir__ring_drop(&broadcast->ring);
    coir__object_done(&broadcast->object);
    coir__free(broadcast, sizeof *broadcast);
}

void coir_broadcast_drop(coir_broadcast *broadcast)
{
    if (broadcast == NULL)
        return;
    struct queue *const queues[] = { &broadcast->publishers, NULL };
    if (coir__object_let_go(&broadcast->object, queues, "coir_publish", to_publish))
        coir__bury(&broadcast->buried, broadcast_empty);
}

static void value_drop(void *object) { coir_broadcast_drop(object); }
static void *value_share(void *object) { return coir_broadcast_ref(object); }
static void value_print(const void *object, FILE *out) { fprintf(out, "broadcast %" PRIu64, coir_broadcast_id(object)); }
const coir_type coir_broadcast_type = { "broadcast", value_drop, value_share, value_print };

coir_value coir_broadcast_value(coir_broadcast *broadcast)
{
    return broadcast == NULL ? coir_panic_value("coir_broadcast_value: broadcast is NULL") : coir_own(broadcast, &coir_broadcast_type);
}

uint64_t coir_broadcast_id(const coir_broadcast *broadcast) { return broadcast == NULL ? 0 : broadcast->object.serial; }
bool coir_broadcast_expose(coir_broadcast *broadcast)       { return broadcast != NULL && coir__object_expose(&broadcast->object); }

size_t coir_broadcast_subscribers(const coir_broadcast *broadcast)
{
    return broadcast == NULL ? 0 : load_relaxed(&((coir_broadcast *)(uintptr_t)broadcast)->count);
}

/* ------------------------------------------------------------------------------------------------ the ring, under guard */

static uint64_t first_of(const coir_broadcast *broadcast) { return broadcast->next - broadcast->ring.count; }

static struct message *message_at(const coir_broadcast *broadcast, uint64_t number)
{
    const struct ring *ring = &broadcast->ring;
    return ring->items[(ring->first + (size_t)(number - first_of(broadcast))) & (ring->room - 1)].ptr;
}

static bool oldest_is_wanted(const coir_broadcast *broadcast) { return message_at(broadcast, first_of(broadcast))->wanted > 0; }

/* The oldest in the ring is there for nobody. */
static bool has_waste(const coir_broadcast *broadcast)
{
    return broadcast->ring.count > broadcast->replay && !oldest_is_wanted(broadcast);
}

static bool is_full(const coir_broadcast *broadcast)
{
    return broadcast->ring.count >= broadcast->capacity && oldest_is_wanted(broadcast);
}

/* Of the oldest, at most one of which is waste: it is the caller's to drop. None: there is none. */
static coir_value waste_of(coir_broadcast *broadcast) { return has_waste(broadcast) ? ring_pop(&broadcast->ring) : coir_none(); }

/* ------------------------------------------------------------------------------------------------------- under guard */

static bool broadcast_is_unused(const coir_broadcast *broadcast)
{
    return broadcast->subscriptions == NULL && queue_is_empty(&broadcast->publishers);
}

enum outcome {
    MET, BUSY, CLOSED, OVER, LAGGED,
    CRAMPED                                             /* the ring must grow first */
};

static const coir_type told_type = { .name = "end of broadcast" }, lagged_type = { .name = "lost" };

static coir_value told(enum outcome how) { return (coir_value){ .type = &told_type, .u64 = how }; }

/* To the first who waits there and whose claim can be won. False: there is nobody. */
static bool wake_first(struct queue *receivers, coir_value with, struct claimed *claimed)
{
    coir_fiber *fiber;
    while (!queue_is_empty(receivers)) {
        enum claim claim = queue_claim(receivers, &fiber);
        if (claim == CLAIM_LOST)
            continue;
        claimed_add_ok(claimed, fiber, claim, with);
        return true;
    }
    return false;
}

static void wake_all(struct queue *receivers, coir_value with, struct claimed *claimed)
{
    while (wake_first(receivers, with, claimed))
        continue;
}

/* One subscriber's: to who waits there, or wanted. A reference that nobody could be given goes back; the ring has another. */
static void offer_to(coir_subscription *subscription, struct message *message, struct claimed *claimed)
{
    if (!queue_is_empty(&subscription->receivers)) {
        if (wake_first(&subscription->receivers, one_more(message), claimed)) {
            subscription->next++;
            return;
        }
        fetch_sub_acq_rel(&message->refs, 1u);
    }
    message->wanted++;
}

/* Into the ring, which has room. *value is then what is to be dropped. */
static void message_add(coir_broadcast *broadcast, coir_value *value, struct claimed *claimed)
{
    struct message *message = value->ptr;
    coir_value old = broadcast->ring.count >= broadcast->capacity ? ring_pop(&broadcast->ring) : coir_none();
    ring_push(&broadcast->ring, *value);
    broadcast->next++;
    for (coir_subscription *s = broadcast->subscriptions; s != NULL; s = s->after)
        offer_to(s, message, claimed);
    coir__set_value(value, coir_is_none(&old) ? waste_of(broadcast) : old);
}

/* Takes *value, a message, if it gives MET; what *value is then is to be dropped. */
static enum outcome broadcast_put(coir_broadcast *broadcast, coir_value *value, struct claimed *claimed)
{
    if (broadcast->closed)
        return CLOSED;
    if (broadcast->when_slow == COIR_SLOW_WAIT && is_full(broadcast))
        return BUSY;
    if (broadcast->ring.count == broadcast->ring.room && broadcast->ring.count < broadcast->capacity)
        return CRAMPED;
    message_add(broadcast, value, claimed);
    return MET;
}

static coir_value subscribers_of(const coir_broadcast *broadcast) { return coir_uint(load_relaxed(&((coir_broadcast *)(uintptr_t)broadcast)->count)); }

/* Nothing will come any more. Who waited to publish when it was closed came first. */
static bool is_at_end(const coir_broadcast *broadcast) { return broadcast->closed && queue_is_empty(&broadcast->publishers); }

static void end_if_over(coir_broadcast *broadcast, struct claimed *claimed)
{
    for (coir_subscription *s = broadcast->subscriptions; s != NULL && is_at_end(broadcast); s = s->after)
        wake_all(&s->receivers, told(CLOSED), claimed);
}

/* When the oldest is wanted by fewer: publishers who wait for room put theirs in. */
static void let_in(coir_broadcast *broadcast, struct claimed *claimed)
{
    coir_fiber *fiber;
    while (!queue_is_empty(&broadcast->publishers) && !is_full(broadcast)) {
        coir_io *frame = frame_of_waiter(broadcast->publishers.first);
        enum claim claim = handle_queue_claim(&broadcast->object.handle, &broadcast->publishers, &fiber);
        if (claim == CLAIM_LOST)
            continue;
        message_add(broadcast, &sent_of(frame)->value, claimed);
        claimed_add_ok(claimed, fiber, claim, subscribers_of(broadcast));
    }
    end_if_over(broadcast, claimed);
}

/* Who has lost some goes on with the oldest. Gives how many. */
static uint64_t catch_up(coir_subscription *subscription)
{
    uint64_t first = first_of(subscription->broadcast), lost = subscription->next < first ? first - subscription->next : 0;
    subscription->next += lost;
    store_relaxed(&subscription->lost, load_relaxed(&subscription->lost) + lost);       /* relaxed: under the guard; others look on */
    return lost;
}

/* MET: *value is a message. LAGGED: *value is how many. */
static enum outcome subscription_take(coir_subscription *subscription, coir_value *value, struct claimed *claimed)
{
    coir_broadcast *broadcast = subscription->broadcast;
    if (subscription->is_over)
        return OVER;
    uint64_t lost = catch_up(subscription);
    if (lost > 0 && broadcast->when_slow == COIR_SLOW_FAIL) {
        *value = (coir_value){ .type = &lagged_type, .u64 = lost };
        return LAGGED;
    }
    if (subscription->next == broadcast->next)
        return is_at_end(broadcast) ? CLOSED : BUSY;
    struct message *message = message_at(broadcast, subscription->next++);
    message->wanted--;
    *value = has_waste(broadcast) ? ring_pop(&broadcast->ring) : one_more(message);     /* it was this one that became waste */
    let_in(broadcast, claimed);
    return MET;
}

/* --------------------------------------------------------------------------------------------------- results of waits */

static coir_result over(const char *function, const coir_broadcast *broadcast, enum outcome how)
{
    return coir_raise(how == OVER
        ? coir__error(DOMAIN_COIR, COIR_CLOSED, "%s: a subscription to broadcast %" PRIu64 " that is over", function, broadcast->object.serial)
        : coir__error(DOMAIN_COIR, COIR_CLOSED, "%s: broadcast %" PRIu64 " is closed", function, broadcast->object.serial));
}

static coir_result lagged(const char *function, const coir_broadcast *broadcast, uint64_t lost)
{
    return coir_raise(coir__error(DOMAIN_COIR, COIR_LAGGED, "%s: %" PRIu64 " messages of broadcast %" PRIu64 " were lost", function, lost,
                                  broadcast->object.serial));
}

/* What was told: what it means. False: nothing was. (The object of a receiver's frame is the subscription. No receiver is told that it is abandoned, which
 * alone would read the object.) */
static bool settle(coir_fiber *fiber, const coir_io *frame, const coir_broadcast *broadcast, coir_result *result)
{
    char function[FUNCTION_SIZE];
    if (coir__object_told(fiber, frame, result))
        return true;
    if (likely(result->tag != COIR_OK || (result->value.type != &told_type && result->value.type != &lagged_type)))
        return false;
    coir__function_of(frame->prim, function);
    *result = result->value.type == &lagged_type ? lagged(function, broadcast, result->value.u64) : over(function, broadcast, (enum outcome)result->value.u64);
    return true;
}

static bool serves(const coir_fiber *fiber, coir_broadcast *broadcast, coir_result *result)
{
    if (likely(object_serves(&broadcast->object, fiber, broadcast_is_unused(broadcast))))
        return true;
    coir__object_tell(result, WHY_REFUSED);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------ publish */

static struct ck_spinlock_fas *publish_guard(const coir_io *frame) { return &((coir_broadcast *)frame->object)->object.guard; }
static bool broadcast_grow(coir_broadcast *broadcast) { return coir__ring_grow(&broadcast->ring, &broadcast->object.guard); }
static bool publish_prepare(coir_io *frame) { return broadcast_grow(frame->object); }

static bool publish_begin(coir_io *frame, coir_result *result)
{
    struct sent *sent = sent_of(frame);
    if (unlikely(!sent_begin(frame, result)))
        return false;
    coir__set_value(&sent->value, message_new(coir_take(&sent->value)));
    if (likely(!coir__is_panic_value(&sent->value)))
        return true;
    *result = coir__panic_of(coir_take(&sent->value));
    return false;
}

static enum prim_step publish_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    coir_broadcast *broadcast = frame->object;
    if (unlikely(!serves(fiber, broadcast, result)))
        return PRIM_DONE;
    enum outcome outcome = broadcast_put(broadcast, &sent_of(frame)->value, claimed);
    if (outcome == BUSY)
        return PRIM_WAIT;
    if (unlikely(outcome == CRAMPED))
        return PRIM_PREPARE;
    coir__set_ok(result, likely(outcome == MET) ? subscribers_of(broadcast) : told(outcome));
    return PRIM_DONE;
}

static bool publish_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_broadcast *broadcast = frame->object;
    return coir__object_enqueue(&broadcast->publishers, fiber, frame, result);
}

static void publish_settle(coir_fiber *fiber, coir_io *frame, coir_result *result) { (void)settle(fiber, frame, frame->object, result); }

static enum prim_step publish_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    object_note_end(frame->object);
    sent_end(frame);
    publish_settle(fiber, frame, result);
    return PRIM_DONE;
}

static void publish_disarm(coir_fiber *fiber, coir_io *frame)
{
    coir_broadcast *broadcast = frame->object;
    CLAIMED(claimed);
    (void)fiber;
    spin_lock(&broadcast->object.guard);
    if (handle_queue_remove(&broadcast->object.handle, &broadcast->publishers, &frame->prim_own.waiter))
        end_if_over(broadcast, &claimed);
    spin_unlock(&broadcast->object.guard);
    claimed_make_ready(&claimed);
    object_note_end(&broadcast->object);
    sent_end(frame);
}

static void broadcast_unref(coir_io *node) { coir_broadcast_drop(node->object); }

static void publish_drop(coir_io *node)
{
    sent_drop(node);
    coir_broadcast_drop(node->object);
}

static const struct coir__offer publish_offer = {
    .guard = publish_guard, .begin = publish_begin, .end = sent_end, .prepare = publish_prepare, .poll = publish_poll, .enqueue = publish_enqueue,
    .settle = publish_settle, .let_go = broadcast_unref,
};

static const struct coir__prim publish_prim = {
    .name = "publish", .awaits = to_publish, .size = SENT_SIZE, .arm = coir__object_arm, .woken = publish_woken, .disarm = publish_disarm,
    .drop = publish_drop, .waits_for = coir__object_waits_for, .exposed_by = "coir_broadcast_expose", .offer = &publish_offer,
};

static enum prim_step try_publish_arm(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_broadcast *broadcast = frame->object;
    CLAIMED(claimed);
    enum prim_step step;
    if (unlikely(!publish_begin(frame, result)))
        return PRIM_DONE;
    do {
        spin_lock(&broadcast->object.guard);
        step = publish_poll(fiber, frame, result, &claimed);
        spin_unlock(&broadcast->object.guard);
    } while (step == PRIM_PREPARE && broadcast_grow(broadcast));
    claimed_make_ready(&claimed);
    sent_end(frame);
    if (unlikely(step == PRIM_PREPARE))
        *result = coir__no_memory();
    else if (step == PRIM_WAIT || !settle(fiber, frame, broadcast, result))
        coir__set_ok(result, coir_bool(step == PRIM_DONE));
    return PRIM_DONE;
}

static const struct coir__prim try_publish_prim = {
    .name = "try_publish", .awaits = "", .size = SENT_SIZE, .arm = try_publish_arm, .drop = publish_drop,
};

/* ------------------------------------------------------------------------------------------------------------ receive */

enum receiving { RECEIVE, NEXT, TRY };                  /* a receiver's number */

static coir_broadcast *broadcast_of(const coir_io *frame) { return ((coir_subscription *)frame->object)->broadcast; }
static struct ck_spinlock_fas *receive_guard(const coir_io *frame) { return &broadcast_of(frame)->object.guard; }

static enum prim_step receive_poll(coir_fiber *fiber, coir_io *frame, coir_result *result, struct claimed *claimed)
{
    coir_value value;
    if (unlikely(!serves(fiber, broadcast_of(frame), result)))
        return PRIM_DONE;
    enum outcome outcome = subscription_take(frame->object, &value, claimed);
    if (outcome == BUSY)
        return PRIM_WAIT;
    coir__set_ok(result, outcome == MET || outcome == LAGGED ? value : told(outcome));
    return PRIM_DONE;
}

static bool is_end(const coir_result *result) { return result->tag == COIR_OK && result->value.type == &told_type; }

static void receive_settle(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    bool is_next = frame->prim_own.number == NEXT;
    if (is_next && is_end(result)) {
        coir__set_ok(result, coir_none());
    } else if (!settle(fiber, frame, broadcast_of(frame), result) && result->tag == COIR_OK) {
        coir__set_ok(result, opened(result->value));
        if (is_next)
            coir__mark_zero(&result->value);            /* none is the end */
        coir__check(result);
    }
}

static enum prim_step receive_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_io *frame = (coir_io *)(uintptr_t)node;
    ck_spinlock_fas_t *guard = receive_guard(node);
    CLAIMED(claimed);
    spin_lock(guard);
    enum prim_step step = receive_poll(fiber, frame, result, &claimed);
    spin_unlock(guard);
    claimed_make_ready(&claimed);
    if (step == PRIM_DONE)
        receive_settle(fiber, frame, result);
    return step;
}

static bool receive_enqueue(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    coir_subscription *subscription = frame->object;
    (void)result;
    object_note(&subscription->broadcast->object);
    queue_push(&subscription->receivers, &frame->prim_own.waiter, fiber);
    return true;
}

static enum prim_step receive_woken(coir_fiber *fiber, coir_io *frame, coir_result *result)
{
    object_note_end(&broadcast_of(frame)->object);
    receive_settle(fiber, frame, result);
    return PRIM_DONE;
}

static void receive_disarm(coir_fiber *fiber, coir_io *frame)
{
    coir_subscription *subscription = frame->object;
    coir_broadcast *broadcast = subscription->broadcast;
    (void)fiber;
    spin_lock(&broadcast->object.guard);
    queue_remove(&subscription->receivers, &frame->prim_own.waiter);
    spin_unlock(&broadcast->object.guard);
    object_note_end(&broadcast->object);
}

static struct waits_for receive_waits_for(const coir_io *frame)
{
    return (struct waits_for){ .object = broadcast_of(frame)->object.serial };
}

static void subscription_unref(coir_io *node) { coir_subscription_drop(node->object); }

static const struct coir__offer receive_offer = { .guard = receive_guard, .poll = receive_poll, .enqueue = receive_enqueue, .settle = receive_settle };

/* One struct for each name by which it is called. */
#define RECEIVE_PRIM(words)                                                                                               \
    { .name = words, .awaits = to_receive, .size = NODE_SIZE_OF(prim_own), .attempt = receive_attempt, .arm = coir__object_arm, \
      .woken = receive_woken, .disarm = receive_disarm, .drop = subscription_unref, .waits_for = receive_waits_for, .exposed_by = "coir_broadcast_expose", .offer = &receive_offer, \
      .arms_at_once = true }
static const struct coir__prim receive_prim = RECEIVE_PRIM("subscription_receive"), next_prim = RECEIVE_PRIM("subscription_next");

static enum prim_step try_receive_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    if (receive_attempt(fiber, node, result) == PRIM_WAIT)
        *result = coir_raise(coir__error(DOMAIN_ERRNO, EAGAIN, "coir_subscription_try_receive: there is no message of broadcast %" PRIu64,
                                         broadcast_of(node)->object.serial));
    return PRIM_DONE;
}

static const struct coir__prim try_receive_prim = {
    .name = "subscription_try_receive", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = try_receive_attempt, .drop = subscription_unref,
};

/* ---------------------------------------------------------------------------------------------------------- subscribe */

/* L. */
static void subscription_link(coir_subscription *subscription, coir_broadcast *broadcast)
{
    uint64_t replayed = broadcast->ring.count < broadcast->replay ? broadcast->ring.count : broadcast->replay;
    subscription->next = broadcast->next - replayed;
    for (uint64_t number = subscription->next; number < broadcast->next; number++)
        message_at(broadcast, number)->wanted++;
    subscription->after = broadcast->subscriptions;
    if (subscription->after != NULL)
        subscription->after->before = subscription;
    broadcast->subscriptions = subscription;
    store_relaxed(&broadcast->count, load_relaxed(&broadcast->count) + 1);              /* relaxed: under the guard; others look on */
}

/* L. Gives the messages that are there for nobody any more. */
static struct message *subscription_unlink(coir_subscription *subscription, coir_broadcast *broadcast)
{
    struct message *waste = NULL;
    (void)catch_up(subscription);
    for (uint64_t number = subscription->next; number < broadcast->next; number++)
        message_at(broadcast, number)->wanted--;
    while (broadcast->ring.count > 0 && has_waste(broadcast)) {
        struct message *message = ring_pop(&broadcast->ring).ptr;
        message->next = waste;
        waste = message;
    }
    *(subscription->before == NULL ? &broadcast->subscriptions : &subscription->before->after) = subscription->after;
    if (subscription->after != NULL)
        subscription->after->before = subscription->before;
    store_relaxed(&broadcast->count, load_relaxed(&broadcast->count) - 1);
    subscription->is_over = true;
    return waste;
}

/* Again: nothing. */
static void subscription_end(coir_subscription *subscription)
{
    coir_broadcast *broadcast = subscription->broadcast;
    struct message *waste = NULL;
    CLAIMED(claimed);
    spin_lock(&broadcast->object.guard);
    if (!subscription->is_over) {
        waste = subscription_unlink(subscription, broadcast);
        wake_all(&subscription->receivers, told(OVER), &claimed);
        let_in(broadcast, &claimed);
    }
    spin_unlock(&broadcast->object.guard);
    claimed_make_ready(&claimed);
    messages_drop(waste);
}

coir_subscription *coir_subscription_ref(coir_subscription *subscription)
{
    if (subscription != NULL)
        fetch_add_relaxed(&subscription->refs, 1u);     /* relaxed: who makes a reference has one already */
    return subscription;
}

void coir_subscription_drop(coir_subscription *subscription)
{
    if (subscription == NULL || fetch_sub_acq_rel(&subscription->refs, 1u) > 1)                 /* [REFS] */
        return;
    coir_broadcast *broadcast = subscription->broadcast;
    subscription_end(subscription);
    coir__free(subscription, sizeof *subscription);
    coir_broadcast_drop(broadcast);
}

static void held_drop(void *object) { coir_subscription_drop(object); }
static void *held_share(void *object) { return coir_subscription_ref(object); }
static void held_print(const void *object, FILE *out)
{
    fprintf(out, "subscription to broadcast %" PRIu64, ((const coir_subscription *)object)->broadcast->object.serial);
}
const coir_type coir_subscription_type = { "subscription", held_drop, held_share, held_print };

static coir_subscription *subscription_new(coir_broadcast *broadcast)
{
    coir_subscription *subscription = coir__alloc(sizeof *subscription);
    if (subscription == NULL)
        return NULL;
    memset(subscription, 0, sizeof *subscription);
    atomic_init(&subscription->refs, 1);
    subscription->is_over = true;                       /* until it is linked */
    subscription->broadcast = coir_broadcast_ref(broadcast);
    return subscription;
}

static enum prim_step subscribe_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    coir_broadcast *broadcast = node->object;
    coir_subscription *subscription = subscription_new(broadcast);
    if (subscription == NULL) {
        *result = coir__no_memory();
        return PRIM_DONE;
    }
    spin_lock(&broadcast->object.guard);
    bool is_served = serves(fiber, broadcast, result);
    if (is_served) {
        subscription_link(subscription, broadcast);
        subscription->is_over = false;
    }
    spin_unlock(&broadcast->object.guard);
    if (likely(is_served)) {
        coir__set_ok(result, coir_own(subscription, &coir_subscription_type));
        return PRIM_DONE;
    }
    coir_subscription_drop(subscription);
    (void)settle(fiber, node, broadcast, result);
    return PRIM_DONE;
}

static const struct coir__prim subscribe_prim = {
    .name = "subscribed", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = subscribe_attempt, .drop = broadcast_unref,
};

static coir_io *unsubscribe(void *unused, coir_value *held, const coir_result *outcome)
{
    (void)unused;
    (void)outcome;
    subscription_end(coir_subscription_of(held));
    return coir_unit();
}

uint64_t coir_subscription_lost(const coir_subscription *subscription)
{
    return subscription == NULL ? 0 : load_relaxed(&((coir_subscription *)(uintptr_t)subscription)->lost);
}

size_t coir_subscription_size(const coir_subscription *subscription)
{
    if (subscription == NULL)
        return 0;
    coir_broadcast *broadcast = subscription->broadcast;
    spin_lock(&broadcast->object.guard);
    uint64_t first = first_of(broadcast), from = subscription->next < first ? first : subscription->next;
    size_t size = subscription->is_over ? 0 : (size_t)(broadcast->next - from);
    spin_unlock(&broadcast->object.guard);
    return size;
}

/* -------------------------------------------------------------------------------------------------------------- close */

void coir_broadcast_close(coir_broadcast *broadcast)
{
    CLAIMED(claimed);
    if (broadcast == NULL)
        return;
    coir_broadcast_ref(broadcast);                      /* who is woken may drop the caller's */
    spin_lock(&broadcast->object.guard);
    broadcast->closed = true;
    end_if_over(broadcast, &claimed);
    spin_unlock(&broadcast->object.guard);
    claimed_make_ready(&claimed);
    coir_broadcast_drop(broadcast);
}

static enum prim_step close_attempt(coir_fiber *fiber, const coir_io *node, coir_result *result)
{
    (void)fiber;
    coir_broadcast_close(node->object);
    coir__set_ok(result, coir_none());
    return PRIM_DONE;
}

static const struct coir__prim close_prim = {
    .name = "broadcast_close", .awaits = "", .size = NODE_SIZE_OF(prim_own), .attempt = close_attempt, .drop = broadcast_unref,
};

/* --------------------------------------------------------------------------------------------------------------- ios */

static coir_io *broadcast_io(const struct coir__prim *prim, coir_broadcast *broadcast)
{
    coir_io *node = broadcast == NULL ? NULL : coir__prim_new(prim, broadcast, 0);
    if (node != NULL)
        coir_broadcast_ref(broadcast);
    return node;
}

static coir_io *cannot_be_shared(const char *function, coir_value value)
{
    coir_value panic = coir_panic_value("%s: a value that cannot be shared (its type is %s)", function, type_name(value.type));
    coir_drop(value);
    return coir_pure(panic);
}

static coir_io *publish_io(const char *function, const struct coir__prim *prim, coir_broadcast *broadcast, coir_value value)
{
    if (coir__is_panic_value(&value))
        return coir_pure(value);
    if (broadcast != NULL && !coir_can_share(&value))
        return cannot_be_shared(function, value);
    return sent_put(broadcast_io(prim, broadcast), value);
}

coir_io *coir_publish(coir_broadcast *broadcast, coir_value value)     { return publish_io("coir_publish", &publish_prim, broadcast, value); }
coir_io *coir_try_publish(coir_broadcast *broadcast, coir_value value) { return publish_io("coir_try_publish", &try_publish_prim, broadcast, value); }
coir_io *coir_broadcast_closing(coir_broadcast *broadcast, coir_io *io) { return coir_finally(io, broadcast_io(&close_prim, broadcast)); }

coir_resource *coir_subscribed(coir_broadcast *broadcast)
{
    return coir_resource_new(broadcast_io(&subscribe_prim, broadcast), unsubscribe, NULL);
}

static coir_io *subscription_io(const struct coir__prim *prim, coir_subscription *subscription, int64_t number)
{
    coir_io *node = subscription == NULL ? NULL : coir__prim_new(prim, subscription, number);
    if (node != NULL)
        coir_subscription_ref(subscription);
    return node;
}

coir_io *coir_subscription_receive(coir_subscription *subscription)     { return subscription_io(&receive_prim, subscription, RECEIVE); }
coir_io *coir_subscription_next(coir_subscription *subscription)        { return subscription_io(&next_prim, subscription, NEXT); }
coir_io *coir_subscription_try_receive(coir_subscription *subscription) { return subscription_io(&try_receive_prim, subscription, TRY); }
