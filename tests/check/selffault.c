/*
 * selffault.c - programs that must not pass `make fault`, for tests/check/selftest, which looks whether it sees that
 */
#include "fault/fault.h"

FAULT_PROGRAM(good, "OK x") { return fault_run(coir_pure(coir_stringf("x")), options); }

FAULT_PROGRAM(wrong_answer, "OK y") { return fault_run(coir_pure(coir_stringf("x")), options); }

/* Whether the first thing that the program asks for was to be had; each of those below goes wrong where it was not. */
static bool had_memory(void)
{
    coir_value value = coir_stringf("x");
    coir_drop(value);
    return value.type == &coir_string_type;
}

FAULT_PROGRAM(want_is_hidden, "OK 0")
{
    (void)options;
    return coir_ok(coir_int(had_memory() ? 0 : 1));
}

FAULT_PROGRAM(failure_of_another_kind, "OK 0")
{
    (void)options;
    if (had_memory())
        return coir_ok(coir_int(0));
    return coir_result_and(coir_panic(coir_errorf(COIR_DEADLOCK, "x")), fault_checked(coir_heap(NULL)));
}

static void *volatile kept;

FAULT_PROGRAM(thing_is_left, "OK 0")
{
    (void)options;
    if (!had_memory())
        kept = thing(1).ptr;
    return coir_ok(coir_int(0));
}

FAULT_PROGRAM(bytes_are_left, "OK 0")
{
    (void)options;
    if (!had_memory())
        kept = coir_stringf("x").ptr;
    return coir_ok(coir_int(0));
}

FAULT_PROGRAM(memory_is_forgotten, "OK 0")
{
    (void)options;
    if (!had_memory())
        kept = malloc(100);
    kept = NULL;
    return coir_ok(coir_int(0));
}

static void *end_at_once(void *unused) { return unused; }
FAULT_PROGRAM(thread_is_left, "OK 0")
{
    (void)options;
    pthread_t thread;
    if (!had_memory() && pthread_create(&thread, NULL, end_at_once, NULL) != 0)
        abort();
    return coir_ok(coir_int(0));
}

FAULT_PROGRAM(crashes, "OK 0")
{
    (void)options;
    if (!had_memory())
        abort();
    return coir_ok(coir_int(0));
}

FAULT_PROGRAM(hangs, "OK 0")
{
    (void)options;
    if (!had_memory())
        for (alarm(1); ; )
            pause();
    return coir_ok(coir_int(0));
}
