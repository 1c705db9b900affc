/*
 * commstime.c - shows CSP: four processes plugged together by channels, and poison that ends them
 *
 *            +--------+        +-------+
 *      +---->| prefix |--- a ->| delta |--- d ---> consumer
 *      |     +--------+        +-------+
 *      |                           |
 *      c     +-----------+         b
 *      +-----| successor |<--------+
 *            +-----------+
 *
 * The natural numbers go round, and each passes the consumer once. Peter Welch's benchmark, which measures what a communication costs.
 */
#include <coir.h>

enum { NUMBERS = 10 };

struct consumer { coir_channel *in; int64_t sum; int count; };

static coir_io *consumer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct consumer, my);
    for (; my->count < NUMBERS; my->count++) {
        COIR_AWAIT(coir_receive(my->in));
        printf("%lld\n", (long long)self->result.value.i64);
        my->sum += self->result.value.i64;
    }
    printf("sum: %lld\n", (long long)my->sum);
    COIR_END;                                           /* the process around it poisons its channel, and so all the others end */
}

int main(void)
{
    coir_channel *a = coir_channel_new(0), *b = coir_channel_new(0), *c = coir_channel_new(0), *d = coir_channel_new(0);
    coir_io *consumer = coir_csp_process(coir_do(consumer_step, COIR_ENV(struct consumer, .in = d)), COIR_CHANNELS(d));
    coir_io *network = coir_csp_par(COIR_IOS(coir_csp_prefix(coir_int(0), c, a), coir_csp_delta(a, b, d), coir_csp_successor(b, c), consumer));
    coir_channel_drop(a);
    coir_channel_drop(b);
    coir_channel_drop(c);
    coir_channel_drop(d);
    return coir_main(network, NULL);
}
