/*
 * pipe.c - tests of pipes
 */
#include "sweep.h"

/* ---------------------------------------------------------------------------------------------------- words of this suite */

/* A source of things 1 to count, and what became of them. Every second thing cannot be shared. */
enum { MANY = 12 };
struct line {
    int        count, fails_at;                         /* fails_at: at which item the source, or the stage, fails */
    atomic_int given, inside, inside_max, ended, seen[MANY + 1];
    int        latest;
};
static struct line line_of(int count) { return (struct line){ .count = count }; }

static coir_io *give_next(void *line_)
{
    struct line *line = line_;
    int n = atomic_fetch_add(&line->given, 1) + 1;
    if (n > line->count)
        return coir_unit();
    if (n == line->fails_at)
        return coir_fail(coir_int(n));
    return coir_then(coir_repeat(coir_yield(), (uint64_t)n % 3), coir_pure(n % 2 == 0 ? sole_thing(n) : thing(n)));
}
static coir_io *source(struct line *line) { return coir_suspend(give_next, line); }

static coir_io *hand_back(void *unused, coir_value *item) { (void)unused; return coir_pure(coir_take(item)); }

/* Takes the longer the smaller the number is by three: so who comes first is not done first. */
static coir_io *slowly(void *unused, coir_value *item)
{
    (void)unused;
    return coir_then(coir_repeat(coir_yield(), (uint64_t)(7 - thing_number(item) % 3 * 3)), coir_pure(coir_take(item)));
}

static coir_io *note_it(void *unused, coir_value *item)
{
    (void)unused;
    note("%d", is_thing(item) ? thing_number(item) : (int)item->i64);
    return coir_unit();
}

static coir_io *count_it(void *line, coir_value *item)
{
    int n = thing_number(item);
    if (n < 1 || n > MANY || atomic_fetch_add(&((struct line *)line)->seen[n], 1) > 0)
        CHECK_FAIL("%d was seen again", n);
    return coir_yield();
}

static void check_all_seen(const struct line *line)
{
    for (int n = 1; n <= line->count; n++)
        CHECK_INT(line->seen[n], 1);
    CHECK_INT(things_alive, 0);
    CHECK(strchr(notes(), '!') == NULL);
}

/* ----------------------------------------------------------------------------------------------------------- order */

static coir_io *number_of(void *unused, coir_value *item) { (void)unused; return coir_pure(coir_int(thing_number(item))); }

static coir_io *straight(struct line *line, size_t workers)
{
    *line = line_of(5);
    return coir_par_pipe(source(line), COIR_STAGES(coir_stage_ordered(workers, slowly, NULL), coir_stage_ordered(workers, number_of, NULL),
                                                   coir_stage_unordered(1, note_it, NULL)));
}

/* Only the notes of the last stage: without those of things that are dropped meanwhile. */
static const char *numbers_noted(void)
{
    char *text = scratch();
    size_t size = 0;
    text[0] = '\0';
    for (const char *at = notes(), *end; *at != '\0'; at = *end == '\0' ? end : end + 1) {
        end = at + strcspn(at, " ");
        if (*at != '-')
            size += (size_t)snprintf(text + size, SCRATCH_SIZE - size, size > 0 ? " %.*s" : "%.*s", (int)(end - at), at);
    }
    return text;
}

TEST(pipe, an_ordered_stage_hands_on_in_the_order_in_which_its_items_came)
{
    for (size_t workers = 1; workers <= 4; workers++) {
        struct line line;
        FOR_SEEDS(options) {
            CHECK_STR(simulated(options, straight(&line, workers)), "OK 0");
            CHECK_STR(numbers_noted(), "1 2 3 4 5");
            CHECK_INT(things_alive, 0);
        }
        FOR_WORKERS(threads, 1, 2, 4) {
            CHECK_STR(outcome(threads, straight(&line, workers)), "OK 0");
            CHECK_STR(numbers_noted(), "1 2 3 4 5");
            CHECK_INT(things_alive, 0);
        }
    }
}

/* Thing 1 waits for the others: in an ordered stage they wait for it. */
struct first { coir_event *others; atomic_int passed; };
static coir_io *first_waits(void *first_, coir_value *item)
{
    struct first *first = first_;
    coir_value taken = coir_take(item);
    return coir_as(thing_number(&taken) == 1 ? coir_event_wait(first->others) : coir_unit(), taken);
}
static coir_io *let_first_go(void *first_, coir_value *item)
{
    struct first *first = first_;
    note("%d", thing_number(item));
    if (atomic_fetch_add(&first->passed, 1) == 1)
        coir_event_set(first->others);
    return coir_unit();
}

TEST(pipe, an_unordered_stage_hands_on_at_once_what_is_done)
{
    FOR_SCHEDULES(options) {
        struct line line = line_of(3);
        struct first first = { .others = coir_event_new() };
        coir_io *io = coir_par_pipe(source(&line), COIR_STAGES(coir_stage_unordered(2, first_waits, &first), coir_stage_ordered(1, let_first_go, &first)));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(numbers_noted(), "2 3 1");
        coir_event_drop(first.others);
    }
}

TEST(pipe, in_an_ordered_stage_who_is_behind_a_slow_item_waits)
{
    FOR_SCHEDULES(options) {
        struct line line = line_of(3);
        struct first first = { .others = coir_event_new() };
        coir_io *io = coir_par_pipe(source(&line), COIR_STAGES(coir_stage_ordered(2, first_waits, &first), coir_stage_ordered(1, let_first_go, &first)));
        CHECK_CONTAINS(outcome_under(options, io), "PANIC DEADLOCK");
        CHECK_STR(numbers_noted(), "");
        CHECK_INT(things_alive, 0);
        coir_event_drop(first.others);
    }
}

/* --------------------------------------------------------------------------------------------------------- all of them */

static coir_io *through(struct line *line, size_t workers, bool is_ordered)
{
    coir_stage slow = is_ordered ? coir_stage_ordered(workers, slowly, NULL) : coir_stage_unordered(workers, slowly, NULL);
    slow.ahead = workers % 3 + 1;
    return coir_par_pipe(source(line), COIR_STAGES(slow, coir_stage_unordered(2, hand_back, NULL), slow, coir_stage_unordered(2, count_it, line)));
}

TEST(pipe, every_item_goes_through_every_stage_once)
{
    for (size_t workers = 1; workers <= 4; workers++) {
        FOR_SEEDS(options) {
            struct line line = line_of(MANY);
            CHECK_STR(simulated(options, through(&line, workers, options->seed / 2 % 2 == 0)), "OK 0");
            check_all_seen(&line);
        }
        FOR_WORKERS(threads, 1, 2, 4)
            for (int round = 0; round < scaled(100); round++) {
                struct line line = line_of(MANY);
                CHECK_STR(outcome(threads, through(&line, workers, round % 2 == 0)), "OK 0");
                check_all_seen(&line);
            }
    }
}

static coir_io *pure_none(void *unused, coir_value *item) { (void)unused; (void)item; return coir_unit(); }
static coir_io *no_more(void *given) { return coir_pure(coir_int(atomic_fetch_add((atomic_int *)given, 1) < 2)); }

TEST(pipe, a_source_that_gives_none_is_at_its_end_but_a_zero_of_a_stage_goes_on)
{
    FOR_SCHEDULES(options) {
        atomic_int given = 0;
        struct line none = line_of(0);
        CHECK_STR(outcome_under(options, coir_par_pipe(source(&none), COIR_STAGES(coir_stage_ordered(2, note_it, NULL)))), "OK 0");
        CHECK_STR(notes(), "");
        coir_io *io = coir_par_pipe(coir_suspend(no_more, &given), COIR_STAGES(coir_stage_ordered(2, pure_none, NULL), coir_stage_ordered(1, note_it, NULL)));
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_STR(notes(), "0 0");
    }
}

static coir_io *odd_ones(void *unused, coir_value *item)
{
    (void)unused;
    return thing_number(item) % 2 == 0 ? coir_stage_skip() : coir_pure(coir_take(item));
}

TEST(pipe, what_a_stage_skips_does_not_go_on)
{
    for (size_t workers = 1; workers <= 3; workers++)
        FOR_SCHEDULES(options)
            for (int is_ordered = 0; is_ordered < 2; is_ordered++) {
                struct line line = line_of(6);
                coir_stage odd = is_ordered ? coir_stage_ordered(workers, odd_ones, NULL) : coir_stage_unordered(workers, odd_ones, NULL);
                CHECK_STR(outcome_under(options, coir_par_pipe(source(&line), COIR_STAGES(odd, coir_stage_unordered(1, count_it, &line)))), "OK 0");
                for (int n = 1; n <= 6; n++)
                    CHECK_INT(line.seen[n], n % 2);
                CHECK_INT(things_alive, 0);
                notes();
            }
}

/* ------------------------------------------------------------------------------------------------------------- bounds */

static coir_result leave(void *line) { atomic_fetch_sub(&((struct line *)line)->inside, 1); return coir_ok(coir_none()); }

static coir_io *come_in(void *line_, coir_value *item)
{
    struct line *line = line_;
    int inside = atomic_fetch_add(&line->inside, 1) + 1, most = atomic_load(&line->inside_max);
    (void)item;
    while (inside > most && !atomic_compare_exchange_weak(&line->inside_max, &most, inside)) {}
    return coir_finally(coir_repeat(coir_yield(), 3), coir_defer(leave, line));
}

TEST(pipe, never_more_of_a_stage_are_in_progress_than_it_has_workers)
{
    for (size_t workers = 1; workers <= 3; workers++)
        for (int is_ordered = 0; is_ordered < 2; is_ordered++)
            FOR_SCHEDULES(options) {
                struct line line = line_of(10);
                coir_stage stage = is_ordered ? coir_stage_ordered(workers, come_in, &line) : coir_stage_unordered(workers, come_in, &line);
                CHECK_STR(outcome_under(options, coir_par_pipe(source(&line), COIR_STAGES(stage, coir_stage_unordered(1, pure_none, NULL)))), "OK 0");
                CHECK(line.inside_max <= (int)workers);
                CHECK_INT(line.inside, 0);
                notes();
            }
}

/* Each waits until three have come: so three are in progress at once. */
static coir_io *meet_others(void *three, coir_value *item)
{
    (void)item;
    return coir_then(coir_barrier_wait(three), coir_unit());
}

TEST(pipe, as_many_of_a_stage_are_in_progress_as_it_has_workers)
{
    for (int is_ordered = 0; is_ordered < 2; is_ordered++)
        FOR_SCHEDULES(options) {
            struct line line = line_of(6);
            coir_barrier *three = coir_barrier_new(3);
            coir_stage stage = is_ordered ? coir_stage_ordered(3, meet_others, three) : coir_stage_unordered(3, meet_others, three);
            CHECK_STR(outcome_under(options, coir_par_pipe(source(&line), COIR_STAGES(stage, coir_stage_unordered(1, pure_none, NULL)))), "OK 0");
            coir_barrier_drop(three);
            notes();
        }
}

static coir_io *end_item(void *line_, coir_value *item)
{
    struct line *line = line_;
    int ahead = atomic_load(&line->given) - atomic_load(&line->ended);
    (void)item;
    if (ahead > line->latest)
        CHECK_FAIL("%d items were given that have not ended", ahead);
    atomic_fetch_add(&line->ended, 1);
    return coir_repeat(coir_yield(), 4);
}

TEST(pipe, who_comes_before_a_stage_waits_when_as_many_wait_there_as_may)
{
    for (size_t ahead = 1; ahead < 5; ahead++)
        FOR_SCHEDULES(options) {
            struct line line = line_of(MANY);
            coir_stage stage = coir_stage_unordered(1, end_item, &line);
            stage.ahead = ahead;
            line.latest = (int)ahead + 3;               /* one at work, one at the source's hands, and the one that it is about to make */
            CHECK_STR(outcome_under(options, coir_par_pipe(source(&line), 1, &stage)), "OK 0");
            CHECK_INT(line.ended, MANY);
            notes();
        }
}

static coir_io *count_down(void *left) { return coir_pure(coir_int((*(int *)left)--)); }
static coir_io *same_number(void *unused, coir_value *item) { (void)unused; return coir_pure(coir_take(item)); }

static coir_io *many_numbers(int *left, int count)
{
    *left = count;
    return coir_par_pipe(coir_suspend(count_down, left), COIR_STAGES(coir_stage_ordered(3, same_number, NULL), coir_stage_unordered(3, same_number, NULL),
                                                                    coir_stage_unordered(1, same_number, NULL)));
}

TEST_ALONE(pipe, a_pipe_holds_no_more_memory_for_many_items_than_for_few)
{
    int left;
    watch_memory();
    long long few = peak_of(1, many_numbers(&left, 5000), "OK 0");                      /* the checking build keeps the last 4096 nodes */
    long long many = peak_of(1, many_numbers(&left, 5000 + scaled(sized(50000, 500))), "OK 0");
    CHECK(many <= few + (64 << 10));
}

/* ----------------------------------------------------------------------------------------------------------- failures */

static coir_io *fail_at(void *line, coir_value *item)
{
    int n = thing_number(item);
    return n == ((struct line *)line)->ended ? coir_fail(coir_int(n)) : coir_then(coir_yield(), coir_pure(coir_take(item)));
}

TEST(pipe, the_first_failure_is_the_pipes_and_nothing_is_left_of_it)
{
    for (int at = 1; at <= 6; at++)
        for (int which = 0; which < 3; which++)
            FOR_SEEDS(options) {
                struct line line = line_of(MANY), other = line_of(MANY);
                line.fails_at = which == 0 ? at : 0;
                line.ended = which == 1 ? at : 0;
                other.ended = which == 2 ? at : 0;
                coir_io *io = coir_par_pipe(source(&line), COIR_STAGES(coir_stage_ordered(2, fail_at, &line), coir_stage_unordered(2, slowly, NULL),
                                                                       coir_stage_ordered(2, fail_at, &other), coir_stage_unordered(1, count_it, &line)));
                CHECK_STR(simulated(options, io), spelled("ERROR %d", at));
                CHECK_INT(things_alive, 0);
                CHECK(strchr(notes(), '!') == NULL);
            }
}

static coir_io *wait_for_ever(void *text, coir_value *item)
{
    (void)item;
    return coir_finally(coir_never(), coir_then(coir_yield(), noting(text)));
}
static coir_io *fail_when_both_wait(void *unused, coir_value *item)
{
    (void)unused;
    return thing_number(item) < 3 ? coir_pure(coir_take(item)) : coir_then(coir_repeat(coir_yield(), 200), coir_fail(coir_int(3)));
}

TEST(pipe, who_is_called_off_has_run_his_finalizers_before_the_pipe_ends)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct line line = line_of(MANY);
        coir_io *io = coir_par_pipe(source(&line), COIR_STAGES(coir_stage_unordered(1, fail_when_both_wait, NULL), coir_stage_ordered(2, wait_for_ever, "off")));
        CHECK_STR(outcome(workers, coir_then(coir_attempt(io), noting("after"))), "OK 0");
        CHECK_STR(numbers_noted(), "off off after");
        CHECK_INT(things_alive, 0);
    }
}

static coir_io *end_with_tag(void *tag, coir_value *item) { (void)item; return ending((coir_tag)(intptr_t)tag, 9); }

TEST(pipe, panics_and_cancellations_of_a_stage_end_it_too)
{
    FOR_SCHEDULES(options) {
        struct line line = line_of(3), again = line_of(3);
        coir_io *panics = coir_par_pipe(source(&line), COIR_STAGES(coir_stage_ordered(2, end_with_tag, (void *)(intptr_t)COIR_PANIC)));
        coir_io *cancels = coir_par_pipe(source(&again), COIR_STAGES(coir_stage_ordered(1, end_with_tag, (void *)(intptr_t)COIR_CANCELED)));
        CHECK_CONTAINS(outcome_under(options, panics), "PANIC 9");
        CHECK_CONTAINS(outcome_under(options, cancels), "CANCELED");
        CHECK_INT(things_alive, 0);
        notes();
    }
}

static coir_io *no_io(void *unused, coir_value *item) { (void)unused; (void)item; return NULL; }

TEST(pipe, a_stage_that_gives_NULL_is_without_memory)
{
    struct line line = line_of(3), again = line_of(3);
    CHECK_STR(outcome(1, coir_par_pipe(source(&line), COIR_STAGES(coir_stage_ordered(1, no_io, NULL)))), "PANIC ENOMEM");
    CHECK_STR(outcome(1, coir_par_pipe(source(&again), COIR_STAGES(coir_stage_ordered(1, no_io, NULL), coir_stage_ordered(1, note_it, NULL)))), "PANIC ENOMEM");
    CHECK_INT(things_alive, 0);
}

/* A stage that has seen enough ends the pipe by an error. */
enum { ENOUGH = 77 };
static coir_io *three_are_enough(void *line, coir_value *item)
{
    (void)item;
    return atomic_fetch_add(&((struct line *)line)->ended, 1) == 2 ? coir_failf(ENOUGH, "enough") : coir_unit();
}
static coir_io *for_ever(void *unused) { (void)unused; return coir_pure(thing(1)); }

TEST(pipe, an_error_of_a_stage_stops_a_source_without_end)
{
    FOR_SCHEDULES(options) {
        struct line line = line_of(0);
        coir_io *io = coir_par_pipe(coir_suspend(for_ever, NULL), COIR_STAGES(coir_stage_ordered(1, three_are_enough, &line)));
        CHECK_STR(outcome_under(options, coir_catch_code(io, ENOUGH, coir_pure(coir_int(5)))), "OK 5");
        CHECK_INT(line.ended, 3);
        CHECK_INT(things_alive, 0);
        notes();
    }
}

/* --------------------------------------------------------------------------------------------------------- cancellation */

TEST(pipe, a_pipe_that_is_canceled_at_whatever_step_leaves_nothing)
{
    for (size_t workers = 1; workers <= 2; workers++)
        for (int is_ordered = 0; is_ordered < 2; is_ordered++)
            FOR_EACH_STEP(step, options) {
                coir_fiber *victim = NULL;
                struct line line = line_of(3);
                coir_io *io = forking(through(&line, workers, is_ordered), &victim);
                CHECK_STR(canceled_at(step, options, io, &victim), "OK 0");
                CHECK_INT(things_alive, 0);
                CHECK(strchr(notes(), '!') == NULL);
                coir_fiber_drop(victim);
            }
}

TEST(pipe, a_time_out_calls_all_of_it_off)
{
    FOR_SCHEDULES(options) {
        struct line line = line_of(MANY);
        coir_io *io = coir_par_pipe(source(&line), COIR_STAGES(coir_stage_ordered(2, wait_for_ever, "off")));
        CHECK_STR(outcome_under(options, coir_attempt(coir_timeout(io, coir_ms(2)))), spelled("OK <ERROR code %d>", COIR_TIMEOUT));
        CHECK_INT(things_alive, 0);
        notes();
    }
}

/* ------------------------------------------------------------------------------------------------------ runs and envs */

static coir_io *add_up(void *sum, coir_value *item) { atomic_fetch_add((atomic_int *)sum, (int)item->i64); return coir_unit(); }

TEST(pipe, the_same_pipe_may_run_many_times_also_at_once)
{
    FOR_SCHEDULES(options) {
        atomic_int sum = 0;
        coir_channel *numbers = coir_channel_new(COIR_UNBOUNDED);
        coir_io *pipe = coir_par_pipe(coir_next(numbers), COIR_STAGES(coir_stage_ordered(2, same_number, NULL), coir_stage_ordered(1, add_up, &sum)));
        coir_io *again = coir_io_ref(pipe), *third = coir_io_ref(pipe);
        coir_io *fill = coir_sequence(COIR_IOS(coir_send(numbers, coir_int(1)), coir_send(numbers, coir_int(2)), coir_send(numbers, coir_int(4)),
                                               coir_send(numbers, coir_int(8)), coir_closing(numbers, coir_unit())));
        CHECK_STR(outcome_under(options, coir_sequence(COIR_IOS(fill, coir_both(pipe, again), third))), "OK 0");
        CHECK_INT(sum, 15);
        coir_channel_drop(numbers);
    }
}

struct added { int n; atomic_int *sum; };
static coir_io *add_n(void *added, coir_value *item) { return coir_pure(coir_int(item->i64 + ((struct added *)added)->n)); }
static coir_io *sum_up(void *added, coir_value *item) { return add_up(((struct added *)added)->sum, item); }

TEST(pipe, an_env_that_is_copied_is_each_stages_own)
{
    FOR_SCHEDULES(options) {
        int left = 3;
        atomic_int sum = 0;
        struct added ten = { 10, NULL }, hundred = { 100, NULL }, into = { 0, &sum };
        coir_io *io = coir_par_pipe(coir_suspend(count_down, &left), COIR_STAGES(coir_stage_ordered_copy(2, add_n, &ten, sizeof ten),
                                                                                coir_stage_unordered_copy(2, add_n, &hundred, sizeof hundred),
                                                                                coir_stage_unordered_copy(1, sum_up, &into, sizeof into)));
        ten.n = hundred.n = 0;
        into.sum = NULL;
        CHECK_STR(outcome_under(options, io), "OK 0");
        CHECK_INT(sum, 6 + 3 * 110);
    }
}

static coir_io *note_context(void *unused, coir_value *item)
{
    (void)unused;
    (void)item;
    note("%d", (int)coir_context()->i64);
    return coir_unit();
}

TEST(pipe, its_fibers_are_in_the_callers_context)
{
    FOR_SCHEDULES(options) {
        int left = 2;
        coir_io *io = coir_par_pipe(coir_suspend(count_down, &left), COIR_STAGES(coir_stage_ordered(2, note_context, NULL)));
        CHECK_STR(outcome_under(options, coir_local(io, coir_int(6))), "OK 0");
        CHECK_STR(notes(), "6 6");
    }
}

/* ----------------------------------------------------------------------------------------------------------- bad input */

TEST(pipe, bad_stages_are_panics_that_name_the_function)
{
    static const char bytes[] = "x";
    coir_stage negative = coir_stage_ordered(1, note_it, NULL), huge = coir_stage_ordered_copy(1, note_it, bytes, (size_t)1 << 20);
    negative.ahead = (size_t)-1;
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), 0, NULL)), "coir_par_pipe: there are no stages");
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), 1, NULL)), "coir_par_pipe: stages is NULL");
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), (size_t)1 << 40, &negative)), "coir_par_pipe: there are too many stages");
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), COIR_STAGES(coir_stage_ordered(1, note_it, NULL), coir_stage_ordered(1, NULL, NULL)))),
              "coir_par_pipe: fn of a stage is NULL");
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), COIR_STAGES(coir_stage_ordered(0, note_it, NULL)))), "coir_par_pipe: a stage has no workers");
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), COIR_STAGES(coir_stage_unordered((size_t)-1, note_it, NULL)))),
              "coir_par_pipe: a stage has more than 65,536 workers");
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), 1, &negative)), "coir_par_pipe: a stage has a negative number of items ahead");
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), 1, &huge)), "coir_par_pipe: a stage captures more than 64 KiB");
    CHECK_STR(message_of(1, coir_par_pipe(coir_unit(), COIR_STAGES(coir_stage_unordered_copy(1, note_it, NULL, 3)))), "coir_par_pipe: bytes of a stage is NULL");
    CHECK_STR(outcome(1, coir_par_pipe(coir_as(coir_unit(), thing(1)), 0, NULL)), "PANIC EINVAL");
    CHECK_PTR(coir_par_pipe(NULL, COIR_STAGES(coir_stage_ordered(1, note_it, NULL))), NULL);
    CHECK_STR(notes(), "-1");
}
