/*
 * producer_consumer.c - shows producers and consumers: over one channel, and over several with an alternative
 *
 * A channel of three holds the producers back when the consumers are slow. When all producers have ended it is closed; the consumers take what is left, and
 * end too.
 */
#include <coir.h>

enum { PRODUCERS = 3, EACH = 100, CONSUMERS = 2 };

struct producer { coir_channel *out; int64_t i; };

static coir_io *producer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct producer, my);
    for (; my->i < EACH; my->i++)
        COIR_AWAIT(coir_send(my->out, coir_int(my->i)));
    COIR_END;
}

static coir_io *produce(void *env, size_t index)
{
    (void)index;
    return coir_do(producer_step, COIR_ENV(struct producer, .out = env));
}

struct consumer { coir_channel *in; int64_t sum; };

static coir_io *consumer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct consumer, my);
    for (;;) {
        COIR_AWAIT(coir_next(my->in));
        if (coir_is_none(&self->result.value))
            break;
        my->sum += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static coir_io *consume(void *env, size_t index)
{
    (void)index;
    return coir_do(consumer_step, COIR_ENV(struct consumer, .in = env));
}

static coir_value sum_of(void *env, coir_value *values)
{
    int64_t sum = 0;
    (void)env;
    for (size_t i = 0; i < coir_list_size(values); i++)
        sum += coir_list_at(values, i)->i64;
    return coir_int(sum);
}

/* A channel for each producer. Whoever has something to say is heard. */
struct listener { coir_channel *from[PRODUCERS]; size_t which; int left; int64_t sum; };

static coir_io *listener_step(coir_routine *self)
{
    COIR_BEGIN(self, struct listener, my);
    for (my->left = PRODUCERS * EACH; my->left > 0; my->left--) {
        COIR_AWAIT(coir_select(&my->which, COIR_CASES(coir_on(coir_receive(my->from[0]), NULL, NULL), coir_on(coir_receive(my->from[1]), NULL, NULL),
                                                      coir_on(coir_receive(my->from[2]), NULL, NULL))));
        my->sum += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static void show(const char *title, coir_io *io)
{
    coir_result result = coir_run(io, NULL);
    printf("%s: ", title);
    coir_result_print(&result, stdout);
    printf("\n");
    coir_result_drop(&result);
}

int main(void)
{
    coir_channel *channel = coir_channel_new(3);
    coir_io *producers = coir_closing(channel, coir_par_traverse(0, PRODUCERS, produce, channel));
    coir_io *consumers = coir_map(coir_par_traverse(0, CONSUMERS, consume, channel), sum_of, NULL);
    show("one channel", coir_then(coir_fork(producers), consumers));
    coir_channel_drop(channel);

    struct listener listener = { .from = { coir_channel_new(0), coir_channel_new(0), coir_channel_new(0) } };
    coir_io *speakers[PRODUCERS];
    for (size_t i = 0; i < PRODUCERS; i++)
        speakers[i] = coir_fork(produce(listener.from[i], i));
    show("an alternative", coir_then(coir_sequence(PRODUCERS, speakers), coir_do(listener_step, &listener, sizeof listener)));
    for (size_t i = 0; i < PRODUCERS; i++)
        coir_channel_drop(listener.from[i]);
    return 0;
}
