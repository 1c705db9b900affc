/*
 * csp.c - tests of CSP's processes: what each hands on, and that poison ends a network well
 */
#include "seeds.h"

#include <coir/csp.h>

/* feed: sends 1 to n, then poisons the channel. drain: notes what comes until the channel is poisoned. */
struct feed { coir_channel *out; int64_t next, last; };
static coir_io *feed_step(coir_routine *self)
{
    COIR_BEGIN(self, struct feed, my);
    for (my->next = 1; my->next <= my->last; my->next++)
        COIR_AWAIT(coir_send(my->out, coir_int(my->next)));
    COIR_END;
}
static coir_io *feed(coir_channel *out, int64_t n)
{
    return coir_csp_process(coir_do(feed_step, COIR_ENV(struct feed, .out = out, .last = n)), COIR_CHANNELS(out));
}

struct drain { coir_channel *in; const char *name; };
static coir_io *drain_step(coir_routine *self)
{
    COIR_BEGIN(self, struct drain, my);
    for (;;) {
        COIR_AWAIT(coir_receive(my->in));
        note("%s%lld", my->name, (long long)self->result.value.i64);
    }
    COIR_END;
}
static coir_io *drain(coir_channel *in, const char *name)
{
    return coir_csp_process(coir_do(drain_step, COIR_ENV(struct drain, .in = in, .name = name)), COIR_CHANNELS(in));
}

/* A network of up to four channels, whose handles it alone keeps. */
static coir_io *let_go(coir_io *network, size_t count, coir_channel *const *channels)
{
    for (size_t i = 0; i < count; i++)
        coir_channel_drop(channels[i]);
    return network;
}

static coir_io *line(coir_io *make(coir_channel *in, coir_channel *out))
{
    coir_channel *in = coir_channel_new(0), *out = coir_channel_new(0);
    return let_go(coir_csp_par(COIR_IOS(feed(in, 3), make(in, out), drain(out, ""))), COIR_CHANNELS(in, out));
}

static coir_io *prefixed(coir_channel *in, coir_channel *out) { return coir_csp_prefix(coir_int(7), in, out); }

TEST(csp, identity_hands_on)                         { CHECK_EVERYWHERE(line(coir_csp_identity), "OK 0", "1 2 3"); }
TEST(csp, successor_hands_on_one_more)               { CHECK_EVERYWHERE(line(coir_csp_successor), "OK 0", "2 3 4"); }
TEST(csp, prefix_sends_its_value_first)              { CHECK_EVERYWHERE(line(prefixed), "OK 0", "7 1 2 3"); }

/* Notes six of what comes, and ends. */
struct six { coir_channel *in; int left; };
static coir_io *six_step(coir_routine *self)
{
    COIR_BEGIN(self, struct six, my);
    for (my->left = 6; my->left > 0; my->left--) {
        COIR_AWAIT(coir_receive(my->in));
        note("%lld", (long long)self->result.value.i64);
    }
    COIR_END;
}
static coir_io *six(coir_channel *in) { return coir_csp_process(coir_do(six_step, COIR_ENV(struct six, .in = in)), COIR_CHANNELS(in)); }

/* What goes both ways and comes together again: each number twice, before the next one. The feed would go on: poison ends it. */
static coir_io *both_ways(coir_io *make(coir_channel *in, coir_channel *first, coir_channel *second))
{
    coir_channel *in = coir_channel_new(0), *a = coir_channel_new(0), *b = coir_channel_new(0), *out = coir_channel_new(0);
    return let_go(coir_csp_par(COIR_IOS(feed(in, 1000), make(in, a, b), coir_csp_mux(a, b, out), six(out))), COIR_CHANNELS(in, a, b, out));
}

TEST(csp, delta_and_par_delta_hand_each_on_to_both_and_mux_brings_it_together)
{
    CHECK_EVERYWHERE(both_ways(coir_csp_delta), "OK 0", "1 1 2 2 3 3");
    CHECK_EVERYWHERE(both_ways(coir_csp_par_delta), "OK 0", "1 1 2 2 3 3");
}

static coir_io *going_round(void)
{
    coir_channel *a = coir_channel_new(0), *b = coir_channel_new(0), *c = coir_channel_new(0), *d = coir_channel_new(0);
    coir_io *network = coir_csp_par(COIR_IOS(coir_csp_prefix(coir_int(0), c, a), coir_csp_delta(a, b, d), coir_csp_successor(b, c), six(d)));
    return let_go(network, COIR_CHANNELS(a, b, c, d));
}

TEST(csp, ring_of_processes_ends_when_its_consumer_has_enough) { CHECK_EVERYWHERE(going_round(), "OK 0", "0 1 2 3 4 5"); }

static coir_io *skipped(void)
{
    coir_channel *in = coir_channel_new(0);
    return let_go(coir_csp_par(COIR_IOS(feed(in, 100), coir_csp_skip(in))), COIR_CHANNELS(in));
}

TEST(csp, skip_takes_all_and_gives_nothing) { CHECK_EVERYWHERE(skipped(), "OK 0", ""); }

static coir_io *texts(void)
{
    coir_channel *in = coir_channel_new(1), *out = coir_channel_new(1);
    coir_io *io = coir_csp_par(COIR_IOS(coir_then(coir_send(in, coir_stringf("a")), coir_never()), coir_csp_successor(in, out)));
    return let_go(io, COIR_CHANNELS(in, out));
}

TEST(csp, successor_of_a_text_is_an_error_that_cancels_the_others) { CHECK_EVERYWHERE(texts(), "ERROR EINVAL", ""); }

static coir_io *greatest(void)
{
    coir_channel *in = coir_channel_new(1), *out = coir_channel_new(1);
    coir_io *io = coir_csp_par(COIR_IOS(coir_then(coir_send(in, coir_int(INT64_MAX)), coir_never()), coir_csp_successor(in, out)));
    return let_go(io, COIR_CHANNELS(in, out));
}

TEST(csp, successor_of_the_greatest_integer_is_an_error) { CHECK_EVERYWHERE(greatest(), "ERROR EINVAL", ""); }

static coir_io *failing_process(void)
{
    coir_channel *in = coir_channel_new(0);
    coir_io *io = coir_csp_par(COIR_IOS(coir_csp_process(ending(COIR_ERROR, 5), COIR_CHANNELS(in)), coir_csp_skip(in)));
    return let_go(io, COIR_CHANNELS(in));
}

TEST(csp, failure_of_a_process_is_that_of_the_whole) { CHECK_EVERYWHERE(failing_process(), "ERROR 5", ""); }

static coir_io *ends_with_number(void)
{
    coir_channel *c = coir_channel_new(0);
    return let_go(coir_csp_process(ending(COIR_ERROR, COIR_POISONED), COIR_CHANNELS(c)), COIR_CHANNELS(c));
}
TEST(csp, error_of_the_programs_own_with_the_number_of_a_poison_is_no_poison) { CHECK_EVERYWHERE(ends_with_number(), "ERROR -1003", ""); }

TEST(csp, process_keeps_its_channels_and_poisons_them_whenever_it_ends)
{
    coir_channel *channel = coir_channel_new(1);
    coir_io *process = coir_csp_process(coir_unit(), COIR_CHANNELS(channel));
    CHECK_STR(outcome(1, coir_io_ref(process)), "OK 0");
    CHECK_STR(outcome(1, coir_attempt(coir_send(channel, thing(1)))), "OK <ERROR POISONED>");
    CHECK_STR(notes(), "-1");
    coir_channel_drop(channel);
    CHECK_STR(outcome(1, process), "OK 0");
}

/* ------------------------------------------------------------------------------------------------------------- many */

/* Each checks in over one channel, and waits at another until it is poisoned. The bench has twelve million of them. */
struct crowd { coir_channel *check_in, *stop; int64_t count, forked, sum; };

static coir_io *member(const struct crowd *crowd, int64_t number)
{
    return coir_csp_process(coir_then(coir_send(crowd->check_in, coir_int(number)), coir_receive(crowd->stop)), 0, NULL);
}

static coir_io *crowd_step(coir_routine *self)
{
    COIR_BEGIN(self, struct crowd, my);
    for (; my->forked < my->count; my->forked++)
        COIR_AWAIT(coir_fork(member(my, my->forked)));
    for (; my->forked > 0; my->forked--) {
        COIR_AWAIT(coir_receive(my->check_in));
        my->sum += self->result.value.i64;
    }
    coir_poison(my->stop);
    COIR_RETURN(coir_bool(my->sum == my->count * (my->count - 1) / 2));
    COIR_END;
}

TEST(csp, each_of_a_hundred_thousand_processes_checks_in_and_ends_well_by_poison)
{
    FOR_WORKERS(workers, 1, 2, 4) {
        struct crowd crowd = { .check_in = coir_channel_new(0), .stop = coir_channel_new(0), .count = scaled(sized(100000, 300)) };
        CHECK_STR(outcome(workers, coir_scope(coir_do(crowd_step, &crowd, sizeof crowd))), "OK 1");
        coir_channel_drop(crowd.check_in);
        coir_channel_drop(crowd.stop);
    }
}

TEST(csp, what_is_no_process_is_refused)
{
    coir_channel *channel = coir_channel_new(0), *many[9];
    for (int i = 0; i < 9; i++)
        many[i] = channel;
    CHECK_PTR(coir_csp_identity(NULL, channel), NULL);
    CHECK_PTR(coir_csp_identity(channel, NULL), NULL);
    CHECK_PTR(coir_csp_prefix(thing(1), NULL, channel), NULL);
    CHECK_STR(notes(), "-1");
    CHECK_PTR(coir_csp_successor(channel, NULL), NULL);
    CHECK_PTR(coir_csp_delta(channel, channel, NULL), NULL);
    CHECK_PTR(coir_csp_par_delta(NULL, channel, channel), NULL);
    CHECK_PTR(coir_csp_mux(channel, NULL, channel), NULL);
    CHECK_PTR(coir_csp_skip(NULL), NULL);
    CHECK_PTR(coir_csp_process(NULL, COIR_CHANNELS(channel)), NULL);
    CHECK_PTR(coir_csp_process(coir_unit(), COIR_CHANNELS(channel, NULL)), NULL);
    CHECK_STR(outcome(1, coir_csp_process(coir_unit(), 9, many)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_csp_process(coir_unit(), 1, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_csp_process(coir_unit(), 0, NULL)), "OK 0");
    CHECK_STR(outcome(1, coir_csp_par(1, NULL)), "PANIC EINVAL");
    CHECK_STR(outcome(1, coir_csp_par(0, NULL)), "OK 0");
    coir_channel_drop(channel);
}
