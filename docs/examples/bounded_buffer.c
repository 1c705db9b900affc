/*
 * bounded_buffer.c - shows conditions: producers and consumers around a buffer of four places, which one lock protects
 *
 * Who finds the buffer full waits until something has been taken out, who finds it empty until something has been put in. Waiting gives the lock up, and has it again
 * afterwards; another may have come between, so what was waited for is looked at again. (A channel does all this by itself: producer_consumer.c.)
 */
#include <coir.h>

enum { PLACES = 4, PRODUCERS = 3, EACH = 100, CONSUMERS = 2, LAST = -1 };

struct buffer {
    coir_lock      *lock;
    coir_condition *put_in, *taken_out;
    int64_t         items[PLACES];
    size_t          first, count, count_max;
};

struct put { struct buffer *buffer; int64_t item; };

static coir_io *put_step(coir_routine *self)
{
    COIR_BEGIN(self, struct put, my);
    while (my->buffer->count == PLACES)
        COIR_AWAIT(coir_condition_wait(my->buffer->taken_out));
    my->buffer->items[(my->buffer->first + my->buffer->count++) % PLACES] = my->item;
    if (my->buffer->count > my->buffer->count_max)
        my->buffer->count_max = my->buffer->count;
    COIR_AWAIT(coir_condition_notify(my->buffer->put_in));
    COIR_END;
}

static coir_io *put(struct buffer *buffer, int64_t item)
{
    return coir_with_lock(buffer->lock, coir_do(put_step, COIR_ENV(struct put, .buffer = buffer, .item = item)));
}

struct take { struct buffer *buffer; int64_t item; };

static coir_io *take_step(coir_routine *self)
{
    COIR_BEGIN(self, struct take, my);
    while (my->buffer->count == 0)
        COIR_AWAIT(coir_condition_wait(my->buffer->put_in));
    my->item = my->buffer->items[my->buffer->first];
    my->buffer->first = (my->buffer->first + 1) % PLACES;
    my->buffer->count--;
    COIR_AWAIT(coir_condition_notify(my->buffer->taken_out));
    COIR_RETURN(coir_int(my->item));
    COIR_END;
}

static coir_io *take(struct buffer *buffer)
{
    return coir_with_lock(buffer->lock, coir_do(take_step, COIR_ENV(struct take, .buffer = buffer)));
}

/* ---------------------------------------------------------------------------------------------- those who work with it */

struct producer { struct buffer *buffer; int64_t i; };

static coir_io *producer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct producer, my);
    for (; my->i < EACH; my->i++)
        COIR_AWAIT(put(my->buffer, my->i));
    COIR_END;
}

static coir_io *produce(void *buffer, size_t index)
{
    (void)index;
    return coir_do(producer_step, COIR_ENV(struct producer, .buffer = buffer));
}

struct consumer { struct buffer *buffer; int64_t sum; };

static coir_io *consumer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct consumer, my);
    for (;;) {
        COIR_AWAIT(take(my->buffer));
        if (self->result.value.i64 == LAST)
            break;
        my->sum += self->result.value.i64;
    }
    COIR_RETURN(coir_int(my->sum));
    COIR_END;
}

static coir_io *consume(void *buffer, size_t index)
{
    (void)index;
    return coir_do(consumer_step, COIR_ENV(struct consumer, .buffer = buffer));
}

static coir_io *show_sum(void *env, coir_value *sums)
{
    int64_t sum = 0;
    (void)env;
    for (size_t i = 0; i < coir_list_size(sums); i++)
        sum += coir_list_at(sums, i)->i64;
    printf("the consumers have taken %lld\n", (long long)sum);
    return coir_unit();
}

static coir_io *tell_one(void *buffer, size_t index)
{
    (void)index;
    return put(buffer, LAST);
}

int main(void)
{
    struct buffer buffer = { .lock = coir_lock_new() };
    buffer.put_in = coir_condition_new(buffer.lock);
    buffer.taken_out = coir_condition_new(buffer.lock);
    coir_io *producers = coir_then(coir_par_traverse(0, PRODUCERS, produce, &buffer), coir_traverse(CONSUMERS, tell_one, &buffer));
    coir_io *consumers = coir_flat_map(coir_par_traverse(0, CONSUMERS, consume, &buffer), show_sum, NULL);
    int status = coir_main(coir_both(producers, consumers), NULL);
    printf("never more than %d at once: %s; left inside: %zu\n", PLACES, buffer.count_max <= PLACES ? "yes" : "no", buffer.count);
    coir_condition_drop(buffer.put_in);
    coir_condition_drop(buffer.taken_out);
    coir_lock_drop(buffer.lock);
    return status;
}
