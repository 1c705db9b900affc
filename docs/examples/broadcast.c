/*
 * broadcast.c - shows a broadcast: a thermometer that several listen to, one of whom is late and one slow
 *
 * The alarm hears every reading. The late display begins with the last one that there was. The slow log cannot keep up: this broadcast keeps three readings for it, and
 * it is told how many it has lost; a broadcast of COIR_SLOW_WAIT would have held the thermometer back. Time is the simulator's, so it is always the same.
 */
#include <coir.h>

static const int readings[] = { 18, 19, 23, 31, 29, 24 };
enum { READINGS = sizeof readings / sizeof readings[0] };

static coir_io *measure(void *thermometer, size_t index)
{
    return coir_then(coir_sleep(coir_ms(10)), coir_publish(thermometer, coir_int(readings[index])));
}

/* The highest of all; it prints nothing before the end, so that the order of the lines is always the same. */
static coir_io *compare(void *highest, coir_value *reading)
{
    if (reading->i64 > *(int64_t *)highest)
        *(int64_t *)highest = reading->i64;
    return coir_unit();
}

static coir_io *watch_all(void *highest, const coir_value *held)
{
    return coir_for_each(coir_subscription_next(coir_subscription_of(held)), compare, highest);
}

static coir_io *read_once(void *env, const coir_value *held)
{
    (void)env;
    return coir_subscription_receive(coir_subscription_of(held));
}

/* Writes one line in the time of five readings. */
struct log { coir_subscription *in; };

static coir_io *log_step(coir_routine *self)
{
    COIR_BEGIN(self, struct log, my);
    COIR_AWAIT(coir_sleep(coir_ms(55)));
    COIR_TRY(coir_subscription_receive(my->in));
    if (self->result.tag == COIR_ERROR)
        COIR_AWAIT(coir_subscription_receive(my->in));          /* it goes on with what is left */
    COIR_RETURN(coir_stringf("lost %d, then %d", (int)coir_subscription_lost(my->in), (int)self->result.value.i64));
    COIR_END;
}

static coir_io *write_log(void *env, const coir_value *held)
{
    (void)env;
    return coir_do(log_step, COIR_ENV(struct log, .in = coir_subscription_of(held)));
}

static coir_io *print_both(void *highest, coir_value *values)
{
    printf("highest: %d\n", (int)*(int64_t *)highest);
    printf("late: %d\n", (int)coir_list_at(values, 1)->i64);
    printf("slow: %s\n", coir_text(coir_list_at(values, 2)));
    return coir_unit();
}

int main(void)
{
    int64_t highest = 0;
    coir_broadcast *thermometer = coir_broadcast_new(3, COIR_SLOW_FAIL, 1);
    coir_io *alarm = coir_use(coir_subscribed(thermometer), watch_all, &highest);
    coir_io *late = coir_then(coir_sleep(coir_ms(45)), coir_use(coir_subscribed(thermometer), read_once, NULL));
    coir_io *slow = coir_use(coir_subscribed(thermometer), write_log, NULL);
    coir_io *source = coir_broadcast_closing(thermometer, coir_as(coir_traverse(READINGS, measure, thermometer), coir_none()));
    coir_io *all = coir_par_zip(COIR_IOS(alarm, late, slow, source));
    coir_result result = coir_sim_run(coir_flat_map(all, print_both, &highest), COIR_SIM_OPTIONS(.seed = 1));
    coir_result_drop(&result);
    coir_broadcast_drop(thermometer);
    return 0;
}
