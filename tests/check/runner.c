/*
 * runner.c - the tests in one process, for the sanitizers and valgrind
 *
 *     tests [-l] [-v] [-j N] [PART...]   those whose suite/sentence contains one of the parts; all of them without one
 *       -l  lists them      -v  tells each with its time      -j  as many processes share them out
 *       =suite/sentence     exactly that one, in this process also if it is ALONE
 *
 * With simulate.c it leaves out what is not simulated, which -l lists with the reason, and runs each test under the budgets from 1 to 64:
 *       -s SEEDS  so many times each      -r SEED:BUDGET  only this round, as a failure shows it
 *
 * A test fails when one of its checks does, when the thread sanitizer reports a race meanwhile, or when it leaves a leak behind. Leaks are looked for
 * after each test where parts are named, else, since that takes longer than most tests, now and then. The last line is "N passed, N failed"; the
 * status is 0 when at least one ran and none failed.
 */
#include "check/runner.h"

#include "check/share.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static struct check_test *tests, **tests_end = &tests;
static const char *program;
static bool tells_each, names_parts;
static char running[300];                               /* the present test's name, for the handlers below */

void check_add(struct check_test *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

/* ------------------------------------------------------------------------------------ what ends the process names the test */

static void say_where(const char *what)
{
    check_say(what, running[0] ? running : "(no test)");
    if (check_round_again()[0] != '\0')
        check_say("again: ", check_round_again());
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    say_where("hangs: ");
    abort();
}

static void on_crash(int signal_number)
{
    say_where("crashed in: ");
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void on_exit_early(void)
{
    if (running[0] == '\0')
        return;
    say_where("exit() in the test: ");
    _exit(1);
}

static void on_death(void) { say_where("in the test: "); }

/* Of the sanitizers, where the program is built with one. */
extern int  __lsan_do_recoverable_leak_check(void) __attribute__((weak));
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
void        __tsan_on_report(void *report);
void        __tsan_on_report(void *report)
{
    (void)report;
    say_where("race in the test: ");
    check_count_failure();
}

static void set_handlers(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT };
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        struct sigaction old;                           /* a sanitizer's own handler tells more */
        if (sigaction(crashes[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            signal(crashes[i], on_crash);
    }
    signal(SIGALRM, on_alarm);
    atexit(on_exit_early);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(on_death);
}

/* ------------------------------------------------------------------------------------------------------- running one test */

/* A leak stays one for all tests after it, so only the first is looked for. */
static bool leaks(void)
{
    enum { SELDOM = 25 };
    static bool found;
    static unsigned tests_since;
    if (found || !__lsan_do_recoverable_leak_check || (!names_parts && ++tests_since < SELDOM))
        return false;
    tests_since = 0;
    if (__lsan_do_recoverable_leak_check() == 0)
        return false;
    say_where(names_parts ? "leaks, and the tests after it are not looked at for that: " : "leaks, in a test of those before this (name their suites to see in which): ");
    return found = true;
}

bool check_passes_once(const struct check_test *test)
{
    alarm(test->seconds);
    unsigned failures = check_body(test);
    alarm(0);
    return failures == 0;
}

static bool passes_here(const struct check_test *test)
{
    bool passed = check_rounds_pass(test, program, running);
    return !leaks() && passed;
}

static bool passes_alone(void)
{
    char    name[sizeof running + 1];
    char   *arguments[] = { (char *)(uintptr_t)program, name, NULL };
    pid_t   child;
    int     status;
    snprintf(name, sizeof name, "=%s", running);
    if (posix_spawn(&child, program, NULL, NULL, arguments, environ) != 0)
        return false;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static bool passes(const struct check_test *test, bool is_here)
{
    double start = now_ms();
    bool passed = test->is_alone && !is_here ? passes_alone() : passes_here(test);
    fflush(stdout);
    if (!passed || tells_each)
        fprintf(stderr, "%s  %s  %.0f ms\n", passed ? "ok  " : "FAIL", running, now_ms() - start);
    return passed;
}

/* --------------------------------------------------------------------------------------------------------- the program */

static bool is_named(const char *name, char **parts, int count)
{
    for (int i = 0; i < count; i++)
        if (parts[i][0] == '=' ? strcmp(name, parts[i] + 1) == 0 : strstr(name, parts[i]) != NULL)
            return true;
    return count == 0;
}

static struct { char **parts; int count; bool are_here, lists; } chosen;

static void run_chosen(void)
{
    unsigned index = 0;
    set_handlers();
    for (const struct check_test *test = tests; test; test = test->next) {
        snprintf(running, sizeof running, "%s/%s", test->suite, test->sentence);
        const char *left_out = check_left_out(test);
        if (!is_named(running, chosen.parts, chosen.count) || (left_out != NULL && !chosen.lists) || !share_takes(index++))
            continue;
        if (chosen.lists)
            printf("%s%s%s\n", running, left_out != NULL ? "  not simulated: " : "", left_out != NULL ? left_out : "");
        else
            share_count(passes(test, chosen.are_here));
    }
    running[0] = '\0';
    if (!chosen.lists)
        check_rounds_sum();
}

int main(int argc, char **argv)
{
    long processes = 1;
    int  option;
    program = argv[0];
    while ((option = getopt(argc, argv, "lvj:s:r:")) != -1) {
        chosen.lists |= option == 'l';
        tells_each |= option == 'v';
        if (option == 'j')
            processes = strtol(optarg, NULL, 10);
        if (option == '?' || (strchr("sr", option) != NULL && !check_rounds_option(option, optarg)))
            return 2;
    }
    chosen.parts = argv + optind;
    chosen.count = argc - optind;
    chosen.are_here = chosen.count == 1 && chosen.parts[0][0] == '=';
    names_parts = chosen.count > 0;
    if (processes > 1 && !chosen.lists)
        share_out((unsigned)processes, run_chosen);
    else
        run_chosen();
    if (!chosen.are_here && !chosen.lists)
        printf("%u passed, %u failed\n", share_passed(), share_failed());
    return !chosen.lists && (share_failed() > 0 || share_passed() == 0);
}
