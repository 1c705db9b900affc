/*
 * build.c - a random program as an io
 *
 * Each callback notes what it was lent, in the book of the fiber for which it runs: its term, the value, the context that it sees, and,
 * where one fiber is all there is, how many values that callbacks bore are alive (#): that number is determined by what the headers
 * say about the end of what is lent, so a value that dies early or late shows.
 */
#include "random/building.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------- what a callback is given */

const struct scope build_nothing_in_scope = { .again = -1 };

struct scope build_scope(const struct term *term, size_t i, const struct scope *scope)
{
    struct scope inner = *scope;
    inner.soon += random_is_due(term, i);
    inner.is_open = (scope->is_open && !random_is_masked(term, i)) || random_is_due(term, i);
    return inner;
}

coir_io *build_kid(const struct term *term, size_t i, const struct scope *scope)
{
    const struct scope inner = build_scope(term, i, scope);
    return build_term(term->kids[i], &inner);
}

static coir_io *build_body(const struct env *env, const struct scope *scope) { return build_kid(env->term, env->term->count - 1, scope); }

struct env build_env(const struct term *term, const struct scope *scope)
{
    struct env env = { .term = term, .scope = *scope };
    if (random_is_ready(term)) {
        struct scope inner = *scope;
        inner.again = -1;                               /* one that goes round is built anew each time, or it would do so for ever */
        env.ready = build_kid(term, term->count - 1, &inner);
    }
    return env;
}

static void ready_drop(void *io) { coir_io_drop(io); }

/* Gives the io whose callback has this env. */
coir_io *build_keeping(const struct env *env, coir_io *io) { return env->ready != NULL ? coir_owns(io, env->ready, ready_drop) : io; }

struct scope build_binding(const struct env *env, const coir_value *lent)
{
    struct scope scope = env->scope;
    if (env->term->slot >= 0) {
        scope.bound[env->term->slot] = *lent;
        scope.is_bound[env->term->slot] = true;
    }
    return scope;
}

struct owned *build_owned(coir_value value, const struct env *env, int left)
{
    struct owned *owned = malloc(sizeof *owned);
    if (owned == NULL)
        abort();
    world_uncount(&value);
    *owned = (struct owned){ value, *env, left };
    atomic_fetch_add(&world.owned, 1);
    return owned;
}

void build_owned_drop(void *owned_)
{
    struct owned *owned = owned_;
    coir_drop(owned->value);
    atomic_fetch_sub(&world.owned, 1);
    free(owned);
}

/* ---------------------------------------------------------------------------------------- callbacks that are lent a value */

static coir_io *use_again(void *env_, coir_value *lent)
{
    const struct env *env = env_;
    world_tell(env->term, lent);
    struct scope inner = build_binding(env, lent);
    return build_body(env, &inner);
}

static coir_io *unboxed(const coir_value *lent)
{
    return coir_from_result(coir_result_share(coir_result_in(lent)));
}

static coir_io *use(void *env_, coir_value *lent)
{
    const struct env *env = env_;
    struct scope outer = env->scope, inner = build_binding(env, lent);
    coir_key *key = world.keys[env->term->which % KEYS];
    coir_value value;
    world_tell(env->term, lent);
    switch ((enum use)env->term->how) {
    case USE_LEAVE:
        return build_body(env, &inner);
    case USE_DROP:
        coir_drop(coir_take(lent));
        return build_body(env, &outer);
    case USE_GIVE:
        return coir_pure(coir_take(lent));
    case USE_FAIL:
        return coir_fail(coir_take(lent));
    case USE_PANIC:
        return coir_from_result(coir_panic(coir_take(lent)));
    case USE_AS:
        return coir_as(build_body(env, &outer), coir_take(lent));
    case USE_KEEP:
        return coir_then_keep(coir_pure(coir_take(lent)), build_body(env, &outer));
    case USE_PAIR:
        value = coir_take(lent);
        return coir_zip(COIR_IOS(coir_pure(value), build_body(env, &outer)));
    case USE_FINAL:
        value = coir_take(lent);
        return coir_finally(build_body(env, &outer), coir_pure(value));
    case USE_SHARE:
        return coir_then_keep(coir_pure(coir_share(lent)), build_body(env, &inner));
    case USE_LOCAL:
        value = coir_take(lent);
        return coir_local(build_body(env, &outer), value);
    case USE_KEY:
        value = coir_take(lent);
        return coir_with_key(key, value, build_body(env, &outer));
    case USE_CALL:
        return coir_call_copy(coir_take(lent), use_again, env, sizeof *env);
    case USE_OWNED:
        value = coir_take(lent);
        return coir_owns(build_body(env, &outer), build_owned(value, env, 0), build_owned_drop);
    case USE_ITEM:
        return coir_pure(coir_list_take(lent, 1));
    case USE_UNBOX:
        return coir_result_in(lent) != NULL ? unboxed(lent) : coir_pure(coir_take(lent));
    case USE_NOTHING:
        return NULL;
    case USE_LOSE:
        coir_drop(coir_take(lent));
        return NULL;
    case USE_READY:
        break;
    }
    return coir_io_ref(env->ready);
}

/* use, with the state of an iterate: it says how many rounds are left. */
static int64_t rounds_left(const coir_value *state)
{
    int64_t number = world_number(state);
    return number < 0 ? 0 : number % 4;
}

static coir_io *use_round(void *env_, coir_value *state)
{
    struct env env = *(const struct env *)env_;
    env.scope.again = rounds_left(state) - 1;
    return use(&env, state);
}

coir_value build_mapped(void *env_, coir_value *lent)
{
    const struct env *env = env_;
    int number = env->term->number;
    coir_value taken;
    world_tell(env->term, lent);
    switch ((enum map)env->term->how) {
    case MAP_TAKE:   return coir_take(lent);
    case MAP_SAME:   return *lent;
    case MAP_THING:  return world_thing(&world_thing_type, number, true);
    case MAP_SOLE:   return world_thing(&world_sole_type, number, true);
    case MAP_NUMBER: return coir_int(world_number(lent) + 1);
    case MAP_STRING: return coir_stringf("s%d", number);
    case MAP_LIST:
        taken = coir_take(lent);
        return world_pair(taken, coir_int(number));
    case MAP_ITEM:   return coir_list_take(lent, 0);
    case MAP_PUSH:
        taken = coir_take(lent);
        (void)coir_list_push(&taken, world_thing(&world_thing_type, number, true));
        return taken;
    case MAP_LOSE:
        coir_drop(coir_take(lent));
        break;
    case MAP_BROKEN:
        break;
    }
    return coir_panic_value("broken on purpose");
}

static void tapped(void *env, const coir_value *value) { world_tell(((const struct env *)env)->term, value); }

static coir_io *redeemed(void *env_, coir_result *lent)
{
    const struct env *env = env_;
    struct scope inner = build_binding(env, &lent->value);
    coir_value value;
    world_tell_result(env->term, lent);
    switch ((enum redeem)env->term->how) {
    case REDEEM_LEAVE:
        return build_body(env, &inner);
    case REDEEM_GIVE:
        return coir_from_result(coir_result_take(lent));
    case REDEEM_BOX:
        return coir_pure(coir_box(coir_result_take(lent)));
    case REDEEM_VALUE:
        value = coir_take(&lent->value);
        return coir_as(build_body(env, &env->scope), value);
    case REDEEM_NOTHING:
        return NULL;
    case REDEEM_LOSE:
        coir_result_drop(lent);
        return NULL;
    case REDEEM_READY:
        break;
    }
    return coir_io_ref(env->ready);
}

static coir_io *finalizing(void *env_, const coir_result *result)
{
    const struct env *env = env_;
    struct scope inner = build_binding(env, &result->value);
    world_tell_result(env->term, result);
    switch ((enum final)env->term->how) {
    case FINAL_BODY:    return build_body(env, &inner);
    case FINAL_UNIT:    return coir_unit();
    case FINAL_NOTHING: return NULL;
    case FINAL_READY:   break;
    }
    return coir_io_ref(env->ready);
}

/* ------------------------------------------------------------------------------------------- callbacks that are lent nothing */

static coir_result deferred(void *env)
{
    const struct term *term = ((const struct env *)env)->term;
    world_tell_nothing(term);
    if (term->how == DEFER_BROKEN)
        return coir_ok(coir_panic_value("broken on purpose"));
    return coir_result_of((coir_tag)term->how, world_make(term->value, true));
}

static coir_result looking(void *env_)
{
    const struct env *env = env_;
    const coir_value *bound = &env->scope.bound[env->term->which];
    world_tell(env->term, bound);
    return coir_ok(coir_int(world_number(bound)));
}

static coir_io *suspended(void *env_)
{
    const struct env *env = env_;
    world_tell_nothing(env->term);
    if (env->term->how == SUSPEND_NOTHING)
        return NULL;
    return env->ready != NULL ? coir_io_ref(env->ready) : build_body(env, &env->scope);
}

static coir_io *indexed(void *env_, size_t index)
{
    const struct env *env = env_;
    coir_value number = coir_int((int64_t)index);
    struct scope inner = build_binding(env, &number);
    world_tell(env->term, &number);
    if (env->term->how == SUSPEND_NOTHING && index > 0)
        return NULL;
    return env->ready != NULL ? coir_io_ref(env->ready) : build_body(env, &inner);
}

static coir_io *nothing_built(void *env)
{
    return coir_then(coir_pure(world_make(((const struct env *)env)->term->value, false)), NULL);
}

static coir_value asked(void *env, coir_value *context)
{
    const coir_value *here = coir_context();
    world_tell(((const struct env *)env)->term, here);
    if (context->type != NULL || context->u64 != here->u64)
        world_wrong("ask gives another context than callbacks see");
    return coir_int(world_number(here));
}

static coir_result reading(void *env, const coir_value *context)
{
    world_tell(((const struct env *)env)->term, context);
    return coir_ok(coir_int(world_number(context)));
}

static coir_value other_context(void *env, const coir_value *context)
{
    const struct term *term = ((const struct env *)env)->term;
    world_tell_seen(term, context, context);
    switch ((enum context)term->how) {
    case CONTEXT_NEXT:   return coir_int(world_number(context) + 1);
    case CONTEXT_SHARE:  return coir_share(context);
    case CONTEXT_BORN:   return world_make(term->value, true);
    case CONTEXT_BROKEN: break;
    }
    return coir_panic_value("broken on purpose");
}

static coir_value self_seen(void *env, coir_value *self)
{
    (void)env;
    if (coir_fiber_id(coir_fiber_of(self)) != coir_current_id())
        world_wrong("self gives another fiber");
    return coir_none();
}

static coir_value now_seen(void *env, coir_value *now)
{
    struct book *book = world_book_here();
    (void)env;
    if (book != NULL && now->i64 < book->clock)
        world_wrong("the clock goes backwards");
    if (book != NULL)
        book->clock = now->i64;
    return coir_none();
}

/* ------------------------------------------------------------------------------------------------------------- loops */

static coir_result failing_in_the_end(void *owned_)
{
    struct owned *loop = owned_;
    return loop->left-- > 0 ? coir_ok(coir_none()) : coir_raise(world_make(loop->env.term->value, true));
}

static bool going_on(void *owned_, const coir_value *value)
{
    struct owned *loop = owned_;
    world_tell(loop->env.term, value);
    return loop->left-- > 0;
}

static coir_result none_in_the_end(void *owned_)
{
    struct owned *loop = owned_;
    return coir_ok(loop->left-- > 0 ? world_thing(&world_thing_type, loop->env.term->number, true) : coir_none());
}

static coir_io *calling_itself(void *owned_, coir_io *self)
{
    struct owned *loop = owned_;
    const struct env *env = &loop->env;
    world_tell_nothing(env->term);
    coir_io *body = build_body(env, &env->scope);
    if (loop->left-- == 0)
        return body;
    coir_io_ref(self);
    switch ((enum rec)env->term->how) {
    case REC_THEN:    return coir_then(body, self);
    case REC_KEEP:    return coir_then_keep(body, self);
    case REC_FINALLY: break;
    }
    return coir_finally(body, self);
}

/* A loop whose rounds each of its runs counts for itself. */
static coir_io *looping(void *env_)
{
    const struct env *env = env_;
    const struct term *term = env->term;
    struct owned *loop = build_owned(coir_none(), env, (int)term->times % 4);
    coir_io *io, *first = term->op == OP_REC ? NULL : build_kid(term, 0, &env->scope);
    switch (term->op) {
    case OP_FOREVER: io = coir_forever(coir_then(first, coir_defer(failing_in_the_end, loop))); break;
    case OP_WHILE:   io = coir_while(first, going_on, loop); break;
    case OP_REC:     io = coir_rec(calling_itself, loop); break;
    default:         io = coir_for_each_copy(coir_then(first, coir_defer(none_in_the_end, loop)), use, env, sizeof *env); break;
    }
    if (env->ready != NULL)
        coir_io_ref(env->ready);                        /* the suspend that calls this has one for itself */
    return coir_owns(build_keeping(env, io), loop, build_owned_drop);
}

/* ---------------------------------------------------------------------------------------------------------- routines */

/*
 * kids 0 to 2 are awaited, the last two but one at most: kid 2 is what it becomes, where it does, and kid 3 is awaited in its finalizer.
 * Bits 0 and 1 of `times`: which of the first two is tried; bit 2: the second is a resource, which is held. `which` 1: it has a finalizer, and there what the first gave is held.
 */
struct routine { struct env env; size_t at; coir_value held, lent; };

static coir_resource *resource_of(const struct env *env, size_t at)
{
    const struct scope inner = build_scope(env->term, at, &env->scope);
    return build_resource(env->term->kids[at], &inner);
}
static bool is_held(const struct term *term, size_t at) { return at == 1 && random_holds(term); }

static bool is_tried(const struct term *term, size_t at) { return at < 2 && (term->times >> at & 1) != 0; }
static size_t awaits(const struct term *term) { return term->how == ENDING_BECOME ? 2 : 3; }

static coir_io *routine_with_finalizer(coir_routine *self)
{
    COIR_BEGIN(self, struct routine, my);
    for (; my->at < awaits(my->env.term); my->at++) {
        if (is_held(my->env.term, my->at)) {
            COIR_HOLD(my->lent, resource_of(&my->env, my->at));
            world_tell(my->env.term, &my->lent);
        } else if (is_tried(my->env.term, my->at)) {
            COIR_TRY(build_kid(my->env.term, my->at, &my->env.scope));
        } else {
            COIR_AWAIT(build_kid(my->env.term, my->at, &my->env.scope));
        }
        world_tell_result(my->env.term, &self->result);
        if (my->at == 0)
            my->held = coir_take(&self->result.value);
    }
    switch ((enum ending)my->env.term->how) {
    case ENDING_LAST:    COIR_RETURN(coir_take(&self->result.value));
    case ENDING_FALL:    break;
    case ENDING_RAISE:   COIR_RAISE(coir_take(&self->result.value));
    case ENDING_BECOME:  COIR_BECOME(build_kid(my->env.term, 2, &my->env.scope));
    case ENDING_HELD:    COIR_RETURN(coir_take(&my->held));
    case ENDING_NOTHING: break;
    }
    if (my->env.term->how == ENDING_NOTHING)
        COIR_AWAIT(NULL);
    COIR_FINALLY;
    if (my->env.term->how != ENDING_BECOME)
        world_tell_result(my->env.term, &self->result);
    coir_put(&my->held, coir_none());
    COIR_AWAIT(build_kid(my->env.term, 3, &my->env.scope));
    COIR_END;
}

static coir_io *routine_without(coir_routine *self)
{
    COIR_BEGIN(self, struct routine, my);
    for (; my->at < awaits(my->env.term); my->at++) {
        if (is_held(my->env.term, my->at)) {
            COIR_HOLD(my->lent, resource_of(&my->env, my->at));
            world_tell(my->env.term, &my->lent);
        } else if (is_tried(my->env.term, my->at)) {
            COIR_TRY(build_kid(my->env.term, my->at, &my->env.scope));
        } else {
            COIR_AWAIT(build_kid(my->env.term, my->at, &my->env.scope));
        }
        world_tell_result(my->env.term, &self->result);
    }
    switch ((enum ending)my->env.term->how) {
    case ENDING_LAST: case ENDING_HELD: COIR_RETURN(coir_take(&self->result.value));
    case ENDING_FALL:    break;
    case ENDING_RAISE:   COIR_RAISE(coir_take(&self->result.value));
    case ENDING_BECOME:  COIR_BECOME(build_kid(my->env.term, 2, &my->env.scope));
    case ENDING_NOTHING: break;
    }
    if (my->env.term->how == ENDING_NOTHING)
        COIR_AWAIT(NULL);
    COIR_END;
}

/* ------------------------------------------------------------------------------------------------------ foreign callers */

struct own { char bytes[24]; };

static void async_start(void *env, void *op, coir_callback k)
{
    static const struct own zeroed;
    const struct term *term = ((const struct env *)env)->term;
    world_tell_nothing(term);
    if (memcmp(op, &zeroed, sizeof zeroed) != 0)
        world_wrong("op is not zeroed");
    memset(op, 1, sizeof zeroed);
    bool in_time = true;
    switch ((enum async)term->how) {
    case ASYNC_OK:          in_time = coir_resume(k, coir_ok(world_make(term->value, true))); break;
    case ASYNC_ERROR:       in_time = coir_resume(k, coir_raise(world_make(term->value, true))); break;
    case ASYNC_PANIC:       in_time = coir_resume(k, coir_panic(world_make(term->value, true))); break;
    case ASYNC_BROKEN:      in_time = coir_resume(k, coir_ok(coir_panic_value("broken on purpose"))); break;
    case ASYNC_TWICE:
        in_time = coir_resume(k, coir_ok(world_make(term->value, true)));
        if (coir_resume(k, coir_ok(world_make(term->value, true))))
            world_wrong("the second resume is accepted");
        break;
    case ASYNC_DROPPED:     coir_callback_drop(k); break;
    case ASYNC_AND_DROPPED:
        in_time = coir_resume(k, coir_ok(world_make(term->value, true)));
        coir_callback_drop(k);
        break;
    case ASYNC_AFAR:        world_send_afar(k, coir_ok(world_make(term->value, true)), false); break;
    case ASYNC_AFAR_TWICE:  world_send_afar(k, coir_raise(world_make(term->value, true)), true); break;
    }
    if (!in_time)
        world_wrong("the first resume is refused");
}
static const coir_async_type async_type = { .op_size = sizeof(struct own), .start = async_start };

/* Two fibers meet: the one waits for a callback, the other yields until it can call it. */
struct meeting { const struct term *term; coir_callback k; atomic_bool is_set; };

static void meeting_start(void *meeting_, void *op, coir_callback k)
{
    struct meeting *meeting = meeting_;
    (void)op;
    meeting->k = k;
    atomic_store(&meeting->is_set, true);
}
static const coir_async_type meeting_type = { .start = meeting_start };

static bool is_alone_there(void *meeting, const coir_value *value)
{
    (void)value;
    return !atomic_load(&((struct meeting *)meeting)->is_set);
}

static coir_result resume_there(void *meeting_)
{
    struct meeting *meeting = meeting_;
    const struct term *term = meeting->term;
    if (!coir_resume(meeting->k, coir_result_of((coir_tag)term->how, world_make(term->value, true))))
        world_wrong("the only resume is refused");
    return coir_ok(coir_none());
}

static coir_io *meeting(void *env)
{
    struct meeting *meeting = world_alloc(sizeof *meeting);
    meeting->term = ((const struct env *)env)->term;
    coir_io *other = coir_then(coir_while(coir_yield(), is_alone_there, meeting), coir_defer(resume_there, meeting));
    return coir_uncancelable(coir_then(coir_fork_detached(other), coir_async(&meeting_type, meeting)));
}

/* ------------------------------------------------------------------------------------------------- locks and permits */

static coir_io *acquire(const struct term *term)
{
    unsigned object = term->which;
    return is_lock(object) ? coir_lock_acquire(world.locks[object]) : coir_acquire(world.semaphores[object], permits_asked(term));
}

static coir_io *release(const struct term *term)
{
    unsigned object = term->which;
    return is_lock(object) ? coir_lock_release(world.locks[object]) : coir_release(world.semaphores[object], permits_asked(term));
}

static coir_io *try_it(const struct term *term)
{
    unsigned object = term->which;
    return is_lock(object) ? coir_lock_try(world.locks[object]) : coir_try_acquire(world.semaphores[object], permits_asked(term));
}

static bool is_exclusive(const struct term *term) { return permits_asked(term) == permits_of(term->which); }

/* What is counted where nobody else is takes no atomics: the thread sanitizer sees a lock that lets two in. */
static void enter(const struct term *term)
{
    struct guarded *guarded = &world.guarded[term->which];
    if (is_lock(term->which) && guarded->holder == coir_current_id()) {
        guarded->depth++;
        return;
    }
    int asked = permits_asked(term), inside = atomic_fetch_add(&guarded->inside, asked) + asked;
    if (inside > permits_of(term->which))
        world_wrong("object %u: %d are inside", term->which, inside);
    if (is_lock(term->which))
        guarded->holder = coir_current_id();
}

static void leave(const struct term *term)
{
    struct guarded *guarded = &world.guarded[term->which];
    if (is_lock(term->which) && guarded->depth > 0) {
        guarded->depth--;
        return;
    }
    if (is_lock(term->which))
        guarded->holder = 0;
    atomic_fetch_sub(&guarded->inside, permits_asked(term));
}

static coir_result entering(void *env)
{
    const struct term *term = ((const struct env *)env)->term;
    enter(term);
    if (is_exclusive(term))
        world.guarded[term->which].entered++;
    world_tell_nothing(term);
    return coir_ok(coir_none());
}

static coir_result leaving(void *env) { leave(((const struct env *)env)->term); return coir_ok(coir_none()); }

static coir_result trying(void *env)
{
    const struct term *term = ((const struct env *)env)->term;
    enter(term);
    if (is_exclusive(term)) {
        world.guarded[term->which].tries++;
        atomic_fetch_add(&world.guarded[term->which].tries_sum, 1);
    }
    leave(term);
    return coir_ok(coir_none());
}

static coir_io *tried(void *env_, coir_value *taken)
{
    const struct env *env = env_;
    if (!taken->flag)
        return coir_unit();
    return coir_finally(coir_then(coir_yield(), coir_defer_copy(trying, env, sizeof *env)), release(env->term));
}

/* Whoever has got it gives it back: so masked. */
static coir_io *build_try(const struct term *term, const struct env *env)
{
    return coir_uncancelable(coir_flat_map_copy(try_it(term), tried, env, sizeof *env));
}

static coir_io *build_hold(const struct term *term, const struct scope *scope)
{
    struct env env = build_env(term, scope);
    coir_io *body = build_kid(term, 0, scope);
    if (term->times & 4)
        body = coir_then(coir_yield(), body);
    if (!world.program->is_alone) {                     /* masked: whoever entered leaves, also when it is canceled between the two */
        body = coir_finally(coir_cancelable(body), coir_defer_copy(leaving, &env, sizeof env));
        body = coir_uncancelable(coir_then(coir_defer_copy(entering, &env, sizeof env), body));
    }
    if (term->how == HOLD_APART)
        return coir_then(acquire(term), coir_finally(body, release(term)));
    unsigned object = term->which;
    return is_lock(object) ? coir_with_lock(world.locks[object], body)
                           : coir_with_permits(world.semaphores[object], permits_asked(term), body);
}

static coir_io *leaving_at_release(void *env, coir_value *held, const coir_result *outcome)
{
    (void)held;
    (void)outcome;
    leave(((const struct env *)env)->term);
    return coir_unit();
}

coir_resource *build_object(const struct term *term)
{
    unsigned object = term->which;
    struct env env = { .term = term };
    coir_resource *held = is_lock(object) ? coir_lock_held(world.locks[object]) : coir_permits(world.semaphores[object], permits_asked(term));
    if (world.program->is_alone)
        return held;
    coir_io *enters = coir_defer_copy(entering, &env, sizeof env);
    return coir_resource_then(held, coir_resource_new_copy(enters, leaving_at_release, &env, sizeof env));
}

static coir_io *build_wrong(const struct term *term)
{
    coir_semaphore *semaphore = world.semaphores[term->which | 1];
    int permits = permits_of(term->which | 1);
    switch ((enum wrong)term->how) {
    case WRONG_TOO_MANY: return coir_acquire(semaphore, permits + 1);
    case WRONG_NEGATIVE: return coir_acquire(semaphore, -1);
    case WRONG_NONE:     return coir_with_permits(semaphore, 0, coir_acquire(semaphore, 0));
    default:             return coir_release(semaphore, permits + 1);
    }
}

/* ------------------------------------------------------------------------------------------------------------- build */

static coir_io *build_result(const struct term *term)
{
    coir_result result = coir_result_of((coir_tag)term->how, world_make(term->value, false));
    for (unsigned i = 0; i < term->times % 3; i++)
        result = coir_result_and(result, coir_result_of(i == 0 ? COIR_ERROR : COIR_PANIC, coir_int(i)));
    return coir_from_result(result);
}

static coir_io *build_bad(const struct term *term, const struct scope *scope)
{
    static const char bytes[(64 << 10) + 1];
    struct env env = build_env(term, scope);
    switch ((enum bad)term->how) {
    case BAD_FUNCTION:    return coir_flat_map(coir_pure(world_make(term->value, false)), NULL, NULL);
    case BAD_BIG:         return coir_map_copy(coir_pure(world_make(term->value, false)), build_mapped, bytes, sizeof bytes);
    case BAD_NEVER_BUILT: return coir_suspend_copy(nothing_built, &env, sizeof env);
    case BAD_PANIC_VALUE: break;
    }
    return coir_fail(world_pair(world_make(term->value, false), coir_panic_value("broken on purpose")));
}

static coir_io *build_again(const struct term *term, const struct scope *scope)
{
    if (scope->again < 0)
        return coir_pure(coir_int(0));
    int left = (int)scope->again;
    switch ((enum again)term->how) {
    case AGAIN_INT:   return coir_again(coir_int(left));
    case AGAIN_THING: return coir_again(world_thing(&world_thing_type, left, false));
    case AGAIN_SOLE:  break;
    }
    return coir_again(world_thing(&world_sole_type, left, false));
}

static coir_io *build_sleep(const struct term *term)
{
    switch ((enum sleep)term->how) {
    case SLEEP_SOME:       return coir_sleep(coir_us(term->times));
    case SLEEP_NONE:       return coir_sleep(coir_ns(-(int64_t)term->times));
    case SLEEP_UNTIL_PAST: break;
    }
    return coir_sleep_until((struct timespec){ .tv_sec = term->times });
}

static coir_io *build_twice(const struct term *term, const struct scope *scope)
{
    coir_io *io = build_kid(term, 0, scope), *again = coir_io_ref(io);
    switch ((enum twice)term->how) {
    case TWICE_ATTEMPT: return coir_then(coir_attempt(io), again);
    case TWICE_ZIP:     return coir_zip(COIR_IOS(io, again));
    case TWICE_OR_ELSE: return coir_or_else(io, again);
    case TWICE_FINALLY: break;
    }
    return coir_finally(io, again);
}

static coir_io *let_body(void *env_, coir_value *io)
{
    const struct env *env = env_;
    struct scope inner = env->scope;
    inner.variables[env->term->which] = coir_cast(io, &coir_io_type);
    return build_body(env, &inner);
}

static coir_io *build_kids(const struct term *term, const struct scope *scope)
{
    coir_io *ios[TERM_KIDS];
    for (size_t i = 0; i < term->count; i++)
        ios[i] = build_kid(term, i, scope);
    return term->op == OP_ZIP ? coir_zip(term->count, ios) : coir_sequence(term->count, ios);
}

static coir_io *build_pair(const struct term *term, const struct scope *scope)
{
    coir_io *first = build_kid(term, 0, scope), *second = build_kid(term, 1, scope);
    switch (term->op) {
    case OP_THEN:       return coir_then(first, second);
    case OP_THEN_KEEP:  return coir_then_keep(first, second);
    case OP_OR_ELSE:    return coir_or_else(first, second);
    case OP_CATCH_CODE: return coir_catch_code(first, (int)term->times % 4, second);
    case OP_FINALLY:    return coir_finally(first, second);
    case OP_ON_CANCEL:  return coir_on_cancel(first, second);
    default:            return coir_always(first, second);
    }
}

static coir_io *build_arrow(const struct term *term, const struct scope *scope)
{
    struct env env = build_env(term, scope);
    coir_io *first = term->count == 2 ? build_kid(term, 0, scope) : NULL, *io;
    switch (term->op) {
    case OP_CALL:       io = coir_call_copy(world_make(term->value, false), use, &env, sizeof env); break;
    case OP_EACH:       io = coir_each_copy(world_make(term->value, false), use, &env, sizeof env); break;
    case OP_ITERATE:    io = coir_iterate_copy(world_make(term->value, false), use_round, &env, sizeof env); break;
    case OP_TRAVERSE:   io = coir_traverse_copy(term->times % 4, indexed, &env, sizeof env); break;
    case OP_SUSPEND:    io = coir_suspend_copy(suspended, &env, sizeof env); break;
    case OP_FLAT_MAP:   io = coir_flat_map_copy(first, use, &env, sizeof env); break;
    case OP_CATCH:      io = coir_catch_copy(first, use, &env, sizeof env); break;
    case OP_RECOVER:    io = coir_recover_copy(first, use, &env, sizeof env); break;
    case OP_REDEEM:     io = coir_redeem_copy(first, redeemed, &env, sizeof env); break;
    case OP_FINALLY_FN: io = coir_finally_fn_copy(first, finalizing, &env, sizeof env); break;
    default:            io = coir_on_failure_copy(first, finalizing, &env, sizeof env); break;
    }
    return build_keeping(&env, io);
}

static coir_io *build_retry(const struct term *term, coir_io *io)
{
    coir_schedule *further = coir_schedule_recurs(term->times % 4);
    switch ((enum retry)term->how) {
    case RETRY_ERRORS: return coir_retry_by(io, further);
    case RETRY_VALUES: return coir_repeat_by(io, further);
    case RETRY_BOTH:   break;
    }
    return coir_keep_running_by(io, further);
}

static coir_io *build_wrapped(const struct term *term, const struct scope *scope)
{
    struct env env = build_env(term, scope);
    coir_io *io = build_kid(term, 0, scope);
    switch (term->op) {
    case OP_MAP:        return coir_map_copy(io, build_mapped, &env, sizeof env);
    case OP_MAP_ERROR:  return coir_map_error_copy(io, build_mapped, &env, sizeof env);
    case OP_MAP_PANIC:  return coir_map_panic_copy(io, build_mapped, &env, sizeof env);
    case OP_TAP:        return coir_tap_copy(io, tapped, &env, sizeof env);
    case OP_FLATTEN:    return coir_flatten(term->how == FLATTEN_IO ? coir_pure(coir_io_value(io)) : io);
    case OP_ATTEMPT:    return coir_attempt(io);
    case OP_OR_PANIC:   return coir_or_panic(io);
    case OP_NAMED:      return coir_named(io, "named");
    case OP_OWNS:       return coir_owns(io, build_owned(world_thing(&world_thing_type, 0, false), &env, 0), build_owned_drop);
    case OP_AS:         return coir_as(io, world_make(term->value, false));
    case OP_WHEN:       return coir_when(term->times % 2 == 1, io);
    case OP_LOCAL:      return coir_local(io, world_make(term->value, false));
    case OP_CONTRA_MAP: return coir_contra_map_copy(io, other_context, &env, sizeof env);
    case OP_WITH_KEY:   return coir_with_key(world.keys[term->which], world_make(term->value, false), io);
    case OP_RETRY:      return build_retry(term, io);
    default:            return coir_repeat(io, term->times % 4);
    }
}

static coir_io *build_bare(const struct term *term, const struct scope *scope)
{
    struct env env = { .term = term, .scope = *scope };
    switch (term->op) {
    case OP_UNIT:       return coir_unit();
    case OP_PURE:       return coir_pure(world_make(term->value, false));
    case OP_FAIL:       return coir_fail(world_make(term->value, false));
    case OP_FAILF:      return coir_failf((int)term->times, "f%u", term->times);
    case OP_PANICF:     return coir_panicf("on purpose");
    case OP_RESULT:     return build_result(term);
    case OP_BAD:        return build_bad(term, scope);
    case OP_DEFER:      return coir_defer_copy(deferred, &env, sizeof env);
    case OP_LOOK:       return scope->is_bound[term->which] ? coir_defer_copy(looking, &env, sizeof env) : coir_unit();
    case OP_VAR:        return scope->variables[term->which] != NULL ? coir_io_ref(scope->variables[term->which]) : coir_unit();
    case OP_AGAIN:      return build_again(term, scope);
    case OP_ASK:        return coir_map_copy(coir_ask(), asked, &env, sizeof env);
    case OP_READ:       return coir_defer_read_copy(reading, &env, sizeof env);
    case OP_KEY_GET:    return coir_key_get(world.keys[term->which]);
    case OP_SELF:       return coir_map(coir_self(), self_seen, NULL);
    case OP_YIELD:      return coir_yield();
    case OP_SLEEP:      return build_sleep(term);
    case OP_NOW:        return coir_map(coir_now(), now_seen, NULL);
    case OP_NEVER:      return coir_never();
    case OP_CANCEL_SELF: return build_cancel_self(term);
    case OP_MASK_SEEN:  return coir_defer_copy(build_mask_seen, &env, sizeof env);
    case OP_STALL:      return coir_suspend_copy(build_stall, &env, sizeof env);
    case OP_UNCANCELABLE: case OP_CANCELABLE: case OP_TIMEOUT: case OP_TIMEOUT_TO:
        return build_around(term, scope);
    case OP_ASYNC:      return coir_async_copy(&async_type, &env, sizeof env);
    case OP_MEET:       return coir_suspend_copy(meeting, &env, sizeof env);
    case OP_FOREVER: case OP_WHILE: case OP_REC: case OP_FOR_EACH:
        env = build_env(term, scope);
        return build_keeping(&env, coir_suspend_copy(looping, &env, sizeof env));
    case OP_TWICE:      return build_twice(term, scope);
    case OP_LET:        return coir_call_copy(coir_io_value(build_kid(term, 0, scope)), let_body, &env, sizeof env);
    case OP_SEQUENCE: case OP_ZIP:
        return build_kids(term, scope);
    case OP_BRACKET:    return build_bracket(term, scope);
    case OP_USE:        return build_use(term, scope);
    case OP_ROUTINE:
        return coir_do(term->which == 1 ? routine_with_finalizer : routine_without, COIR_ENV(struct routine, .env = env));
    case OP_HOLD:       return build_hold(term, scope);
    case OP_TRY:        return world.program->is_alone ? try_it(term) : build_try(term, &env);
    case OP_ASK_WRONG:  return build_wrong(term);
    case OP_WAIT_SELF:  return coir_flat_map_copy(coir_self(), build_waiting, &env, sizeof env);
    case OP_WAIT_FOR:   return coir_flat_map_copy(build_kid(term, 0, scope), build_waiting, &env, sizeof env);
    case OP_RELEASE_FREE:
        return is_lock(term->which) ? release(term) : coir_release(world.semaphores[term->which], permits_of(term->which) + 1);
    case OP_ACQUIRE:    return acquire(term);
    case OP_RELEASE:    return release(term);
    case OP_FORK:       return coir_suspend_copy(build_fork, &env, sizeof env);
    case OP_PARALLEL:   return coir_suspend_copy(build_parallel, &env, sizeof env);
    case OP_HUNT:       return coir_suspend_copy(build_hunt, &env, sizeof env);
    case OP_GROUP:      return coir_suspend_copy(build_group, &env, sizeof env);
    case OP_ITEMS:      return coir_suspend_copy(build_items, &env, sizeof env);
    case OP_NURSERY:    return coir_suspend_copy(build_nursery, &env, sizeof env);
    case OP_ALIKE:      return coir_suspend_copy(build_alike, &env, sizeof env);
    case OP_THEN: case OP_THEN_KEEP: case OP_OR_ELSE: case OP_CATCH_CODE: case OP_FINALLY: case OP_ON_CANCEL: case OP_ALWAYS:
        return build_pair(term, scope);
    case OP_CALL: case OP_EACH: case OP_ITERATE: case OP_TRAVERSE: case OP_SUSPEND: case OP_FLAT_MAP: case OP_CATCH: case OP_RECOVER:
    case OP_REDEEM: case OP_FINALLY_FN: case OP_ON_FAILURE:
        return build_arrow(term, scope);
    default:
        return build_wrapped(term, scope);
    }
}

random_around_fn *random_around;

coir_io *build_term(const struct term *term, const struct scope *scope)
{
    coir_io *io = random_is_resource(term->op) ? coir_with(build_resource(term, scope), coir_unit()) : build_bare(term, scope);
    return random_around != NULL ? random_around(term, io) : io;
}

coir_io *random_build(const struct program *program) { return build_term(program->root, &build_nothing_in_scope); }

static coir_result opening_main(void *book) { world_open(book); return coir_ok(coir_none()); }
coir_io *random_build_main(struct book *book, coir_io *io) { return coir_then(coir_defer(opening_main, book), io); }
