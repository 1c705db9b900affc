/*
 * var.c - tests of the variable: one change after the other, whole or not at all; several at once without a ring
 */
#include "ways.h"

#define VAR_ID(var) ((uintmax_t)coir_var_id(var))

static coir_value plus_one(void *env, coir_value *value)   { (void)env; return coir_int(value->i64 + 1); }
static coir_value plus(void *env, coir_value *value)       { return coir_int(value->i64 + *(int *)env); }
static coir_value keep(void *env, coir_value *value)       { (void)env; return *value; }
static coir_value give_panic(void *env, coir_value *value) { (void)env; (void)value; return coir_panic_value("no new value"); }
static coir_value take_and_give_panic(void *env, coir_value *value)
{
    (void)env;
    coir_drop(coir_take(value));
    return coir_panic_value("no new value");
}

static coir_io *give_plus_one(void *env, coir_value *value)
{
    (void)env;
    return coir_then(coir_yield(), coir_pure(coir_int(value->i64 + 1)));
}
static coir_io *give_null(void *env, coir_value *value) { (void)env; (void)value; return NULL; }
/* The io in *place, whatever the value. */
static coir_io *give_placed(void *place, coir_value *value)
{
    (void)value;
    return coir_io_ref(*(coir_io **)place);
}

static coir_io *keep_first(void *env, coir_value *list) { (void)env; return coir_pure(coir_list_take(list, 0)); }

/* is_free: whether another fiber can have the lock. */
static coir_io *release_if(void *lock, coir_value *flag)
{
    return flag->flag ? coir_as(coir_lock_release(lock), coir_bool(true)) : coir_pure(coir_bool(false));
}
static coir_io *is_free(coir_var *var)
{
    return joined(coir_flat_map(coir_lock_try(coir_var_lock(var)), release_if, coir_var_lock(var)));
}

TEST(var, null_is_harmless_and_drops_what_came_with_it)
{
    coir_var *var = coir_var_new(coir_int(1));
    CHECK_PTR(coir_var_ref(NULL), NULL);
    coir_var_drop(NULL);
    CHECK_UINT(coir_var_id(NULL), 0);
    CHECK_PTR(coir_var_lock(NULL), NULL);
    CHECK_PTR(coir_var_get(NULL), NULL);
    CHECK_PTR(coir_var_set(NULL, thing(1)), NULL);
    CHECK_PTR(coir_var_swap(NULL, thing(3)), NULL);
    CHECK_PTR(coir_var_update(NULL, plus_one, NULL), NULL);
    CHECK_PTR(coir_var_update_io(NULL, give_plus_one, NULL), NULL);
    CHECK_PTR(coir_with_vars(COIR_VARS(var, NULL), coir_pure(thing(2))), NULL);
    CHECK_PTR(coir_with_vars(COIR_VARS(var), NULL), NULL);
    CHECK_PTR(coir_vars_get(COIR_VARS(NULL, var)), NULL);
    CHECK_PTR(coir_vars_update(COIR_VARS(var, NULL), keep, NULL), NULL);
    CHECK_PTR(coir_vars_update_io(COIR_VARS(var, NULL), give_plus_one, NULL), NULL);
    CHECK_STR(notes(), "-1 -3 -2");
    coir_var_drop(var);
}

TEST(var, a_bad_argument_is_a_panic_that_names_the_function)
{
    coir_var *var = coir_var_new(coir_int(1));
    struct { coir_io *io; const char *text; } const cases[] = {
        { coir_var_update(var, NULL, NULL), "coir_var_update: fn is NULL" },
        { coir_var_update_copy(var, keep, NULL, 8), "coir_var_update_copy: bytes is NULL" },
        { coir_var_update_io(var, NULL, NULL), "coir_var_update_io: fn is NULL" },
        { coir_var_update_io_copy(var, give_null, NULL, 8), "coir_var_update_io_copy: bytes is NULL" },
        { coir_vars_update(COIR_VARS(var), NULL, NULL), "coir_vars_update: fn is NULL" },
        { coir_vars_update_copy(COIR_VARS(var), keep, NULL, 8), "coir_vars_update_copy: bytes is NULL" },
        { coir_vars_update_io(COIR_VARS(var), NULL, NULL), "coir_vars_update_io: fn is NULL" },
        { coir_vars_update_io_copy(COIR_VARS(var), give_null, NULL, 8), "coir_vars_update_io_copy: bytes is NULL" },
        { coir_vars_update(1, NULL, keep, NULL), "coir_vars_update: vars is NULL" },
        { coir_vars_get(1, NULL), "coir_vars_get: vars is NULL" },
        { coir_with_vars(1, NULL, coir_pure(thing(1))), "coir_with_vars: vars is NULL" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_STR(message_of(1, cases[i].io), cases[i].text);
    CHECK_STR(notes(), "-1");
    CHECK_STR(outcome(1, coir_var_get(var)), "OK 1");
    coir_var_drop(var);
}

/* ------------------------------------------------------------------------------------------------------------ get, set */

TEST(var, what_was_set_is_what_everybody_gets)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(thing(1));
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_var_get(var), coir_var_get(var)))), "OK [thing 1 thing 1]");
        CHECK_STR(notes(), "");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_var_set(var, thing(2)), noting("set"), coir_var_get(var)))), "OK [0 0 thing 2]");
        CHECK_STR(notes(), "-1 set");
        CHECK_PTR(coir_var_ref(var), var);
        coir_var_drop(var);
        CHECK_STR(notes(), "");
        coir_var_drop(var);
        CHECK_STR(notes(), "-2");
    }
}

TEST(var, an_io_that_mentions_it_keeps_it)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(coir_int(1));
        int two = 2;
        coir_io *changes = coir_sequence(COIR_IOS(coir_var_set(var, coir_int(5)), coir_var_update(var, plus, &two), coir_var_update_io(var, give_plus_one, NULL)));
        coir_io *io = coir_then(changes, coir_zip(COIR_IOS(coir_vars_get(COIR_VARS(var)), coir_with_vars(COIR_VARS(var), coir_var_get(var)))));
        coir_var_drop(var);
        CHECK_STR(outcome_in(way, io), "OK [[8] 8]");
    }
}

TEST(var, swap_gives_the_old_value_also_one_that_cannot_be_shared)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(sole_thing(1));
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_var_swap(var, thing(2)), coir_var_swap(var, sole_thing(3)), coir_var_swap(var, coir_int(4)), coir_var_get(var)))),
                  "OK [thing 1 thing 2 thing 3 4]");
        CHECK_STR(notes(), "-1 -2 -3");
        coir_var_drop(var);
    }
}

TEST(var, setting_a_value_again_shares_it_and_one_that_cannot_be_shared_is_there_once)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(coir_none());
        CHECK_STR(outcome_in(way, coir_then(coir_repeat(coir_var_set(var, thing(1)), 3), coir_var_get(var))), "OK thing 1");
        CHECK_STR(outcome_in(way, coir_repeat(coir_var_set(var, sole_thing(2)), 3)), "PANIC MISUSE");
        CHECK_STR(notes(), "-1");
        coir_var_drop(var);
        CHECK_STR(notes(), "-2");
    }
}

TEST(var, what_cannot_be_shared_is_a_panic_of_who_gets_it_and_stays)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(sole_thing(1)), *other = coir_var_new(thing(2));
        CHECK_CONTAINS(message_in(way, coir_var_get(var)), "sole");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_attempt(coir_var_get(var)), coir_attempt(coir_vars_get(COIR_VARS(other, var)))))),
                  "OK [<PANIC MISUSE> <PANIC MISUSE>]");
        CHECK_CONTAINS(message_in(way, coir_vars_get(COIR_VARS(other, var))), "sole");
        CHECK_CONTAINS(message_in(way, coir_vars_update(COIR_VARS(other, var), keep, NULL)), "sole");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(is_free(var), is_free(other)))), "OK [1 1]");
        CHECK_STR(notes(), "");
        coir_var_drop(var);
        coir_var_drop(other);
        CHECK_STR(notes(), "-1 -2");
    }
}

TEST(var, a_panic_value_inside_is_a_panic_of_who_gets_it)
{
    coir_var *var = coir_var_new(coir_panic_value("inside"));
    CHECK_STR(message_of(1, coir_var_get(var)), "inside");
    CHECK_STR(message_of(1, coir_var_set(var, coir_panic_value("new"))), "new");
    CHECK_STR(message_of(1, coir_var_swap(var, coir_int(1))), "inside");
    CHECK_STR(outcome(1, coir_var_get(var)), "OK 1");
    coir_var_drop(var);
}

/* -------------------------------------------------------------------------------------------------------------- update */

static coir_value push_thing(void *env, coir_value *list)
{
    (void)env;
    CHECK(coir_list_push(list, thing((int)coir_list_size(list))));
    for (size_t i = 0; i < coir_list_size(list); i++)   /* nobody else has the list: it was not copied */
        CHECK_INT(atomic_load(&((struct thing *)coir_list_at(list, i)->ptr)->owners), 1);
    return *list;
}
static coir_value replace_thing(void *number, coir_value *value)
{
    CHECK_INT(thing_number(value), 1);
    return thing(*(int *)number);
}

TEST(var, update_is_lent_the_value_in_place_and_what_it_gives_is_the_new_one)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(coir_list(0, NULL));
        int two = 2;
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_repeat(coir_var_update(var, push_thing, NULL), 3), coir_var_get(var)))),
                  "OK [0 [thing 0 thing 1 thing 2]]");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_var_set(var, thing(1)), coir_var_update(var, keep, NULL), coir_var_update(var, replace_thing, &two),
                                                    coir_var_get(var)))), "OK [0 0 0 thing 2]");
        CHECK_STR(notes(), "-0 -1 -2 -1");
        coir_var_drop(var);
        CHECK_STR(notes(), "-2");
    }
}

TEST(var, captured_bytes_are_each_updates_own)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(coir_int(0));
        coir_io *ios[3];
        for (int i = 0; i < 3; i++)
            ios[i] = coir_repeat(coir_var_update_copy(var, plus, &i, sizeof i), 10);
        CHECK_STR(outcome_in(way, coir_then(coir_par_zip(3, ios), coir_var_get(var))), "OK 30");
        coir_var_drop(var);
    }
}

static coir_io *updating(coir_var *var, int kind)
{
    return kind % 2 == 0 ? coir_var_update(var, plus_one, NULL) : coir_var_update_io(var, give_plus_one, NULL);
}

TEST(var, no_update_of_many_fibers_is_lost)
{
    FOR_WAYS(way) {
        enum { FIBERS = 5, UPDATES = 6 };
        coir_var *var = coir_var_new(coir_int(0));
        coir_io *ios[FIBERS];
        for (int i = 0; i < FIBERS; i++)
            ios[i] = coir_repeat(updating(var, i), UPDATES);
        CHECK_STR(outcome_in(way, coir_then(coir_par_zip(FIBERS, ios), coir_var_get(var))), spelled("OK %d", FIBERS * UPDATES));
        /* The same io, shared. */
        CHECK_STR(outcome_in(way, coir_as(coir_flat_map(copies_of(FIBERS, updating(var, 1)), wait_it, NULL), coir_none())), "OK 0");
        CHECK_STR(outcome_in(way, coir_var_get(var)), spelled("OK %d", FIBERS * UPDATES + FIBERS));
        coir_var_drop(var);
    }
}

static coir_io *give_shifted(void *by, coir_value *value) { return coir_pure(coir_int(value->i64 + *(int *)by)); }

TEST(var, update_io_takes_captured_bytes_too)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(coir_int(1));
        int five = 5;
        coir_io *io = coir_repeat(coir_var_update_io_copy(var, give_shifted, &five, sizeof five), 2);
        CHECK_STR(outcome_in(way, coir_then(io, coir_var_get(var))), "OK 11");
        coir_var_drop(var);
    }
}

/* ------------------------------------------------------------------------------------------------------------ failures */

TEST(var, an_update_that_does_not_succeed_leaves_the_old_value_and_the_lock_free)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(thing(1));
        coir_io *failing[] = { ending(COIR_ERROR, 2), ending(COIR_PANIC, 3), coir_then(coir_yield(), coir_panicf("late")),
                               coir_then(coir_cancel_self(), coir_yield()) };
        const char *const ends[] = { "ERROR 2", "PANIC 3", "PANIC MISUSE", "CANCELED 0" };
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            coir_io *update = coir_var_update_io(var, give_placed, &failing[i]);
            CHECK_STR(outcome_in(way, coir_flat_map(coir_parallel(COIR_IOS(update)), wait_it, NULL)), spelled("OK [<%s>]", ends[i]));
            CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_var_get(var), is_free(var)))), "OK [thing 1 1]");
            coir_io_drop(failing[i]);
        }
        CHECK_STR(outcome_in(way, coir_var_update(var, give_panic, NULL)), "PANIC MISUSE");
        CHECK_CONTAINS(message_in(way, coir_var_update_io(var, give_null, NULL)), "coir_var_update_io");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_var_set(var, coir_int(4)), coir_var_get(var)))), "OK [0 4]");
        CHECK_STR(notes(), "-1");
        coir_var_drop(var);
    }
}

static coir_io *take_and_fail(void *env, coir_value *value)
{
    (void)env;
    coir_drop(coir_take(value));
    *value = thing(7);
    return coir_fail(coir_int(1));
}

TEST(var, what_a_failing_update_has_taken_is_gone_and_what_it_left_there_stays)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(thing(1));
        CHECK_STR(outcome_in(way, coir_var_update(var, take_and_give_panic, NULL)), "PANIC MISUSE");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_var_get(var), coir_var_set(var, thing(2))))), "OK [0 0]");
        CHECK_STR(outcome_in(way, coir_var_update_io(var, take_and_fail, NULL)), "ERROR 1");
        CHECK_STR(outcome_in(way, coir_var_get(var)), "OK thing 7");
        CHECK_STR(notes(), "-1 -2");
        coir_var_drop(var);
        CHECK_STR(notes(), "-7");
    }
}

/* Who is called off whenever has updated or has not; the others have. */
TEST(var, updates_that_are_timed_out_count_whole_or_not_at_all)
{
    FOR_WAYS(way) {
        enum { FIBERS = 4, UPDATES = 5 };
        coir_var *var = coir_var_new(coir_int(0));
        atomic_int done = 0;
        coir_io *ios[FIBERS];
        for (int i = 0; i < FIBERS; i++) {
            coir_io *once = coir_timeout(updating(var, 1), moment_in(way));
            ios[i] = coir_repeat(coir_or_else(coir_then(once, coir_as(counting(&done), coir_none())), coir_unit()), UPDATES);
        }
        CHECK_STR(outcome_in(way, coir_as(coir_par_zip(FIBERS, ios), coir_none())), "OK 0");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_var_get(var), is_free(var)))), spelled("OK [%d 1]", atomic_load(&done)));
        coir_var_drop(var);
    }
}

/* -------------------------------------------------------------------------------------------------------- reentrancy */

TEST(var, who_is_updating_it_may_read_it_but_not_change_it_otherwise)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(thing(1)), *other = coir_var_new(coir_int(2));
        coir_io *changes[] = { coir_var_set(var, coir_int(3)), coir_var_swap(var, coir_int(3)), coir_var_update(var, plus_one, NULL), coir_var_update_io(var, give_plus_one, NULL),
                               coir_vars_update(COIR_VARS(other, var), keep, NULL), coir_vars_update_io(COIR_VARS(var), give_plus_one, NULL) };
        const char *const names[] = { "coir_var_set", "coir_var_swap", "coir_var_update", "coir_var_update_io", "coir_vars_update", "coir_vars_update_io" };
        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
            const char *message = message_in(way, coir_named(coir_var_update_io(var, give_placed, &changes[i]), "eager"));
            CHECK_CONTAINS(message, spelled("%s: fiber", names[i]));
            CHECK_CONTAINS(message, spelled("'eager' changes variable %ju, which is just being updated", VAR_ID(var)));
            CHECK_STR(outcome_in(way, coir_var_update_io(var, give_placed, &changes[i])), "PANIC MISUSE");
            coir_io_drop(changes[i]);
        }
        coir_io *inside = coir_flat_map(coir_zip(COIR_IOS(coir_var_get(var), coir_vars_get(COIR_VARS(var)), coir_var_set(other, coir_int(9)))),
                                        keep_first, NULL);
        CHECK_STR(outcome_in(way, coir_var_update_io(var, give_placed, &inside)), "OK 0");
        coir_io_drop(inside);
        CHECK_STR(outcome_in(way, coir_vars_get(COIR_VARS(var, other))), "OK [thing 1 9]");
        CHECK_STR(outcome_in(way, coir_var_set(var, coir_int(4))), "OK 0");
        CHECK_STR(notes(), "-1");
        coir_var_drop(var);
        coir_var_drop(other);
    }
}

TEST(var, a_child_of_who_updates_it_waits)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(coir_int(1));
        coir_fiber *child = NULL;
        coir_io *inside = coir_sequence(COIR_IOS(queueing(coir_var_update(var, plus_one, NULL), &child), noting("waits"), coir_pure(coir_int(10))));
        CHECK_STR(outcome_in(way, coir_sequence(COIR_IOS(coir_var_update_io(var, give_placed, &inside), joining(&child), coir_var_get(var)))), "OK 11");
        CHECK_STR(notes(), "waits");
        fibers_drop(1, &child);
        coir_io_drop(inside);
        coir_var_drop(var);
    }
}

TEST(var, its_lock_is_for_steps_that_belong_together_and_for_conditions)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(coir_int(0));
        coir_condition *changed = coir_condition_new(coir_var_lock(var));
        coir_fiber *reader = NULL;
        CHECK_UINT(coir_var_id(var), coir_lock_id(coir_var_lock(var)));
        coir_io *read = coir_with_lock(coir_var_lock(var), coir_then(coir_condition_wait(changed), coir_var_get(var)));
        coir_io *write = coir_with_vars(COIR_VARS(var), coir_sequence(COIR_IOS(coir_var_set(var, coir_int(1)), coir_yield(), coir_var_update(var, plus_one, NULL),
                                                                               coir_condition_notify(changed))));
        CHECK_STR(outcome_in(way, coir_sequence(COIR_IOS(queueing(read, &reader), write, joining(&reader)))), "OK 2");
        fibers_drop(1, &reader);
        coir_condition_drop(changed);
        coir_var_drop(var);
    }
}

/* ------------------------------------------------------------------------------------------------------------- several */

/* From the first to the second. */
static coir_value move_one(void *env, coir_value *list)
{
    (void)env;
    int64_t from = coir_list_at(list, 0)->i64, to = coir_list_at(list, 1)->i64;
    return coir_list(2, (coir_value[]){ coir_int(from - 1), coir_int(to + 1) });
}
static coir_io *give_moved(void *env, coir_value *list) { return coir_then(coir_yield(), coir_pure(move_one(env, list))); }
static coir_value sum(void *env, coir_value *list)
{
    (void)env;
    int64_t total = 0;
    for (size_t i = 0; i < coir_list_size(list); i++)
        total += coir_list_at(list, i)->i64;
    return coir_int(total);
}
static coir_value check_sum(void *expected, coir_value *list)
{
    coir_value total = sum(NULL, list);
    if (total.i64 != *(int *)expected)
        note("%d", (int)total.i64);
    return coir_none();
}

/* Whatever the order in which they are named. */
TEST(var, several_are_changed_and_read_together_and_nobody_waits_in_a_ring)
{
    FOR_WAYS(way) {
        enum { VARS = 3, ROUNDS = 4 };
        coir_var *vars[VARS];
        coir_io *ios[4 * VARS];
        size_t count = 0;
        int total = 30;
        for (size_t i = 0; i < VARS; i++)
            vars[i] = coir_var_new(coir_int(10));
        for (size_t i = 0; i < VARS; i++) {
            coir_var *a = vars[i], *b = vars[(i + 1) % VARS], *c = vars[(i + 2) % VARS];
            ios[count++] = coir_repeat(coir_vars_update(COIR_VARS(a, b), move_one, NULL), ROUNDS);
            ios[count++] = coir_repeat(coir_vars_update_io(COIR_VARS(c, a), give_moved, NULL), ROUNDS);
            ios[count++] = coir_repeat(coir_map(coir_vars_get(COIR_VARS(c, b, a)), check_sum, &total), ROUNDS);
            ios[count++] = coir_repeat(coir_map(coir_with_vars(COIR_VARS(b, a, c), coir_zip(COIR_IOS(coir_var_get(b), coir_var_get(c), coir_var_get(a)))),
                                                check_sum, &total), ROUNDS);
        }
        CHECK_STR(outcome_in(way, coir_as(coir_par_zip(count, ios), coir_none())), "OK 0");
        CHECK_STR(notes(), "");
        CHECK_STR(outcome_in(way, coir_vars_get(VARS, vars)), "OK [10 10 10]");
        for (size_t i = 0; i < VARS; i++)
            coir_var_drop(vars[i]);
    }
}

static coir_value give_two(void *env, coir_value *list)     { (void)env; (void)list; return coir_list(2, (coir_value[]){ thing(8), thing(9) }); }
static coir_value give_number(void *env, coir_value *list)  { (void)env; (void)list; return coir_int(3); }
static coir_value give_three(void *env, coir_value *list)
{
    (void)env;
    (void)list;
    return coir_list(3, (coir_value[]){ thing(7), thing(8), thing(9) });
}
static coir_io *fail_with_list(void *env, coir_value *list) { (void)env; return coir_fail(coir_take(list)); }

TEST(var, several_change_all_or_none)
{
    FOR_WAYS(way) {
        coir_var *a = coir_var_new(thing(1)), *b = coir_var_new(thing(2));
        coir_map_fn *const wrong[] = { give_number, give_three, give_panic };
        const char *const texts[] = { "no list of 2 values", "no list of 2 values", "no new value" };
        for (size_t i = 0; i < 3; i++)
            CHECK_CONTAINS(message_in(way, coir_vars_update(COIR_VARS(a, b), wrong[i], NULL)), texts[i]);
        CHECK_STR(outcome_in(way, coir_vars_update(COIR_VARS(a, b), give_number, NULL)), "PANIC MISUSE");
        CHECK_STR(notes(), "-7 -8 -9");
        CHECK_STR(outcome_in(way, coir_vars_update_io(COIR_VARS(b, a), fail_with_list, NULL)), "ERROR [thing 2 thing 1]");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_vars_get(COIR_VARS(a, b)), is_free(a), is_free(b)))), "OK [[thing 1 thing 2] 1 1]");
        CHECK_STR(outcome_in(way, coir_vars_update(COIR_VARS(b, a), give_two, NULL)), "OK 0");
        CHECK_STR(notes(), "-2 -1");
        CHECK_STR(outcome_in(way, coir_vars_get(COIR_VARS(a, b))), "OK [thing 9 thing 8]");
        coir_var_drop(a);
        coir_var_drop(b);
        CHECK_STR(notes(), "-9 -8");
    }
}

static coir_value turn_round(void *env, coir_value *list)
{
    (void)env;
    return coir_list(2, (coir_value[]){ coir_list_take(list, 1), coir_list_take(list, 0) });
}
static coir_value give_placed_list(void *place, coir_value *list) { (void)list; return coir_share(place); }

TEST(var, several_may_be_given_what_they_had_or_what_others_have_too)
{
    FOR_WAYS(way) {
        coir_var *a = coir_var_new(thing(1)), *b = coir_var_new(thing(2));
        coir_value list = coir_list(2, (coir_value[]){ thing(3), thing(4) });
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_vars_update(COIR_VARS(a, b), turn_round, NULL), coir_vars_get(COIR_VARS(a, b))))), "OK [0 [thing 2 thing 1]]");
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_vars_update(COIR_VARS(a, b), keep, NULL), coir_vars_get(COIR_VARS(a, b))))), "OK [0 [thing 2 thing 1]]");
        CHECK_STR(notes(), "");
        CHECK_STR(outcome_in(way, coir_vars_update(COIR_VARS(a, b), give_placed_list, &list)), "OK 0");
        CHECK_STR(notes(), "-2 -1");
        coir_drop(list);
        CHECK_STR(outcome_in(way, coir_vars_get(COIR_VARS(a, b))), "OK [thing 3 thing 4]");
        coir_var_drop(a);
        coir_var_drop(b);
        CHECK_STR(notes(), "-3 -4");
    }
}

TEST(var, one_that_is_named_twice_is_read_twice_and_cannot_be_given_two_values)
{
    FOR_WAYS(way) {
        coir_var *var = coir_var_new(thing(1)), *other = coir_var_new(thing(2));
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(coir_vars_get(COIR_VARS(var, var)), coir_with_vars(COIR_VARS(var, other, var), is_free(var)), is_free(var)))),
                  "OK [[thing 1 thing 1] 0 1]");
        CHECK_STR(message_in(way, coir_vars_update(COIR_VARS(var, other, var), keep, NULL)), "coir_vars_update: a variable is named twice");
        CHECK_STR(message_in(way, coir_vars_update_io_copy(COIR_VARS(var, var), give_moved, &other, sizeof other)),
                  "coir_vars_update_io_copy: a variable is named twice");
        CHECK_STR(outcome_in(way, coir_vars_update(COIR_VARS(var, var), keep, NULL)), "PANIC EINVAL");
        coir_var_drop(var);
        coir_var_drop(other);
        CHECK_STR(notes(), "-1 -2");
    }
}

TEST(var, of_no_variables_nothing_is_locked)
{
    FOR_WAYS(way) {
        coir_io *io = coir_zip(COIR_IOS(coir_with_vars(0, NULL, coir_pure(coir_int(1))), coir_vars_get(0, NULL), coir_vars_update(0, NULL, keep, NULL)));
        CHECK_STR(outcome_in(way, io), "OK [1 [] 0]");
    }
}

static coir_value shift_all(void *by, coir_value *list)
{
    coir_value shifted = coir_list(0, NULL);
    for (size_t i = 0; i < coir_list_size(list); i++)
        CHECK(coir_list_push(&shifted, coir_int(coir_list_at(list, i)->i64 + *(int *)by)));
    return shifted;
}
static coir_io *give_all_shifted(void *by, coir_value *list) { return coir_pure(shift_all(by, list)); }

TEST(var, updates_of_several_take_captured_bytes_too)
{
    FOR_WAYS(way) {
        coir_var *a = coir_var_new(coir_int(1)), *b = coir_var_new(coir_int(2));
        int five = 5;
        coir_io *io = coir_sequence(COIR_IOS(coir_repeat(coir_vars_update_copy(COIR_VARS(a, b), shift_all, &five, sizeof five), 2),
                                             coir_repeat(coir_vars_update_io_copy(COIR_VARS(a, b), give_all_shifted, &five, sizeof five), 2),
                                             coir_vars_get(COIR_VARS(a, b))));
        CHECK_STR(outcome_in(way, io), "OK [21 22]");
        coir_var_drop(a);
        coir_var_drop(b);
    }
}

/* --------------------------------------------------------------------------------------------------- deadlocks, the end */

TEST(var, one_taken_inside_the_other_in_two_orders_is_a_deadlock_that_names_both)
{
    FOR_WAYS(way) {
        coir_var *a = coir_var_new(coir_int(1)), *b = coir_var_new(coir_int(2));
        coir_barrier *both_have_one = coir_barrier_new(2);
        coir_io *ab = coir_with_vars(COIR_VARS(a), coir_then(coir_barrier_wait(both_have_one), coir_var_get(b)));
        coir_io *ba = coir_with_vars(COIR_VARS(b), coir_then(coir_barrier_wait(both_have_one), coir_var_get(a)));
        const char *message = message_in(way, coir_par_zip_all(COIR_IOS(ab, ba)));
        CHECK_CONTAINS(message, spelled("waits for lock %ju that", VAR_ID(a)));
        CHECK_CONTAINS(message, spelled("waits for lock %ju that", VAR_ID(b)));
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(is_free(a), is_free(b)))), "OK [1 1]");
        coir_barrier_drop(both_have_one);
        coir_var_drop(a);
        coir_var_drop(b);
    }
}

TEST(var, a_run_that_is_stopped_in_an_update_leaves_the_old_value)
{
    coir_var *var = coir_var_new(thing(1));
    coir_io *never = coir_never();
    CHECK_STR(outcome_under(COIR_OPTIONS(.workers = 1, .on_deadlock = COIR_DEADLOCK_STOP), coir_var_update_io(var, give_placed, &never)), "PANIC DEADLOCK");
    CHECK_STR(outcome(1, coir_zip(COIR_IOS(coir_var_get(var), is_free(var), coir_var_set(var, coir_int(2)), coir_var_get(var)))), "OK [thing 1 1 0 2]");
    CHECK_STR(notes(), "-1");
    coir_io_drop(never);
    coir_var_drop(var);
}

static void drop_var(void *var) { coir_var_drop(var); }
static const coir_type var_type = { "var", drop_var, NULL, NULL };

TEST(var, a_chain_of_many_is_dropped_in_little_stack)
{
    coir_var *first = coir_var_new(thing(1));
    for (int i = 0; i < scaled(200000); i++)
        first = coir_var_new(coir_own(first, &var_type));
    on_small_stack(drop_var, first);
    CHECK_STR(notes(), "-1");
}
