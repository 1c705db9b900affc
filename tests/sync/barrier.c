/*
 * barrier.c - tests of the barrier: all go on together, none with fewer, nobody is left behind; and again
 */
#include "ways.h"

static coir_io *meeting(coir_barrier *barrier) { return coir_barrier_wait(barrier); }

/* --------------------------------------------------------------------------------------------------------- generations */

TEST(barrier, number_of_parties_that_makes_no_sense_makes_no_barrier)
{
    static const int64_t bad[] = { 0, -1, INT64_MIN };
    for (size_t i = 0; i < 3; i++) {
        errno = 0;
        CHECK_PTR(coir_barrier_new(bad[i]), NULL);
        CHECK_INT(errno, EINVAL);
    }
    coir_barrier *most = coir_barrier_new(INT64_MAX);
    CHECK_STR(outcome(1, meeting(most)), "PANIC DEADLOCK");
    coir_barrier_drop(most);
}

TEST(barrier, NULL_is_harmless)
{
    CHECK_PTR(coir_barrier_ref(NULL), NULL);
    coir_barrier_drop(NULL);
    CHECK(!coir_barrier_expose(NULL));
    CHECK_INT(coir_barrier_waiting(NULL), 0);
    CHECK_UINT(coir_barrier_id(NULL), 0);
    CHECK_PTR(coir_barrier_wait(NULL), NULL);
}

TEST(barrier, all_go_on_when_the_last_has_come_and_that_one_is_told)
{
    FOR_WAYS(way) {
        coir_barrier *barrier = coir_barrier_new(3);
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(
            queueing(coir_then_keep(meeting(barrier), noting("on")), &fibers[0]), queueing(coir_then_keep(meeting(barrier), noting("on")), &fibers[1]),
            noting("last"), coir_zip(COIR_IOS(meeting(barrier), joining(&fibers[0]), joining(&fibers[1])))));
        CHECK_STR(outcome_in(way, io), "OK [1 0 0]");
        CHECK_STR(notes(), "last on on");
        CHECK_INT(coir_barrier_waiting(barrier), 0);
        fibers_drop(2, fibers);
        coir_barrier_drop(barrier);
    }
}

TEST(barrier, one_party_alone_waits_for_nobody)
{
    FOR_WAYS(way) {
        coir_barrier *barrier = coir_barrier_new(1);
        CHECK_STR(outcome_in(way, coir_zip(COIR_IOS(meeting(barrier), meeting(barrier)))), "OK [1 1]");
        coir_barrier_drop(barrier);
    }
}

/* Each party writes its own place, in plain memory, before each round's barrier, and reads all the others' behind it. */
enum { PARTIES = 4, ROUNDS = 12 };
struct rounds { coir_barrier *barrier; int64_t (*board)[PARTIES]; atomic_int *lasts; int party, round; };
static coir_io *rounds_step(coir_routine *self)
{
    COIR_BEGIN(self, struct rounds, my);
    for (; my->round < ROUNDS; my->round++) {
        my->board[my->round % 2][my->party] = my->round;
        if ((my->round + my->party) % 3 == 0)
            COIR_AWAIT(coir_yield());
        COIR_AWAIT(coir_barrier_wait(my->barrier));
        atomic_fetch_add(&my->lasts[my->round], self->result.value.flag);
        for (int other = 0; other < PARTIES; other++)
            if (my->board[my->round % 2][other] != my->round)
                COIR_RAISE(coir_stringf("party %d has not come to round %d", other, my->round));
    }
    COIR_END;
}

/* The board of a round is written again two rounds later: nobody is then still reading it, since he has not come to the barrier between. */
TEST(barrier, nobody_goes_on_before_all_of_his_generation_have_come)
{
    FOR_WAYS(way) {
        coir_barrier *barrier = coir_barrier_new(PARTIES);
        int64_t board[2][PARTIES] = { { 0 } };
        atomic_int lasts[ROUNDS] = { 0 };
        coir_io *ios[PARTIES];
        for (int i = 0; i < PARTIES; i++)
            ios[i] = coir_do(rounds_step, COIR_ENV(struct rounds, .barrier = barrier, .board = board, .lasts = lasts, .party = i));
        CHECK_STR(outcome_in(way, coir_par_zip(PARTIES, ios)), "OK [0 0 0 0]");
        for (int i = 0; i < ROUNDS; i++)
            CHECK_INT(atomic_load(&lasts[i]), 1);
        coir_barrier_drop(barrier);
    }
}

/* ------------------------------------------------------------------------------------------------------------- canceled */

TEST(barrier, who_is_canceled_leaves_and_his_place_is_free_again)
{
    FOR_WAYS(way) {
        coir_barrier *barrier = coir_barrier_new(2);
        coir_fiber *fibers[2] = { NULL };
        coir_io *io = coir_sequence(COIR_IOS(queueing(meeting(barrier), &fibers[0]), canceling(&fibers[0]), queueing(meeting(barrier), &fibers[1]),
                                             coir_zip(COIR_IOS(meeting(barrier), joining(&fibers[1]), looking(&fibers[0])))));
        CHECK_STR(outcome_in(way, io), "OK [1 0 <CANCELED 0>]");
        fibers_drop(2, fibers);
        coir_barrier_drop(barrier);
    }
}

/* One of two waits; the other comes as he is asked to stop. Either they have met, or the second waits for a third. */
struct late { coir_barrier *barrier; coir_fiber *first, *second; };
static coir_io *third_comes(void *late_, coir_value *first)
{
    struct late *late = late_;
    if (coir_result_in(first)->tag == COIR_CANCELED)
        return coir_zip(COIR_IOS(coir_pure(coir_int(3)), meeting(late->barrier), joining(&late->second)));
    return coir_zip(COIR_IOS(coir_pure(coir_int(2)), joining(&late->second), joining(&late->first)));
}

TEST(barrier, a_request_that_comes_with_the_last_party_either_frees_the_place_or_comes_too_late)
{
    int met = 0, left = 0;
    FOR_WAYS(way) {
        struct late late = { coir_barrier_new(2), NULL, NULL };
        coir_io *io = coir_sequence(COIR_IOS(
            queueing(meeting(late.barrier), &late.first), coir_both(canceling(&late.first), forking(meeting(late.barrier), &late.second)),
            coir_flat_map(looking(&late.first), third_comes, &late)));
        const char *ended = outcome_in(way, io);
        CHECK(strcmp(ended, "OK [2 1 0]") == 0 || strcmp(ended, "OK [3 1 0]") == 0 || strcmp(ended, "OK [3 0 1]") == 0);
        met += ended[4] == '2';
        left += ended[4] == '3';
        CHECK_INT(coir_barrier_waiting(late.barrier), 0);
        fibers_drop(1, &late.first);
        fibers_drop(1, &late.second);
        coir_barrier_drop(late.barrier);
    }
    CHECK(left > 0);
    CHECK(met > 0 || sized(0, 1));                      /* in one round of a simulation it need not come to both */
}

/* Notes as what it ended, and cancels. */
static coir_io *cancel_it(void *env, const coir_result *outcome)
{
    atomic_int *got_through = env;
    atomic_fetch_add(got_through, outcome->tag == COIR_OK);
    return coir_from_result(coir_result_of(COIR_CANCELED, coir_none()));
}

TEST(barrier, a_finalizer_that_cancels_who_got_through_is_not_taken_for_the_time_out_that_came_with_the_last_party)
{
    atomic_int got_through = 0;
    FOR_SEEDS(options) {
        coir_barrier *barrier = coir_barrier_new(2);
        coir_io *first = coir_timeout_to(coir_finally_fn(coir_barrier_wait(barrier), cancel_it, &got_through), coir_ms(5), coir_unit());
        coir_io *last = coir_then(coir_sleep(coir_ms(5)), coir_attempt(coir_timeout(coir_barrier_wait(barrier), coir_ms(1))));
        CHECK_STR(simulated(options, coir_par_zip_all(COIR_IOS(last, first))), "CANCELED 0");
        coir_barrier_drop(barrier);
    }
    CHECK(atomic_load(&got_through) > 0 || sized(0, 1));
}

/* Parties that come and are called off at random: whoever got through did so in a generation that was complete. */
struct comer { coir_barrier *barrier; atomic_int *through, *lasts; coir_duration patience; int rounds; };
static coir_io *comer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct comer, my);
    for (; my->rounds > 0; my->rounds--) {
        COIR_TRY(coir_timeout(coir_barrier_wait(my->barrier), my->patience));
        if (self->result.tag == COIR_OK) {
            atomic_fetch_add(my->through, 1);
            atomic_fetch_add(my->lasts, self->result.value.flag);
        }
    }
    COIR_END;
}

TEST(barrier, no_generation_is_complete_with_fewer_whoever_is_called_off)
{
    FOR_WAYS(way) {
        enum { COMERS = 5 };
        coir_barrier *barrier = coir_barrier_new(3);
        atomic_int through = 0, lasts = 0;
        coir_io *ios[COMERS];
        for (int i = 0; i < COMERS; i++)
            ios[i] = coir_then(coir_repeat(coir_yield(), (uint64_t)i),
                               coir_do(comer_step, COIR_ENV(struct comer, .barrier = barrier, .through = &through, .lasts = &lasts,
                                                                  .patience = moment_in(way), .rounds = 6)));
        CHECK_STR(outcome_in(way, coir_par_zip(COMERS, ios)), "OK [0 0 0 0 0]");
        CHECK_INT(atomic_load(&through), 3 * atomic_load(&lasts));
        CHECK_INT(coir_barrier_waiting(barrier), 0);
        coir_barrier_drop(barrier);
    }
}

/* -------------------------------------------------------------------------------------------------- nobody could come */

static coir_result give_up(void *place)
{
    coir_barrier_drop(*(coir_barrier **)place);
    return coir_ok(coir_none());
}

TEST(barrier, a_wait_that_nobody_can_end_is_a_panic_that_names_it)
{
    FOR_WAYS(way) {
        coir_barrier *barrier = coir_barrier_new(3);
        const char *named = spelled("waits for the other parties of barrier %ju", (uintmax_t)coir_barrier_id(barrier));
        coir_fiber *waiter = NULL;
        struct gate gate;
        CHECK_CONTAINS(message_in(way, coir_both(meeting(barrier), meeting(barrier))), named);
        CHECK_INT(coir_barrier_waiting(barrier), 0);
        coir_io *io = coir_sequence(COIR_IOS(queueing(meeting(barrier), &waiter), coir_defer(give_up, &barrier), joining(&waiter)));
        coir_result result = run_in(way, not_silent(&gate, io));
        CHECK_CODE(result, COIR_PANIC, COIR_ABANDONED);
        CHECK_CONTAINS(coir_error_message(&result.value), named);
        coir_result_drop(&result);
        fibers_drop(1, &waiter);
    }
}

TEST(barrier, parties_of_a_run_that_is_stopped_leave_their_places)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        coir_barrier *barrier = coir_barrier_new(3);
        coir_io *ios[] = { meeting(barrier), coir_then(meeting(barrier), coir_pure(thing(1))) };
        coir_result result = coir_run(waited(2, ios), COIR_OPTIONS(.workers = workers, .on_deadlock = COIR_DEADLOCK_STOP));
        CHECK_CODE(result, COIR_PANIC, COIR_DEADLOCK);
        coir_result_drop(&result);
        CHECK_STR(notes(), "-1");
        CHECK_INT(coir_barrier_waiting(barrier), 0);
        result = run(workers, waited(COIR_IOS(meeting(barrier), meeting(barrier), meeting(barrier))));
        CHECK_INT(how_many_are(&result.value, COIR_OK), 3);
        coir_result_drop(&result);
        coir_barrier_drop(barrier);
    }
}

TEST(barrier, it_is_no_case_of_an_alternative)
{
    coir_barrier *barrier = coir_barrier_new(1);
    CHECK_STR(outcome(1, coir_alt(COIR_CASES(coir_on(meeting(barrier), NULL, NULL)))), "PANIC EINVAL");
    coir_barrier_drop(barrier);
}

/* ---------------------------------------------------------------------------------------------------------- other runs */

TEST(barrier, another_run_is_refused_while_fibers_wait_at_it)
{
    FOR_SCHEDULES(options) {
        coir_barrier *barrier = coir_barrier_new(2);
        struct elsewhere elsewhere;
        waits_elsewhere(&elsewhere, options, meeting(barrier));
        coir_result result = coir_run(meeting(barrier), options);
        CHECK_CODE(result, COIR_ERROR, COIR_REFUSED);
        CHECK_CONTAINS(coir_error_message(&result.value), "coir_barrier_wait");
        coir_result_drop(&result);
        CHECK_INT(coir_barrier_waiting(barrier), 1);
        coir_fiber_cancel(elsewhere.fiber);
        gate_open(&elsewhere.silence);
        waits_elsewhere_end(&elsewhere);
        CHECK_INT(coir_barrier_waiting(barrier), 0);
        coir_barrier_drop(barrier);
    }
}

TEST(barrier, fibers_of_several_runs_meet_at_an_exposed_one)
{
    FOR_SCHEDULES(options) {
        coir_barrier *barrier = coir_barrier_new(3);
        struct elsewhere first, second;
        CHECK(coir_barrier_expose(barrier));
        waits_elsewhere(&first, options, meeting(barrier));
        waits_elsewhere(&second, options, meeting(barrier));
        CHECK_STR(outcome_under(options, meeting(barrier)), "OK 1");
        CHECK_STR(waits_elsewhere_end(&first), "OK 0");
        CHECK_STR(waits_elsewhere_end(&second), "OK 0");
        coir_barrier_drop(barrier);
    }
}
