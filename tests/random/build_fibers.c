/*
 * build_fibers.c - forks, joins and waits of random programs as ios
 */
#include "random/building.h"

/* What was looked at is noted: so it shows whether it was. */
static void looked(void *env, const coir_value *value) { world_tell(((const struct env *)env)->term, value); }
static coir_io *noted(const struct term *term, coir_io *look)
{
    const struct env env = { .term = term };
    return coir_tap_copy(look, looked, &env, sizeof env);
}

static coir_io *join_it(void *env, coir_value *fiber) { (void)env; return coir_join(coir_fiber_of(fiber)); }
static coir_io *wait_it(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

/* Who is canceled right after he began ends before he has opened his book. */
static coir_io *ending(void *env, const coir_result *result)
{
    world_open(((const struct env *)env)->book);
    world_tell_end(result);
    return coir_unit();
}

coir_io *build_ending(const struct env *env, coir_io *io) { return coir_finally_fn_copy(io, ending, env, sizeof *env); }

static coir_result opening(void *env) { world_open(((const struct env *)env)->book); return coir_ok(coir_none()); }

static coir_io *beginning(void *env_)
{
    const struct env *env = env_;
    world_open(env->book);
    return build_term(env->term, &env->scope);
}

/* Behind a mask, it looks whether it was asked to end: then the whole has been called off, or somebody has settled what it comes to. */
coir_io *build_shielded(const struct term *term, size_t i, coir_io *io)
{
    const struct env env = { .term = term };
    if (term->op != OP_GROUP || !random_is_shielded(term, i))
        return io;
    return coir_uncancelable(coir_finally(io, coir_defer_copy(build_mask_seen, &env, sizeof env)));
}

/* Built now, or by itself. */
coir_io *build_child(const struct term *term, size_t i, struct book *parent, struct gate *gate)
{
    struct env env = { .term = term->kids[i], .book = world_book(parent), .scope = build_nothing_in_scope };
    coir_io *io;
    env.scope.is_hunted = random_is_hunted(world.program, term, i);
    env.scope.guest = gate != NULL ? world_guest(gate) : NULL;
    if (term->times >> i & 1)
        io = coir_named(build_ending(&env, build_shielded(term, i, coir_suspend_copy(beginning, &env, sizeof env))), "child");
    else
        io = build_ending(&env, build_shielded(term, i, coir_then(coir_defer_copy(opening, &env, sizeof env), build_term(env.term, &env.scope))));
    return env.scope.guest != NULL ? world_as_guest(env.scope.guest, io) : io;
}

coir_io *build_fork(void *env_)
{
    const struct term *term = ((const struct env *)env_)->term;
    coir_io *child = build_child(term, 0, world_book_here(), NULL);
    coir_io *fork = term->how == FORK_DETACHED ? coir_fork_detached(child) : coir_fork(child);
    switch ((enum fork)term->how) {
    case FORK_HANDLE:   return fork;
    case FORK_JOIN:     return noted(term, coir_flat_map(fork, join_it, NULL));
    case FORK_WAIT:     return noted(term, coir_flat_map(fork, wait_it, NULL));
    case FORK_DETACHED: break;
    }
    return coir_then(fork, coir_unit());
}

/* ------------------------------------------------------------------------------------------------------------- hunting */

static coir_result cancel_at_once(void *env)
{
    coir_fiber_cancel((*(coir_fiber **)env));
    return coir_ok(coir_none());
}

static coir_io *canceling(const struct term *term, const coir_value *fiber)
{
    coir_fiber *handle = coir_fiber_of(fiber);
    switch (term->number % 4) {
    case 0:  return coir_cancel(handle);
    case 1:  return coir_cancel_nowait(handle);
    case 2:  return coir_cancel_all(fiber);
    default: return coir_defer_copy(cancel_at_once, &handle, sizeof handle);
    }
}

struct hunting { const struct term *term; struct gate *gate; };

static coir_io *struck(void *hunting_, coir_value *fiber)
{
    const struct hunting *hunting = hunting_;
    coir_io *io = canceling(hunting->term, fiber);
    if (hunting->term->how == HUNT_STALLED)
        io = coir_then(world_pass(hunting->gate), io);
    if (hunting->term->how == HUNT_ENDED)
        io = coir_then(coir_wait(fiber), io);
    return coir_as(io, coir_share(fiber));              /* which is lent until this has ended */
}

/* Masked until the child has been asked, since it may wait for that. */
coir_io *build_hunt(void *env_)
{
    const struct term *term = ((const struct env *)env_)->term;
    struct hunting hunting = { term, world_gate(1) };
    coir_io *fork = coir_fork(build_child(term, 0, world_book_here(), hunting.gate));
    coir_io *hunt = coir_uncancelable(coir_flat_map_copy(fork, struck, &hunting, sizeof hunting));
    switch ((enum hunt_end)(term->times >> 1 & 3)) {
    case HUNT_WAIT:   return noted(term, coir_flat_map(hunt, wait_it, NULL));
    case HUNT_JOIN:   return noted(term, coir_flat_map(hunt, join_it, NULL));
    case HUNT_HANDLE: return hunt;
    case HUNT_FORGET: break;
    }
    return coir_then(hunt, coir_unit());
}

/* ------------------------------------------------------------------------------------------------------ forking, waiting */

coir_io *build_alike(void *env_)
{
    const struct env *env = env_;
    coir_io *shared = build_term(env->term->kids[0], &build_nothing_in_scope), *ios[3];
    struct book *parent = world_book_here();
    for (size_t i = 0; i < 3; i++) {
        struct env child = { .book = world_book(parent) };
        ios[i] = build_ending(&child, coir_then(coir_defer_copy(opening, &child, sizeof child), coir_io_ref(shared)));
    }
    coir_io_drop(shared);
    return noted(env->term, coir_flat_map(coir_parallel(3, ios), wait_it, NULL));
}

static coir_value any_seen(void *fibers_, coir_value *index)
{
    struct owned *fibers = fibers_;
    const coir_value *fiber = fibers->value.type == &coir_list_type ? coir_list_at(&fibers->value, (size_t)index->u64) : &fibers->value;
    if (fiber == NULL || coir_fiber_status(coir_fiber_of(fiber)) != COIR_ENDED)
        world_wrong("wait_any gives one that has not ended");
    return coir_none();
}

static coir_io *waiting_for_any(const struct env *env, const coir_value *fibers)
{
    struct owned *kept = build_owned(coir_share(fibers), env, 0);
    return coir_owns(coir_map(coir_wait_any(fibers), any_seen, kept), kept, build_owned_drop);
}

coir_io *build_waiting(void *env_, coir_value *fibers)
{
    const struct env *env = env_;
    switch ((enum waiting)env->term->how) {
    case WAITING_JOIN: return coir_join(coir_fiber_of(fibers));
    case WAITING_ALL:  return coir_wait(fibers);
    case WAITING_ANY:  break;
    }
    return coir_can_share(fibers) ? waiting_for_any(env, fibers) : coir_wait_any(fibers);
}

/* By a fiber in between. */
static coir_io *joining_elsewhere(coir_fiber *one)
{
    struct env env = { .book = world_book(world_book_here()) };
    return coir_flat_map(coir_fork(build_ending(&env, coir_join(one))), join_it, NULL);
}

static coir_io *looking_at(const struct env *env, struct look_at look, const coir_value *fibers)
{
    size_t count = coir_list_size(fibers);
    if (count == 0 && look.look != LOOK_WAIT_ALL && look.look != LOOK_WAIT_ANY)
        return coir_unit();
    const coir_value *one = count > 0 ? coir_list_at(fibers, look.index % count) : NULL;
    switch ((enum look)look.look) {
    case LOOK_JOIN:           return coir_join(coir_fiber_of(one));
    case LOOK_WAIT:           return coir_wait(one);
    case LOOK_WAIT_ALL:       return coir_wait(fibers);
    case LOOK_WAIT_ANY:       return waiting_for_any(env, fibers);
    case LOOK_JOIN_ELSEWHERE: return joining_elsewhere(coir_fiber_of(one));
    case LOOKS:               break;
    }
    return coir_unit();
}

static coir_io *looking_at_all(void *env_, coir_value *fibers)
{
    const struct env *env = env_;
    const struct term *term = env->term;
    coir_io *looks[3];
    if (term->how == PARALLEL_HANDLES)
        return coir_pure(coir_take(fibers));
    for (size_t i = 0; i < term->looks_count; i++) {
        looks[i] = noted(term, looking_at(env, term->looks[i], fibers));
        if (term->how == PARALLEL_EACH)
            looks[i] = coir_attempt(looks[i]);
    }
    return term->how == PARALLEL_LAST ? coir_sequence(term->looks_count, looks) : coir_zip(term->looks_count, looks);
}

coir_io *build_parallel(void *env_)
{
    const struct env *env = env_;
    const struct term *term = env->term;
    struct book *parent = world_book_here();
    coir_io *ios[TERM_KIDS];
    for (size_t i = 0; i < term->count; i++) {
        coir_io *child = build_child(term, i, parent, NULL);
        ios[i] = term->which == 1 ? coir_fork(child) : child;
    }
    coir_io *all = term->which == 1 ? coir_zip(term->count, ios) : coir_parallel(term->count, ios);
    return coir_flat_map_copy(all, looking_at_all, env, sizeof *env);
}
