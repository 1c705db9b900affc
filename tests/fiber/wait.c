/*
 * wait.c - tests of the one suspension that many may end and one does: its table, and claims that race
 */
#include "program.h"

#include "fiber/wait.h"

#include <sched.h>

/* ---------------------------------------------------------------------------------------------------------- the table */

static const char *const names[] = { "RUNNING", "ARMING", "PARKED", "CLAIMED", "GIVEN", "LEFT", "TAKEN", "HELD" };

static enum wait_state state_of(struct wait *wait) { return wait_state_of(load_relaxed(&wait->word)); }

static void begin(struct wait *wait, enum wait_state state)
{
    static const uint64_t before = 41;
    atomic_init(&wait->word, before << WAIT_STATE_BITS | WAIT_RUNNING);
    if (state != WAIT_RUNNING)
        wait_begin(wait);
}

/* A wait in that state, reached by calls alone; of generation 42, or 41 while it has not begun. */
static struct wait *wait_in(enum wait_state state)
{
    static struct wait wait;
    begin(&wait, state);
    uint64_t generation = wait_generation(&wait);
    if (state == WAIT_CLAIMED || state == WAIT_GIVEN || state == WAIT_LEFT)
        CHECK_INT(wait_claim(&wait, generation), CLAIM_EARLY);
    if (state == WAIT_GIVEN)
        CHECK(!wait_give(&wait));
    if (state == WAIT_PARKED || state == WAIT_LEFT || state == WAIT_TAKEN || state == WAIT_HELD)
        CHECK(wait_let_go(&wait));
    if (state == WAIT_TAKEN)
        CHECK_INT(wait_claim(&wait, generation), CLAIM_PARKED);
    if (state == WAIT_HELD)
        CHECK(wait_hold(&wait));
    CASE("%s", names[state]);
    CHECK_INT(state_of(&wait), state);
    CHECK_UINT(wait_generation(&wait), generation);
    return &wait;
}

static const enum wait_state all_states[] = {
    WAIT_RUNNING, WAIT_ARMING, WAIT_PARKED, WAIT_CLAIMED, WAIT_GIVEN, WAIT_LEFT, WAIT_TAKEN, WAIT_HELD
};
enum { STATES = sizeof all_states / sizeof all_states[0] };

TEST(wait, every_state_is_reached_by_the_calls_that_the_table_names)
{
    for (size_t i = 0; i < STATES; i++)
        CHECK_UINT(wait_generation(wait_in(all_states[i])), all_states[i] == WAIT_RUNNING ? 41 : 42);
}

TEST(wait, begin_opens_a_new_generation)
{
    struct wait *wait = wait_in(WAIT_RUNNING);
    for (uint64_t n = 42; n < 100; n++) {
        wait_begin(wait);
        CHECK_UINT(wait_generation(wait), n);
        CHECK_INT(state_of(wait), WAIT_ARMING);
        wait_give_up(wait);
        CHECK_UINT(wait_generation(wait), n);
        CHECK_INT(state_of(wait), WAIT_RUNNING);
    }
}

TEST(wait, claim_wins_while_it_is_armed_or_parked_and_loses_in_every_other_state)
{
    static const struct { enum wait_state from; enum claim claim; enum wait_state to; } table[] = {
        { WAIT_RUNNING, CLAIM_LOST,   WAIT_RUNNING },
        { WAIT_ARMING,  CLAIM_EARLY,  WAIT_CLAIMED },
        { WAIT_PARKED,  CLAIM_PARKED, WAIT_TAKEN },
        { WAIT_CLAIMED, CLAIM_LOST,   WAIT_CLAIMED },
        { WAIT_GIVEN,   CLAIM_LOST,   WAIT_GIVEN },
        { WAIT_LEFT,    CLAIM_LOST,   WAIT_LEFT },
        { WAIT_TAKEN,   CLAIM_LOST,   WAIT_TAKEN },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct wait *wait = wait_in(table[i].from);
        uint64_t generation = wait_generation(wait);
        CHECK_INT(wait_claim(wait, generation), table[i].claim);
        CHECK_INT(state_of(wait), table[i].to);
        CHECK_UINT(wait_generation(wait), generation);
    }
}

TEST(wait, claim_of_another_generation_loses_in_every_state_and_changes_nothing)
{
    for (size_t i = 0; i < STATES; i++)
        for (int off = -1; off <= 1; off += 2) {
            struct wait *wait = wait_in(all_states[i]);
            uint64_t word = load_relaxed(&wait->word);
            CHECK_INT(wait_claim(wait, wait_generation(wait) + (uint64_t)off), CLAIM_LOST);
            CHECK_UINT(load_relaxed(&wait->word), word);
        }
}

TEST(wait, letting_go_parks_unless_the_result_is_there_already)
{
    static const struct { enum wait_state from; bool lets_go; enum wait_state to; } table[] = {
        { WAIT_ARMING,  true,  WAIT_PARKED },
        { WAIT_CLAIMED, true,  WAIT_LEFT },
        { WAIT_GIVEN,   false, WAIT_GIVEN },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct wait *wait = wait_in(table[i].from);
        CHECK_INT(wait_let_go(wait), table[i].lets_go);
        CHECK_INT(state_of(wait), table[i].to);
        CHECK_UINT(wait_generation(wait), 42);
    }
}

TEST(wait, giver_makes_the_fiber_ready_only_if_the_worker_has_gone)
{
    static const struct { enum wait_state from; bool makes_ready; enum wait_state to; } table[] = {
        { WAIT_CLAIMED, false, WAIT_GIVEN },
        { WAIT_LEFT,    true,  WAIT_TAKEN },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct wait *wait = wait_in(table[i].from);
        CHECK_INT(wait_give(wait), table[i].makes_ready);
        CHECK_INT(state_of(wait), table[i].to);
        CHECK_UINT(wait_generation(wait), 42);
    }
}

TEST(wait, holding_takes_a_parked_wait_only_and_gives_it_back_as_it_was)
{
    for (size_t i = 0; i < STATES; i++) {
        if (all_states[i] == WAIT_HELD)
            continue;                                   /* one reader at a time: the search for deadlocks has one searcher */
        struct wait *wait = wait_in(all_states[i]);
        uint64_t word = load_relaxed(&wait->word);
        bool held = wait_hold(wait);
        CHECK_INT(held, all_states[i] == WAIT_PARKED);
        if (held) {
            CHECK_INT(state_of(wait), WAIT_HELD);
            CHECK_UINT(wait_generation(wait), 42);
            wait_unhold(wait);
        }
        CHECK_UINT(load_relaxed(&wait->word), word);
    }
}

TEST(wait, resumed_fiber_is_running_in_the_generation_that_it_waited_in)
{
    static const enum wait_state ended[] = { WAIT_GIVEN, WAIT_TAKEN };
    for (size_t i = 0; i < 2; i++) {
        struct wait *wait = wait_in(ended[i]);
        wait_resumed(wait);
        CHECK_INT(state_of(wait), WAIT_RUNNING);
        CHECK_UINT(wait_generation(wait), 42);
        CHECK_INT(wait_claim(wait, 42), CLAIM_LOST);
        wait_begin(wait);
        CHECK_INT(wait_claim(wait, 42), CLAIM_LOST);
        CHECK_INT(wait_claim(wait, 43), CLAIM_EARLY);
    }
}

/* -------------------------------------------------------------------------------------------------------------- races */

/*
 * The worker begins a wait, lets the claimers know, and lets go; they all want to end it, each as another kind of claimer, and a reader
 * holds it meanwhile. What a wait protects is plain memory here, so the thread sanitizer sees who may touch it.
 */
enum { CLAIMERS_MAX = 4 };

struct race {
    struct wait      wait;
    int              claimers;
    bool             with_reader;
    _Atomic uint64_t armed;                             /* the generation that may be claimed */
    _Atomic uint64_t ready;                             /* the generation whose fiber was made ready */
    _Atomic uint64_t done[CLAIMERS_MAX];                /* the generation that each has claimed, won or lost */
    atomic_bool      over;
    uint64_t         frame;                             /* the fiber's own: written by the worker, read by who holds it */
    struct { uint64_t generation; enum claimer by; } result;        /* the winner's to write, once */
    uint64_t         wins[CLAIMERS_MAX];
    uint64_t         wins_early[CLAIMERS_MAX];
    uint64_t         holds;
};

struct claimant { struct race *race; enum claimer by; };

static void *claim_each(void *claimant_)
{
    struct claimant *claimant = claimant_;
    struct race *race = claimant->race;
    uint64_t random = claimant->by + 1;
    for (uint64_t last = 0; ; ) {
        uint64_t generation = load_acquire(&race->armed);
        if (generation == last) {
            if (atomic_load(&race->over))
                return NULL;
            sched_yield();
            continue;
        }
        last = generation;
        random = random * UINT64_C(6364136223846793005) + 1;
        for (volatile uint64_t pause = random >> 58; pause > 0; pause--) {}
        enum claim claim = wait_claim(&race->wait, generation);
        if (claim != CLAIM_LOST) {
            race->result.generation = generation;
            race->result.by = claimant->by;
            race->wins[claimant->by]++;
            race->wins_early[claimant->by] += claim == CLAIM_EARLY;
            if (claim == CLAIM_PARKED || wait_give(&race->wait))
                store_release(&race->ready, generation);
        }
        store_release(&race->done[claimant->by], generation);
    }
}

static void *hold_often(void *race_)
{
    struct race *race = race_;
    while (!atomic_load(&race->over)) {
        if (!wait_hold(&race->wait)) {
            sched_yield();
            continue;
        }
        if (race->frame != wait_generation(&race->wait))
            CHECK_FAIL("the reader saw a frame of another wait");
        race->holds++;
        wait_unhold(&race->wait);
    }
    return NULL;
}

static void race_rounds(struct race *race, uint64_t rounds)
{
    uint64_t random = 99, went_on = 0;
    for (uint64_t n = 1; n <= rounds; n++) {
        wait_begin(&race->wait);
        race->frame = n;
        store_release(&race->armed, n);
        random = random * UINT64_C(6364136223846793005) + 1;
        for (volatile uint64_t pause = random >> 57; pause > 0; pause--) {}
        if (n % 64 == 0)
            sched_yield();
        if (wait_let_go(&race->wait)) {
            while (load_acquire(&race->ready) != n)
                sched_yield();
        } else {
            went_on++;
            CHECK(load_relaxed(&race->ready) != n);     /* goes on by itself, and is not made ready as well */
        }
        CHECK_UINT(race->result.generation, n);
        race->result.generation = 0;
        wait_resumed(&race->wait);
        if (n % 8 != 0)
            continue;                                   /* else late claims meet later waits */
        for (int i = 0; i < race->claimers; i++)
            while (load_acquire(&race->done[i]) != n)
                sched_yield();
    }
}

static void race_of(int claimers, bool with_reader)
{
    static struct race race;
    memset(&race, 0, sizeof race);
    race.claimers = claimers;
    struct claimant claimants[CLAIMERS_MAX];
    pthread_t threads[CLAIMERS_MAX], reader;
    uint64_t rounds = (uint64_t)scaled(20000), won = 0;
    CASE("%d claimers%s", claimers, with_reader ? " and a reader" : "");
    for (int i = 0; i < claimers; i++) {
        claimants[i] = (struct claimant){ &race, (enum claimer)i };
        CHECK_INT(pthread_create(&threads[i], NULL, claim_each, &claimants[i]), 0);
    }
    if (with_reader)
        CHECK_INT(pthread_create(&reader, NULL, hold_often, &race), 0);
    race_rounds(&race, rounds);
    atomic_store(&race.over, true);
    for (int i = 0; i < claimers; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        won += race.wins[i];
    }
    if (with_reader)
        CHECK_INT(pthread_join(reader, NULL), 0);
    CHECK_UINT(won, rounds);
}

TEST(wait, each_wait_has_one_winner_whose_result_is_seen_by_whoever_goes_on)
{
    race_of(1, false);
    race_of(2, false);
    race_of(4, false);
}

TEST(wait, reader_that_holds_a_wait_delays_its_end_and_never_loses_it)
{
    race_of(1, true);
    race_of(3, true);
}
