/*
 * pipeline_sequential.c - the pipeline of pipeline_combinators.c in sequential notation
 *
 * Here a bad line does not end everything: it is written as such, in its place. Hence coir_supervise, where a child's failure concerns its joiner only, instead
 * of coir_scope, where it cancels the others.
 */
#include "input_lines.h"

#include <errno.h>
#include <stdlib.h>

struct work { const char *line; };                              /* lent by work() until this routine has ended */

static coir_io *work_step(coir_routine *self)
{
    COIR_BEGIN(self, struct work, my);
    char *end;
    errno = 0;
    int64_t n = strtol(my->line, &end, 10), count = 0;
    if (end == my->line || *end != '\0' || errno != 0)
        COIR_RAISE(coir_errorf(EINVAL, "not a number: %s", my->line));
    for (int64_t d = 1; d <= n; d++)
        count += n % d == 0;
    COIR_RETURN(coir_stringf("%lld has %lld divisors", (long long)n, (long long)count));
    COIR_END;
}

static coir_io *work(void *env, coir_value *line)
{
    (void)env;
    return coir_do(work_step, COIR_ENV(struct work, .line = coir_text(line)));
}

struct produce { coir_channel *ahead; struct input_lines *input; };

static coir_io *produce_step(coir_routine *self)
{
    COIR_BEGIN(self, struct produce, my);
    for (;;) {
        COIR_AWAIT(input_lines_read(my->input));
        if (coir_is_none(&self->result.value))
            break;
        COIR_AWAIT(coir_fork(coir_call(coir_take(&self->result.value), work, NULL)));
        COIR_AWAIT(coir_send(my->ahead, coir_take(&self->result.value)));
    }
    COIR_FINALLY;
    coir_close(my->ahead);                                      /* the writer drains it, then ends */
    COIR_END;
}

struct write { coir_channel *ahead; coir_value fiber; };

static coir_io *write_step(coir_routine *self)
{
    COIR_BEGIN(self, struct write, my);
    for (;;) {
        COIR_AWAIT(coir_next(my->ahead));
        if (coir_is_none(&self->result.value))
            break;
        coir_put(&my->fiber, coir_take(&self->result.value));
        COIR_TRY(coir_join(coir_fiber_of(&my->fiber)));
        if (self->result.tag == COIR_OK)
            puts(coir_text(&self->result.value));
        else
            puts(coir_error_message(&self->result.value));
    }
    COIR_FINALLY;
    coir_drop(my->fiber);
    COIR_END;
}

int main(void)
{
    struct input_lines *input = input_lines_new(stdin);
    coir_channel *ahead = coir_channel_new(16);
    coir_io *produce = coir_do(produce_step, COIR_ENV(struct produce, .ahead = ahead, .input = input));
    coir_io *write = coir_do(write_step, COIR_ENV(struct write, .ahead = ahead));
    int status = coir_main(coir_supervise(coir_both(produce, write)), NULL);
    input_lines_drop(input);
    coir_channel_drop(ahead);
    return status;
}
