/*
 * coir/broadcast.h - broadcasts: every subscriber sees every message
 *
 *     static coir_io *listen(void *env, const coir_value *held)
 *     {
 *         return coir_for_each(coir_subscription_next(coir_subscription_of(held)), show, env);
 *     }
 *     coir_broadcast *news   = coir_broadcast_new(16, COIR_SLOW_WAIT, 0);
 *     coir_io        *reader = coir_use(coir_subscribed(news), listen, NULL);
 *     coir_io        *writer = coir_publish(news, coir_stringf("..."));
 *
 * Broadcasts are counted handles as in coir/sync.h, whose rules hold here too: borrowed by each call, kept by each io that mentions them; NULL makes the io
 * NULL and drops what came with it. A message is a value that can be shared: each subscriber gets a share of it; the messages come to all of them in one
 * order. Who waits is served in order of arrival. Waiting allocates nothing. A cancellation takes who waits out, and nothing with him.
 *
 * A message is kept as long as a subscriber has not received it, but never more than `capacity` of them, and of the last `replay` each. A broadcast serves
 * the fibers of one run at a time, as long as somebody subscribes or waits, unless it is exposed. A wait that nobody can end is found when the run falls
 * silent.
 * From     fs2's Topic, ZIO's Hub, Tokio's broadcast channel, RxJava's ReplaySubject.
 */
#ifndef COIR_BROADCAST_H
#define COIR_BROADCAST_H

#include <coir/channel.h>
#include <coir/resource.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coir_broadcast coir_broadcast;
typedef struct coir_subscription coir_subscription;
COIR_API const coir_type coir_broadcast_type;
COIR_API const coir_type coir_subscription_type;
static inline coir_broadcast *coir_broadcast_of(const coir_value *v) { return (coir_broadcast *)coir_cast(v, &coir_broadcast_type); }
static inline coir_subscription *coir_subscription_of(const coir_value *v) { return (coir_subscription *)coir_cast(v, &coir_subscription_type); }

/* What is done with one more message when a subscriber has not received as many as are kept. */
typedef enum coir_when_slow {
    COIR_SLOW_WAIT,                                     /* who publishes waits for the slowest: back-pressure */
    COIR_SLOW_DROP_OLD,                                 /* the oldest is dropped: the slow one does not see it, and is not told */
    COIR_SLOW_FAIL                                      /* the same, and the next time that the slow one receives is an error, code COIR_LAGGED, which says how
                                                         * many it has lost; then it goes on with the oldest that is kept */
} coir_when_slow;

/* coir_broadcast_new: at most `capacity` messages are kept: 1 or more, or COIR_UNBOUNDED. Who subscribes later begins with the last `replay` of them, or as
 * many as there were. NULL with errno ENOMEM, or EINVAL for another capacity (0; a negative number), a replay of more than the capacity, or another
 * enumerator. */
COIR_API COIR_MUST_USE coir_broadcast *coir_broadcast_new(size_t capacity, coir_when_slow when_slow, size_t replay);
COIR_API coir_broadcast *coir_broadcast_ref(coir_broadcast *broadcast);
COIR_API void            coir_broadcast_drop(coir_broadcast *broadcast);               /* the last one drops what is kept */
COIR_API COIR_MUST_USE coir_value coir_broadcast_value(coir_broadcast *broadcast);     /* takes the handle; can be shared */
COIR_API uint64_t        coir_broadcast_id(const coir_broadcast *broadcast);           /* by which messages name it; 0 for NULL */
COIR_API size_t          coir_broadcast_subscribers(const coir_broadcast *broadcast);  /* how many there are: a snapshot; 0 for NULL */
/* coir_broadcast_expose: from now on it serves fibers of several runs. Before its first use: false otherwise. Who waits for an exposed one is never found to
 * wait in vain. */
COIR_API bool            coir_broadcast_expose(coir_broadcast *broadcast);

/* coir_publish: takes value. Gives how many subscribers there are, each of whom can receive it. With COIR_SLOW_WAIT it waits until the slowest has made room.
 * A value that cannot be shared is a panic, code COIR_MISUSE, that names its type, also if there is one subscriber.
 * Fails    COIR_CLOSED: an error, the value is dropped.
 * coir_try_publish: without waiting: flag: false: it would have waited, and the value is dropped. */
COIR_API COIR_MUST_USE coir_io *coir_publish(coir_broadcast *broadcast, coir_value value);
COIR_API COIR_MUST_USE coir_io *coir_try_publish(coir_broadcast *broadcast, coir_value value);
/* coir_broadcast_close: there will be no more. What is kept, and what waits to be published, can still be received. Again, and of NULL: nothing. Any thread;
 * never waits. */
COIR_API void coir_broadcast_close(coir_broadcast *broadcast);
/* coir_broadcast_closing: io, and then close, however io ended. */
COIR_API COIR_MUST_USE coir_io *coir_broadcast_closing(coir_broadcast *broadcast, coir_io *io);

/* coir_subscribed: holds a coir_subscription: from when it is acquired until it is released every message comes to it. A counted handle like others, which
 * may be kept for longer: then receiving is an error, code COIR_CLOSED. */
COIR_API COIR_MUST_USE coir_resource *coir_subscribed(coir_broadcast *broadcast);
COIR_API coir_subscription *coir_subscription_ref(coir_subscription *subscription);
COIR_API void               coir_subscription_drop(coir_subscription *subscription);
/* Snapshots; 0 for NULL. coir_subscription_size: messages that it can receive at once. coir_subscription_lost: how many it has lost so far, being slow, as
 * far as it has received behind them. */
COIR_API size_t             coir_subscription_size(const coir_subscription *subscription);
COIR_API uint64_t           coir_subscription_lost(const coir_subscription *subscription);

/* coir_subscription_receive: waits for the next message, and gives it. Several may receive by one subscription: each message then goes to one of them.
 * Fails    COIR_CLOSED when the broadcast is closed and nothing is left, or the subscription is over; COIR_LAGGED, see above.
 * coir_subscription_next: the same, but gives none at the end: for coir_for_each(), and for loops. A zero that was published is a zero: no none.
 * coir_subscription_try_receive: without waiting: an error, code EAGAIN, when there is nothing to be had.
 * The first two, and coir_publish(), can be cases of coir_alt(). */
COIR_API COIR_MUST_USE coir_io *coir_subscription_receive(coir_subscription *subscription);
COIR_API COIR_MUST_USE coir_io *coir_subscription_next(coir_subscription *subscription);
COIR_API COIR_MUST_USE coir_io *coir_subscription_try_receive(coir_subscription *subscription);

#ifdef __cplusplus
}
#endif
#endif
