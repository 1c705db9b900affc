/*
 * check.h - what tests are written with
 *
 *     #include "check.h"
 *
 *     TEST(semaphore, canceled_waiter_hands_its_permit_on)
 *     {
 *         FOR_WORKERS(workers, 1, 2, 4) {
 *             coir_result result = coir_run(program(), COIR_OPTIONS(.workers = workers));
 *             CHECK_TAG(result, COIR_OK);
 *             CHECK_INT(result.value.i64, 42);
 *         }
 *     }
 *
 * The same file is built for two runners: Criterion, with a process for each test, and, for the sanitizers and valgrind, our own
 * (tests/check/runner.c), with all tests in one process that sees leaks and races. The latter also serves `make explore`, for which coir_run() is
 * a simulation (tests/check/simulate.c): a test is run again and again there, each time under a seed and a budget of its own.
 *
 * A failed check prints both sides. In the thread of the test it ends the test; in another thread, and in a callback of coir, it
 * cannot, so it goes on there and the test fails when it has come to its end. What is checked is evaluated once.
 */
#ifndef CHECK_H
#define CHECK_H

#include <coir.h>

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* ------------------------------------------------------------------------------------------------------------ tests */

enum { CHECK_SECONDS = 120 };                           /* how long a test may take, unless it says otherwise */

#define TEST(suite, sentence)                       CHECK_TEST_(suite, sentence, CHECK_SECONDS, false, NULL)
#define TEST_WITH_TIMEOUT(suite, sentence, seconds) CHECK_TEST_(suite, sentence, seconds, false, NULL)
/* TEST_ALONE: in a process of its own under our runner too, for what can be done once in a process. */
#define TEST_ALONE(suite, sentence)                 CHECK_TEST_(suite, sentence, CHECK_SECONDS, true, "it has a process of its own")
/* TEST_REAL: not simulated, and why not, as an end of the sentence "not simulated: ". */
#define TEST_REAL(suite, sentence, why)             CHECK_TEST_(suite, sentence, CHECK_SECONDS, false, why)

/* BEFORE_EACH(forget_notes): in a file of tests or a header of theirs: called before each test, of whatever file. */
#define BEFORE_EACH(function)                                                                                 \
    __attribute__((constructor)) static void function##_before_each(void)                                     \
    {                                                                                                         \
        static struct check_before before = { function, NULL };                                               \
        check_add_before(&before);                                                                            \
    }                                                                                                         \
    struct check_before

/* FOR_WORKERS(w, 1, 2, 4) {...}: the body with each of these numbers of workers; a failure says with which. Simulated, with one of them. */
#ifndef CHECK_SIMULATED
#define FOR_WORKERS(w, ...)                                                                                  \
    for (unsigned w##_list[] = { __VA_ARGS__, 0 }, w##_at = 0, w; check_workers_(w = w##_list[w##_at]); w##_at++)
#else
#define FOR_WORKERS(w, ...)                                                                                  \
    for (unsigned w##_list[] = { __VA_ARGS__ }, w##_once = 1, w = w##_list[check_draw_(sizeof w##_list / sizeof *w##_list)]; \
         check_workers_(w * w##_once); w##_once = 0)
#endif

/* CASE("empty list"), CASE("n = %d", n): names the case that the checks below are about, up to the next CASE. In tables too. */
#define CASE(...) check_case_(__VA_ARGS__)

/* scaled: a number of repetitions, fewer where the tools make every step many times slower. */
#ifndef CHECK_SLOWNESS
#define CHECK_SLOWNESS 1
#endif
static inline int scaled(int count) { return count / CHECK_SLOWNESS > 0 ? count / CHECK_SLOWNESS : 1; }

/* sized: the size of something; the smaller one where the test is simulated, in many rounds. */
#ifndef CHECK_SIMULATED
static inline int sized(int size, int smaller) { (void)smaller; return size; }
#else
static inline int sized(int size, int smaller) { (void)size; return smaller; }
#endif

/* ----------------------------------------------------------------------------------------------------------- checks */

#define CHECK(condition)              ((condition) ? (void)0 : CHECK_FAIL("%s does not hold", #condition))
#define CHECK_INT(actual, expected)   check_int_(CHECK_HERE_, #actual, (actual), (expected))
#define CHECK_UINT(actual, expected)  check_uint_(CHECK_HERE_, #actual, (actual), (expected))
#define CHECK_REAL(actual, expected)  check_real_(CHECK_HERE_, #actual, (actual), (expected))       /* exactly */
#define CHECK_PTR(actual, expected)   check_ptr_(CHECK_HERE_, #actual, (actual), (expected))
#define CHECK_STR(actual, expected)   check_str_(CHECK_HERE_, #actual, (actual), (expected))
#define CHECK_CONTAINS(text, part)    check_contains_(CHECK_HERE_, #text, (text), (part))
/* Of a coir_result that has a name; borrowed. */
#define CHECK_TAG(result, expected)   check_tag_(CHECK_HERE_, #result, &(result), (expected))
#define CHECK_OK_INT(result, i)       check_ok_int_(CHECK_HERE_, #result, &(result), (i))           /* OK, with this i64 */
#define CHECK_CODE(result, tag, code) check_code_(CHECK_HERE_, #result, &(result), (tag), (code))   /* that tag, and an error's code */
/* Becomes true within 30 s: for what another thread is about to do. */
#define CHECK_SOON(condition)         \
    do { for (int ms_ = 0; !(condition); ms_++) if (!check_patience_(ms_)) { CHECK_FAIL("%s did not come", #condition); break; } } while (0)
#define CHECK_FAIL(...)               check_failed_(CHECK_HERE_, __VA_ARGS__)

/* --------------------------------------------------------------------------------------- what the macros and the runners need */

#ifdef CHECK_SIMULATED
coir_result check_run_(coir_io *io, const coir_options *options);
unsigned check_draw_(size_t count);                     /* below count; the same in each run of the test with that seed */
uint32_t check_budget_(void);
int64_t check_clock_(clockid_t clock);                  /* in ns; within a simulation its own */
#define coir_run(io, options) check_run_((io), (options))
#endif

struct check_place { const char *file; int line; };
#define CHECK_HERE_ ((struct check_place){ __FILE__, __LINE__ })

struct check_test {
    const char *suite, *sentence, *file;
    void      (*body)(void);
    unsigned    seconds;
    bool        is_alone;
    const char *real_for;                               /* why it is not simulated; NULL: it is */
    struct check_test *next;
};

struct check_before { void (*function)(void); struct check_before *next; };

#ifdef COIR_OWN_RUNNER
#define CHECK_TEST_(suite, sentence, seconds, is_alone, real_for)                                             \
    static void suite##__##sentence(void);                                                                    \
    __attribute__((constructor)) static void suite##__##sentence##_add(void)                                  \
    {                                                                                                         \
        static struct check_test test = { #suite, #sentence, __FILE__, suite##__##sentence, seconds, is_alone, real_for, NULL }; \
        check_add(&test);                                                                                     \
    }                                                                                                         \
    static void suite##__##sentence(void)
#else
#include <criterion/criterion.h>
#define CHECK_TEST_(suite, sentence, seconds, is_alone, real_for)                                             \
    static void suite##__##sentence(void);                                                                    \
    Test(suite, sentence, .timeout = seconds)                                                                 \
    {                                                                                                         \
        check_criterion(&(struct check_test){ #suite, #sentence, __FILE__, suite##__##sentence, seconds, is_alone, real_for, NULL }); \
    }                                                                                                         \
    static void suite##__##sentence(void)
#endif

void check_add(struct check_test *test);                /* runner.c */
void check_criterion(const struct check_test *test);    /* criterion.c */
void check_add_before(struct check_before *before);
/* check_body: runs it. Gives how many checks failed. */
unsigned check_body(const struct check_test *test);
/* check_say: writes a line about the test of that name, with its present CASE; from handlers of signals too. */
void check_say(const char *what, const char *name);
/* check_count_failure: for what fails without a check: a race that is reported meanwhile. */
void check_count_failure(void);

void check_failed_(struct check_place place, const char *format, ...) COIR_PRINTF(2, 3);
void check_int_(struct check_place place, const char *what, intmax_t actual, intmax_t expected);
void check_uint_(struct check_place place, const char *what, uintmax_t actual, uintmax_t expected);
void check_real_(struct check_place place, const char *what, double actual, double expected);
void check_ptr_(struct check_place place, const char *what, const void *actual, const void *expected);
void check_str_(struct check_place place, const char *what, const char *actual, const char *expected);
void check_contains_(struct check_place place, const char *what, const char *actual, const char *part);
void check_tag_(struct check_place place, const char *what, const coir_result *actual, coir_tag expected);
void check_ok_int_(struct check_place place, const char *what, const coir_result *actual, int64_t expected);
void check_code_(struct check_place place, const char *what, const coir_result *actual, coir_tag tag, int code);
void check_case_(const char *format, ...) COIR_PRINTF(1, 2);
bool check_workers_(unsigned workers);
bool check_patience_(int ms);

#endif
