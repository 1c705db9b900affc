/*
 * scopes.c - children that have ended when their scope has, whatever is missing
 */
#include "fault.h"

/* How many of the fibers below have begun and not ended: none may be left when the scope around them has ended. */
static atomic_int alive;
static coir_result begin(void *env) { (void)env; atomic_fetch_add(&alive, 1); return coir_ok(coir_none()); }
static coir_result end(void *env)   { (void)env; atomic_fetch_sub(&alive, 1); return coir_ok(coir_none()); }
static coir_io *child(coir_io *io)  { return coir_finally(coir_then(coir_defer(begin, NULL), io), coir_defer(end, NULL)); }

static coir_result look(void *env)
{
    (void)env;
    if (atomic_load(&alive) > 0)
        fault_wrong("%d children have outlived their scope", atomic_load(&alive));
    return coir_ok(coir_none());
}
static coir_io *looked_at(coir_io *scope) { return coir_attempt(coir_finally(scope, coir_defer(look, NULL))); }

static coir_io *forked_deep(void)
{
    return coir_fork(child(coir_then(coir_fork(child(coir_then(coir_yield(), coir_pure(thing(1))))), coir_yield())));
}

static coir_io *all_well(void)   { return coir_scope(coir_sequence(COIR_IOS(forked_deep(), coir_fork(child(coir_yield())), coir_pure(thing(2))))); }
static coir_io *one_fails(void)
{
    return coir_scope(coir_sequence(COIR_IOS(coir_fork(child(coir_never())), coir_fork(child(coir_fail(thing(3)))), child(coir_never()))));
}
static coir_io *io_fails(void)   { return coir_scope(coir_sequence(COIR_IOS(coir_fork(child(coir_never())), coir_fail(thing(4))))); }
static coir_io *supervised(void)
{
    return coir_supervise(coir_sequence(COIR_IOS(coir_fork(child(coir_fail(thing(5)))), coir_fork(child(coir_yield())), coir_pure(thing(6)))));
}
static coir_io *drained(void)
{
    return coir_supervise_drain(coir_sequence(COIR_IOS(coir_fork(child(coir_never())), coir_fork(child(coir_yield())), coir_pure(thing(7)))),
                                coir_us(50));
}
static coir_io *detached(void)   { return coir_scope(coir_then(coir_fork_detached(coir_yield()), coir_pure(thing(8)))); }
static coir_io *timed(void)      { return coir_timeout_to(coir_scope(coir_then(coir_fork(child(coir_never())), coir_never())), coir_us(50), coir_pure(thing(9))); }

static coir_result all_scopes(const coir_options *options, bool is_shared)
{
    coir_io *all[] = { looked_at(all_well()), looked_at(one_fails()), looked_at(io_fails()), looked_at(supervised()), looked_at(drained()),
                       looked_at(detached()), looked_at(timed()) };
    coir_io *io = coir_zip(sizeof all / sizeof *all, all);
    atomic_store(&alive, 0);
    if (is_shared) {
        coir_io *again = coir_io_ref(io);
        io = coir_then(again, io);
    }
    return fault_run(io, options);
}

#define OUTCOME "OK [<OK thing 2> <ERROR thing 3> <ERROR thing 4> <OK thing 6> <OK thing 7> <OK thing 8> <OK thing 9>]"
FAULT_PROGRAM(scopes, OUTCOME)        { return all_scopes(options, false); }
FAULT_PROGRAM(scopes_shared, OUTCOME) { return all_scopes(options, true); }

/* The child has begun when its parent finds no memory for the timer: the wait for it must not end for that. */
static coir_io *timed_late(void)
{
    coir_io *body = coir_sequence(COIR_IOS(coir_fork(child(coir_never())), coir_yield(), coir_never()));
    return coir_timeout_to(coir_scope(body), coir_us(50), coir_pure(thing(9)));
}

FAULT_PROGRAM(scope_in_a_time_out, "OK <OK thing 9>")
{
    atomic_store(&alive, 0);
    return fault_run(looked_at(timed_late()), options);
}
