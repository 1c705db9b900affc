/*
 * sieve.c - shows a network that grows: the primes, each with a process that holds its multiples back
 *
 * Every filter hands on what its prime does not divide. What comes out of the last one is the next prime, which gets a filter of its own. The scope ends them
 * all when enough primes were seen. Doug McIlroy's sieve, by way of CSP and Go.
 */
#include <coir.h>

enum { PRIMES = 15 };

struct numbers { coir_channel *out; int64_t next; };

static coir_io *numbers_step(coir_routine *self)
{
    COIR_BEGIN(self, struct numbers, my);
    for (;; my->next++)
        COIR_AWAIT(coir_send(my->out, coir_int(my->next)));
    COIR_END;
}

struct filter { coir_channel *in, *out; int64_t prime; };

static coir_io *filter_step(coir_routine *self)
{
    COIR_BEGIN(self, struct filter, my);
    for (;;) {
        COIR_AWAIT(coir_receive(my->in));
        if (self->result.value.i64 % my->prime != 0)
            COIR_AWAIT(coir_send(my->out, coir_take(&self->result.value)));
    }
    COIR_END;
}

struct sieve { coir_channel *in; int count; };

static coir_io *sieve_step(coir_routine *self)
{
    COIR_BEGIN(self, struct sieve, my);
    my->in = coir_channel_new(0);
    COIR_AWAIT(coir_fork(coir_csp_process(coir_do(numbers_step, COIR_ENV(struct numbers, .out = my->in, .next = 2)), COIR_CHANNELS(my->in))));
    for (; my->count < PRIMES; my->count++) {
        COIR_AWAIT(coir_receive(my->in));
        int64_t prime = self->result.value.i64;
        coir_channel *in = my->in;
        printf("%lld%s", (long long)prime, my->count + 1 < PRIMES ? " " : "\n");
        my->in = coir_channel_new(0);
        coir_io *filter = coir_csp_process(coir_do(filter_step, COIR_ENV(struct filter, .in = in, .out = my->in, .prime = prime)), COIR_CHANNELS(in, my->in));
        coir_channel_drop(in);
        COIR_AWAIT(coir_fork(filter));
    }
    COIR_FINALLY;
    coir_poison(my->in);                                /* goes up through all filters to the numbers */
    coir_channel_drop(my->in);
    COIR_END;
}

int main(void)
{
    return coir_main(coir_scope(coir_do(sieve_step, COIR_ENV(struct sieve, 0))), NULL);
}
