/*
 * resource.c - tests of building resources: what is refused, and that nothing is left of what was given
 */
#include "program.h"

#include <coir/resource.h>

static coir_io *undo(void *env, coir_value *held, const coir_result *outcome) { (void)env; (void)held; (void)outcome; return coir_unit(); }
static coir_value same(void *env, const coir_value *held) { (void)env; return coir_int(held->i64); }
static coir_value zero(void *env, const coir_value *held) { (void)env; (void)held; return coir_int(0); }
static coir_resource *again(void *env, const coir_value *held) { (void)env; return coir_resource_lift(coir_pure(coir_int(held->i64 + 1))); }
static coir_resource *caught(void *env, coir_value *failure) { (void)env; (void)failure; return NULL; }
static coir_io *use_value(void *env, const coir_value *held) { (void)env; return coir_pure(coir_int(held->i64)); }
static coir_value thing_value(void *env, coir_value *v) { (void)env; return *v; }

static coir_resource *held(void) { return coir_resource_drops(coir_pure(thing(1))); }

TEST(resource, null_in_null_out_and_what_came_with_it_is_dropped)
{
    CHECK_PTR(coir_resource_new(NULL, undo, NULL), NULL);
    CHECK_PTR(coir_resource_drops(NULL), NULL);
    CHECK_PTR(coir_resource_lift(NULL), NULL);
    CHECK_PTR(coir_resource_map(NULL, same, NULL), NULL);
    CHECK_PTR(coir_resource_flat_map(NULL, again, NULL), NULL);
    CHECK_PTR(coir_resource_then(held(), NULL), NULL);
    CHECK_PTR(coir_resource_then(NULL, held()), NULL);
    CHECK_PTR(coir_resource_zip(2, (coir_resource *[]){ held(), NULL }), NULL);
    CHECK_PTR(coir_resource_par_zip(2, (coir_resource *[]){ NULL, held() }), NULL);
    CHECK_PTR(coir_resource_local(NULL, thing(2)), NULL);
    CHECK_PTR(coir_resource_finally(held(), NULL), NULL);
    CHECK_PTR(coir_resource_finally(NULL, coir_pure(thing(2))), NULL);
    CHECK_PTR(coir_resource_catch(NULL, caught, NULL), NULL);
    CHECK_PTR(coir_resource_recover(NULL, caught, NULL), NULL);
    CHECK_PTR(coir_resource_map_error(NULL, thing_value, NULL), NULL);
    CHECK_PTR(coir_resource_attempt(NULL), NULL);
    CHECK_PTR(coir_use(NULL, use_value, NULL), NULL);
    CHECK_PTR(coir_with(NULL, coir_pure(thing(2))), NULL);
    CHECK_PTR(coir_with(held(), NULL), NULL);
    CHECK_PTR(coir_bracket(NULL, use_value, undo, NULL), NULL);
    CHECK_PTR(coir_resource_open(NULL), NULL);
    CHECK_PTR(coir_resource_hold_(NULL), NULL);
    coir_resource_drop(NULL);
    CHECK_PTR(coir_resource_ref(NULL), NULL);
    CHECK_INT(atomic_load(&things_alive), 0);
}

TEST(resource, a_null_callback_is_a_panic_that_names_the_function)
{
    coir_resource *refused[] = {
        coir_resource_new(coir_pure(thing(1)), NULL, NULL), coir_resource_map(held(), NULL, NULL), coir_resource_flat_map(held(), NULL, NULL),
        coir_resource_suspend(NULL, NULL), coir_resource_traverse(3, NULL, NULL), coir_resource_catch(held(), NULL, NULL),
        coir_resource_recover(held(), NULL, NULL), coir_resource_map_error(held(), NULL, NULL), coir_resource_zip(2, NULL),
        coir_resource_par_zip(2, NULL), coir_resource_zip(SIZE_MAX, (coir_resource *[]){ NULL }),
    };
    static const char *const names[] = {
        "coir_resource_new", "coir_resource_map", "coir_resource_flat_map", "coir_resource_suspend", "coir_resource_traverse",
        "coir_resource_catch", "coir_resource_recover", "coir_resource_map_error", "coir_resource_zip", "coir_resource_par_zip",
        "coir_resource_zip",
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CASE("%s", names[i]);
        coir_result result = run(1, coir_use(refused[i], use_value, NULL));
        CHECK_TAG(result, COIR_PANIC);
        CHECK_INT(coir_error_code(&result.value), EINVAL);
        CHECK(strncmp(coir_error_message(&result.value), names[i], strlen(names[i])) == 0);
        coir_result_drop(&result);
    }
    CHECK_STR(outcome(1, coir_use(held(), NULL, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_bracket(coir_pure(thing(1)), NULL, undo, NULL)), "PANIC EINVAL");
    CHECK_INT(atomic_load(&things_alive), 0);
}

TEST(resource, a_panic_value_as_context_is_a_panic)
{
    CHECK_STR(outcome(1, coir_use(coir_resource_local(held(), coir_panic_value("none")), use_value, NULL)), "PANIC MISUSE");
    CHECK_INT(atomic_load(&things_alive), 0);
}

TEST(resource, copies_hold_their_env)
{
    int five = 5;
    coir_resource *resource = coir_resource_map_copy(coir_resource_lift(coir_pure(coir_int(1))), same, &five, sizeof five);
    resource = coir_resource_flat_map_copy(resource, again, &five, sizeof five);
    resource = coir_resource_catch_copy(resource, caught, &five, sizeof five);
    resource = coir_resource_recover_copy(resource, caught, &five, sizeof five);
    resource = coir_resource_map_error_copy(resource, thing_value, &five, sizeof five);
    CHECK_STR(outcome(1, coir_use_copy(resource, use_value, &five, sizeof five)), "OK 2");
    CHECK_STR(outcome(1, coir_use(coir_resource_new_copy(coir_pure(coir_int(3)), undo, &five, sizeof five), use_value, NULL)), "OK 3");
}

static coir_resource *deep(coir_resource *innermost)
{
    for (int i = 0; i < scaled(200000); i++)
        innermost = coir_resource_then(coir_resource_lift(coir_unit()), innermost);
    for (int i = 0; i < scaled(200000); i++)
        innermost = coir_resource_then(innermost, coir_resource_lift(coir_unit()));
    for (int i = 0; i < scaled(100000); i++)
        innermost = coir_resource_map(coir_resource_zip(1, &innermost), zero, NULL);
    return innermost;
}

static void drop_deep(void *env) { (void)env; coir_resource_drop(deep(held())); }
static void use_deep(void *env)
{
    (void)env;
    CHECK_STR(outcome(1, coir_use(deep(held()), use_value, NULL)), "OK 0");
}

TEST(resource, any_depth_on_a_small_stack)
{
    on_small_stack(drop_deep, NULL);
    on_small_stack(use_deep, NULL);
    CHECK_INT(atomic_load(&things_alive), 0);
}
