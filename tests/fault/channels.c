/*
 * channels.c - channels, alternatives, and the processes of CSP
 *
 * Partners are run by coir_par_zip: whoever cannot go on for want of memory ends with that, and the others, who would wait for him, are canceled.
 */
#include "fault.h"

#include <coir/csp.h>

#include <time.h>

/* ------------------------------------------------------------------------------------------------------------ channels */

static coir_io *sole_of(void *env, coir_value *unused) { (void)env; (void)unused; return coir_pure(sole_thing(2)); }
static coir_io *send_it(void *channel, coir_value *value) { return coir_send(channel, coir_take(value)); }

/* A shared io, which sends thing 1 twice; one that is built on the way; and one more, which comes late. */
static coir_io *send_four(coir_channel *channel)
{
    coir_io *one = coir_send(channel, thing(1)), *again = coir_io_ref(one);
    coir_io *built = coir_flat_map(coir_flat_map(coir_yield(), sole_of, NULL), send_it, channel);
    return coir_closing(channel, coir_zip(COIR_IOS(one, again, built, coir_then(coir_yield(), coir_send(channel, thing(3))))));
}

static coir_io *receive_four(coir_channel *channel)
{
    coir_io *one = coir_receive(channel), *again = coir_io_ref(one);
    return coir_zip(COIR_IOS(one, coir_then(coir_yield(), again), coir_receive(channel), coir_next(channel), coir_next(channel),
                             coir_attempt(coir_receive(channel)), coir_attempt(coir_send(channel, thing(4)))));
}

static coir_result through(size_t capacity, const coir_options *options)
{
    coir_channel *channel = coir_channel_new(capacity);
    coir_io *both = coir_par_zip(COIR_IOS(send_four(channel), receive_four(channel)));
    coir_channel_drop(channel);
    return fault_run(both, options);
}

#define FOUR "OK [[0 0 0 0] [thing 1 thing 1 thing 2 thing 3 0 <ERROR CLOSED> <ERROR CLOSED>]]"
FAULT_PROGRAM(rendezvous, FOUR)         { return through(0, options); }
FAULT_PROGRAM(buffered, FOUR)           { return through(2, options); }
FAULT_PROGRAM(unbounded, FOUR)          { return through(COIR_UNBOUNDED, options); }

static coir_io *count_it(void *count, coir_value *thing) { (void)thing; return counting(count); }
static coir_result see_count(void *count) { return coir_ok(coir_int(atomic_load((atomic_int *)count))); }

/* So many that what holds them must grow, again and again. Nobody receives before all are inside. */
enum { INSIDE = 70 };
FAULT_PROGRAM(room_that_grows, "OK 70")
{
    static atomic_int count;
    atomic_store(&count, 0);
    coir_channel *channel = coir_channel_new(COIR_UNBOUNDED);
    coir_io *fill = coir_closing(channel, coir_repeat(coir_send(channel, thing(1)), INSIDE));
    coir_io *drain = coir_for_each(coir_next(channel), count_it, &count);
    coir_channel_drop(channel);
    return fault_run(coir_sequence(COIR_IOS(fill, drain, coir_defer(see_count, &count))), options);
}

FAULT_PROGRAM(tries, "OK [1 1 0 thing 1 thing 2 <ERROR EAGAIN> 0 <ERROR CLOSED>]")
{
    coir_channel *buffer = coir_channel_new(2), *nobody = coir_channel_new(0);
    coir_io *try = coir_try_send(buffer, thing(1)), *receive = coir_try_receive(buffer), *again = coir_io_ref(receive);
    coir_io *io = coir_zip(COIR_IOS(try, coir_try_send(buffer, sole_thing(2)), coir_try_send(buffer, thing(3)), receive, again,
                                    coir_attempt(coir_try_receive(buffer)), coir_try_send(nobody, thing(4)),
                                    coir_attempt(coir_closing(buffer, coir_then(coir_closing(nobody, coir_unit()), coir_try_send(nobody, thing(5)))))));
    coir_channel_drop(buffer);
    coir_channel_drop(nobody);
    return fault_run(io, options);
}

/* Whether they come before it or after it, the end of a channel is the same for all. */
FAULT_PROGRAM(closed, "OK [<ERROR CLOSED> <ERROR CLOSED> 0 0 0]")
{
    coir_channel *channel = coir_channel_new(0);
    coir_io *receive = coir_receive(channel), *again = coir_io_ref(receive), *next = coir_next(channel);
    coir_io *io = coir_par_zip(COIR_IOS(coir_attempt(receive), coir_attempt(again), next, coir_io_ref(next), coir_closing(channel, coir_yield())));
    coir_channel_drop(channel);
    return fault_run(io, options);
}

FAULT_PROGRAM(poisoned, "OK [[0 0] [<ERROR POISONED> <ERROR POISONED> <ERROR POISONED> <ERROR POISONED> 0]]")
{
    coir_channel *full = coir_channel_new(2), *empty = coir_channel_new(0);
    coir_io *send = coir_send(full, thing(3)), *again = coir_io_ref(send), *fill = coir_zip(COIR_IOS(coir_send(full, thing(1)), coir_send(full, sole_thing(2))));
    coir_io *others = coir_par_zip(COIR_IOS(coir_attempt(send), coir_attempt(again), coir_attempt(coir_receive(empty)), coir_attempt(coir_next(empty)),
                                            coir_poisoning(full, coir_poisoning(empty, coir_yield()))));
    coir_channel_drop(full);
    coir_channel_drop(empty);
    return fault_run(coir_zip(COIR_IOS(fill, others)), options);
}

FAULT_PROGRAM(abandoned_channels, "OK [<PANIC ABANDONED> <PANIC ABANDONED>]")
{
    coir_channel *to_receive = coir_channel_new(0), *to_send = coir_channel_new(0);
    coir_io *io = coir_zip(COIR_IOS(coir_attempt(coir_receive(to_receive)), coir_attempt(coir_send(to_send, thing(1)))));
    coir_channel_drop(to_receive);
    coir_channel_drop(to_send);
    return fault_run(io, options);
}

/* ------------------------------------------------------------------------------------------------------------- threads */

/* False: there was no memory, which it does not say otherwise. */
static bool sent_by_thread(coir_channel *channel, coir_value value)
{
    bool is_sent = coir_thread_try_send(channel, value);
    if (!is_sent)
        fault_told();
    return is_sent;
}

static void try_by_thread(coir_channel *buffer)
{
    coir_value first, second;
    bool both = sent_by_thread(buffer, thing(1)) && sent_by_thread(buffer, sole_thing(2));
    bool one = coir_thread_try_receive(buffer, &first), two = coir_thread_try_receive(buffer, &second);
    if (both && (!one || !two || thing_number(&first) != 1 || thing_number(&second) != 2))
        fault_wrong("what was sent does not come out");
    coir_drop(first);
    coir_drop(second);
}

struct back_and_forth { coir_channel *there, *back; coir_result result; };

static void *send_back(void *two_)
{
    struct back_and_forth *two = two_;
    two->result = coir_thread_receive(two->there);
    if (two->result.tag == COIR_OK)
        two->result = coir_thread_send(two->back, coir_take(&two->result.value));
    coir_poison(two->there);                            /* should it have gone wrong nobody waits here in vain */
    coir_close(two->back);
    return NULL;
}

/* To another thread, which sends it back. */
static coir_result to_thread_and_back(struct back_and_forth *two)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, send_back, two) != 0) {
        fault_told();
        return coir_ok(coir_none());
    }
    coir_result sent = coir_thread_send(two->there, thing(3));
    coir_close(two->there);
    coir_result received = coir_thread_receive(two->back);
    if (received.tag != COIR_OK)
        coir_poison(two->back);                         /* the other may still be about to send */
    pthread_join(thread, NULL);
    return coir_result_and(sent, coir_result_and(two->result, received));
}

FAULT_PROGRAM(threads_at_channels, "OK thing 3")
{
    struct back_and_forth two = { .there = coir_channel_new(0), .back = coir_channel_new(0), .result = coir_ok(coir_none()) };
    coir_channel *buffer = coir_channel_new(2);
    coir_result result = coir_ok(coir_none());
    (void)options;
    if (two.there == NULL || two.back == NULL || buffer == NULL)
        fault_told();
    else if (!coir_channel_expose(two.there) || !coir_channel_expose(two.back) || !coir_channel_expose(buffer))
        fault_wrong("a new channel cannot be exposed");
    else {
        try_by_thread(buffer);
        result = to_thread_and_back(&two);
    }
    coir_channel_drop(two.there);
    coir_channel_drop(two.back);
    coir_channel_drop(buffer);
    return result;
}

/* -------------------------------------------------------------------------------------------------------- alternatives */

/* An alternative with a case of each kind, of which one is going to go. */
enum ender { BY_RECEIVE, BY_NEXT, BY_SEND, BY_ACQUIRE, BY_LOCK, BY_JOIN, BY_WAIT_ANY, BY_DEFERRED, BY_EVENT, BY_LATCH, BY_SLEEP, BY_SLEEP_UNTIL, ENDERS };
struct world {
    enum ender ender;
    coir_channel *in, *more, *out, *first, *second;
    coir_semaphore *permits;
    coir_lock *lock;
    coir_deferred *deferred;
    coir_event *event;
    coir_latch *latch;
};

static struct timespec epoch_in(int64_t ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    ns += now.tv_nsec;
    return (struct timespec){ now.tv_sec + ns / 1000000000, ns % 1000000000 };
}

static coir_io *tell(void *env, coir_value *value) { (void)value; return coir_pure(coir_int((intptr_t)env)); }
static coir_io *unlock(void *lock, coir_value *value) { (void)value; return coir_as(coir_lock_release(lock), coir_int(BY_LOCK)); }
#define TELLING(ender, io) coir_on((io), tell, (void *)(intptr_t)(ender))

static coir_io *wait_any_of(const coir_value *fiber)
{
    coir_value list = coir_list(1, (coir_value[]){ coir_share(fiber) });
    coir_io *any = coir_wait_any(&list);
    coir_drop(list);
    return any;
}

static coir_io *alt_of_all(const struct world *world, const coir_value *fibers)
{
    const int64_t soon = 1000, late = INT64_MAX / 2;
    return coir_alt(COIR_CASES(
        TELLING(BY_RECEIVE, coir_receive(world->in)), TELLING(BY_NEXT, coir_next(world->more)), TELLING(BY_SEND, coir_send(world->out, thing(1))),
        TELLING(BY_ACQUIRE, coir_acquire(world->permits, 1)), coir_on(coir_lock_acquire(world->lock), unlock, world->lock),
        TELLING(BY_JOIN, coir_join(coir_fiber_of(coir_list_at(fibers, 0)))), TELLING(BY_WAIT_ANY, wait_any_of(coir_list_at(fibers, 1))),
        TELLING(BY_DEFERRED, coir_deferred_get(world->deferred)), TELLING(BY_EVENT, coir_event_wait(world->event)),
        TELLING(BY_LATCH, coir_latch_wait(world->latch)), TELLING(BY_SLEEP, coir_sleep(coir_ns(world->ender == BY_SLEEP ? soon : late))),
        TELLING(BY_SLEEP_UNTIL, coir_sleep_until(epoch_in(world->ender == BY_SLEEP_UNTIL ? soon : late)))));
}

static coir_result set_event(void *event)   { return coir_ok(coir_bool(coir_event_set(event))); }
static coir_result count_latch(void *latch) { return coir_ok(coir_bool(coir_latch_count_down(latch))); }

/* What lets that case go; of a lock, that it is given up by who runs this. */
static coir_io *end_by(const struct world *world)
{
    switch (world->ender) {
    case BY_RECEIVE:  return coir_send(world->in, sole_thing(2));
    case BY_NEXT:     return coir_closing(world->more, coir_unit());
    case BY_SEND:     return coir_receive(world->out);
    case BY_ACQUIRE:  return coir_release(world->permits, 1);
    case BY_JOIN:     return coir_closing(world->first, coir_unit());
    case BY_WAIT_ANY: return coir_closing(world->second, coir_unit());
    case BY_DEFERRED: return coir_putting(world->deferred, coir_pure(thing(3)));
    case BY_EVENT:    return coir_defer(set_event, world->event);
    case BY_LATCH:    return coir_defer(count_latch, world->latch);
    default:          return coir_yield();
    }
}

/* The lock is held before the alternative begins, and for as long as it goes on, unless it is what ends it. */
static coir_io *alt_and_its_end(void *world_, coir_value *fibers)
{
    const struct world *world = world_;
    coir_io *end = coir_as(coir_then(coir_yield(), end_by(world)), coir_none()), *alt = alt_of_all(world, fibers);
    if (world->ender == BY_LOCK)
        return coir_par_zip(COIR_IOS(alt, coir_with_lock(world->lock, end)));
    return coir_with_lock(world->lock, coir_par_zip(COIR_IOS(alt, end)));
}

/* Two fibers, whose ends are cases too, live until it has gone. */
static coir_io *world_program(struct world *world)
{
    coir_io *two = coir_parallel(COIR_IOS(coir_next(world->first), coir_next(world->second)));
    return coir_scope(coir_closing(world->first, coir_closing(world->second, coir_flat_map(two, alt_and_its_end, world))));
}

static coir_result alt_that_ends(enum ender ender, const coir_options *options)
{
    struct world world = {
        .ender = ender, .in = coir_channel_new(0), .more = coir_channel_new(1), .out = coir_channel_new(0), .first = coir_channel_new(0),
        .second = coir_channel_new(0), .permits = coir_semaphore_new_bounded(0, 1), .lock = coir_lock_new(), .deferred = coir_deferred_new(),
        .event = coir_event_new(), .latch = coir_latch_new(1),
    };
    coir_result result = fault_run(world_program(&world), options);
    coir_channel_drop(world.in);
    coir_channel_drop(world.more);
    coir_channel_drop(world.out);
    coir_channel_drop(world.first);
    coir_channel_drop(world.second);
    coir_semaphore_drop(world.permits);
    coir_lock_drop(world.lock);
    coir_deferred_drop(world.deferred);
    coir_event_drop(world.event);
    coir_latch_drop(world.latch);
    return result;
}

FAULT_PROGRAM(alt_ends_by_receive, "OK [0 0]")      { return alt_that_ends(BY_RECEIVE, options); }
FAULT_PROGRAM(alt_ends_by_next, "OK [1 0]")         { return alt_that_ends(BY_NEXT, options); }
FAULT_PROGRAM(alt_ends_by_send, "OK [2 0]")         { return alt_that_ends(BY_SEND, options); }
FAULT_PROGRAM(alt_ends_by_acquire, "OK [3 0]")      { return alt_that_ends(BY_ACQUIRE, options); }
/* Who has no memory to give the lock back ends with it. */
FAULT_PROGRAM_THAT_MAY(alt_ends_by_lock, "MISUSE", "OK [4 0]") { return alt_that_ends(BY_LOCK, options); }
FAULT_PROGRAM(alt_ends_by_join, "OK [5 0]")         { return alt_that_ends(BY_JOIN, options); }
FAULT_PROGRAM(alt_ends_by_wait_any, "OK [6 0]")     { return alt_that_ends(BY_WAIT_ANY, options); }
FAULT_PROGRAM(alt_ends_by_deferred, "OK [7 0]")     { return alt_that_ends(BY_DEFERRED, options); }
FAULT_PROGRAM(alt_ends_by_event, "OK [8 0]")        { return alt_that_ends(BY_EVENT, options); }
FAULT_PROGRAM(alt_ends_by_latch, "OK [9 0]")        { return alt_that_ends(BY_LATCH, options); }
FAULT_PROGRAM(alt_ends_by_sleep, "OK [10 0]")       { return alt_that_ends(BY_SLEEP, options); }
FAULT_PROGRAM(alt_ends_by_sleep_until, "OK [11 0]") { return alt_that_ends(BY_SLEEP_UNTIL, options); }

/* Handlers with captured bytes, of which the larger stands in the frame; a skip; a fair one; all of them shared. */
struct answer { int number; char padding[200]; };
static coir_io *answer(void *env, coir_value *value)
{
    return coir_pure(coir_list(2, (coir_value[]){ coir_int(((const struct answer *)env)->number), coir_take(value) }));
}

FAULT_PROGRAM(alternatives_shared, "OK [<OK [2 thing 1]> <OK [2 thing 1]> <OK [2 thing 1]> <OK [0 0 thing 5 thing 5]>]")
{
    const struct answer two = { .number = 2 };
    const int one = 1;
    coir_channel *empty = coir_channel_new(0), *full = coir_channel_new(3);
    coir_io *alt = coir_alt_fair(COIR_CASES(coir_on_copy(coir_receive(empty), answer, &one, sizeof one),
                                            coir_on_copy(coir_receive(full), answer, &two, sizeof two)));
    coir_io *fill = coir_closing(full, coir_repeat(coir_send(full, thing(1)), 3));
    coir_io *skip = coir_alt(COIR_CASES(coir_on(coir_send(empty, thing(4)), NULL, NULL), coir_on(coir_pure(thing(5)), NULL, NULL)));
    coir_io *skips = coir_zip(COIR_IOS(coir_alt(COIR_CASES(coir_otherwise(NULL, NULL))), coir_alt(COIR_CASES(coir_on(coir_yield(), NULL, NULL))),
                                       coir_io_ref(skip), skip));
    coir_io *all = coir_then(fill, coir_parallel(COIR_IOS(alt, coir_io_ref(alt), coir_io_ref(alt), skips)));
    coir_channel_drop(empty);
    coir_channel_drop(full);
    return fault_run(coir_flat_map(all, wait_it, NULL), options);
}

/* Two that could meet on either channel meet on one of them; and what was to be sent on the other is dropped. */
static coir_io *tell_thing(void *env, coir_value *value) { (void)env; return coir_pure(coir_bool(thing_number(value) == 1)); }
FAULT_PROGRAM(alternatives_meet, "OK [1 1]")
{
    coir_channel *a = coir_channel_new(0), *b = coir_channel_new(0);
    coir_io *left  = coir_alt(COIR_CASES(TELLING(1, coir_send(a, thing(1))), coir_on(coir_receive(b), tell_thing, NULL)));
    coir_io *right = coir_alt_fair(COIR_CASES(TELLING(1, coir_send(b, thing(1))), coir_on(coir_receive(a), tell_thing, NULL)));
    coir_result result = fault_run(coir_par_zip(COIR_IOS(left, right)), options);
    coir_channel_drop(a);
    coir_channel_drop(b);
    return result;
}

struct choice { coir_channel *one, *other; size_t which; int rounds; };
static coir_io *choose_step(coir_routine *self)
{
    COIR_BEGIN(self, struct choice, my);
    for (; my->rounds < 4; my->rounds++) {
        COIR_AWAIT(coir_select(&my->which, COIR_CASES(coir_on(coir_receive(my->one), NULL, NULL), coir_on(coir_send(my->other, thing(2)), NULL, NULL))));
        if ((my->which == 0) != is_thing(&self->result.value))
            fault_wrong("case %zu gave another's value", my->which);
    }
    COIR_RETURN(coir_int(my->rounds));
    COIR_END;
}

FAULT_PROGRAM(selects, "OK [4 [0 0] [thing 2 thing 2]]")
{
    coir_channel *one = coir_channel_new(0), *other = coir_channel_new(0);
    coir_io *choose = coir_do(choose_step, COIR_ENV(struct choice, .one = one, .other = other));
    coir_io *send = coir_zip(COIR_IOS(coir_send(one, thing(1)), coir_send(one, sole_thing(3))));
    coir_io *receive = coir_zip(COIR_IOS(coir_receive(other), coir_receive(other)));
    coir_result result = fault_run(coir_par_zip(COIR_IOS(choose, send, receive)), options);
    coir_channel_drop(one);
    coir_channel_drop(other);
    return result;
}

FAULT_PROGRAM(alternatives_end, "OK [<ERROR CLOSED> [<ERROR POISONED> 0] <PANIC ABANDONED> <PANIC EINVAL>]")
{
    coir_channel *closed = coir_channel_new(0), *poisoned = coir_channel_new(0), *left = coir_channel_new(0), *open = coir_channel_new(0);
    coir_io *ended = coir_alt(COIR_CASES(TELLING(1, coir_receive(open)), TELLING(2, coir_send(closed, thing(1)))));
    coir_io *at_once = coir_alt(COIR_CASES(TELLING(1, coir_send(open, thing(2))), TELLING(2, coir_next(poisoned))));
    coir_io *alone = coir_alt(COIR_CASES(TELLING(1, coir_receive(left))));
    coir_io *empty = coir_alt(0, NULL);
    coir_channel_drop(left);
    coir_close(closed);
    coir_io *all = coir_zip(COIR_IOS(coir_attempt(ended), coir_par_zip(COIR_IOS(coir_attempt(at_once), coir_poisoning(poisoned, coir_yield()))),
                                     coir_attempt(alone), coir_attempt(empty)));
    coir_channel_drop(closed);
    coir_channel_drop(poisoned);
    coir_channel_drop(open);
    return fault_run(all, options);
}

/* ----------------------------------------------------------------------------------------------------------------- CSP */

/* consumes: takes so many, and ends its network. */
static coir_io *consumes(coir_channel *in)
{
    return coir_poisoning(in, coir_zip(COIR_IOS(coir_receive(in), coir_receive(in), coir_receive(in))));
}

static coir_io *feeds(coir_channel *out, coir_value value)
{
    return coir_csp_process(coir_repeat(coir_send(out, value), 3), COIR_CHANNELS(out));
}

static void channels_make(size_t count, coir_channel **channels)
{
    for (size_t i = 0; i < count; i++)
        channels[i] = coir_channel_new(0);
}

static void channels_drop(size_t count, coir_channel **channels)
{
    for (size_t i = 0; i < count; i++)
        coir_channel_drop(channels[i]);
}

FAULT_PROGRAM(csp_ring, "OK [0 [0 1 2]]")
{
    coir_channel *c[4];
    channels_make(4, c);
    coir_io *network = coir_csp_par(COIR_IOS(coir_csp_prefix(coir_int(0), c[2], c[0]), coir_csp_delta(c[0], c[1], c[3]), coir_csp_successor(c[1], c[2])));
    coir_io *both = coir_par_zip(COIR_IOS(network, consumes(c[3])));
    channels_drop(4, c);
    return fault_run(both, options);
}

FAULT_PROGRAM(csp_both_ways, "OK [0 [thing 1 thing 1 thing 1]]")
{
    coir_channel *c[5];
    channels_make(5, c);
    coir_io *network = coir_csp_par(COIR_IOS(feeds(c[0], thing(1)), coir_csp_identity(c[0], c[1]), coir_csp_par_delta(c[1], c[2], c[3]),
                                             coir_csp_mux(c[2], c[3], c[4])));
    coir_io *both = coir_par_zip(COIR_IOS(network, consumes(c[4])));
    channels_drop(5, c);
    return fault_run(both, options);
}

FAULT_PROGRAM(csp_ends, "OK [0 0 <ERROR EINVAL> <ERROR thing 3>]")
{
    coir_channel *c[5];
    channels_make(5, c);
    coir_io *skipped = coir_csp_par(COIR_IOS(feeds(c[0], thing(1)), coir_csp_skip(c[0])));
    coir_io *prefixed = coir_csp_par(COIR_IOS(coir_csp_prefix(sole_thing(2), c[1], c[2]), coir_poisoning(c[1], coir_receive(c[2]))));
    coir_io *text = coir_csp_par(COIR_IOS(feeds(c[3], coir_stringf("x")), coir_csp_successor(c[3], c[4])));
    coir_io *failed = coir_csp_process(coir_fail(thing(3)), COIR_CHANNELS(c[4]));
    coir_io *all = coir_zip(COIR_IOS(skipped, prefixed, coir_attempt(text), coir_attempt(failed)));
    channels_drop(5, c);
    return fault_run(all, options);
}
