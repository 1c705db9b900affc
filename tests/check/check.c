/*
 * check.c - what a check does when it fails: prints where, in which test and case, and both sides; then leaves the test if it can
 *
 * It can in the thread of the test, by a jump back to check_body(). It cannot in another thread, nor inside a callback, where the
 * jump would tear a runtime out of its run.
 */
#include "check.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Thread_local jmp_buf *way_out;                  /* where this thread leaves the test; NULL in threads that cannot */
static atomic_uint failures;                            /* of the present test */

static struct {                                         /* under lock: what the present test is about */
    pthread_mutex_t lock;
    const struct check_test *test;
    unsigned workers;                                   /* 0: not in FOR_WORKERS */
    char     label[200];                                /* "": no CASE yet */
} present = { PTHREAD_MUTEX_INITIALIZER, NULL, 0, "" };

static struct check_before *befores;

void check_add_before(struct check_before *before)
{
    before->next = befores;
    befores = before;
}

static void present_is(const struct check_test *test)
{
    pthread_mutex_lock(&present.lock);
    present.test = test;
    present.workers = 0;
    present.label[0] = '\0';
    pthread_mutex_unlock(&present.lock);
}

unsigned check_body(const struct check_test *test)
{
    jmp_buf here;
    atomic_store(&failures, 0);
    present_is(test);
    for (const struct check_before *before = befores; before; before = before->next)
        before->function();
    way_out = &here;
    if (setjmp(here) == 0)
        test->body();
    way_out = NULL;
    return atomic_load(&failures);
}

void check_count_failure(void) { atomic_fetch_add(&failures, 1); }

void check_case_(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&present.lock);
    vsnprintf(present.label, sizeof present.label, format, arguments);
    pthread_mutex_unlock(&present.lock);
    va_end(arguments);
}

bool check_workers_(unsigned workers)
{
    pthread_mutex_lock(&present.lock);
    present.workers = workers;
    pthread_mutex_unlock(&present.lock);
    return workers != 0;
}

/* Without the lock: from a handler of signals, the label is what it is. */
void check_say(const char *what, const char *name)
{
    char line[600];
    size_t size = 0;
    const char *parts[] = { what, name, present.label[0] != '\0' ? " [" : "", present.label, present.label[0] != '\0' ? "]\n" : "\n" };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (const char *c = parts[i]; *c != '\0' && size < sizeof line; c++)
            line[size++] = *c;
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written;
}

/* One call of fprintf(), so that lines of several threads do not mix. */
static void print_failure(struct check_place place, const char *text)
{
    char workers[40] = "", label[sizeof present.label + 4] = "";
    pthread_mutex_lock(&present.lock);
    const struct check_test *test = present.test;
    if (present.workers != 0)
        snprintf(workers, sizeof workers, " [%u workers]", present.workers);
    if (present.label[0] != '\0')
        snprintf(label, sizeof label, " [%s]", present.label);
    pthread_mutex_unlock(&present.lock);
    fprintf(stderr, "%s:%d: %s/%s%s%s: %s\n", place.file, place.line, test ? test->suite : "?", test ? test->sentence : "?", workers,
            label, text);
}

void check_failed_(struct check_place place, const char *format, ...)
{
    char    text[4000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_failure(place, text);
    check_count_failure();
    if (way_out != NULL && coir_current_id() == 0)
        longjmp(*way_out, 1);
}

void check_int_(struct check_place place, const char *what, intmax_t actual, intmax_t expected)
{
    if (actual != expected)
        check_failed_(place, "%s is %" PRIdMAX ", expected %" PRIdMAX, what, actual, expected);
}

void check_uint_(struct check_place place, const char *what, uintmax_t actual, uintmax_t expected)
{
    if (actual != expected)
        check_failed_(place, "%s is %" PRIuMAX ", expected %" PRIuMAX, what, actual, expected);
}

void check_real_(struct check_place place, const char *what, double actual, double expected)
{
    if (memcmp(&actual, &expected, sizeof actual) != 0)
        check_failed_(place, "%s is %.17g, expected %.17g", what, actual, expected);
}

void check_ptr_(struct check_place place, const char *what, const void *actual, const void *expected)
{
    if (actual != expected)
        check_failed_(place, "%s is %p, expected %p", what, actual, expected);
}

static const char *or_null(const char *text) { return text ? text : "NULL"; }

void check_str_(struct check_place place, const char *what, const char *actual, const char *expected)
{
    if (actual != expected && (!actual || !expected || strcmp(actual, expected) != 0))
        check_failed_(place, "%s is \"%s\", expected \"%s\"", what, or_null(actual), or_null(expected));
}

void check_contains_(struct check_place place, const char *what, const char *actual, const char *part)
{
    if (!actual || !strstr(actual, part))
        check_failed_(place, "%s is \"%s\", expected in it \"%s\"", what, or_null(actual), part);
}

static const char *tag_name(coir_tag tag)
{
    static const char *const names[] = { "OK", "ERROR", "PANIC", "CANCELED" };
    return (size_t)tag < sizeof names / sizeof names[0] ? names[tag] : "no tag";
}

/* Fails with the whole result printed, as its own printer does. */
static void fail_with_result(struct check_place place, const char *what, const coir_result *actual, const char *expected)
{
    char  text[2000] = "";
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    if (out) {
        coir_result_print(actual, out);
        fclose(out);
    }
    check_failed_(place, "%s is %s (%s), expected %s", what, tag_name(actual->tag), text, expected);
}

void check_tag_(struct check_place place, const char *what, const coir_result *actual, coir_tag expected)
{
    if (actual->tag != expected)
        fail_with_result(place, what, actual, tag_name(expected));
}

void check_ok_int_(struct check_place place, const char *what, const coir_result *actual, int64_t expected)
{
    char text[40];
    snprintf(text, sizeof text, "OK %" PRId64, expected);
    if (actual->tag != COIR_OK || actual->value.type != NULL || actual->value.i64 != expected)
        fail_with_result(place, what, actual, text);
}

void check_code_(struct check_place place, const char *what, const coir_result *actual, coir_tag tag, int code)
{
    char text[60];
    snprintf(text, sizeof text, "%s with code %d", tag_name(tag), code);
    if (actual->tag != tag || coir_error_code(&actual->value) != code)
        fail_with_result(place, what, actual, text);
}

bool check_patience_(int ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    return ms < 30000;
}
