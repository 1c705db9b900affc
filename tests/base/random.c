/*
 * random.c - tests of the small generator: that it is splitmix64, that a seed repeats it, and that a bound is kept and filled
 */
#include "check.h"

#include "base/random.h"

TEST(base_random, is_splitmix64)
{
    static const uint64_t published[] = {               /* of seed 1234567 */
        6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u, 16408922859458223821u
    };
    struct random random = { 1234567 };
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        CHECK_UINT(random_next(&random), published[i]);
    CHECK_UINT(random_next(&(struct random){ 0 }), UINT64_C(0xe220a8397b1dcdaf));
}

TEST(base_random, same_seed_repeats_and_another_differs)
{
    struct random a = { 42 }, b = { 42 }, other = { 43 };
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t next = random_next(&a);
        CHECK_UINT(random_next(&b), next);
        same += random_next(&other) == next;
    }
    CHECK_INT(same, 0);
}

TEST(base_random, bound_is_kept)
{
    static const uint32_t bounds[] = { 1, 2, 3, 61, 64, 1000, 1u << 31, UINT32_MAX };
    struct random random = { 7 };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        for (int n = 0; n < 10000; n++)
            if (random_below(&random, bounds[i]) >= bounds[i])
                CHECK_FAIL("not below %lu", (unsigned long)bounds[i]);
}

TEST(base_random, every_number_below_the_bound_comes_about_as_often)
{
    enum { BOUND = 10, DRAWS = 100000, FAIR = DRAWS / BOUND };
    struct random random = { 1 };
    int count[BOUND] = { 0 };
    for (int n = 0; n < DRAWS; n++)
        count[random_below(&random, BOUND)]++;
    for (int i = 0; i < BOUND; i++)
        CHECK(count[i] > FAIR * 9 / 10 && count[i] < FAIR * 11 / 10);      /* ten standard deviations */
}
