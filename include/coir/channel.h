/*
 * coir/channel.h - channels: fibers that hand values to each other; alternatives: waiting for the first of several things
 *
 *     coir_channel *pages = coir_channel_new(16);
 *     coir_io *read  = coir_closing(pages, coir_for_each(read_page(), send_page, pages));
 *     coir_io *write = coir_for_each(coir_next(pages), write_page, NULL);
 *     coir_io *copy  = coir_both(read, write);
 *
 * Channels are counted handles as in coir/sync.h, whose rules hold here too: borrowed by each call, kept by each io that mentions them; NULL makes the io
 * NULL. Any number of fibers may send and receive. Values are moved: a value is owned by the sender, then by the channel, then by the receiver. Values of
 * one sender arrive in the order in which it sent them; who waits is served in order of arrival. Waiting allocates nothing. A cancellation takes who waits
 * out, and nothing with him: a value that was not sent is dropped, one that was not received is for the next.
 *
 * When all who have a channel wait for it, nobody can come any more: they are woken with a panic, code COIR_ABANDONED. A channel serves the fibers of one run
 * at a time, unless it is exposed.
 */
#ifndef COIR_CHANNEL_H
#define COIR_CHANNEL_H

#include <coir/fiber.h>
#include <coir/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coir_channel coir_channel;
COIR_API const coir_type coir_channel_type;
static inline coir_channel *coir_channel_of(const coir_value *v) { return (coir_channel *)coir_cast(v, &coir_channel_type); }

#define COIR_UNBOUNDED SIZE_MAX
/* coir_channel_new: `capacity` values fit inside before a sender waits. 0: sender and receiver meet (Hoare's CSP, Go). COIR_UNBOUNDED: senders never wait.
 * Room is taken as it is needed. NULL with errno ENOMEM, or EINVAL for another capacity of more than half of SIZE_MAX: a negative number. */
COIR_API COIR_MUST_USE coir_channel *coir_channel_new(size_t capacity);
COIR_API coir_channel *coir_channel_ref(coir_channel *channel);
COIR_API void          coir_channel_drop(coir_channel *channel);               /* the last one drops what is inside */
COIR_API COIR_MUST_USE coir_value coir_channel_value(coir_channel *channel);   /* takes the handle; can be shared */
COIR_API uint64_t      coir_channel_id(const coir_channel *channel);           /* by which messages name it; 0 for NULL */
COIR_API size_t        coir_channel_size(const coir_channel *channel);         /* values inside: a snapshot; 0 for NULL */
/* coir_channel_expose: from now on it serves fibers of several runs, and threads. Before its first use, or again; false otherwise. Who waits for an exposed
 * channel is never found to wait in vain. */
COIR_API bool          coir_channel_expose(coir_channel *channel);

/* coir_send: takes value; waits until it has been received, or there is room for it. Gives none.
 * Fails    COIR_CLOSED, COIR_POISONED: an error, the value is dropped. */
COIR_API COIR_MUST_USE coir_io *coir_send(coir_channel *channel, coir_value value);
/* coir_receive: waits for a value, and gives it. Fails  COIR_CLOSED when it is closed and nothing is left inside; COIR_POISONED. */
COIR_API COIR_MUST_USE coir_io *coir_receive(coir_channel *channel);
/* coir_next: coir_receive(), but gives none when it is closed and nothing is left: for coir_for_each(), and for loops. A zero that was sent is a zero: no none. */
COIR_API COIR_MUST_USE coir_io *coir_next(coir_channel *channel);
/* The same without waiting; they fail as those do. coir_try_send: flag: false: nobody took it and there was no room: the value is dropped. coir_try_receive:
 * an error, code EAGAIN, when there is nothing to be had. */
COIR_API COIR_MUST_USE coir_io *coir_try_send(coir_channel *channel, coir_value value);
COIR_API COIR_MUST_USE coir_io *coir_try_receive(coir_channel *channel);

/* coir_close: there will be no more. What is inside, and what waits to be sent, can still be received. Again, and of NULL: nothing. Any thread; never waits.
 * coir_poison: at once, also of a closed one: what is inside is dropped, who waits fails, with COIR_POISONED. PyCSP's poison. */
COIR_API void coir_close(coir_channel *channel);
COIR_API void coir_poison(coir_channel *channel);
/* io, and then that, however io ended. */
COIR_API COIR_MUST_USE coir_io *coir_closing(coir_channel *channel, coir_io *io);
COIR_API COIR_MUST_USE coir_io *coir_poisoning(coir_channel *channel, coir_io *io);

/* For threads that are no workers, and exposed channels. The first two wait, for as long as it takes, and fail as coir_send() and coir_receive() do; for
 * another channel, for NULL, and in a callback, which would block a worker, they are refused: an error, code COIR_REFUSED. The others do not wait, and may be
 * called anywhere. False: full, empty, over, or refused: the value is dropped, *value is none. */
COIR_API COIR_MUST_USE coir_result coir_thread_send(coir_channel *channel, coir_value value);
COIR_API COIR_MUST_USE coir_result coir_thread_receive(coir_channel *channel);
COIR_API bool coir_thread_try_send(coir_channel *channel, coir_value value);
COIR_API bool coir_thread_try_receive(coir_channel *channel, coir_value *value);

/* ------------------------------------------------------------------------------------------------------ alternatives */

/*
 *     coir_alt(COIR_CASES(coir_on(coir_receive(questions), answer, NULL),
 *                         coir_on(coir_receive(stop), end, NULL),
 *                         coir_on(coir_sleep(coir_seconds(1)), tick, NULL)))
 *
 * coir_alt waits until one of its cases can go, and lets exactly that one: the others are as if they had never been asked, and what they were to send is
 * dropped. Its handler is lent what the case gave (a value received, a result joined), and makes the io that is the result; without a handler (NULL) the
 * value is. When a case fails (a channel that is closed, a fiber that failed) so does the whole. Of several that can go at once it takes the first;
 * coir_alt_fair any of them, by the run's seed. A case that nobody but such waiters could ever let go is passed over; when all are such the whole is
 * abandoned, as a channel is.
 *
 * coir_on: the io of a case is one of coir_send, coir_receive, coir_next, coir_acquire, coir_lock_acquire, coir_read_lock_acquire, coir_write_lock_acquire,
 * coir_join, coir_wait_any, coir_deferred_get, coir_event_wait, coir_latch_wait, coir_sleep and coir_sleep_until, or of those that wait in coir/queue.h and
 * coir/broadcast.h; or one that never waits (a skip): coir_pure, coir_unit, a sleep of nothing, coir_yield, which does not yield here. A skip goes when none
 * before it can, under coir_alt_fair when no other can. Anything else is a panic, code EINVAL; for what a callback brings, join a fiber. It is taken; a NULL
 * makes the whole NULL.
 * coir_otherwise: a skip.
 *
 * A lock or permits that an alternative has acquired are released by coir_lock_release() and coir_release(). A cancellation may be seen before the
 * handler's io is run: who must not lose them then writes coir_bracket(coir_cancelable(coir_select(...)), ...).
 *
 * A loop that waits for the same cases again and again builds the alternative once, and runs coir_io_ref() of it: that saves a third or more.
 *
 * No cases: a panic, code EINVAL. The same object may stand in several cases; an alternative does not meet itself. Cost: O(cases), whoever else waits;
 * one that must wait puts their objects in order first, which is n log n.
 * From     occam's ALT and PRI ALT, aPyCSP's Alternative, Go's select; that any wait can be a case, from Concurrent ML's events.
 */
typedef struct coir_case {
    coir_io          *io;
    coir_flat_map_fn *fn;
    void             *env;
    size_t            size;                             /* of what env points to, if coir_alt is to copy it; 0: it is lent */
} coir_case;
#ifndef __cplusplus
#define COIR_CASES(...) (sizeof((coir_case[]){ __VA_ARGS__ }) / sizeof(coir_case)), (coir_case[]){ __VA_ARGS__ }
#else
#define COIR_CASES(...) coir_count_<decltype(std::make_tuple(__VA_ARGS__))>(), std::initializer_list<coir_case>{ __VA_ARGS__ }.begin()
#endif
static inline coir_case coir_on(coir_io *io, coir_flat_map_fn *fn, void *env) { coir_case c = { io, fn, env, 0 }; return c; }
static inline coir_case coir_on_copy(coir_io *io, coir_flat_map_fn *fn, const void *bytes, size_t size)
{
    coir_case c = { io, fn, (void *)(uintptr_t)bytes, size };
    return c;
}
static inline coir_case coir_otherwise(coir_flat_map_fn *fn, void *env) { return coir_on(coir_unit(), fn, env); }
COIR_API COIR_MUST_USE coir_io *coir_alt(size_t count, const coir_case *cases);
COIR_API COIR_MUST_USE coir_io *coir_alt_fair(size_t count, const coir_case *cases);
/* coir_select: coir_alt() for routines: writes the index of the case that went, also if it failed, to *which, and gives its value; handlers are not called.
 * *which is written by the fiber, when it goes on: a field of the routine's frame. NULL: nowhere. */
COIR_API COIR_MUST_USE coir_io *coir_select(size_t *which, size_t count, const coir_case *cases);

#ifdef __cplusplus
}
#endif
#endif
