/*
 * main.c - tests of coir_main(): the exit status, and that it prints failures and nothing else
 */
#include "program.h"

#include <unistd.h>

/* main_of: what coir_main() gives, and what it printed to stderr and stdout meanwhile. */
static struct { int status; char errors[4000], output[4000]; } said;

static int redirect(int descriptor, FILE **file)
{
    int kept = dup(descriptor);
    *file = tmpfile();
    if (kept < 0 || *file == NULL || dup2(fileno(*file), descriptor) < 0)
        abort();
    return kept;
}

static void restore(int descriptor, int kept, FILE *file, char *text, size_t size)
{
    dup2(kept, descriptor);
    close(kept);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static int main_of(coir_io *io, const coir_options *options)
{
    FILE *errors, *output;
    fflush(stdout);
    fflush(stderr);
    int kept_errors = redirect(STDERR_FILENO, &errors), kept_output = redirect(STDOUT_FILENO, &output);
    said.status = coir_main(io, options);
    fflush(stdout);
    fflush(stderr);
    restore(STDOUT_FILENO, kept_output, output, said.output, sizeof said.output);
    restore(STDERR_FILENO, kept_errors, errors, said.errors, sizeof said.errors);
    return said.status;
}

TEST(runtime_main, status_tells_how_it_ended)
{
    static const int expected[] = { 0, 1, 70, 130 };
    for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++)
        FOR_WORKERS(workers, 1, 2) {
            int status = main_of(ending(tag, 5), COIR_OPTIONS(.workers = workers));
            CHECK_INT(status, expected[tag]);
        }
    CHECK_INT(main_of(coir_unit(), NULL), 0);
    CHECK_INT(main_of(NULL, NULL), 70);
    CHECK_INT(main_of(coir_unit(), COIR_OPTIONS(.workers = 1000000)), 70);
}

TEST(runtime_main, prints_failures_to_stderr_and_nothing_else)
{
    main_of(coir_pure(coir_stringf("a value")), NULL);
    CHECK_STR(said.errors, "");
    CHECK_STR(said.output, "");
    main_of(coir_failf(ENOENT, "no page %d", 7), NULL);
    CHECK_CONTAINS(said.errors, "no page 7");
    CHECK_STR(said.output, "");
    size_t length = strlen(said.errors);
    CHECK(length > 0 && said.errors[length - 1] == '\n');
    main_of(coir_panicf("three legs"), NULL);
    CHECK_CONTAINS(said.errors, "three legs");
    main_of(coir_finally(coir_failf(1, "the use"), coir_failf(2, "the release")), NULL);
    CHECK_CONTAINS(said.errors, "the use");
    CHECK_CONTAINS(said.errors, "the release");
    main_of(NULL, NULL);
    CHECK(said.errors[0] != '\0');
    main_of(ending(COIR_CANCELED, 5), NULL);
    CHECK_STR(said.errors, "");
    CHECK_STR(said.output, "");
}

static void note_unseen(void *env, uint64_t id, const coir_result *failure)
{
    (void)id;
    note("%s:%s", (const char *)env, coir_error_message(&failure->value));
}

TEST(runtime_main, prints_failures_that_nobody_saw_unless_a_hook_sees_them)
{
    FOR_WORKERS(workers, 1, 2) {
        coir_io *unseen = coir_as(coir_parallel(COIR_IOS(coir_failf(3, "lost one"), coir_panicf("lost two"), coir_unit())), coir_none());
        CHECK_INT(main_of(coir_io_ref(unseen), COIR_OPTIONS(.workers = workers)), 0);
        CHECK_CONTAINS(said.errors, "whose end nobody waited for: ");
        CHECK_CONTAINS(said.errors, "lost one");
        CHECK_CONTAINS(said.errors, "lost two");
        CHECK(strncmp(said.errors, "fiber ", 6) == 0);
        CHECK_STR(said.output, "");
        CHECK_INT(main_of(coir_attempt(coir_failf(3, "seen")), COIR_OPTIONS(.workers = workers)), 0);
        CHECK_STR(said.errors, "");
        CHECK_INT(main_of(coir_then(unseen, coir_failf(4, "the main one")),
                          COIR_OPTIONS(.workers = workers, .on_unseen_failure = note_unseen, .env = "hook")), 1);
        CHECK(strstr(said.errors, "lost") == NULL);
        CHECK_CONTAINS(said.errors, "the main one");
        const char *told = notes();
        CHECK_CONTAINS(told, "hook:lost one");
        CHECK_CONTAINS(told, "hook:lost two");
    }
    CHECK_INT(main_of(coir_as(coir_fork(coir_failf(3, "lost")), coir_none()), NULL), 0);
    CHECK_CONTAINS(said.errors, "lost");
    coir_options other = { .size = sizeof other + 8 };
    CHECK_INT(main_of(coir_unit(), &other), 70);
}

static coir_io *down(void *env, coir_value *value)
{
    int left = thing_number(value);
    return left <= 1 ? coir_unit() : coir_flat_map(coir_pure(thing(left - 1)), down, env);
}

static void note_warning(void *env, uint64_t id, const char *message)
{
    (void)id;
    (void)message;
    note("%s", (const char *)env);
}

TEST(runtime_main, prints_warnings_unless_a_hook_is_told_of_them)
{
    coir_io *io = coir_as(coir_flat_map(coir_pure(thing(10001)), down, NULL), coir_none());
    CHECK_INT(main_of(coir_io_ref(io), NULL), 0);
    CHECK(strncmp(said.errors, "warning: fiber ", 15) == 0);
    notes();
    CHECK_INT(main_of(io, COIR_OPTIONS(.on_warning = note_warning, .env = "hook")), 0);
    CHECK_STR(said.errors, "");
    CHECK_CONTAINS(notes(), "hook");
}

TEST(runtime_main, drops_the_result)
{
    main_of(coir_pure(thing(1)), NULL);
    CHECK_STR(notes(), "-1");
    main_of(coir_fail(thing(2)), NULL);
    CHECK_STR(notes(), "-2");
    CHECK_CONTAINS(said.errors, "thing 2");
}
