/*
 * coir/io.h - programs as values: the instructions and how they are put together
 *
 *     static coir_io *greet(void *env, coir_value *name)
 *     {
 *         printf("hello %s\n", coir_text(name));
 *         return coir_unit();
 *     }
 *     coir_io *hello = coir_flat_map(coir_pure(coir_stringf("world")), greet, NULL);
 *     coir_result result = coir_run(hello, NULL);
 *
 * A coir_io says what to do and does nothing until it is run; it may run any number of times, also at once. Building one never
 * waits and may happen on any thread.
 *
 * Unless a function says otherwise:
 *   Takes   every coir_io * (coir_io_ref() makes one more reference, for an io that is used twice) and every coir_value. Using an
 *           io after it was taken, without a reference of one's own, is undefined; the checking build (make CHECK=1) makes it a panic.
 *           Arrays, labels and `bytes` are copied. `env` is borrowed: it must outlive the io's runs.
 *   Gives   an io that you own. NULL when there is no memory, or when an io or a handle it was given is NULL: then all that came with it is
 *           dropped. So no check is needed while building: running NULL is a COIR_PANIC with ENOMEM. A bad argument (a NULL
 *           callback, a size of more than 64 KiB) gives an io that is a panic with EINVAL, naming the function.
 *   Copies  x_copy(..., fn, bytes, size) is x(..., fn, env) whose io holds a copy of `bytes`, aligned as by malloc(), and hands
 *           its address to fn as env: COIR_ENV(struct page, .url = url) writes both arguments. All runs of the io share that copy:
 *           read it only. The checking build hands each fn a copy of its own, which it overwrites when fn has returned.
 *
 * Callbacks run on a worker. They must not block it, and must not longjmp() or throw out. A coir_value * or coir_result * is
 * lent to them: what they do not coir_take() lives until the io that they return has ended (or until they return, if they
 * return none), and is then dropped. So a recursion in tail position that takes no values holds them all until it ends: of more
 * than 10,000 in one fiber options.on_warning is told. Recurse over plain values, take, or use a loop. env is theirs until they
 * return: the io that they give must not point into it. Returning NULL means that there was no memory: the fiber panics with
 * ENOMEM and unwinds. A value that a callback could not make is a coir_panic_value().
 */
#ifndef COIR_IO_H
#define COIR_IO_H

#include <coir/value.h>

#ifdef __cplusplus
#include <initializer_list>
#include <tuple>
extern "C" {
#endif

typedef struct coir_io coir_io;

/* coir_io_ref: one more reference; borrows io; gives it back. In a statement of its own where io is given away beside it: C does not say which
 * argument is made first. */
COIR_API coir_io *coir_io_ref(coir_io *io);
COIR_API void     coir_io_drop(coir_io *io);            /* one less; NULL is harmless; constant C stack however deep the io */

/* An io as a value, for coir_flatten() or to be sent elsewhere. */
COIR_API const coir_type coir_io_type;
COIR_API COIR_MUST_USE coir_value coir_io_value(coir_io *io);       /* takes io; of NULL: the panic value that says ENOMEM */

/* coir_map_fn stands in value.h. */
typedef coir_result  coir_defer_fn(void *env);
typedef coir_io     *coir_suspend_fn(void *env);
typedef coir_io     *coir_flat_map_fn(void *env, coir_value *value);
typedef coir_io     *coir_redeem_fn(void *env, coir_result *result);
typedef coir_io     *coir_final_fn(void *env, const coir_result *result);
typedef coir_io     *coir_index_fn(void *env, size_t index);
typedef coir_io     *coir_rec_fn(void *env, coir_io *self);         /* self is borrowed */
typedef bool         coir_test_fn(void *env, const coir_value *value);
typedef void         coir_look_fn(void *env, const coir_value *value);

/*
 * COIR_ENV(type, members...): the last two arguments of the _copy forms. In C the members are an initializer with or without
 * designators; C++17 has none, so there they come in order. COIR_IOS(a, b, c): the count and the array of the functions that
 * take several ios.
 */
#ifndef __cplusplus
#define COIR_ENV(type, ...)  (&(type){ __VA_ARGS__ }), sizeof(type)
#define COIR_IOS(...)        (sizeof((coir_io *[]){ __VA_ARGS__ }) / sizeof(coir_io *)), (coir_io *[]){ __VA_ARGS__ }
#else
#define COIR_ENV(type, ...)  (coir_address_(coir_id_<type>{ __VA_ARGS__ })), sizeof(type)
#define COIR_IOS(...) \
    coir_count_<decltype(std::make_tuple(__VA_ARGS__))>(), std::initializer_list<coir_io *>{ __VA_ARGS__ }.begin()
#endif

/* ------------------------------------------------------------------------------------------------ constant and deferred */

COIR_API COIR_MUST_USE coir_io *coir_pure(coir_value value);        /* succeeds with value */
COIR_API COIR_MUST_USE coir_io *coir_unit(void);                    /* succeeds with none */
COIR_API COIR_MUST_USE coir_io *coir_fail(coir_value error);        /* an ERROR */
#define coir_failf(code, ...) coir_fail(coir_errorf((code), __VA_ARGS__))
COIR_API COIR_MUST_USE coir_io *coir_panicf(const char *format, ...) COIR_PRINTF(1, 2);         /* a PANIC, code COIR_MISUSE */
COIR_API COIR_MUST_USE coir_io *coir_from_result(coir_result result);                           /* ends with just that */
/* coir_never: waits for ever; where nothing else can go on, silence ends it with a panic, code COIR_DEADLOCK. */
COIR_API COIR_MUST_USE coir_io *coir_never(void);

/* coir_defer: fn gives the result. coir_suspend: fn gives an io, which is run in its place. Called anew in each run. */
COIR_API COIR_MUST_USE coir_io *coir_defer(coir_defer_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_defer_copy(coir_defer_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_suspend(coir_suspend_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_suspend_copy(coir_suspend_fn *fn, const void *bytes, size_t size);
/* coir_call: fn(env, value). coir_fork(coir_call(coir_take(value), fn, env)) gives a fiber what it works on. */
COIR_API COIR_MUST_USE coir_io *coir_call(coir_value value, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_call_copy(coir_value value, coir_flat_map_fn *fn, const void *bytes, size_t size);

/* coir_owns: gives env to io for good: drop(env) is called once when the io that it gives dies, which may be as soon as its own
 * callback has returned. Takes env even when io is NULL, so nothing leaks when memory runs out. */
COIR_API COIR_MUST_USE coir_io *coir_owns(coir_io *io, void *env, void (*drop)(void *env));

/* -------------------------------------------------------------------------------------------------------------- chain */

/* These stop at the first result that is not OK, which then is theirs. */
COIR_API COIR_MUST_USE coir_io *coir_map(coir_io *io, coir_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_map_copy(coir_io *io, coir_map_fn *fn, const void *bytes, size_t size);
/* coir_flat_map: runs io, then the io that fn makes of its value. The monad's bind. */
COIR_API COIR_MUST_USE coir_io *coir_flat_map(coir_io *io, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_flat_map_copy(coir_io *io, coir_flat_map_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_then(coir_io *first, coir_io *second);             /* second's value */
COIR_API COIR_MUST_USE coir_io *coir_then_keep(coir_io *first, coir_io *second);        /* first's value */
COIR_API COIR_MUST_USE coir_io *coir_as(coir_io *io, coir_value value);                 /* value in place of io's */
COIR_API COIR_MUST_USE coir_io *coir_tap(coir_io *io, coir_look_fn *fn, void *env);     /* fn looks at the value, which stays */
COIR_API COIR_MUST_USE coir_io *coir_tap_copy(coir_io *io, coir_look_fn *fn, const void *bytes, size_t size);
/* coir_flatten: io's value is an io (coir_io_value()), which is run next; anything else is a panic, code COIR_MISUSE. */
COIR_API COIR_MUST_USE coir_io *coir_flatten(coir_io *io);
COIR_API COIR_MUST_USE coir_io *coir_when(bool condition, coir_io *io);                 /* io, or nothing */

/* Several, one after the other: coir_sequence(COIR_IOS(a, b, c)). Of none: none, or the empty list. */
COIR_API COIR_MUST_USE coir_io *coir_sequence(size_t count, coir_io *const *ios);       /* the last value */
COIR_API COIR_MUST_USE coir_io *coir_zip(size_t count, coir_io *const *ios);            /* a list of the values */
/* coir_traverse: runs fn(env, 0), fn(env, 1) ... fn(env, count - 1), each when the one before has ended: a list of the values. */
COIR_API COIR_MUST_USE coir_io *coir_traverse(size_t count, coir_index_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_traverse_copy(size_t count, coir_index_fn *fn, const void *bytes, size_t size);
/* coir_each: fn on each item of the list in turn: a list of what they gave. What is not a list is a panic. */
COIR_API COIR_MUST_USE coir_io *coir_each(coir_value list, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_each_copy(coir_value list, coir_flat_map_fn *fn, const void *bytes, size_t size);

/* ----------------------------------------------------------------------------------------------------------- failures */

/*
 * Who is given a failure has taken it: what the handler's io gives is the result, and the failure, with its `also`, is dropped.
 * Only if the callback itself breaks its promise is it kept, in `also` of that panic. catch and its kin see errors only,
 * recover panics only; nothing but the finalizers sees a cancellation.
 */
COIR_API COIR_MUST_USE coir_io *coir_attempt(coir_io *io);          /* OK with the result in a box, unless canceled */
/* coir_redeem: fn is given the whole result, good or bad, unless canceled. */
COIR_API COIR_MUST_USE coir_io *coir_redeem(coir_io *io, coir_redeem_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_redeem_copy(coir_io *io, coir_redeem_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_catch(coir_io *io, coir_flat_map_fn *fn, void *env);       /* errors */
COIR_API COIR_MUST_USE coir_io *coir_catch_copy(coir_io *io, coir_flat_map_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_catch_code(coir_io *io, int code, coir_io *instead);       /* that error code only */
COIR_API COIR_MUST_USE coir_io *coir_or_else(coir_io *io, coir_io *instead);                    /* any error */
COIR_API COIR_MUST_USE coir_io *coir_recover(coir_io *io, coir_flat_map_fn *fn, void *env);     /* panics */
COIR_API COIR_MUST_USE coir_io *coir_recover_copy(coir_io *io, coir_flat_map_fn *fn, const void *bytes, size_t size);
/* coir_map_error: fn on the payload of each error: the first, and those in `also`, which stay there. */
COIR_API COIR_MUST_USE coir_io *coir_map_error(coir_io *io, coir_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_map_error_copy(coir_io *io, coir_map_fn *fn, const void *bytes, size_t size);
/* coir_map_panic: the same for panics. fn may give a coir_panic_value(). */
COIR_API COIR_MUST_USE coir_io *coir_map_panic(coir_io *io, coir_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_map_panic_copy(coir_io *io, coir_map_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_or_panic(coir_io *io);         /* an error becomes a panic with the same payload */

/*
 * Finalizers run after io, however it ended, also when the fiber is being canceled, and cannot be canceled themselves. Their
 * value is dropped; their failure is appended to io's, or is the result if io succeeded. One of a single step, as coir_defer() or
 * coir_release(), needs no memory to run.
 */
COIR_API COIR_MUST_USE coir_io *coir_finally(coir_io *io, coir_io *finalizer);
COIR_API COIR_MUST_USE coir_io *coir_finally_fn(coir_io *io, coir_final_fn *fn, void *env);     /* fn looks at the result */
COIR_API COIR_MUST_USE coir_io *coir_finally_fn_copy(coir_io *io, coir_final_fn *fn, const void *bytes, size_t size);
/* coir_on_failure: a finalizer for ERROR and PANIC only. coir_on_cancel: for CANCELED only. */
COIR_API COIR_MUST_USE coir_io *coir_on_failure(coir_io *io, coir_final_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_on_failure_copy(coir_io *io, coir_final_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_on_cancel(coir_io *io, coir_io *finalizer);
/* coir_always: second runs after first whatever it gave, unless canceled, and gives the value; a failure of first stands. */
COIR_API COIR_MUST_USE coir_io *coir_always(coir_io *first, coir_io *second);

/* -------------------------------------------------------------------------------------------------------------- loops */

/* In constant memory: 10^9 rounds hold no more than ten. Each stops at the first result that is not OK. */

/* coir_iterate: runs fn(env, state); coir_again(next) as its value goes round once more; any other value is the result. */
COIR_API COIR_MUST_USE coir_io *coir_iterate(coir_value state, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_iterate_copy(coir_value state, coir_flat_map_fn *fn, const void *bytes, size_t size);
COIR_API COIR_MUST_USE coir_io *coir_again(coir_value state);
COIR_API COIR_MUST_USE coir_io *coir_repeat(coir_io *io, uint64_t times);   /* the last value; none of 0 times */
COIR_API COIR_MUST_USE coir_io *coir_forever(coir_io *io);                  /* until a failure or a cancellation */
/* coir_while: runs io until fn(env, its value) is false, and gives that value. */
COIR_API COIR_MUST_USE coir_io *coir_while(coir_io *io, coir_test_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_while_copy(coir_io *io, coir_test_fn *fn, const void *bytes, size_t size);
/* coir_for_each: runs next, and fn on what it gives, until it gives none (which coir_int(0) is, too). */
COIR_API COIR_MUST_USE coir_io *coir_for_each(coir_io *next, coir_flat_map_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_for_each_copy(coir_io *next, coir_flat_map_fn *fn, const void *bytes, size_t size);
/* coir_rec: runs fn(env, self), where self is this very io, so that it can call itself: coir_io_ref(self) in what fn gives.
 * In tail position it runs in constant memory. Raffiot's io.rec. */
COIR_API COIR_MUST_USE coir_io *coir_rec(coir_rec_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_rec_copy(coir_rec_fn *fn, const void *bytes, size_t size);

/* ------------------------------------------------------------------------------------------------- again, after a pause */

/*
 *     coir_io *patient = coir_retry(request, COIR_POLICY(.tries_max = 5, .delay = coir_ms(100), .factor = 2, .jitter = 0.2));
 *
 *     coir_retry         runs io until it succeeds         after an ERROR the policy is asked
 *     coir_repeat_policy runs io until it fails            after a success
 *     coir_keep_running  runs io whatever comes of it      after either
 *
 * The policy says whether there is to be another round, and after what pause. Where it says no, the last result stands as it is: an error
 * is not wrapped. All else ends the loop at once: a PANIC and a CANCELED are never tried again. What a round gave is dropped before the
 * pause that follows it. A pause is a coir_sleep(): on the run's clock, and of nothing a yield. One io may run any number of times, also
 * at once: each run has its own tries, pauses and times. In constant memory, as the loops.
 */

/* coir_policy: for most cases. A tries_max of 0 is no bound where delay, give_up_after or only_if is set; where nothing is, once. */
typedef struct coir_policy {
    size_t        size;                                 /* set by COIR_POLICY(); 0: as of version 0.1 */
    uint64_t      tries_max;                            /* rounds in all */
    coir_duration delay;                                /* the first pause */
    double        factor;                               /* by which pauses grow, 1 or more; 0: they do not */
    coir_duration delay_max;                            /* to which they grow; 0: no bound */
    double        jitter;                               /* 0.2: each is up to a fifth shorter or longer than these say; at most 1 */
    coir_duration give_up_after;                        /* no round begins so long after the first began; 0: no such bound */
    coir_duration reset_after;                          /* after a round that took so long tries, pauses and give_up_after begin anew, as
                                                         * if it had been the first; 0: never */
    coir_test_fn *only_if;                              /* again only if it holds of the error, in coir_repeat_policy() of the value;
                                                         * NULL: always */
    void         *env;                                  /* of only_if; borrowed: it must outlive the io's runs */
} coir_policy;

/* COIR_POLICY(.tries_max = 3): a pointer to a policy, for a call. In C++: make a coir_policy and set its fields. */
#define COIR_POLICY(...) (&(coir_policy){ .size = sizeof(coir_policy), __VA_ARGS__ })

/* The policy is copied. One out of range (a negative duration, a factor between 0 and 1, a jitter that is not within 0 and 1, what is no
 * number) is a bad argument. */
COIR_API COIR_MUST_USE coir_io *coir_retry(coir_io *io, const coir_policy *policy);
COIR_API COIR_MUST_USE coir_io *coir_repeat_policy(coir_io *io, const coir_policy *policy);
COIR_API COIR_MUST_USE coir_io *coir_keep_running(coir_io *io, const coir_policy *policy);

/*
 * coir_schedule: for all other cases: a policy as a value, put together from parts.
 *
 *     coir_schedule *pauses = coir_schedule_capped(coir_schedule_fibonacci(coir_ms(50)), coir_seconds(5));
 *     coir_io *patient = coir_retry_by(request, coir_schedule_and(coir_schedule_full_jitter(pauses), coir_schedule_recurs(9)));
 *
 * After each round a schedule says "no more", or a pause. Taken, counted and put together like an io: NULL where there is no memory, or
 * where one that it was given is NULL; a bad argument makes a schedule of which every io is the panic with EINVAL. At most 64 parts.
 * Pauses that grow beyond the clock's end never end.
 * From     ZIO's and Effect's Schedule. Here `and` and `or` are maximum and minimum, "no more" being the longest of pauses, so they
 *          commute, associate, and distribute over each other.
 */
typedef struct coir_schedule coir_schedule;

COIR_API COIR_MUST_USE coir_io *coir_retry_by(coir_io *io, coir_schedule *schedule);
COIR_API COIR_MUST_USE coir_io *coir_repeat_by(coir_io *io, coir_schedule *schedule);
COIR_API COIR_MUST_USE coir_io *coir_keep_running_by(coir_io *io, coir_schedule *schedule);

COIR_API coir_schedule *coir_schedule_ref(coir_schedule *schedule);             /* borrows it; gives it back */
COIR_API void           coir_schedule_drop(coir_schedule *schedule);            /* NULL is harmless */

COIR_API COIR_MUST_USE coir_schedule *coir_schedule_policy(const coir_policy *policy);          /* what the policy says; copied */
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_recurs(uint64_t times);                     /* `times` further rounds, no pause */
/* For ever, with these pauses. spaced: always the same. exponential: each by factor (1 or more) longer than the one before. fibonacci:
 * first, first, then always the sum of the two before. decorrelated: any between `first` and three times the one before, at most max. */
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_spaced(coir_duration pause);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_exponential(coir_duration first, double factor);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_fibonacci(coir_duration first);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_decorrelated(coir_duration first, coir_duration max);
/* coir_schedule_while: no pause, as long as fn holds of the error, in coir_repeat_by() of the value; coir_keep_running_by() asks about
 * errors only. coir_schedule_delay_from: for ever, with the pause that fn reads from it, such as a server's "retry after"; less than 0
 * is 0. */
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_while(coir_test_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_while_copy(coir_test_fn *fn, const void *bytes, size_t size);
typedef coir_duration coir_delay_fn(void *env, const coir_value *value);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_delay_from(coir_delay_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_delay_from_copy(coir_delay_fn *fn, const void *bytes, size_t size);

/* The schedule that they take, with its pauses cut to max; each up to that fraction (0 to 1) shorter or longer; each any from 0 to what it
 * was ("full jitter"). All jitter is drawn from the run's seed. */
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_capped(coir_schedule *schedule, coir_duration max);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_jittered(coir_schedule *schedule, double fraction);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_full_jitter(coir_schedule *schedule);
/* coir_schedule_within: and no round begins `limit` or longer after the first began. coir_schedule_reset_after: after a round that took
 * that long it begins anew, as if that had been the first. */
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_within(coir_schedule *schedule, coir_duration limit);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_reset_after(coir_schedule *schedule, coir_duration duration);

/* As long as both go on, with the longer pause; as long as one of them does, with the shorter pause. Both are asked after every round. */
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_and(coir_schedule *a, coir_schedule *b);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_or(coir_schedule *a, coir_schedule *b);

/* coir_schedule_new: one of your own: fn is asked after each round: false: no more; true: again, after *pause, which is 0 beforehand. One
 * that always holds without a pause changes nothing in an `and`: so are rounds logged and counted. */
typedef struct coir_round {
    uint64_t           tries;                           /* rounds that have ended in this run of the io: 1 after the first */
    const coir_result *result;                          /* of the last one */
    coir_duration      elapsed, took;                   /* since the first round began; since the last one did */
    coir_duration      pause;                           /* the one before the last round; 0 before the first */
    uint64_t           random;                          /* drawn from the run's seed for this call */
    uint64_t          *kept;                            /* two words of this part's in this run: 0 at first, and when it begins anew */
} coir_round;
typedef bool coir_next_fn(void *env, const coir_round *round, coir_duration *pause);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_new(coir_next_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_schedule *coir_schedule_new_copy(coir_next_fn *fn, const void *bytes, size_t size);

/* ------------------------------------------------------------------------------------------------------------ context */

/*
 * Dependencies without a global and without an env in every callback. The run's context is lent by coir_options and goes to all
 * fibers; coir_local() puts another in its place for one io, and for the fibers forked in it.
 */
COIR_API COIR_MUST_USE coir_io *coir_ask(void);                     /* the context's bits or pointer, lent, without its type */
COIR_API const coir_value *coir_context(void);                      /* in a callback: lent while it runs; elsewhere NULL */
COIR_API COIR_MUST_USE coir_io *coir_local(coir_io *io, coir_value context);            /* shared, should the io run twice */
/* coir_contra_map: the context of io is what fn makes of the one outside. fn is lent that one to look at. */
typedef coir_value coir_context_fn(void *env, const coir_value *context);
COIR_API COIR_MUST_USE coir_io *coir_contra_map(coir_io *io, coir_context_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_contra_map_copy(coir_io *io, coir_context_fn *fn, const void *bytes, size_t size);
/* coir_defer_read: coir_defer(), and fn is lent the context. Raffiot's defer_read. */
typedef coir_result coir_read_fn(void *env, const coir_value *context);
COIR_API COIR_MUST_USE coir_io *coir_defer_read(coir_read_fn *fn, void *env);
COIR_API COIR_MUST_USE coir_io *coir_defer_read_copy(coir_read_fn *fn, const void *bytes, size_t size);

/* Fiber-local keys: a value by key, inherited by the fibers forked inside; only scoped, there is no set. After ZIO's FiberRef and
 * Java's ScopedValue. A key is counted: ios that mention it keep it. */
typedef struct coir_key coir_key;
COIR_API COIR_MUST_USE coir_key *coir_key_new(coir_value initial);          /* NULL with errno ENOMEM: initial is dropped */
COIR_API coir_key *coir_key_ref(coir_key *key);
COIR_API void      coir_key_drop(coir_key *key);
COIR_API COIR_MUST_USE coir_io *coir_key_get(coir_key *key);                /* shared: a value without share is a panic */
COIR_API COIR_MUST_USE coir_io *coir_with_key(coir_key *key, coir_value value, coir_io *io);

/* ------------------------------------------------------------------------------------------- a program is data: look at it */

/* coir_named: io, with a label (copied) for dumps, pictures and messages. The name of a fiber is that of the io it was forked
 * with. label NULL: io as it is. */
COIR_API COIR_MUST_USE coir_io *coir_named(coir_io *io, const char *label);
/* coir_io_print: a tree of text, a line an instruction. coir_io_dot: a graph for Graphviz. Both show at most `nodes_max`
 * instructions (0: all) and say so where they stop; what is shared is shown once. io is borrowed; NULL is shown as such. */
COIR_API void coir_io_print(const coir_io *io, FILE *out, size_t nodes_max);
COIR_API void coir_io_dot(const coir_io *io, FILE *out, size_t nodes_max);
/* coir_io_visit: calls visit for each instruction, parents first, children in order, in constant C stack, until it gives false.
 * An io that is shared is visited as often as it is mentioned.
 * Gives    true if all were visited. false too if there was no memory to go on. */
typedef struct coir_io_view {
    const char *name;                                   /* of the instruction: "flat_map" */
    const char *label;                                  /* given by coir_named(), else NULL */
    const coir_value *value;                            /* what it carries, else NULL; lent */
    size_t children, depth;                             /* how many ios are visible inside; 0 at the root */
} coir_io_view;
COIR_API bool coir_io_visit(const coir_io *io, bool (*visit)(void *env, const coir_io_view *view), void *env);

#ifdef __cplusplus
}
template <class T> using coir_id_ = T;
template <class T> inline const T *coir_address_(const T &temporary) { return &temporary; }
template <class T> constexpr size_t coir_count_() { return std::tuple_size<T>::value; }
#endif
#endif
