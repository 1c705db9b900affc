/*
 * criterion.c - the tests under Criterion, each in a process of its own
 *
 * Criterion takes a test whose process leaves with status 0 for passed, also in the middle of the test, and a run of no tests for a
 * success. So each test reports at its very end, and who has not reported has failed; and a run of nothing fails.
 */
#include "check.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <signal.h>

static size_t passed, failed, left_early;               /* in the parent */

/* Criterion tells of the signal; in which case it came, only the process knows. */
static char name[300];
static void on_signal(int signal_number)
{
    check_say(signal_number == SIGALRM ? "hangs: " : "crashed in: ", name);
    signal(signal_number == SIGALRM ? SIGABRT : signal_number, SIG_DFL);
    raise(signal_number == SIGALRM ? SIGABRT : signal_number);
}

void check_criterion(const struct check_test *test)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGALRM };
    snprintf(name, sizeof name, "%s/%s", test->suite, test->sentence);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], on_signal);
    unsigned failures = check_body(test);
    struct criterion_assert_stats end = { .passed = failures == 0, .message = "a check failed: see above", .file = test->file };
    criterion_send_assert(&end);
    if (failures != 0)
        criterion_abort_test();
}

ReportHook(POST_TEST)(struct criterion_test_stats *stats)
{
    if (stats->test_status != CR_STATUS_PASSED || stats->passed_asserts > 0)
        return;
    left_early++;
    fprintf(stderr, "[FAIL] %s::%s: its process left before the test had come to its end\n", stats->test->category, stats->test->name);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    passed = stats->tests_passed - left_early;
    failed = stats->tests_failed + left_early;
}

int main(int argc, char **argv)
{
    struct criterion_test_set *tests = criterion_initialize();
    bool runs = criterion_handle_args(argc, argv, true);
    if (runs) {
        (void)criterion_run_all_tests(tests);
        printf("%zu passed, %zu failed\n", passed, failed);
    }
    criterion_finalize(tests);
    return runs && (failed > 0 || passed == 0);
}
