/*
 * stuck.c - shows how to find out who is stuck when no verdict comes: named fibers, a line about each, failures that nobody waits for
 *
 * Ann keeps a lock while she waits for foreign code that has lost her letter; Bob wants the lock. That is no deadlock: the callback may
 * still come, so coir says nothing. The main fiber looks after 20 ms. Then it gives the letter up, and both go on.
 */
#include <coir.h>

struct post { coir_callback letter; };

static void lose_letter(void *env, void *op, coir_callback k)   /* the foreign code: notes the callback, and never calls it */
{
    struct post *post = env;
    (void)op;
    post->letter = k;
}

static coir_result give_letter_up(void *env)
{
    struct post *post = env;
    coir_callback_drop(post->letter);                           /* who waits for it panics, code COIR_ABANDONED */
    return coir_ok(coir_none());
}

struct program { struct post *post; coir_lock *lock; coir_value fibers; };

static coir_io *program_step(coir_routine *self)
{
    static const coir_async_type letter = { .start = lose_letter };
    COIR_BEGIN(self, struct program, my);
    COIR_AWAIT(coir_parallel(COIR_IOS(
        coir_named(coir_with_lock(my->lock, coir_async(&letter, my->post)), "ann"),
        coir_named(coir_with_lock(my->lock, coir_unit()), "bob"),
        coir_named(coir_unit(), "eve"))));
    my->fibers = coir_take(&self->result.value);

    COIR_AWAIT(coir_sleep(coir_ms(20)));
    for (size_t i = 0; i < coir_list_size(&my->fibers); i++)
        coir_fiber_dump(coir_fiber_of(coir_list_at(&my->fibers, i)), stdout);

    COIR_AWAIT(coir_defer(give_letter_up, my->post));
    COIR_FINALLY;
    coir_drop(my->fibers);                                      /* nobody waits for them, so nobody would see a failure ... */
    COIR_END;
}

static void tell(void *env, uint64_t fiber_id, const coir_result *failure)
{
    (void)env;
    printf("fiber %llu failed: %s\n", (unsigned long long)fiber_id, coir_error_message(&failure->value));
}

int main(void)
{
    struct post post = { 0 };
    coir_lock *lock = coir_lock_new();
    coir_io *program = coir_do(program_step, COIR_ENV(struct program, .post = &post, .lock = lock));
    int status = coir_main(program, COIR_OPTIONS(.workers = 1, .on_unseen_failure = tell));     /* ... but for this */
    coir_lock_drop(lock);
    return status;
}
