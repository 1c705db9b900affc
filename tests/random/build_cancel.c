/*
 * build_cancel.c - masks, time-outs, and what waits to be called off, as ios
 */
#include "random/building.h"

#include <errno.h>

coir_result build_mask_seen(void *env)
{
    const coir_value seen = coir_int(coir_is_masked() | coir_is_canceling() << 1);
    world_tell(((const struct env *)env)->term, &seen);
    return coir_ok(coir_none());
}

static coir_result noting(void *env) { world_tell_nothing(((const struct env *)env)->term); return coir_ok(coir_none()); }

coir_io *build_cancel_self(const struct term *term)
{
    struct env env = { .term = term };
    return coir_uncancelable(coir_then(coir_defer_copy(noting, &env, sizeof env), coir_cancel_self()));
}

/* ---------------------------------------------------------------------------------------------------- masks and time-outs */

static coir_duration limit_of(const struct term *term)
{
    switch ((enum limit)term->how) {
    case LIMIT_NONE: break;
    case LIMIT_LONG: return coir_seconds(3600 * (1 + (int64_t)term->times));
    case LIMIT_SOON: return coir_us(1 + term->times % 4);
    case LIMIT_PAST: return coir_ns(-(int64_t)term->times);
    }
    return coir_ns(INT64_MAX);
}

coir_io *build_around(const struct term *term, const struct scope *scope)
{
    coir_io *io = build_kid(term, 0, scope);
    switch (term->op) {
    case OP_UNCANCELABLE: return coir_uncancelable(io);
    case OP_CANCELABLE:   return coir_cancelable(io);
    case OP_TIMEOUT:      return coir_timeout(io, limit_of(term));
    default:              return coir_timeout_to(io, limit_of(term), build_kid(term, 1, scope));
    }
}

/* ---------------------------------------------------------------------------------------------------- waiting to be called off */

/* A callback that comes only when it is asked for. */
static void asked_start(void *env, void *op, coir_callback k)
{
    (void)env;
    *(coir_callback *)op = k;
}

static void asked_cancel(void *env, void *op)
{
    const struct term *term = ((const struct env *)env)->term;
    coir_result answer = coir_ok(coir_none());
    if (term->how == STALL_ERROR)
        answer = coir_raise(coir_errorf(ECANCELED, "called off"));
    if (term->how == STALL_PANIC)
        answer = coir_panic(coir_int(term->number));
    if (!coir_resume(*(coir_callback *)op, answer))
        world_wrong("the resume that was asked for is refused");
}
static const coir_async_type asked_type = { .op_size = sizeof(coir_callback), .start = asked_start, .cancel = asked_cancel };

static bool is_not_asked(void *env, const coir_value *value)
{
    (void)env;
    (void)value;
    return !coir_is_canceling();
}

/* The clock of a simulation moves only when nobody can go on: so it sleeps between two looks. What is behind them sees what came with the last. */
static coir_io *looking_on(void) { return coir_then(coir_while(coir_sleep(coir_us(1)), is_not_asked, NULL), coir_unit()); }

coir_io *build_stall(void *env_)
{
    const struct env *env = env_;
    const struct scope *scope = &env->scope;
    if (scope->soon == 0 && !scope->is_hunted)
        return coir_unit();
    world_announce(scope->guest);
    bool can_see = (scope->soon > 0 && scope->is_open) || (scope->is_hunted && !coir_is_masked());
    if (!can_see)
        return looking_on();
    switch ((enum stall)env->term->how) {
    case STALL_LOOKS:   break;
    case STALL_NEVER:   return coir_then(coir_never(), coir_unit());
    case STALL_SLEEP:   return coir_sleep(coir_seconds(1000 * 3600));
    case STALL_ACQUIRE: return coir_acquire(world.closed, 1);
    case STALL_VALUE: case STALL_ERROR: case STALL_PANIC:
        return coir_async_copy(&asked_type, env, sizeof *env);
    }
    return looking_on();
}
