/*
 * deadlock.c - shows that a deadlock is found out: two fibers take two locks in opposite order
 *
 * Each holds one lock and waits for the other's: a ring, and it takes neither a time-out nor a debugger to see it. Both waits end
 * as a panic; the locks are released on the way out, and the run goes on. The panic says who waits for whom (on stderr here):
 *
 *     deadlock: fiber 3 'bob' waits for lock 1 that fiber 2 'ann' holds; fiber 2 'ann' waits for lock 2 that fiber 3 'bob' holds
 */
#include <coir.h>

/* Takes the first, gives the other fiber time to take the second, wants the second too. One worker makes that certain. */
static coir_io *take_both(coir_lock *first, coir_lock *second)
{
    return coir_with_lock(first, coir_then(coir_yield(), coir_with_lock(second, coir_unit())));
}

struct program { coir_lock *left, *right; };

static coir_io *program_step(coir_routine *self)
{
    COIR_BEGIN(self, struct program, my);
    COIR_AWAIT(coir_parallel(COIR_IOS(
        coir_named(take_both(my->left, my->right), "ann"),
        coir_named(take_both(my->right, my->left), "bob"))));
    COIR_AWAIT(coir_wait(&self->result.value));
    for (size_t i = 0; i < coir_list_size(&self->result.value); i++) {
        const coir_result *result = coir_result_in(coir_list_at(&self->result.value, i));
        bool deadlocked = result->tag == COIR_PANIC && coir_error_code(&result->value) == COIR_DEADLOCK;
        printf("%s: %s\n", i == 0 ? "ann" : "bob", deadlocked ? "deadlock" : "no deadlock");
        fprintf(stderr, "%s\n", coir_error_message(&result->value));
    }

    COIR_AWAIT(take_both(my->left, my->right));                 /* they were released */
    puts("the locks are free, and the program goes on");
    COIR_END;
}

int main(void)
{
    coir_lock *left = coir_lock_new(), *right = coir_lock_new();
    coir_io *program = coir_do(program_step, COIR_ENV(struct program, .left = left, .right = right));
    int status = coir_main(program, COIR_OPTIONS(.workers = 1));
    coir_lock_drop(right);
    coir_lock_drop(left);
    return status;
}
