/*
 * routine.c - shows the sequential notation: an io written from top to bottom, with C's own loops and conditions
 *
 * COIR_AWAIT: a failure ends the routine. COIR_TRY: it goes on, and looks. COIR_FINALLY: on every way out. COIR_BECOME: go on as
 * something else, in constant memory. What must survive an await is a field of the frame.
 */
#include <coir.h>

#include <errno.h>

/* A shop that is often busy. */
struct shop { int busy; };

static coir_result ask_shop(void *env)
{
    struct shop *shop = env;
    if (shop->busy-- > 0)
        return coir_raisef(EAGAIN, "the shop is busy");
    return coir_ok(coir_stringf("a loaf of bread"));
}

/* Three tries, with growing pauses. */
struct buy { struct shop *shop; int tries; coir_value bag; };

static coir_io *buy_step(coir_routine *self)
{
    COIR_BEGIN(self, struct buy, my);
    my->bag = coir_stringf("paper bag");
    for (my->tries = 1; my->tries <= 3; my->tries++) {
        COIR_TRY(coir_defer(ask_shop, my->shop));
        if (self->result.tag == COIR_OK)
            COIR_RETURN(coir_stringf("%s in a %s", coir_text(&self->result.value), coir_text(&my->bag)));
        if (!coir_failed_with(&self->result, EAGAIN))
            COIR_RAISE(coir_take(&self->result.value));
        printf("try %d: %s\n", my->tries, coir_error_message(&self->result.value));
        COIR_AWAIT(coir_sleep(coir_ms(my->tries)));
    }
    COIR_RAISE(coir_errorf(ETIMEDOUT, "gave up after three tries"));
    COIR_FINALLY;
    printf("home again, %s\n", self->result.tag == COIR_OK ? "with bread" : "without bread");
    coir_drop(my->bag);
    COIR_END;
}

static coir_io *buy(struct shop *shop)
{
    return coir_do(buy_step, COIR_ENV(struct buy, .shop = shop));
}

/* A routine that becomes another, which becomes the first again: a million times, in the memory of one. */
struct rally { int64_t hits; };

static coir_io *pong_step(coir_routine *self);

static coir_io *ping_step(coir_routine *self)
{
    COIR_BEGIN(self, struct rally, my);
    if (my->hits == 1000000)
        COIR_RETURN(coir_stringf("a rally of %lld hits", (long long)my->hits));
    COIR_BECOME(coir_do(pong_step, COIR_ENV(struct rally, .hits = my->hits + 1)));
    COIR_END;
}

static coir_io *pong_step(coir_routine *self)
{
    COIR_BEGIN(self, struct rally, my);
    COIR_BECOME(coir_do(ping_step, COIR_ENV(struct rally, .hits = my->hits + 1)));
    COIR_END;
}

static void show(void *env, const coir_value *text)
{
    (void)env;
    puts(coir_text(text));
}

static coir_io *shrug(void *env, coir_value *error)
{
    (void)env;
    puts(coir_error_message(error));
    return coir_unit();
}

int main(void)
{
    struct shop quiet = { 2 }, crowded = { 99 };
    return coir_main(coir_sequence(COIR_IOS(
        coir_tap(buy(&quiet), show, NULL),
        coir_catch(buy(&crowded), shrug, NULL),
        coir_tap(coir_do(ping_step, COIR_ENV(struct rally, 0)), show, NULL))), NULL);
}
