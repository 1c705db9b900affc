/*
 * pipeline_combinators.c - shows a pipeline that keeps its order: read lines, parse, work side by side, write in order
 *
 * What travels through the channel are the fibers that do the work: the writer joins them in the order in which the lines came, and the channel's capacity
 * bounds how many are ahead. A failure anywhere ends the scope: the reader stops, the workers are canceled, fibers still in the channel are dropped.
 */
#include "input_lines.h"

#include <errno.h>
#include <stdlib.h>

struct pipeline { struct input_lines *input; coir_channel *ahead; FILE *output; };

static coir_io *parse(const char *line)
{
    char *end;
    errno = 0;
    long n = strtol(line, &end, 10);
    if (end == line || *end != '\0' || errno != 0)
        return coir_failf(EINVAL, "not a number: %s", line);
    return coir_pure(coir_int(n));
}

static coir_io *count_divisors(void *env, coir_value *number)
{
    int64_t n = number->i64, count = 0;
    (void)env;
    for (int64_t d = 1; d <= n; d++)
        count += n % d == 0;
    return coir_pure(coir_stringf("%lld has %lld divisors\n", (long long)n, (long long)count));
}

static coir_io *hand_on(void *env, coir_value *fiber)
{
    struct pipeline *pipeline = env;
    return coir_send(pipeline->ahead, coir_take(fiber));
}

static coir_io *start_work(void *env, coir_value *line)
{
    coir_io *work = coir_flat_map(parse(coir_text(line)), count_divisors, NULL);
    return coir_flat_map(coir_fork(work), hand_on, env);
}

static void write_line(void *env, const coir_value *line)
{
    struct pipeline *pipeline = env;
    fputs(coir_text(line), pipeline->output);
}

static coir_io *write_result(void *env, coir_value *fiber)
{
    return coir_as(coir_tap(coir_join(coir_fiber_of(fiber)), write_line, env), coir_none());
}

int main(void)
{
    struct pipeline pipeline = { input_lines_new(stdin), coir_channel_new(16), stdout };
    coir_io *read = coir_closing(pipeline.ahead, coir_for_each(input_lines_read(pipeline.input), start_work, &pipeline));
    coir_io *write = coir_for_each(coir_next(pipeline.ahead), write_result, &pipeline);
    int status = coir_main(coir_scope(coir_both(read, write)), NULL);
    input_lines_drop(pipeline.input);
    coir_channel_drop(pipeline.ahead);
    return status;
}
