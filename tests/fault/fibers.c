/*
 * fibers.c - fibers: started, waited for, joined, abandoned; one at a time, many, and in several runs
 */
#include "fault.h"

/* ------------------------------------------------------------------------------------------------------------ forking */

static coir_io *text_after(int yields, const char *text)
{
    coir_io *io = coir_pure(coir_stringf("%s", text));
    for (int i = 0; i < yields; i++)
        io = coir_then(coir_yield(), io);
    return io;
}

static coir_io *join_both(void *env, coir_value *fibers)
{
    (void)env;
    return coir_zip(COIR_IOS(coir_join(coir_fiber_of(coir_list_at(fibers, 1))), coir_join(coir_fiber_of(coir_list_at(fibers, 0))),
                             coir_join(coir_fiber_of(coir_list_at(fibers, 0)))));
}

static coir_io *sole_result(void *env, coir_value *value) { (void)env; return coir_pure(sole_thing(thing_number(value))); }

FAULT_PROGRAM(forks, "OK [a [thing 1 b b] <ERROR thing 2> thing 3]")
{
    return fault_run(coir_zip(COIR_IOS(joined(text_after(0, "a")),
                                      coir_flat_map(coir_parallel(COIR_IOS(text_after(3, "b"), coir_pure(thing(1)))), join_both, NULL),
                                      coir_attempt(joined(coir_fail(thing(2)))),
                                      joined(joined(coir_call(thing(3), sole_result, NULL))))), options);
}

/* One io in several fibers, which share it. */
FAULT_PROGRAM(forks_shared, "OK [<OK [a thing 1]> <OK [a thing 1]> <OK [a thing 1]> <OK [a thing 1]>]")
{
    coir_io *io = coir_zip(COIR_IOS(text_after(1, "a"), coir_pure(thing(1))));
    return fault_run(coir_flat_map(copies_of(4, io), wait_it, NULL), options);
}

/* So many that their ios stand beside the node, and they need several slabs. */
enum { MANY = 520 };
static coir_io *count_ended(void *env, coir_value *results)
{
    (void)env;
    return coir_pure(coir_int(how_many_are(results, COIR_OK)));
}
static coir_io *wait_and_count(void *env, coir_value *fibers) { (void)env; return coir_flat_map(coir_wait(fibers), count_ended, NULL); }
FAULT_PROGRAM(many_fibers, "OK 520")
{
    coir_io *ios[MANY];
    for (int i = 0; i < MANY; i++)
        ios[i] = i % 2 == 0 ? coir_unit() : coir_yield();
    return fault_run(coir_flat_map(coir_parallel(MANY, ios), wait_and_count, NULL), options);
}

static coir_io *fork_down(void *env, coir_value *depth)
{
    (void)env;
    if (depth->i64 == 0)
        return coir_pure(thing(1));
    return coir_then(joined(coir_call(coir_int(depth->i64 - 1), fork_down, NULL)), joined(coir_call(coir_int(depth->i64 - 1), fork_down, NULL)));
}
FAULT_PROGRAM(tree_of_forks, "OK thing 1") { return fault_run(coir_call(coir_int(4), fork_down, NULL), options); }

/* ------------------------------------------------------------------------------------------------------------ waiting */

static coir_io *wait_for_any(void *env, coir_value *fibers)
{
    (void)env;
    return coir_zip(COIR_IOS(coir_then(coir_wait_any(fibers), coir_unit()), coir_wait(fibers), coir_wait_any(coir_list_at(fibers, 2))));
}

static coir_io *self_is_known(void *env, coir_value *self)
{
    (void)env;
    return coir_pure(coir_bool(coir_fiber_id(coir_fiber_of(self)) == coir_current_id()));
}

FAULT_PROGRAM(waits, "OK [[0 [<OK thing 1> <ERROR a> <OK c>] 0] <PANIC DEADLOCK> 1 []]")
{
    coir_io *some[] = { coir_then(text_after(2, "b"), coir_pure(thing(1))), coir_fail(coir_stringf("a")), text_after(5, "c") };
    coir_value none = coir_list(0, NULL);
    coir_io *of_none = coir_wait(&none);
    coir_drop(none);
    return fault_run(coir_zip(COIR_IOS(coir_flat_map(coir_parallel(3, some), wait_for_any, NULL),
                                      coir_attempt(coir_flat_map(coir_self(), join_it, NULL)),
                                      coir_flat_map(coir_self(), self_is_known, NULL), of_none)), options);
}

/* Their failures are nobody's; where they fail for want of memory the hook is told. */
FAULT_PROGRAM(abandoned_fibers, "OK 0")
{
    return fault_run(coir_then(coir_parallel(COIR_IOS(text_after(3, "a"), coir_fail(thing(1)), coir_fork(coir_fork(coir_fail(thing(2)))),
                                                     coir_finally(coir_fail(thing(3)), coir_fail(thing(4))))),
                              coir_then(coir_fork(text_after(1, "b")), coir_unit())), options);
}

/* --------------------------------------------------------------------------------------------------------- many runs */

/* A handle that outlives its run, and a result that stands in it. */
FAULT_PROGRAM(handle_of_another_run, "OK [<OK thing 1> <OK thing 1>]")
{
    coir_result first = fault_run(coir_fork(text_after(1, "x")), options), second = fault_run(coir_fork(coir_pure(thing(1))), options);
    if (first.tag != COIR_OK || second.tag != COIR_OK)
        return coir_result_and(first, second);
    coir_value fibers = coir_list(2, (coir_value[]){ coir_share(&second.value), coir_take(&second.value) });
    coir_io *io = coir_then(coir_wait(&first.value), coir_wait(&fibers));
    coir_result_drop(&first);
    coir_drop(fibers);
    return fault_run(io, options);
}

FAULT_PROGRAM(several_runs, "OK [[thing 1 a] [thing 1 a] [thing 1 a]]")
{
    coir_io *io = coir_zip(COIR_IOS(coir_pure(thing(1)), joined(text_after(1, "a"))));
    coir_result results[3];
    for (int i = 0; i < 3; i++)
        results[i] = fault_run(coir_io_ref(io), options);
    coir_io_drop(io);
    return coir_result_zip(3, results);
}

/* Each step is a turn of its own. */
static coir_io *all_of_a_kind(void *env, coir_value *value)
{
    (void)env;
    return coir_zip(COIR_IOS(joined(coir_fail(coir_take(value)))));
}
FAULT_PROGRAM(budget_of_one, "OK [<OK [thing 1 a]> <ERROR thing 2 also(ERROR thing 3)>]")
{
    coir_options short_of_steps = *options;
    short_of_steps.budget = 1;
    return fault_run(waited(COIR_IOS(coir_zip(COIR_IOS(coir_pure(thing(1)), text_after(2, "a"))),
                                    coir_finally(coir_call(thing(2), all_of_a_kind, NULL), coir_fail(thing(3))))), &short_of_steps);
}
