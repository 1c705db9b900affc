/*
 * channels.c - what it costs to hand a value to another fiber: by turns, round a ring, through a buffer, out of many channels; and to wait for one
 */
#include "bench.h"

#include <stdlib.h>

struct ends { coir_channel *in, *out; int64_t i, n, sum; };

/* -------------------------------------------------------------------------------------------------------------- pingpong */

static coir_io *ping_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct ends, my);
    for (; my->i < my->n; my->i++) {
        COIR_AWAIT(coir_send(my->out, coir_int(my->i)));
        COIR_AWAIT(coir_receive(my->in));
        my->sum += self->result.value.i64 == my->i;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static coir_io *pong_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct ends, my);
    for (; my->i < my->n; my->i++) {
        COIR_AWAIT(coir_receive(my->in));
        COIR_AWAIT(coir_send(my->out, coir_take(&self->result.value)));
    }
    COIR_END;
}

static void pingpong(struct bench *b)
{
    coir_channel *there = coir_channel_new(0), *back = coir_channel_new(0);
    coir_io *pong = coir_do(pong_routine, COIR_ENV(struct ends, .in = there, .out = back, .n = b->n));
    coir_io *ping = coir_do(ping_routine, COIR_ENV(struct ends, .in = back, .out = there, .n = b->n));
    bench_check(bench_run(b, coir_then(coir_fork(pong), ping)) == b->n, "every ball comes back as it was");
    coir_channel_drop(there);
    coir_channel_drop(back);
}

/* ------------------------------------------------------------------------------------------------------------- commstime */

enum { COMMUNICATIONS = 4 };                            /* in a loop */

static coir_io *consumer_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct ends, my);
    for (; my->i < my->n; my->i++) {
        COIR_AWAIT(coir_receive(my->in));
        my->sum += self->result.value.i64 == my->i;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static void commstime(struct bench *b)
{
    coir_channel *a = coir_channel_new(0), *c = coir_channel_new(0), *d = coir_channel_new(0), *e = coir_channel_new(0);
    int64_t loops = b->n / COMMUNICATIONS;
    coir_io *network = coir_csp_par(COIR_IOS(coir_csp_prefix(coir_int(0), c, a), coir_csp_delta(a, e, d), coir_csp_successor(e, c)));
    coir_io *consumer = coir_poisoning(d, coir_do(consumer_routine, COIR_ENV(struct ends, .in = d, .n = loops)));
    bench_check(bench_run(b, coir_then(coir_fork(network), consumer)) == loops, "the natural numbers come in order");
    coir_channel_drop(a);
    coir_channel_drop(c);
    coir_channel_drop(d);
    coir_channel_drop(e);
}

/* ------------------------------------------------------------------------------------------------------------ threadring */

enum { RING = 503 };

struct ring { coir_channel *channels[RING]; int64_t passes; };         /* passes: whoever has the token counts */
struct station { struct ring *ring; size_t index; int64_t left; };

/* Passes the token on, less one, until it has come to nothing; then lets the next one know, and ends. */
static coir_io *station_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct station, my);
    do {
        COIR_AWAIT(coir_receive(my->ring->channels[my->index]));
        my->left = self->result.value.i64;
        my->ring->passes += my->left > 0;
        COIR_AWAIT(coir_send(my->ring->channels[(my->index + 1) % RING], coir_int(my->left - 1)));
    } while (my->left > 0);
    COIR_END;
}

static coir_io *start_station(void *env, size_t index)
{
    return coir_fork(coir_do(station_routine, COIR_ENV(struct station, .ring = env, .index = index)));
}

static void threadring(struct bench *b)
{
    static struct ring ring;
    for (int i = 0; i < RING; i++)
        ring.channels[i] = coir_channel_new(1);
    coir_io *token = coir_send(ring.channels[0], coir_int(b->n));
    bench_run(b, coir_as(coir_then(coir_traverse(RING, start_station, &ring), token), coir_none()));
    bench_check(ring.passes == b->n, "the token was passed N times");
    for (int i = 0; i < RING; i++)
        coir_channel_drop(ring.channels[i]);
}

/* ----------------------------------------------------------------------------------------------------------------- sieve */

struct filter { coir_channel *in, *out; int64_t prime; };

static coir_io *filter_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct filter, my);
    for (;;) {
        COIR_AWAIT(coir_receive(my->in));
        if (self->result.value.i64 % my->prime != 0)
            COIR_AWAIT(coir_send(my->out, coir_take(&self->result.value)));
    }
    COIR_END;
}

struct numbers { coir_channel *out; int64_t next; };

static coir_io *numbers_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct numbers, my);
    for (my->next = 2; ; my->next++)
        COIR_AWAIT(coir_send(my->out, coir_int(my->next)));
    COIR_END;
}

struct sieve { coir_channel *in; int64_t i, n, prime; };

static coir_io *sieve_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct sieve, my);
    my->in = coir_channel_new(0);
    COIR_AWAIT(coir_fork(coir_csp_process(coir_do(numbers_routine, COIR_ENV(struct numbers, .out = my->in)), COIR_CHANNELS(my->in))));
    for (; my->i < my->n; my->i++) {
        COIR_AWAIT(coir_receive(my->in));
        my->prime = self->result.value.i64;
        coir_channel *in = my->in;
        my->in = coir_channel_new(0);
        coir_io *filter = coir_do(filter_routine, COIR_ENV(struct filter, .in = in, .out = my->in, .prime = my->prime));
        coir_io *process = coir_csp_process(filter, COIR_CHANNELS(in, my->in));
        coir_channel_drop(in);
        COIR_AWAIT(coir_fork(process));
    }
    COIR_RETURN(coir_int(my->prime));
    COIR_FINALLY;
    coir_poison(my->in);
    coir_channel_drop(my->in);
    COIR_END;
}

/* What must be the Nth prime. */
static int64_t prime_plainly(int64_t n)
{
    int64_t candidate = 1;
    while (n > 0) {
        bool is_prime = true;
        candidate++;
        for (int64_t d = 2; is_prime && d * d <= candidate; d++)
            is_prime = candidate % d != 0;
        n -= is_prime;
    }
    return candidate;
}

static void sieve(struct bench *b)
{
    int64_t prime = bench_run(b, coir_scope(coir_do(sieve_routine, COIR_ENV(struct sieve, .n = b->n))));
    bench_check(prime == prime_plainly(b->n), "it is the Nth prime");
}

/* ------------------------------------------------------------------------------------------------------------------ mpmc */

enum { SENDERS = 4, RECEIVERS = 4, BUFFER = 64 };

static coir_io *sender_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct ends, my);
    for (; my->i < my->n; my->i++)
        COIR_AWAIT(coir_send(my->out, coir_int(1)));
    COIR_END;
}

static coir_io *receiver_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct ends, my);
    for (;;) {
        COIR_AWAIT(coir_next(my->in));
        if (coir_is_none(&self->result.value))
            break;
        my->sum += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static void mpmc(struct bench *b)
{
    coir_channel *channel = coir_channel_new(BUFFER);
    coir_io *senders[SENDERS], *receivers[RECEIVERS];
    for (int i = 0; i < SENDERS; i++)
        senders[i] = coir_do(sender_routine, COIR_ENV(struct ends, .out = channel, .n = b->n / SENDERS));
    for (int i = 0; i < RECEIVERS; i++)
        receivers[i] = coir_do(receiver_routine, COIR_ENV(struct ends, .in = channel));
    coir_io *all = coir_fork(coir_closing(channel, coir_par_zip(SENDERS, senders)));
    bench_check(bench_run(b, coir_then(all, bench_sum(coir_parallel(RECEIVERS, receivers)))) == b->n / SENDERS * SENDERS, "every item arrives once");
    coir_channel_drop(channel);
}

/* ------------------------------------------------------------------------------------------------------------------- alt */

enum { CHANNELS = 10, WRITERS = 100 };

struct listener { coir_channel **from; coir_io *any; int64_t left, heard; };

static coir_io *receive_any(coir_channel **from)
{
    coir_case cases[CHANNELS];
    for (int i = 0; i < CHANNELS; i++)
        cases[i] = coir_on(coir_receive(from[i]), NULL, NULL);
    return coir_select(NULL, CHANNELS, cases);
}

static coir_io *listener_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct listener, my);
    for (my->any = receive_any(my->from); my->left > 0; my->left--) {
        COIR_AWAIT(coir_io_ref(my->any));
        my->heard += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->heard));
    COIR_FINALLY;
    coir_io_drop(my->any);
    COIR_END;
}

static coir_io *start_writer(void *env, size_t index)
{
    struct listener *listener = env;
    struct ends ends = { .out = listener->from[index % CHANNELS], .n = listener->left / (CHANNELS * WRITERS) };
    return coir_fork(coir_do(sender_routine, &ends, sizeof ends));
}

static void alt(struct bench *b)
{
    static coir_channel *channels[CHANNELS];
    struct listener listener = { .from = channels, .left = b->n };
    for (int i = 0; i < CHANNELS; i++)
        channels[i] = coir_channel_new(0);
    coir_io *writers = coir_traverse(CHANNELS * WRITERS, start_writer, &listener);
    bench_check(bench_run(b, coir_then(writers, coir_do(listener_routine, &listener, sizeof listener))) == b->n, "everybody is heard");
    for (int i = 0; i < CHANNELS; i++)
        coir_channel_drop(channels[i]);
}

/* ------------------------------------------------------------------------------------------------------------- processes */

struct network { coir_channel *check_in, *stop; int64_t forked, count, sum, kib_before; double *bytes; };

static coir_io *process(const struct network *network, int64_t number)
{
    return coir_then(coir_send(network->check_in, coir_int(number)), coir_next(network->stop));
}

/* When each has checked in all stand at the other channel, but for the last, which may still be on its way. */
static coir_io *network_routine(coir_routine *self)
{
    COIR_BEGIN(self, struct network, my);
    my->kib_before = bench_memory_kib("VmRSS");
    for (; my->forked < my->count; my->forked++) {
        COIR_AWAIT(coir_fork(process(my, my->forked)));
        COIR_AWAIT(coir_receive(my->check_in));
        my->sum += self->result.value.i64;
    }
    COIR_AWAIT(coir_sleep(coir_ms(20)));
    *my->bytes = (double)(bench_memory_kib("VmRSS") - my->kib_before) * 1024 / (double)my->count;
    coir_close(my->stop);
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static void processes(struct bench *b)
{
    double bytes = 0;
    struct network network = { .check_in = coir_channel_new(0), .stop = coir_channel_new(0), .count = b->n, .bytes = &bytes };
    bench_check(bench_run(b, coir_do(network_routine, &network, sizeof network)) == b->n * (b->n - 1) / 2, "each has checked in");
    bench_note(b, "bytes_per_process=%.0f", bytes);
    coir_channel_drop(network.check_in);
    coir_channel_drop(network.stop);
}

const struct workload bench_channels[] = {
    { .name = "pingpong", .run = pingpong, .n = 1000000, .quick_n = 500000, .budget = { 90, 135 }, .goal = { 40, 60 },
      .what = "two fibers, two channels without room, N round trips" },
    { .name = "commstime", .run = commstime, .n = 1000000, .quick_n = 500000, .share = COMMUNICATIONS, .budget = { 45, 68 }, .goal = { 22, 33 },
      .what = "prefix, delta, successor, consumer; N communications" },
    { .name = "threadring", .run = threadring, .n = 5000000, .quick_n = 1000000, .budget = { 40, 60 }, .goal = { 18, 27 },
      .what = "503 fibers in a ring, one token, N passes" },
    { .name = "sieve", .run = sieve, .n = 2000, .quick_n = 500, .what = "the sieve of primes by channels, until the Nth prime" },
    { .name = "mpmc", .run = mpmc, .n = 2000000, .quick_n = 1000000, .share = SENDERS, .budget = { 40, 60 }, .goal = { 18, 27 },
      .what = "4 senders, 4 receivers, one channel of 64, N items" },
    { .name = "alt", .run = alt, .n = 1000000, .quick_n = 300000, .share = CHANNELS * WRITERS, .budget = { 100, 150 }, .goal = { 50, 75 },
      .what = "one receiver selects from 10 channels with 100 senders each; N items" },
    { .name = "processes", .run = processes, .n = 12000000, .quick_n = 1000000, .figure = "bytes_per_process", .budget = { 200, 200 },
      .goal = { 96, 96 }, .what = "N processes check in over a channel, and wait at another until it is closed" },
    { .name = NULL }
};
