/*
 * wait.c - shows the three ways to wait for fibers: coir_wait, coir_wait_any and coir_join
 *
 * wait gives every result, good or bad, and never fails itself; wait_any says which was first; join makes the fiber's result
 * one's own. Here a gate (a semaphore without permits) holds the first fiber back, so that who ends first is certain.
 */
#include <coir.h>

#include <errno.h>

struct program { coir_semaphore *gate; coir_value fibers; };

static void show_result(size_t index, const coir_result *result)
{
    if (result->tag == COIR_OK)
        printf("fiber %zu: %s\n", index, coir_text(&result->value));
    else
        printf("fiber %zu failed: %s\n", index, coir_error_message(&result->value));
}

static coir_io *program_step(coir_routine *self)
{
    COIR_BEGIN(self, struct program, my);
    COIR_AWAIT(coir_parallel(COIR_IOS(
        coir_as(coir_acquire(my->gate, 1), coir_stringf("I was held back at the gate")),
        coir_pure(coir_stringf("I had nothing to do")),
        coir_failf(ENOENT, "no such thing"))));
    my->fibers = coir_take(&self->result.value);

    COIR_AWAIT(coir_wait_any(&my->fibers));
    printf("fiber 0 was first: %s\n", self->result.value.i64 == 0 ? "yes" : "no");

    COIR_AWAIT(coir_release(my->gate, 1));
    COIR_AWAIT(coir_wait(&my->fibers));
    for (size_t i = 0; i < coir_list_size(&self->result.value); i++)
        show_result(i, coir_result_in(coir_list_at(&self->result.value, i)));

    COIR_TRY(coir_join(coir_fiber_of(coir_list_at(&my->fibers, 2))));           /* has ended long ago: as good as new */
    printf("joining the third: %s\n", coir_failed_with(&self->result, ENOENT) ? "its failure is mine" : "nothing");
    COIR_FINALLY;
    coir_drop(my->fibers);
    COIR_END;
}

int main(void)
{
    coir_semaphore *gate = coir_semaphore_new_bounded(0, 1);
    coir_io *program = coir_do(program_step, COIR_ENV(struct program, .gate = gate));
    int status = coir_main(program, NULL);
    coir_semaphore_drop(gate);
    return status;
}
