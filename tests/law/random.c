/*
 * random.c - random programs do what a plain evaluator says, under whatever schedule
 *
 *     COIR_RANDOM_SEED=17 make test ONLY=law_random                  that program, printed before it runs
 *     COIR_RANDOM_SEED=100000-900000 make test ONLY=law_random       many others
 *     COIR_RANDOM_TALLY=1 make test ONLY=law_random                  and how often what happened
 *
 * A program that fails is made smaller and printed, with what was expected and what was found. One that crashes or hangs is not: the
 * seed stands in the last words of the test.
 */
#include "check.h"
#include "random/program.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HANGS_AFTER = 60 };                              /* seconds, for one program */

/* ------------------------------------------------------------------------------------------------------- one that fails */

/* Whether one of some runs ends otherwise than it must: what depends on the schedule does not always. */
static bool fails_sometimes(void *env, const struct program *program)
{
    char *verdict = NULL;
    (void)env;
    for (int i = 0; i < 20 && verdict == NULL; i++)
        verdict = random_verdict(program);
    free(verdict);
    return verdict != NULL;
}

static void tell_of(uint64_t seed, struct program *program, const char *verdict)
{
    alarm(0);
    fprintf(stderr, "\nCOIR_RANDOM_SEED=%" PRIu64 ", as it was drawn:\n", seed);
    random_print(program, stderr);
    fputs(verdict, stderr);
    if (!fails_sometimes(NULL, program)) {
        fputs("It does not fail again in 20 runs.\n", stderr);
        return;
    }
    unsigned asked = random_shrink(program, fails_sometimes, NULL);
    fprintf(stderr, "\nMade smaller, in %u steps:\n", asked);
    random_print(program, stderr);
    for (int i = 0; i < 100; i++) {
        char *smaller = random_verdict(program);
        if (smaller != NULL) {
            fputs(smaller, stderr);
            free(smaller);
            break;
        }
    }
}

static void check_seed(uint64_t seed, bool is_simulated, bool is_shown)
{
    struct program *program = random_program(random_from_seed(seed));
    program->how.is_simulated = is_simulated;
    CASE("COIR_RANDOM_SEED=%" PRIu64, seed);
    if (is_shown)
        random_print(program, stderr);
    alarm(HANGS_AFTER);                                 /* it says the test and the case */
    char *verdict = random_verdict(program);
    bool failed = verdict != NULL;
    if (failed)
        tell_of(seed, program, verdict);
    random_program_drop(program);
    free(verdict);
    if (failed)
        CHECK_FAIL("a program does what it must not: see above");
}

/* "17" or "100-200", from the environment. */
static bool seeds_asked_for(uint64_t *first, uint64_t *last)
{
    const char *text = getenv("COIR_RANDOM_SEED");
    char *end;
    if (text == NULL || *text == '\0')
        return false;
    *first = *last = strtoull(text, &end, 10);
    if (*end == '-')
        *last = strtoull(end + 1, &end, 10);
    if (*end != '\0' || *last < *first)
        CHECK_FAIL("COIR_RANDOM_SEED is \"%s\", neither a number nor two with a \"-\" between", text);
    return true;
}

static const char *name_of_way(int op, unsigned how)
{
    const struct ways_facts *ways = &random_ways[random_ops[op].ways];
    return ways->count > 1 ? ways->names[how] : "";
}

static void tell_tally(void)
{
    const struct random_tally *tally = &random_tally;
    fprintf(stderr, "%" PRIu64 " programs, %" PRIu64 " too long, %" PRIu64 " with another outcome than the first, %" PRIu64 " undecided\n", tally->programs,
            tally->too_long, tally->other, tally->undecided);
    for (int event = 0; event < EVENTS; event++)
        fprintf(stderr, "%10" PRIu64 "  %s\n", tally->events[event], random_events[event]);
    for (int op = 0; op < OPS; op++)
        for (unsigned how = 0; how < random_ways[random_ops[op].ways].count; how++)
            fprintf(stderr, "%10" PRIu64 "  %s %s\n", tally->ran[op][how], random_ops[op].shown, name_of_way(op, how));
}

/* What the programs are there for has happened, all of it, and of nearly all of them it is known what they may do. */
static void check_tally(void)
{
    const struct random_tally *tally = &random_tally;
    CHECK(tally->too_long * 100 < tally->programs && tally->undecided * 1000 < tally->programs && tally->other > 0);
    for (int event = 0; event < EVENTS; event++)
        if (tally->events[event] == 0)
            CHECK_FAIL("in all these programs there was no %s", random_events[event]);
    for (int op = 0; op < OPS; op++)
        for (unsigned how = 0; how < random_ways[random_ops[op].ways].count; how++)
            if (tally->ran[op][how] == 0)
                CHECK_FAIL("in all these programs there was no \"%s %s\"", random_ops[op].shown, name_of_way(op, how));
}

static void check_seeds(bool is_simulated)
{
    uint64_t first = 0, last = (uint64_t)scaled(10000) - 1;
    bool are_asked_for = seeds_asked_for(&first, &last), is_shown = are_asked_for && first == last;
    for (uint64_t seed = first; seed <= last; seed++)
        check_seed(seed, is_simulated, is_shown);
    alarm(0);
    if (getenv("COIR_RANDOM_TALLY") != NULL)
        tell_tally();
    if (!are_asked_for && CHECK_SLOWNESS == 1)          /* fewer need not come to all of it */
        check_tally();
}

enum { SECONDS = 24 * 3600 };                           /* for those who ask for many: each program has its own HANGS_AFTER */

TEST_WITH_TIMEOUT(law_random, programs_do_what_a_plain_evaluator_says_on_any_workers_with_any_budget, SECONDS) { check_seeds(false); }
TEST_WITH_TIMEOUT(law_random, programs_do_what_a_plain_evaluator_says_in_simulated_schedules, SECONDS) { check_seeds(true); }

/* ----------------------------------------------------------------------------------------------------- the tools of this */

static char *printed(const struct program *program)
{
    char  *text = NULL;
    size_t size;
    FILE  *out = open_memstream(&text, &size);
    if (out == NULL)
        abort();
    random_print(program, out);
    fclose(out);
    return text;
}

TEST(law_random, the_same_bytes_give_the_same_program_whether_they_come_from_a_seed_or_not)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint8_t bytes[8192];
        struct source source = random_from_seed(seed);
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = random_byte(&source);
        struct program *programs[] = { random_program(random_from_seed(seed)), random_program(random_from_bytes(bytes, sizeof bytes)) };
        char *texts[] = { printed(programs[0]), printed(programs[1]) };
        CASE("seed %" PRIu64, seed);
        CHECK_STR(texts[1], texts[0]);
        for (int i = 0; i < 2; i++) {
            random_program_drop(programs[i]);
            free(texts[i]);
        }
    }
}

TEST(law_random, few_bytes_or_none_make_a_program_too)
{
    static const uint8_t bytes[] = { 255, 7, 9, 1, 200, 13, 77, 254, 254, 254, 3, 99, 128, 64, 32, 31 };
    for (size_t size = 0; size <= sizeof bytes; size++) {
        struct program *program = random_program(random_from_bytes(bytes, size));
        CHECK(!fails_sometimes(NULL, program));
        random_program_drop(program);
    }
}

static bool has(const struct term *term, enum op op)
{
    bool found = term->op == op;
    for (size_t i = 0; i < term->count; i++)
        found |= has(term->kids[i], op);
    return found;
}
static size_t terms_of(const struct term *term)
{
    size_t count = 1;
    for (size_t i = 0; i < term->count; i++)
        count += terms_of(term->kids[i]);
    return count;
}

struct pair { enum op outer, inner; };
static bool has_inside(const struct term *term, const struct pair *pair)
{
    bool found = term->op == pair->outer && has(term, pair->inner);
    for (size_t i = 0; i < term->count; i++)
        found |= has_inside(term->kids[i], pair);
    return found;
}
static bool has_pair(void *pair, const struct program *program) { return has_inside(program->root, pair); }

TEST(law_random, a_program_that_fails_shrinks_to_what_makes_it_fail)
{
    static const struct pair pairs[] = { { OP_FINALLY, OP_FAIL }, { OP_FLAT_MAP, OP_DEFER }, { OP_ROUTINE, OP_ASYNC },
                                         { OP_SEQUENCE, OP_MAP } };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        int shrunk = 0;
        for (uint64_t seed = 0; seed < 400; seed++) {
            struct program *program = random_program(random_from_seed(seed));
            CASE("seed %" PRIu64 ", %s with %s", seed, random_ops[pairs[i].outer].shown, random_ops[pairs[i].inner].shown);
            if (has_pair((void *)(uintptr_t)&pairs[i], program)) {
                random_shrink(program, has_pair, (void *)(uintptr_t)&pairs[i]);
                CHECK(has_pair((void *)(uintptr_t)&pairs[i], program));
                CHECK_INT(program->root->op, pairs[i].outer);
                CHECK(terms_of(program->root) <= 6);
                shrunk++;
            }
            random_program_drop(program);
        }
        CHECK(shrunk > 0);
    }
}

/* What all the others rest on: that a difference is seen. */
TEST(law_random, a_run_of_one_program_is_no_run_of_another)
{
    int equal = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct program *one = random_program(random_from_seed(seed)), *other = random_program(random_from_seed(seed + 1000));
        char *expected = random_expected(one), *found = random_run(other);
        equal += expected != NULL && strcmp(expected, found) == 0;
        free(expected);
        free(found);
        random_program_drop(one);
        random_program_drop(other);
    }
    CHECK(equal < 20);
}
