/*
 * channels.c - fibers of two runs and threads, that do at random whatever can be done with channels: nothing is lost, nothing is there twice, nobody hangs
 */
#include "fibers.h"

/* ------------------------------------------------------------------------------------------------------------ tokens */

/* What is sent can only be moved. It is dropped once, whoever has it last. */
struct token { atomic_int alive; };
static atomic_long tokens_alive;

static void token_drop(void *token_)
{
    struct token *token = token_;
    if (atomic_exchange(&token->alive, 0) != 1)
        CHECK_FAIL("a token is dropped twice");
    atomic_fetch_sub(&tokens_alive, 1);
    free(token);
}
static const coir_type token_type = { "token", token_drop, NULL, NULL };

static coir_value token(void)
{
    struct token *token = malloc(sizeof *token);
    if (token == NULL)
        abort();
    atomic_init(&token->alive, 1);
    atomic_fetch_add(&tokens_alive, 1);
    return coir_own(token, &token_type);
}

/* ------------------------------------------------------------------------------------------------------ what is done */

enum { CHANNELS = 4, FIBERS = 8, ACTS = 30, THREADS = 2 };
struct market { coir_channel *channels[CHANNELS]; coir_event *event; atomic_bool is_over; };
struct trader { struct market *market; uint64_t seed; int left; };

static unsigned below(uint64_t *seed, unsigned n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (unsigned)(*seed >> 11) % n;
}
static coir_channel *any_channel(struct trader *my) { return my->market->channels[below(&my->seed, CHANNELS)]; }

static coir_io *any_case(struct trader *my)
{
    switch (below(&my->seed, 8)) {
    case 0: case 1: case 2: return coir_send(any_channel(my), token());
    case 3: case 4:         return coir_receive(any_channel(my));
    case 5:                 return coir_next(any_channel(my));
    case 6:                 return coir_event_wait(my->market->event);
    default:                return coir_sleep(coir_us(below(&my->seed, 200)));
    }
}

static coir_io *any_alternative(struct trader *my);
static coir_io *one_more(void *my, coir_value *value) { (void)value; return any_alternative(my); }

static coir_io *any_alternative(struct trader *my)
{
    coir_case cases[5];
    size_t count = 1 + below(&my->seed, 5);
    for (size_t i = 0; i < count; i++)
        cases[i] = coir_on(any_case(my), below(&my->seed, 5) == 0 ? one_more : NULL, my);
    return below(&my->seed, 2) == 0 ? coir_alt(count, cases) : coir_alt_fair(count, cases);
}

/* The same alternative twice, side by side, or one of two. */
static coir_io *any_two(struct trader *my)
{
    coir_io *alt = coir_alt(COIR_CASES(coir_on(any_case(my), NULL, NULL), coir_on(any_case(my), NULL, NULL)));
    if (below(&my->seed, 2) == 0)
        return coir_race(COIR_IOS(alt, coir_receive(any_channel(my))));
    return coir_par_zip(COIR_IOS(coir_attempt(coir_io_ref(alt)), coir_attempt(alt)));
}

static coir_io *any_act(struct trader *my)
{
    switch (below(&my->seed, 8)) {
    case 0:  return coir_send(any_channel(my), token());
    case 1:  return coir_receive(any_channel(my));
    case 2:  return coir_try_send(any_channel(my), token());
    case 3:  return coir_try_receive(any_channel(my));
    case 4:  return coir_uncancelable(coir_timeout(any_alternative(my), coir_us(50)));
    case 5:  return any_two(my);
    default: return any_alternative(my);
    }
}

static coir_io *trader_step(coir_routine *self)
{
    COIR_BEGIN(self, struct trader, my);
    for (; my->left > 0; my->left--)
        COIR_TRY(coir_attempt(coir_timeout(any_act(my), coir_us(300))));
    COIR_END;
}

static coir_io *traders(struct market *market, uint64_t seed)
{
    coir_io *each[FIBERS];
    for (size_t i = 0; i < FIBERS; i++)
        each[i] = coir_do(trader_step, COIR_ENV(struct trader, .market = market, .seed = seed * 31 + i * 977 + 1, .left = ACTS));
    return coir_as(coir_par_zip(FIBERS, each), coir_none());
}

static void market_open(struct market *market, uint64_t seed, bool exposed)
{
    static const size_t capacities[] = { 0, 0, 1, 3, COIR_UNBOUNDED };
    market->event = coir_event_new();
    CHECK(!exposed || coir_event_expose(market->event));
    atomic_init(&market->is_over, false);
    for (size_t i = 0; i < CHANNELS; i++) {
        market->channels[i] = coir_channel_new(capacities[below(&seed, 5)]);
        CHECK(!exposed || coir_channel_expose(market->channels[i]));
    }
}

static void market_close(struct market *market)
{
    for (size_t i = 0; i < CHANNELS; i++)
        coir_channel_drop(market->channels[i]);
    coir_event_drop(market->event);
    CHECK_INT(atomic_load(&tokens_alive), 0);
}

/* -------------------------------------------------------------------------------------------------------------- tests */

TEST_WITH_TIMEOUT(stress_channels, nothing_is_lost_or_doubled_by_fibers_of_one_run, 600)
{
    FOR_WORKERS(workers, 1, 2, 4)
        for (int round = 0; round < scaled(1000); round++) {
            CASE("round %d", round);
            struct market market;
            market_open(&market, (uint64_t)round * 7919 + 1, false);
            coir_result result = coir_run(traders(&market, (uint64_t)round + 1), COIR_OPTIONS(.workers = workers, .budget = (uint32_t)round % 7 + 1));
            CHECK_TAG(result, COIR_OK);
            coir_result_drop(&result);
            market_close(&market);
        }
}

/* Waits as well: it is poison that ends that. */
static void *thread_trades(void *trader_)
{
    struct trader *my = trader_;
    while (!atomic_load(&my->market->is_over)) {
        coir_value value = coir_none();
        coir_result result = coir_ok(coir_none());
        switch (below(&my->seed, 4)) {
        case 0:  (void)coir_thread_try_send(any_channel(my), token()); break;
        case 1:  (void)coir_thread_try_receive(any_channel(my), &value); break;
        case 2:  result = coir_thread_send(any_channel(my), token()); break;
        default: result = coir_thread_receive(any_channel(my));
        }
        coir_drop(value);
        coir_result_drop(&result);
    }
    return NULL;
}

TEST_WITH_TIMEOUT(stress_channels, nothing_is_lost_or_doubled_between_two_runs_and_threads, 600)
{
    static const coir_options two = { .size = sizeof two, .workers = 2 };
    for (int round = 0; round < scaled(400); round++) {
        CASE("round %d", round);
        struct market market;
        struct other_run runs[2];
        struct trader threads[THREADS];
        pthread_t ids[THREADS];
        uint64_t seed = (uint64_t)round * 104729 + 1;
        market_open(&market, seed, true);
        for (size_t i = 0; i < THREADS; i++) {
            threads[i] = (struct trader){ .market = &market, .seed = seed * (7 + i) + 1 };
            CHECK_INT(pthread_create(&ids[i], NULL, thread_trades, &threads[i]), 0);
        }
        for (size_t i = 0; i < 2; i++)
            other_run_begin(&runs[i], &two, traders(&market, seed * (3 + i) + 1));
        for (size_t i = 0; i < 2; i++) {
            coir_result result = other_run_end(&runs[i]);
            CHECK_TAG(result, COIR_OK);
            coir_result_drop(&result);
            if (i == 0)
                coir_close(market.channels[below(&seed, CHANNELS)]);
        }
        atomic_store(&market.is_over, true);
        for (size_t i = 0; i < CHANNELS; i++)
            coir_poison(market.channels[i]);
        for (size_t i = 0; i < THREADS; i++)
            CHECK_INT(pthread_join(ids[i], NULL), 0);
        market_close(&market);
    }
}
