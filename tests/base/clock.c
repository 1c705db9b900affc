/*
 * clock.c - tests of nanoseconds: what saturates, what goes to and fro, and that neither clock goes backwards under us
 */
#include "check.h"

#include "base/clock.h"

TEST(base_clock, sums_saturate_at_both_ends)
{
    static const struct { int64_t a, b, sum; } cases[] = {
        { 0, 0, 0 }, { 1, 2, 3 }, { -1, 1, 0 }, { INT64_MAX, 0, INT64_MAX }, { INT64_MAX, 1, INT64_MAX },
        { INT64_MAX, INT64_MAX, INT64_MAX }, { INT64_MAX - 5, 5, INT64_MAX }, { INT64_MAX - 5, 6, INT64_MAX },
        { INT64_MIN, -1, INT64_MIN }, { INT64_MIN, INT64_MIN, INT64_MIN }, { INT64_MIN, INT64_MAX, -1 }, { INT64_MAX, INT64_MIN, -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CASE("%lld + %lld", (long long)cases[i].a, (long long)cases[i].b);
        CHECK_INT(ns_add(cases[i].a, cases[i].b), cases[i].sum);
        CHECK_INT(ns_add(cases[i].b, cases[i].a), cases[i].sum);
    }
}

TEST(base_clock, differences_saturate_at_both_ends)
{
    static const struct { int64_t a, b, difference; } cases[] = {
        { 0, 0, 0 }, { 3, 2, 1 }, { -1, 1, -2 }, { INT64_MAX, 0, INT64_MAX }, { INT64_MAX, -1, INT64_MAX }, { INT64_MIN, 1, INT64_MIN },
        { INT64_MIN, INT64_MAX, INT64_MIN }, { INT64_MAX, INT64_MIN, INT64_MAX }, { 0, INT64_MIN, INT64_MAX }, { -1, INT64_MIN, INT64_MAX },
        { INT64_MIN, INT64_MIN, 0 }, { INT64_MIN, -1, INT64_MIN + 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CASE("%lld - %lld", (long long)cases[i].a, (long long)cases[i].b);
        CHECK_INT(ns_sub(cases[i].a, cases[i].b), cases[i].difference);
    }
}

TEST(base_clock, timespec_beyond_the_nanoseconds_of_64_bits_saturates)
{
    static const struct { struct timespec t; int64_t ns; } cases[] = {
        { { 0, 0 }, 0 }, { { 0, 999999999 }, 999999999 }, { { 1, 1 }, 1000000001 }, { { -1, 0 }, -1000000000 }, { { -1, 999999999 }, -1 },
        { { 9223372036, 854775807 }, INT64_MAX }, { { 9223372036, 854775806 }, INT64_MAX - 1 }, { { 9223372036, 854775808 }, INT64_MAX },
        { { 9223372037, 0 }, INT64_MAX }, { { INT64_MAX, 999999999 }, INT64_MAX }, { { INT64_MIN, 0 }, INT64_MIN },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CASE("%lld s %ld ns", (long long)cases[i].t.tv_sec, cases[i].t.tv_nsec);
        CHECK_INT(ns_of_timespec(cases[i].t), cases[i].ns);
    }
}

TEST(base_clock, moments_come_back_from_a_timespec_as_they_went)
{
    static const int64_t moments[] = { 0, 1, 999999999, 1000000000, 1000000001, 1700000000123456789, INT64_MAX - 1, INT64_MAX };
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        struct timespec t = timespec_of_ns(moments[i]);
        CHECK_INT(ns_of_timespec(t), moments[i]);
        CHECK(t.tv_nsec >= 0 && t.tv_nsec < NS_PER_SECOND);
    }
}

TEST(base_clock, monotonic_clock_never_goes_back)
{
    int64_t before = clock_monotonic();
    for (int i = 0; i < scaled(100000); i++) {
        int64_t now = clock_monotonic();
        if (now < before)
            CHECK_FAIL("from %lld to %lld", (long long)before, (long long)now);
        before = now;
    }
}

TEST(base_clock, epoch_clock_is_that_of_the_C_library)
{
    struct timespec before, after;
    timespec_get(&before, TIME_UTC);
    int64_t now = clock_epoch();
    timespec_get(&after, TIME_UTC);
    CHECK(ns_of_timespec(before) <= now && now <= ns_of_timespec(after));
}
