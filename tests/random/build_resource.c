/*
 * build_resource.c - resources of random programs, and their use
 */
#include "random/building.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------------------ callbacks */

static coir_io *used(void *env_, const coir_value *held)
{
    const struct env *env = env_;
    struct scope inner = build_binding(env, held);
    world_tell(env->term, held);
    return env->term->how == USING_NOTHING ? NULL : build_kid(env->term, 1, &inner);
}

static coir_io *released(void *env_, coir_value *held, const coir_result *outcome)
{
    const struct env *env = env_;
    struct scope inner = build_binding(env, held);
    world_tell_result(env->term, outcome);
    world_tell(env->term, held);
    switch ((enum release)env->term->how) {
    case RELEASE_BODY:    return build_kid(env->term, 1, &inner);
    case RELEASE_UNIT:    return coir_unit();
    case RELEASE_TAKEN:
        coir_drop(coir_take(held));
        return build_kid(env->term, 1, &env->scope);
    case RELEASE_NOTHING: break;
    }
    return NULL;
}

static coir_io *bracket_used(void *env_, const coir_value *held)
{
    const struct env *env = env_;
    struct scope inner = build_binding(env, held);
    world_tell(env->term, held);
    return env->term->how == BRACKET_NO_USE ? NULL : build_kid(env->term, 1, &inner);
}

static coir_io *bracket_released(void *env_, coir_value *held, const coir_result *outcome)
{
    const struct env *env = env_;
    struct scope inner = build_binding(env, held);
    world_tell_result(env->term, outcome);
    world_tell(env->term, held);
    if (env->term->how == BRACKET_NO_RELEASE)
        return NULL;
    if (env->term->how != BRACKET_TAKEN)
        return build_kid(env->term, 2, &inner);
    coir_drop(coir_take(held));
    return build_kid(env->term, 2, &env->scope);
}

/* A resource in place of one: the term's body. */
static coir_resource *body_in(const struct env *env, const struct scope *scope)
{
    size_t last = env->term->count - 1;
    const struct scope inner = build_scope(env->term, last, scope);
    return env->term->how == MAKE_NOTHING ? NULL : build_resource(env->term->kids[last], &inner);
}

static coir_resource *made(void *env_)
{
    const struct env *env = env_;
    world_tell_nothing(env->term);
    return body_in(env, &env->scope);
}

static coir_resource *made_of_held(void *env_, const coir_value *held)
{
    const struct env *env = env_;
    struct scope inner = build_binding(env, held);
    world_tell(env->term, held);
    return body_in(env, &inner);
}

static coir_resource *made_instead(void *env_, coir_value *failure)
{
    const struct env *env = env_;
    struct scope inner = build_binding(env, failure);
    world_tell(env->term, failure);
    if (env->term->how != MAKE_TAKEN)
        return body_in(env, &inner);
    coir_drop(coir_take(failure));
    return body_in(env, &env->scope);
}

/* Those that gather what is held lend what cannot be shared as a bare pointer, which says nothing in a text. */
static coir_value shared(void *env, const coir_value *held)
{
    (void)env;
    return coir_can_share(held) ? coir_share(held) : coir_int(world_number(held));
}

static coir_value held_instead(void *env, const coir_value *held)
{
    const struct term *term = ((const struct env *)env)->term;
    world_tell(term, held);
    switch ((enum held_as)term->how) {
    case HELD_NUMBER: return coir_int(world_number(held) + 1);
    case HELD_THING:  return world_thing(&world_thing_type, term->number, true);
    case HELD_SHARE:  return shared(NULL, held);
    case HELD_BROKEN: break;
    }
    return coir_panic_value("broken on purpose");
}

/* ------------------------------------------------------------------------------------------------------------ resources */

static coir_resource *kid_of(const struct term *term, size_t i, const struct scope *scope)
{
    const struct scope inner = build_scope(term, i, scope);
    return build_resource(term->kids[i], &inner);
}

static coir_resource *zip_of(const struct term *term, const struct scope *scope)
{
    coir_resource *kids[TERM_KIDS];
    for (size_t i = 0; i < term->count; i++)
        kids[i] = coir_resource_map(kid_of(term, i, scope), shared, NULL);
    return coir_resource_zip(term->count, kids);
}

coir_resource *build_resource(const struct term *term, const struct scope *scope)
{
    struct env env = { .term = term, .scope = *scope };
    if (!random_is_resource(term->op))
        return coir_resource_lift(build_term(term, scope));
    bool is_around = random_takes_resource(term, 0) && !is_body(term, 0) && term->op != OP_HELD_ZIP;
    coir_resource *first = is_around ? kid_of(term, 0, scope) : NULL;
    switch (term->op) {
    case OP_NEW:            return coir_resource_new_copy(build_kid(term, 0, scope), released, &env, sizeof env);
    case OP_DROPS:
        return term->how == DROPS_VALUE ? coir_resource_drops(build_kid(term, 0, scope)) : coir_resource_lift(build_kid(term, 0, scope));
    case OP_MAKE:           return coir_resource_suspend_copy(made, &env, sizeof env);
    case OP_HELD_MAP:       return coir_resource_map_copy(first, held_instead, &env, sizeof env);
    case OP_HELD_FLAT_MAP:  return coir_resource_flat_map_copy(first, made_of_held, &env, sizeof env);
    case OP_HELD_THEN:      return coir_resource_then(first, kid_of(term, 1, scope));
    case OP_HELD_ZIP:       return zip_of(term, scope);
    case OP_HELD_CATCH:     return coir_resource_catch_copy(first, made_instead, &env, sizeof env);
    case OP_HELD_RECOVER:   return coir_resource_recover_copy(first, made_instead, &env, sizeof env);
    case OP_HELD_MAP_ERROR: return coir_resource_map_error_copy(first, build_mapped, &env, sizeof env);
    case OP_HELD_ATTEMPT:   return coir_resource_attempt(coir_resource_map(first, shared, NULL));
    case OP_HELD_FINALLY:   return coir_resource_finally(first, build_kid(term, 1, scope));
    case OP_HELD_LOCAL:     return coir_resource_local(first, world_make(term->value, false));
    default:                return coir_resource_then(build_object(term), first);
    }
}

/* ------------------------------------------------------------------------------------------------------------------ use */

coir_io *build_use(const struct term *term, const struct scope *scope)
{
    struct env env = build_env(term, scope);
    coir_resource *resource = kid_of(term, 0, scope);
    coir_io *io = env.ready != NULL ? coir_with(resource, coir_io_ref(env.ready)) : coir_use_copy(resource, used, &env, sizeof env);
    return build_keeping(&env, io);
}

coir_io *build_bracket(const struct term *term, const struct scope *scope)
{
    struct env *env = malloc(sizeof *env);
    if (env == NULL)
        abort();
    *env = (struct env){ .term = term, .scope = *scope };
    return coir_owns(coir_bracket(build_kid(term, 0, scope), bracket_used, bracket_released, env), env, free);
}
