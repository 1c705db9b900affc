/*
 * memory.c - tests of the user's allocator: when it can be set, that it is used as promised, and what comes of its failures
 *
 * Each of these is alone in its process: an allocator is set once.
 */
#include "fibers.h"

/* ---------------------------------------------------------------------------------------------------------- setting it */

TEST_ALONE(runtime_memory, allocator_without_a_function_is_refused_and_changes_nothing)
{
    coir_memory memory = { watched_allocate, NULL, NULL };
    CHECK(!coir_set_memory(&memory));
    memory = (coir_memory){ NULL, watched_release, NULL };
    CHECK(!coir_set_memory(&memory));
    CHECK(!coir_set_memory(NULL));
    coir_drop(coir_stringf("x"));
    CHECK_INT(atomic_load(&watched.peak), 0);
}

TEST_ALONE(runtime_memory, allocator_that_comes_too_late_is_refused)
{
    const coir_memory memory = { watched_allocate, watched_release, NULL };
    coir_io *io = coir_pure(coir_stringf("x"));
    CHECK(!coir_set_memory(&memory));
    CHECK_STR(outcome(2, io), "OK x");
    CHECK_INT(atomic_load(&watched.peak), 0);
}

TEST_ALONE(runtime_memory, allocator_set_in_time_serves_from_then_on_and_no_second_one)
{
    coir_memory memory = { watched_allocate, watched_release, NULL };
    CHECK(coir_set_memory(&memory));
    memset(&memory, 0, sizeof memory);                  /* it was copied */
    CHECK_STR(outcome(2, coir_pure(coir_stringf("x"))), "OK x");
    CHECK(atomic_load(&watched.peak) > 0);
    memory = (coir_memory){ watched_allocate, watched_release, NULL };
    CHECK(!coir_set_memory(&memory));
}

/* ------------------------------------------------------------------------------------------------- an honest customer */

/* Every piece has a head that says how large it is; the env must be ours. */
struct head { uint64_t size, mark; };
static struct { atomic_int pieces, wrong; } book;
enum { MARK = 0x5eed };

static void *booked_allocate(void *env, size_t size)
{
    struct head *head = malloc(sizeof *head + size);
    if (head == NULL)
        return NULL;
    *head = (struct head){ size, MARK };
    atomic_fetch_add(&book.pieces, 1);
    atomic_fetch_add(&book.wrong, env != &book || size == 0);
    memset(head + 1, 0xa5, size);                       /* not zeroed: nobody may count on that */
    return head + 1;
}

static void booked_release(void *env, void *memory, size_t size)
{
    struct head *head = (struct head *)memory - 1;
    atomic_fetch_sub(&book.pieces, 1);
    atomic_fetch_add(&book.wrong, env != &book || head->size != size || head->mark != MARK);
    memset(head, 0x5a, sizeof *head + size);
    free(head);
}

/* ----------------------------------------------------------------------------------------------- a broad program */

static coir_io *again_below_3(void *env, coir_value *state)
{
    (void)env;
    return state->i64 < 3 ? coir_again(coir_int(state->i64 + 1)) : coir_pure(coir_take(state));
}
static coir_value twice(void *env, coir_value *value) { (void)env; return coir_int(value->i64 * 2); }
static coir_io *number_of(void *env, size_t index) { (void)env; return coir_pure(coir_stringf("%zu", index)); }
static coir_io *same(void *env, coir_value *value) { (void)env; return coir_pure(coir_take(value)); }
static coir_io *instead_of(void *env, coir_value *value) { (void)env; coir_drop(coir_take(value)); return coir_pure(coir_stringf("instead")); }
static coir_io *box_of(void *env, coir_result *result) { (void)env; return coir_pure(coir_box(coir_result_take(result))); }
static coir_io *look_on(void *env, const coir_result *result) { (void)env; (void)result; return coir_unit(); }
static coir_value map_failure(void *env, coir_value *value) { (void)env; return coir_error_because(coir_errorf(2, "because"), coir_take(value)); }
static bool is_no_thing(void *env, const coir_value *value) { (void)env; return !is_thing(value); }
static coir_io *ends_recursion(void *env, coir_io *self) { int *n = env; return --*n > 0 ? coir_then(coir_unit(), coir_io_ref(self)) : coir_pure(thing(8)); }
static coir_value own_context(void *env, const coir_value *context) { (void)env; return coir_share(context); }
static coir_io *more_of(void *env, coir_value *list)
{
    (void)env;
    return coir_list_push(list, coir_stringf("pushed")) || list->type == &coir_panic_type ? coir_pure(coir_take(list)) : NULL;
}

struct steps { coir_value first; int rounds; };
static coir_io *routine(coir_routine *self)
{
    COIR_BEGIN(self, struct steps, my);
    COIR_AWAIT(coir_pure(thing(3)));
    my->first = coir_take(&self->result.value);
    for (my->rounds = 0; my->rounds < 3; my->rounds++)
        COIR_TRY(coir_failf(my->rounds, "failed"));
    COIR_RETURN(coir_take(&my->first));
    COIR_FINALLY;
    COIR_AWAIT(coir_unit());
    coir_drop(coir_take(&my->first));
    COIR_END;
}

static void complete(void *env, void *op, coir_callback k)
{
    (void)env;
    *(int *)op = 1;
    coir_resume(k, coir_ok(thing(4)));
}
static const coir_async_type completing_type = { .op_size = 40, .start = complete };

/* What each part gives when there is memory. Those that give a thing show a leak or a second drop. */
enum { PARTS = 25 };
static coir_io *part(int which)
{
    static int two;
    static const struct timespec past = { 0 };
    coir_io *io = NULL;
    switch (which) {
    case 0: return coir_zip(COIR_IOS(coir_pure(thing(1)), coir_pure(coir_stringf("x")), coir_attempt(coir_failf(5, "failed"))));
    case 1: return coir_map(coir_iterate(coir_int(0), again_below_3, NULL), twice, NULL);
    case 2: return coir_traverse(5, number_of, NULL);
    case 3: return coir_each(coir_list(3, (coir_value[]){ thing(1), thing(2), coir_int(3) }), same, NULL);
    case 4: return coir_catch(coir_fail(thing(1)), instead_of, NULL);
    case 5: return coir_redeem(coir_fail(thing(2)), box_of, NULL);
    case 6: return coir_finally(coir_finally_fn(coir_pure(thing(3)), look_on, NULL), coir_failf(6, "finalizer"));
    case 7: return coir_do(routine, COIR_ENV(struct steps, .rounds = 0));
    case 8: return waited(COIR_IOS(coir_pure(thing(1)), coir_yield(), coir_fail(thing(2)), coir_then(coir_yield(), coir_pure(thing(3)))));
    case 9: return joined(coir_then(coir_sleep(coir_us(1)), coir_pure(thing(4))));
    case 10: {
        coir_lock *lock = coir_lock_new();
        io = coir_with_lock(lock, coir_then(coir_yield(), coir_unit()));
        coir_lock_drop(lock);
        return coir_then(copies_of(4, io), coir_pure(coir_int(10)));
    }
    case 11: {
        coir_semaphore *semaphore = coir_semaphore_new(2);
        io = coir_with_permits(semaphore, 1, coir_then(coir_sleep(coir_us(1)), coir_unit()));
        coir_semaphore_drop(semaphore);
        return coir_then(copies_of(5, io), coir_pure(coir_int(11)));
    }
    case 12: return coir_async(&completing_type, NULL);
    case 13: return coir_then(coir_sleep_until(past), coir_as(coir_sleep(coir_us(5)), thing(5)));
    case 14: {
        coir_key *key = coir_key_new(thing(6));
        io = coir_with_key(key, thing(7), coir_zip(COIR_IOS(coir_key_get(key), coir_fork(coir_key_get(key)))));
        coir_key_drop(key);
        return coir_then(io, coir_pure(coir_int(14)));
    }
    case 15: return coir_local(coir_contra_map(coir_then(coir_ask(), coir_unit()), own_context, NULL), thing(2));
    case 16: return coir_flat_map(coir_pure(coir_list(2, (coir_value[]){ thing(1), thing(2) })), more_of, NULL);
    case 17: return coir_repeat(coir_named(coir_zip(COIR_IOS(coir_pure(thing(1)), coir_unit())), "a name"), 3);
    case 18: two = 2; return coir_rec(ends_recursion, &two);
    case 19: return coir_flatten(coir_pure(coir_io_value(coir_pure(thing(9)))));
    case 20: return coir_map_error(coir_finally(coir_fail(thing(1)), coir_fail(thing(2))), map_failure, NULL);
    case 21: return coir_while(coir_pure(thing(3)), is_no_thing, NULL);
    case 22: return coir_always(coir_or_else(coir_failf(1, "x"), coir_unit()), coir_on_failure(coir_pure(thing(1)), look_on, NULL));
    case 23: return coir_recover(coir_panicf("a panic"), instead_of, NULL);
    case 24: return coir_recover(coir_never(), instead_of, NULL);
    }
    return NULL;
}

static const char *const with_memory[PARTS] = {
    "OK [thing 1 x <ERROR code 5>]", "OK 6", "OK [0 1 2 3 4]", "OK [thing 1 thing 2 3]", "OK instead", "OK <ERROR thing 2>", "ERROR code 6",
    "OK thing 3", "OK [<OK thing 1> <OK 0> <ERROR thing 2> <OK thing 3>]", "OK thing 4", "OK 10", "OK 11", "OK thing 4", "OK thing 5",
    "OK 14", "OK 0", "OK [thing 1 thing 2 pushed]", "OK [thing 1 0]", "OK thing 8", "OK thing 9",
    "ERROR code 2 also(ERROR code 2)", "OK thing 3", "OK thing 1", "OK instead", "OK instead"
};

TEST_ALONE(runtime_memory, releases_say_what_was_allocated_and_nothing_is_counted_on_to_be_zero)
{
    const coir_memory memory = { booked_allocate, booked_release, &book };
    CHECK(coir_set_memory(&memory));
    FOR_WORKERS(workers, 1, 2, 4)
        for (int i = 0; i < PARTS; i++) {
            CASE("part %d", i);
            CHECK_STR(outcome(workers, part(i)), with_memory[i]);
        }
    CHECK_INT(atomic_load(&things_alive), 0);
    CHECK_INT(atomic_load(&book.wrong), 0);
    CHECK(atomic_load(&book.pieces) > 0);               /* slots of callbacks, at least, stay for good */
}

/* ------------------------------------------------------------------------------------------------------- failures of it */

/* From its `left`-th on, counted from 0, allocations fail: `failures` of them, then there is memory again. */
static struct { atomic_llong left, failures, failed, bytes; } scarce = { .left = -1 };

static void *scarce_allocate(void *env, size_t size)
{
    (void)env;
    if (atomic_load(&scarce.left) >= 0 && atomic_fetch_sub(&scarce.left, 1) <= 0) {
        atomic_store(&scarce.left, atomic_fetch_sub(&scarce.failures, 1) > 1 ? 0 : -1);
        atomic_fetch_add(&scarce.failed, 1);
        return NULL;
    }
    atomic_fetch_add(&scarce.bytes, (long long)size);
    return malloc(size);
}

static void scarce_release(void *env, void *memory, size_t size)
{
    (void)env;
    atomic_fetch_sub(&scarce.bytes, (long long)size);
    free(memory);
}

/* One run of a part in which the k-th allocation fails. Gives whether one failed. */
static bool starve_once(unsigned workers, int which, long long k, long long failures)
{
    long long failed = atomic_load(&scarce.failed), bytes = atomic_load(&scarce.bytes);
    uint64_t forgotten = coir_counters_now().failures_forgotten;
    atomic_store(&scarce.failures, failures);
    atomic_store(&scarce.left, k);
    const char *text = outcome(workers, part(which));
    bool was_short = atomic_load(&scarce.failed) > failed;
    atomic_store(&scarce.left, -1);
    bool is_told = was_short && (strstr(text, "ENOMEM") != NULL || coir_counters_now().failures_forgotten > forgotten);
    if (strcmp(text, with_memory[which]) != 0 && !is_told)
        CHECK_FAIL("part %d without its allocation %lld: %s", which, k, text);
    CHECK_INT(atomic_load(&things_alive), 0);
    if (strchr(notes(), '!') != NULL)
        CHECK_FAIL("part %d without its allocation %lld: dropped twice", which, k);
#ifdef COIR_PLAIN_MEMORY
    CHECK_INT(atomic_load(&scarce.bytes), bytes);
#else
    (void)bytes;
#endif
    return was_short;
}

static void starve_all(unsigned workers, long long failures)
{
    const coir_memory memory = { scarce_allocate, scarce_release, NULL };
    CHECK(coir_set_memory(&memory));
    for (int which = 0; which < PARTS; which++)         /* what stays for good is there before it is counted */
        CHECK_STR(outcome(workers, part(which)), with_memory[which]);
    for (int which = 0; which < PARTS; which++) {
        long long k = 0;
        for (CASE("part %d, %lld failures", which, failures); starve_once(workers, which, k, failures); k++)
            CHECK(k < 2000);
#ifdef COIR_PLAIN_MEMORY
        CHECK(k > 3);                                   /* a run alone needs as many */
#endif
        CHECK_STR(outcome(workers, part(which)), with_memory[which]);       /* tried again, it succeeds */
    }
}

TEST_ALONE(runtime_memory, any_one_allocation_may_fail_and_the_result_is_right_or_says_ENOMEM) { starve_all(1, 1); }
TEST_ALONE(runtime_memory, any_two_allocations_in_a_row_may_fail) { starve_all(1, 2); }
TEST_ALONE(runtime_memory, any_one_allocation_may_fail_on_two_workers) { starve_all(2, 1); }
TEST_ALONE(runtime_memory, memory_may_run_out_for_good_at_any_allocation) { starve_all(1, INT64_MAX); }
TEST_ALONE(runtime_memory, memory_may_run_out_for_good_on_two_workers) { starve_all(2, INT64_MAX); }

/* Whatever was built, without memory a run is a panic that says so, and what was built is dropped. */
TEST_ALONE(runtime_memory, run_without_any_memory_is_a_panic_and_drops_the_io)
{
    const coir_memory memory = { scarce_allocate, scarce_release, NULL };
    CHECK(coir_set_memory(&memory));
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *io = coir_pure(thing(1));
        atomic_store(&scarce.failures, INT64_MAX);
        atomic_store(&scarce.left, 0);
        CHECK_STR(outcome(workers, io), "PANIC ENOMEM");
        CHECK_STR(notes(), "-1");
        atomic_store(&scarce.left, -1);
        CHECK_STR(outcome(workers, coir_pure(thing(2))), "OK thing 2");
        CHECK_STR(notes(), "-2");
    }
}

#ifdef COIR_PLAIN_MEMORY
/* A further failure for which there is no memory is forgotten, and counted. */
TEST_ALONE(runtime_memory, further_failure_that_cannot_be_recorded_is_dropped_and_counted)
{
    const coir_memory memory = { scarce_allocate, scarce_release, NULL };
    CHECK(coir_set_memory(&memory));
    coir_result first = coir_raise(thing(1)), second = coir_raise(thing(2));
    uint64_t before = coir_counters_now().failures_forgotten;
    atomic_store(&scarce.failures, INT64_MAX);
    atomic_store(&scarce.left, 0);
    coir_result both = coir_result_and(first, second);
    atomic_store(&scarce.left, -1);
    CHECK_STR(describe(&both), "ERROR thing 1");
    CHECK_STR(notes(), "-2");
    CHECK_UINT(coir_counters_now().failures_forgotten - before, 1);
    coir_result_drop(&both);
}
#endif
