/*
 * loops.c - a thousand million rounds hold no more memory than ten
 *
 * Resident memory is compared, as the system sees it, before and after.
 */
#include "program.h"

#include <unistd.h>

static int64_t rounds(void) { return 1000000000 / CHECK_SLOWNESS / CHECK_SLOWNESS; }

static long long resident(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*d %lld", &pages) != 1)
        abort();
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void check_constant(coir_io *(*build)(int64_t count), const char *expected)
{
    enum { ALLOWED = 4 << 20 };
    CHECK_STR(outcome(1, build(10)), expected);
    long long before = resident();
    CHECK_STR(outcome(1, build(rounds())), expected);
    long long after = resident();
    if (CHECK_SLOWNESS == 1 && after > before + ALLOWED)
        CHECK_FAIL("%lld bytes before, %lld after", before, after);
}

static int64_t limit;
static coir_io *count_to_limit(void *env, coir_value *state)
{
    (void)env;
    return state->i64 == limit ? coir_pure(coir_int(-1)) : coir_again(coir_int(state->i64 + 1));
}
static coir_io *iterating(int64_t count) { limit = count; return coir_iterate(coir_int(0), count_to_limit, NULL); }
TEST_WITH_TIMEOUT(stress_loops, iterate, 1200) { check_constant(iterating, "OK -1"); }

static coir_io *repeating(int64_t count) { return coir_as(coir_repeat(coir_unit(), (uint64_t)count), coir_int(-1)); }
TEST_WITH_TIMEOUT(stress_loops, repeat, 1200) { check_constant(repeating, "OK -1"); }

static coir_io *call_itself(void *env, coir_value *v)
{
    (void)env;
    return v->i64 == limit ? coir_pure(coir_int(-1)) : coir_flat_map(coir_pure(coir_int(v->i64 + 1)), call_itself, NULL);
}
static coir_io *recursing(int64_t count) { limit = count; return coir_call(coir_int(0), call_itself, NULL); }
TEST_WITH_TIMEOUT(stress_loops, recursion_through_flat_map, 1200) { check_constant(recursing, "OK -1"); }

static int64_t left;
static coir_io *once_more(void *env, coir_io *self)
{
    (void)env;
    return --left < 0 ? coir_pure(coir_int(-1)) : coir_then(coir_unit(), coir_io_ref(self));
}
static coir_io *recurring(int64_t count) { left = count; return coir_rec(once_more, NULL); }
TEST_WITH_TIMEOUT(stress_loops, rec, 1200) { check_constant(recurring, "OK -1"); }

struct counter { int64_t count; };
static coir_io *routine(coir_routine *self)
{
    COIR_BEGIN(self, struct counter, my);
    while (my->count-- > 0)
        COIR_AWAIT(coir_unit());
    COIR_RETURN(coir_int(-1));
    COIR_END;
}
static coir_io *awaiting(int64_t count) { return coir_do(routine, COIR_ENV(struct counter, .count = count)); }
TEST_WITH_TIMEOUT(stress_loops, routine, 1200) { check_constant(awaiting, "OK -1"); }

static coir_io *yielding(int64_t count) { return coir_as(coir_repeat(coir_yield(), (uint64_t)count / 10), coir_int(-1)); }
TEST_WITH_TIMEOUT(stress_loops, yield, 1200) { check_constant(yielding, "OK -1"); }

static coir_io *forking(int64_t count) { return coir_as(coir_repeat(coir_fork(coir_unit()), (uint64_t)count / 100), coir_int(-1)); }
TEST_WITH_TIMEOUT(stress_loops, fork, 1200) { check_constant(forking, "OK -1"); }
