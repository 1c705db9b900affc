/*
 * memory.c - tests of the user's allocator: when it can be set, that it is used as promised, and what comes of its failures
 *
 * Each of these is alone in its process: an allocator is set once.
 */
#include "fault/fault.h"

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

/* Every piece has a head that says how large it is; the env must be ours. The list of them is for the tools: they take a piece of which only the
 * inside is known for a lost one. */
struct head { struct head *next, *prev; uint64_t size, mark; };
static struct { pthread_mutex_t lock; struct head pieces; atomic_int count, wrong; } book = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .pieces = { &book.pieces, &book.pieces, 0, 0 },
};
enum { MARK = 0x5eed };

static void *booked_allocate(void *env, size_t size)
{
    struct head *head = malloc(sizeof *head + size);
    if (head == NULL)
        return NULL;
    pthread_mutex_lock(&book.lock);
    *head = (struct head){ book.pieces.next, &book.pieces, size, MARK };
    head->next->prev = head->prev->next = head;
    pthread_mutex_unlock(&book.lock);
    atomic_fetch_add(&book.count, 1);
    atomic_fetch_add(&book.wrong, env != &book || size == 0);
    memset(head + 1, 0xa5, size);                       /* not zeroed: nobody may count on that */
    return head + 1;
}

static void booked_release(void *env, void *memory, size_t size)
{
    struct head *head = (struct head *)memory - 1;
    atomic_fetch_sub(&book.count, 1);
    atomic_fetch_add(&book.wrong, env != &book || head->size != size || head->mark != MARK);
    pthread_mutex_lock(&book.lock);
    head->next->prev = head->prev;
    head->prev->next = head->next;
    pthread_mutex_unlock(&book.lock);
    memset(head, 0x5a, sizeof *head + size);
    free(head);
}

TEST_ALONE(runtime_memory, releases_say_what_was_allocated_and_nothing_is_counted_on_to_be_zero)
{
    const coir_memory memory = { booked_allocate, booked_release, &book };
    CHECK(coir_set_memory(&memory));
    FOR_WORKERS(workers, 1, 2, 4)
        for (const struct fault_program *program = fault_programs(); program != NULL; program = program->next) {
            CASE("%s", program->name);
            coir_result result = program->body(COIR_OPTIONS(.workers = workers));
            CHECK_STR(describe(&result), program->answer);
            coir_result_drop(&result);
            CHECK_INT(atomic_load(program->things), 0);
        }
    CHECK_INT(atomic_load(&book.wrong), 0);
    CHECK(atomic_load(&book.count) > 0);                /* slots of callbacks, at least, stay for good */
}

/* ------------------------------------------------------------------------------------------------------- failures of it */

#ifndef COIR_PLAIN_MEMORY
/* With cells only what is large is an allocation of its own: chunks of cells, slabs, workers, heaps. With plain memory all is: make fault. */
static void starve_all(unsigned workers, long long failures)
{
    static struct fault_report report;
    fault_begin();
    for (const struct fault_program *program = fault_programs(); program != NULL; program = program->next)
        for (struct fault_span span = { 0, failures }; span.first == 0 || report.struck; span.first++) {
            fault_try(program, (struct fault_way){ .workers = workers }, span, FAULT_NONE, &report);
            if (report.end == FAULT_WRONG)
                CHECK_FAIL("%s without its allocation %lld: %s", program->name, span.first, report.text);
        }
}

TEST_ALONE(runtime_memory, any_one_allocation_may_fail_and_the_result_is_right_or_says_ENOMEM) { starve_all(1, 1); }
TEST_ALONE(runtime_memory, any_one_allocation_may_fail_on_two_workers) { starve_all(2, 1); }
TEST_ALONE(runtime_memory, memory_may_run_out_for_good_at_any_allocation) { starve_all(1, FAULT_FOR_GOOD); }
TEST_ALONE(runtime_memory, memory_may_run_out_for_good_on_two_workers) { starve_all(2, FAULT_FOR_GOOD); }
#endif

/* Whatever was built, without memory a run is a panic that says so, and what was built is dropped. */
TEST_ALONE(runtime_memory, run_without_any_memory_is_a_panic_and_drops_the_io)
{
    watch_memory();
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_io *io = coir_pure(thing(1));
        atomic_store(&watched.left, 0);
        CHECK_STR(outcome(workers, io), "PANIC ENOMEM");
        CHECK_STR(notes(), "-1");
        atomic_store(&watched.left, -1);
        CHECK_STR(outcome(workers, coir_pure(thing(2))), "OK thing 2");
        CHECK_STR(notes(), "-2");
    }
}

#ifdef COIR_PLAIN_MEMORY
/* A further failure for which there is no memory is forgotten, and counted. */
TEST_ALONE(runtime_memory, further_failure_that_cannot_be_recorded_is_dropped_and_counted)
{
    watch_memory();
    coir_result first = coir_raise(thing(1)), second = coir_raise(thing(2));
    uint64_t before = coir_counters_now().failures_forgotten;
    atomic_store(&watched.left, 0);
    coir_result both = coir_result_and(first, second);
    atomic_store(&watched.left, -1);
    CHECK_STR(describe(&both), "ERROR thing 1");
    CHECK_STR(notes(), "-2");
    CHECK_UINT(coir_counters_now().failures_forgotten - before, 1);
    coir_result_drop(&both);
}
#endif
