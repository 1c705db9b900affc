/*
 * trace.c - tests of traces: a line for each step, the same on any machine
 */
#include "simulation.h"

static const char *traced(coir_io *io, coir_sim_options options, struct pad *pad)
{
    options.trace = pad_open(pad)->out;
    (void)simulated(io, &options);
    return pad_text(pad);
}

static void call_start(void *env, void *op, coir_callback k)
{
    (void)env;
    (void)op;
    (void)coir_sim_complete(k, coir_ok(coir_int(7)), coir_ms(2), coir_ms(2));
}
static const coir_async_type call_type = { .start = call_start };

/* One of each kind of line: names, waits for a lock and for a fiber's end, a completion, a sleep, a pre-emption, a failure. */
static void lock_drop(void *lock) { coir_lock_drop(lock); }
static coir_io *with_lock_inside(void *env)
{
    coir_lock *lock = coir_lock_new();
    (void)env;
    return coir_owns(waited(COIR_IOS(coir_named(coir_with_lock(lock, coir_sleep(coir_us(1500))), "ann"),
                                     coir_named(coir_with_lock(lock, coir_then(coir_async(&call_type, NULL), coir_failf(5, "no"))), "bob"),
                                     coir_then(coir_yield(), coir_pure(coir_stringf("text"))))), lock, lock_drop);
}
static coir_io *one_of_each(void) { return coir_suspend(with_lock_inside, NULL); }

TEST(sim_trace, a_trace_is_just_this_text)
{
    static const char expected[] =
        "  step           seconds  worker  fiber             instruction                       effect\n"
        "     1       0.000000000  0       1                 suspend\n"
        "     2       0.000000000  0       1                 flat_map\n"
        "     3       0.000000000  0       1                 parallel                          forks 2 'ann', forks 3 'bob', forks 4\n"
        "     4       0.000000000  0       1                 flat_map <- ok a list of 3\n"
        "     5       0.000000000  0       1                 wait                              waits for the end of fiber 4\n"
        "     6       0.000000000  0       2 'ann'           named\n"
        "     7       0.000000000  0       2 'ann'           with_lock\n"
        "     8       0.000000000  0       3 'bob'           named                             pre-empts 2 'ann'\n"
        "     9       0.000000000  0       3 'bob'           with_lock                         waits for lock 1 that fiber 2 holds\n"
        "    10       0.000000000  0       2 'ann'           sleep                             waits for a moment (coir_sleep)\n"
        "    11       0.000000000  0       4                 then\n"
        "    12       0.000000000  0       4                 yield                             yields\n"
        "    13       0.000000000  0       4                 then <- ok 0\n"
        "    14       0.000000000  0       4                 pure                              ends with ok \"text\", wakes 1\n"
        "    15       0.000000000  0       1                 wait, woken                       waits for the end of fiber 3\n"
        "    16       0.001500000  0       2 'ann'           sleep, woken\n"
        "    17       0.001500000  0       2 'ann'           with_lock <- ok 0                 wakes 3 'bob', ends with ok 0\n"
        "    18       0.001500000  0       3 'bob'           with_lock, woken\n"
        "    19       0.001500000  0       3 'bob'           then\n"
        "    20       0.001500000  0       3 'bob'           async                             waits for a callback\n"
        "    20       0.003500000                            a completion                      wakes 3 'bob'\n"
        "    21       0.003500000  0       3 'bob'           async, woken\n"
        "    22       0.003500000  0       3 'bob'           then <- ok 7\n"
        "    23       0.003500000  0       3 'bob'           from_result\n"
        "    24       0.003500000  0       3 'bob'           with_lock <- error 5              ends with error 5, wakes 1\n"
        "    25       0.003500000  0       1                 wait, woken\n"
        "    26       0.003500000  0       1                 keep <- ok a list of 3            ends with ok a list of 3\n";
    struct pad pad;
    CHECK_STR(traced(one_of_each(), (coir_sim_options){ .workers = 1, .policy = COIR_SIM_PRIORITIES, .schedule = "4:1" }, &pad), expected);
    pad_close(&pad);
}

TEST(sim_trace, without_one_the_run_is_the_same)
{
    coir_sim_figures figures[2];
    struct pad pad;
    traced(one_of_each(), (coir_sim_options){ .seed = 9, .figures = &figures[0] }, &pad);
    (void)simulated(one_of_each(), COIR_SIM_OPTIONS(.seed = 9, .figures = &figures[1]));
    CHECK_UINT(figures[0].hash, figures[1].hash);
    CHECK_UINT(figures[0].steps, figures[1].steps);
    pad_close(&pad);
}

static coir_result give(void *value) { return coir_ok(coir_share(value)); }

/* How the value that was given to the last step is shown. */
static const char *shown(coir_value value)
{
    struct pad pad;
    static char text[200];
    traced(coir_then(coir_defer(give, &value), coir_unit()), (coir_sim_options){ 0 }, &pad);
    const char *at = strstr(pad.text, "then <- ok ");
    snprintf(text, sizeof text, "%s", at == NULL ? "(nothing)" : at + strlen("then <- ok "));
    *strchr(text, '\n') = '\0';
    for (size_t size = strlen(text); size > 0 && text[size - 1] == ' '; size--)
        text[size - 1] = '\0';
    coir_drop(value);
    pad_close(&pad);
    return text;
}

TEST(sim_trace, values_are_shown_and_no_address_is)
{
    int here;
    CHECK_STR(shown(coir_int(0)), "0");
    CHECK_STR(shown(coir_int(-4194303)), "-4194303");
    CHECK_STR(shown(coir_int(4194304)), "(plain)");
    CHECK_STR(shown(coir_int(INT64_MIN)), "(plain)");
    CHECK_STR(shown(coir_lend(&here)), "(plain)");
    CHECK_STR(shown(coir_real(0.5)), "(plain)");
    CHECK_STR(shown(thing(3)), "a thing");
    CHECK_STR(shown(coir_stringf("a text")), "\"a text\"");
    CHECK_STR(shown(coir_errorf(17, "bad")), "17");
    CHECK_STR(shown(coir_list(2, (coir_value[]){ coir_int(1), coir_int(2) })), "a list of 2");
}

TEST(sim_trace, a_long_text_is_cut_between_two_characters)
{
    CHECK_STR(shown(coir_stringf("%s", "123456789012345678901234")), "\"123456789012345678901234\"");
    CHECK_STR(shown(coir_stringf("%s", "1234567890123456789012345")), "\"123456789012345678901234\"...");
    CHECK_STR(shown(coir_stringf("%s", "12345678901234567890123\xc3\xa9!")), "\"12345678901234567890123\"...");
}

TEST(sim_trace, no_text_of_the_program_breaks_a_line)
{
    struct pad pad;
    traced(coir_named(coir_then(coir_pure(coir_stringf("one\ntwo\tthree\033[2J")), coir_unit()), "a\nname"), (coir_sim_options){ 0 }, &pad);
    CHECK_CONTAINS(pad.text, "1 'a?name'");
    CHECK_CONTAINS(pad.text, "\"one?two?three?[2J\"");
    for (const char *c = pad.text; *c != '\0'; c++)
        CHECK(*c == '\n' || (unsigned char)*c >= ' ');
    pad_close(&pad);
}

TEST(sim_trace, more_effects_than_a_line_has_room_for_are_cut)
{
    struct pad pad;
    coir_io *forks = copies_of(200, coir_unit());
    traced(forks, (coir_sim_options){ .policy = COIR_SIM_IN_TURN }, &pad);
    CHECK_CONTAINS(pad.text, "forks 2, forks 3, forks 4");
    for (const char *line = pad.text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        CHECK(end - line < 1000);
    pad_close(&pad);
}

TEST(sim_trace, several_failures_are_said_to_be_several)
{
    struct pad pad;
    traced(coir_then(coir_finally(coir_fail(coir_int(1)), coir_fail(coir_int(2))), coir_unit()), (coir_sim_options){ 0 }, &pad);
    CHECK_CONTAINS(pad.text, "ends with error 1 and more");
    pad_close(&pad);
}

TEST(sim_trace, memory_that_moved_does_not_show)
{
    struct pad before, after;
    traced(one_of_each(), (coir_sim_options){ .seed = 3 }, &before);
    coir_io *in_the_way[100];
    for (int i = 0; i < 100; i++)
        in_the_way[i] = coir_then(coir_unit(), coir_pure(coir_stringf("%d", i)));
    CHECK_STR(outcome(2, joined(coir_unit())), "OK 0");
    traced(one_of_each(), (coir_sim_options){ .seed = 3 }, &after);
    CHECK_STR(before.text, after.text);
    for (int i = 0; i < 100; i++)
        coir_io_drop(in_the_way[i]);
    pad_close(&before);
    pad_close(&after);
}
