/*
 * cell.c - tests of the cell: what is put there is had by somebody, once, whoever looks at it meanwhile
 */
#include "ways.h"

/* shown: a value as text, which is dropped. */
static const char *shown(coir_value value)
{
    coir_result result = coir_ok(value);
    const char *text = describe(&result) + strlen("OK ");
    coir_result_drop(&result);
    return text;
}
static const char *complaint(coir_value panic)
{
    const char *text = spelled("%s", panic.type == &coir_panic_type ? coir_error_message(&panic) : "(no panic value)");
    coir_drop(panic);
    return text;
}

static coir_value plus_one(void *env, const coir_value *value)     { (void)env; return coir_int(value->i64 + 1); }
static coir_value same(void *env, const coir_value *value)         { (void)env; return coir_share(value); }
static coir_value next_thing(void *env, const coir_value *value)   { (void)env; return thing(thing_number(value) + 1); }
static coir_value broken(void *env, const coir_value *value)       { (void)env; (void)value; return coir_panic_value("no %s", "more"); }

TEST(cell, null_is_harmless)
{
    CHECK_PTR(coir_cell_ref(NULL), NULL);
    coir_cell_drop(NULL);
    CHECK_STR(shown(coir_cell_get(NULL)), "0");
    CHECK(!coir_cell_set(NULL, thing(1)));
    CHECK_STR(shown(coir_cell_swap(NULL, thing(2))), "0");
    CHECK_STR(shown(coir_cell_update(NULL, plus_one, NULL)), "0");
    CHECK_STR(notes(), "-1 -2");
}

TEST(cell, what_was_put_there_is_what_everybody_gets)
{
    coir_cell *cell = coir_cell_new(thing(1));
    coir_value one = coir_cell_get(cell), again = coir_cell_get(cell);
    CHECK_PTR(one.ptr, again.ptr);
    CHECK_INT(thing_number(&one), 1);
    CHECK(coir_cell_set(cell, thing(2)));
    CHECK_STR(notes(), "");
    coir_drop(one);
    coir_drop(again);
    CHECK_STR(notes(), "-1");
    CHECK_STR(shown(coir_cell_get(cell)), "thing 2");
    CHECK(coir_cell_set(cell, coir_int(3)));
    CHECK_STR(notes(), "-2");
    CHECK_STR(shown(coir_cell_get(cell)), "3");
    CHECK(coir_cell_set(cell, thing(4)));
    coir_cell_drop(cell);
    CHECK_STR(notes(), "-4");
}

TEST(cell, swap_gives_the_very_thing_that_was_there)
{
    coir_cell *cell = coir_cell_new(coir_none());
    coir_value first = thing(1);
    void *object = first.ptr;
    CHECK_STR(shown(coir_cell_swap(cell, first)), "0");
    coir_value back = coir_cell_swap(cell, thing(2));
    CHECK_PTR(back.ptr, object);
    CHECK_INT(atomic_load(&((struct thing *)back.ptr)->owners), 1);
    coir_drop(back);
    CHECK_STR(notes(), "-1");
    coir_cell_drop(cell);
    CHECK_STR(notes(), "-2");
}

TEST(cell, one_more_owner_keeps_it)
{
    coir_cell *cell = coir_cell_new(thing(1));
    CHECK_PTR(coir_cell_ref(cell), cell);
    coir_cell_drop(cell);
    CHECK_STR(notes(), "");
    coir_cell_drop(cell);
    CHECK_STR(notes(), "-1");
}

TEST(cell, what_cannot_be_shared_is_put_in_and_taken_out)
{
    coir_cell *cell = coir_cell_new(sole_thing(1));
    CHECK_STR(complaint(coir_cell_get(cell)), "coir_cell_get: a sole cannot be shared");
    CHECK_STR(complaint(coir_cell_update(cell, next_thing, NULL)), "coir_cell_update: a sole cannot be shared");
    CHECK_STR(shown(coir_cell_swap(cell, sole_thing(2))), "thing 1");
    CHECK(coir_cell_set(cell, coir_list(1, (coir_value[]){ sole_thing(3) })));
    CHECK_STR(notes(), "-1 -2");
    CHECK_STR(complaint(coir_cell_get(cell)), "coir_cell_get: a list cannot be shared");
    CHECK_STR(shown(coir_cell_swap(cell, coir_int(4))), "[thing 3]");
    CHECK_STR(shown(coir_cell_get(cell)), "4");
    coir_cell_drop(cell);
    CHECK_STR(notes(), "-3");
}

TEST(cell, a_share_that_fails_says_so_and_leaves_it_there)
{
    coir_cell *cell = coir_cell_new(starved_thing(1));
    CHECK_STR(shown(coir_cell_get(cell)), shown(coir_heap(NULL)));
    CHECK_STR(shown(coir_cell_swap(cell, coir_none())), "thing 1");
    CHECK_STR(notes(), "-1");
    coir_cell_drop(cell);
}

/* As any value: who puts it into a program meets it. */
TEST(cell, a_panic_value_inside_is_a_panic_of_who_uses_it)
{
    coir_cell *cell = coir_cell_new(coir_panic_value("inside"));
    CHECK_STR(message_of(1, coir_pure(coir_cell_get(cell))), "inside");
    CHECK_STR(complaint(coir_cell_swap(cell, coir_none())), "inside");
    coir_cell_drop(cell);
}

/* -------------------------------------------------------------------------------------------------------------- update */

TEST(cell, update_puts_what_the_function_makes_and_gives_what_was_there)
{
    coir_cell *cell = coir_cell_new(coir_int(5));
    CHECK_STR(shown(coir_cell_update(cell, plus_one, NULL)), "5");
    CHECK_STR(shown(coir_cell_get(cell)), "6");
    CHECK(coir_cell_set(cell, thing(1)));
    coir_value before = coir_cell_update(cell, next_thing, NULL);
    CHECK_INT(thing_number(&before), 1);
    CHECK_INT(atomic_load(&((struct thing *)before.ptr)->owners), 1);
    coir_drop(before);
    CHECK_STR(shown(coir_cell_get(cell)), "thing 2");
    CHECK_STR(shown(coir_cell_update(cell, same, NULL)), "thing 2");
    coir_cell_drop(cell);
    CHECK_STR(notes(), "-1 -2");
}

TEST(cell, an_update_that_gives_a_panic_value_changes_nothing)
{
    coir_cell *cell = coir_cell_new(thing(1));
    CHECK_STR(complaint(coir_cell_update(cell, broken, NULL)), "no more");
    CHECK_STR(complaint(coir_cell_update(cell, NULL, NULL)), "coir_cell_update: fn is NULL");
    CHECK_STR(shown(coir_cell_get(cell)), "thing 1");
    coir_cell_drop(cell);
    CHECK_STR(notes(), "-1");
}

/* The function itself is the one who comes between, the first time. */
struct hasty { coir_cell *cell; int calls; };
static coir_value overtaken(void *env, const coir_value *value)
{
    struct hasty *hasty = env;
    int number = thing_number(value);
    if (hasty->calls++ == 0)
        CHECK(coir_cell_set(hasty->cell, thing(10)));
    CHECK_INT(thing_number(value), number);             /* it is there as long as somebody looks at it */
    return thing(number + 1);
}

TEST(cell, an_update_that_was_overtaken_is_made_again_of_the_new_value)
{
    struct hasty hasty = { coir_cell_new(thing(1)), 0 };
    CHECK_STR(shown(coir_cell_update(hasty.cell, overtaken, &hasty)), "thing 10");
    CHECK_INT(hasty.calls, 2);
    CHECK_STR(shown(coir_cell_get(hasty.cell)), "thing 11");
    CHECK_STR(notes(), "-2 -1 -10");
    coir_cell_drop(hasty.cell);
    CHECK_STR(notes(), "-11");
}

static coir_value swap_meanwhile(void *env, const coir_value *value)
{
    coir_value out = coir_cell_swap(env, coir_int(0));  /* another owner looks at it: so it is a share */
    CHECK_PTR(out.ptr, value->type == NULL ? NULL : value->ptr);
    coir_drop(out);
    return coir_panic_value("enough");
}

TEST(cell, what_somebody_looks_at_is_shared_with_who_takes_it_out)
{
    coir_cell *cell = coir_cell_new(thing(1));
    CHECK_STR(complaint(coir_cell_update(cell, swap_meanwhile, cell)), "enough");
    CHECK_STR(notes(), "-1");
    CHECK_STR(shown(coir_cell_get(cell)), "0");
    coir_cell_drop(cell);
}

/* ------------------------------------------------------------------------------------------------- fibers and threads */

static coir_result update_it(void *cell) { return coir_ok(coir_cell_update(cell, plus_one, NULL)); }

TEST(cell, fibers_that_count_on_one_cell_draw_each_number_once)
{
    FOR_WAYS(way) {
        enum { FIBERS = 4, DRAWS = 8 };
        coir_cell *cell = coir_cell_new(coir_int(0));
        coir_io *draw = coir_defer(update_it, cell), *ios[FIBERS];
        for (size_t i = 0; i < FIBERS; i++) {
            coir_io *draws[DRAWS];
            for (size_t j = 0; j < DRAWS; j++)
                draws[j] = coir_io_ref(draw);
            ios[i] = coir_zip(DRAWS, draws);
        }
        coir_io_drop(draw);
        coir_result result = run_in(way, coir_par_zip(FIBERS, ios));
        uint64_t drawn = 0;
        for (size_t i = 0; i < FIBERS; i++)
            for (size_t j = 0; j < DRAWS; j++)
                drawn |= (uint64_t)1 << coir_list_at(coir_list_at(&result.value, i), j)->i64;
        CHECK_UINT(drawn, ((uint64_t)1 << FIBERS * DRAWS) - 1);
        coir_result_drop(&result);
        CHECK_STR(shown(coir_cell_get(cell)), spelled("%d", FIBERS * DRAWS));
        coir_cell_drop(cell);
    }
}

TEST(cell, an_update_that_fails_in_a_program_is_a_panic)
{
    FOR_WAYS(way) {
        coir_cell *cell = coir_cell_new(sole_thing(1));
        CHECK_STR(outcome_in(way, coir_defer(update_it, cell)), "PANIC MISUSE");
        coir_cell_drop(cell);
        CHECK_STR(notes(), "-1");
    }
}

/* Threads that know nothing of runs: some look, some swap, some update. All things go in the end, none twice. */
struct crowd { coir_cell *cell; pthread_t threads[3]; int rounds; };
static void *look_often(void *crowd_)
{
    struct crowd *crowd = crowd_;
    for (int i = 0; i < crowd->rounds; i++) {
        coir_value value = coir_cell_get(crowd->cell);
        CHECK(thing_number(&value) >= 0);
        coir_drop(value);
    }
    return NULL;
}
static void *swap_often(void *crowd_)
{
    struct crowd *crowd = crowd_;
    for (int i = 0; i < crowd->rounds; i++) {
        coir_value value = coir_cell_swap(crowd->cell, thing(0));
        CHECK(thing_number(&value) >= 0);
        coir_drop(value);
    }
    return NULL;
}
static void *update_often(void *crowd_)
{
    struct crowd *crowd = crowd_;
    for (int i = 0; i < crowd->rounds; i++) {
        coir_value value = coir_cell_update(crowd->cell, next_thing, NULL);
        CHECK(thing_number(&value) >= 0);
        coir_drop(value);
    }
    return NULL;
}

TEST_REAL(cell, threads_that_look_swap_and_update_at_once_lose_nothing, "its threads are real")
{
    static void *(*const bodies[])(void *) = { look_often, swap_often, update_often };
    struct crowd crowd = { .cell = coir_cell_new(thing(0)), .rounds = scaled(20000) };
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&crowd.threads[i], NULL, bodies[i], &crowd), 0);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(pthread_join(crowd.threads[i], NULL), 0);
    CHECK_INT(atomic_load(&things_alive), 1);
    coir_cell_drop(crowd.cell);
    CHECK_INT(atomic_load(&things_alive), 0);
    CHECK(strchr(notes(), '!') == NULL);
}

/* -------------------------------------------------------------------------------------------------------------- memory */

static void drop_cell(void *cell) { coir_cell_drop(cell); }
static void *share_cell(void *cell) { return coir_cell_ref(cell); }
static const coir_type cell_type = { "cell", drop_cell, share_cell, NULL };

TEST(cell, a_chain_of_many_is_dropped_in_little_stack)
{
    coir_cell *first = coir_cell_new(thing(1));
    for (int i = 0; i < scaled(200000); i++)
        first = coir_cell_new(coir_own(first, &cell_type));
    on_small_stack(drop_cell, first);
    CHECK_STR(notes(), "-1");
}
