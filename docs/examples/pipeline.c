/*
 * pipeline.c - shows a pipe: lines are parsed, worked on by several at once, and printed in the order in which they came
 *
 * What is no number is left out. The second pipe meets a line that is an error: that ends all of it, and what is on the way is dropped.
 */
#include <coir.h>
#include <stdlib.h>

/* Gives the next line, then none. */
struct lines { const char *const *next; };

static coir_io *next_line(void *env)
{
    struct lines *lines = env;
    return *lines->next == NULL ? coir_unit() : coir_pure(coir_stringf("%s", *lines->next++));
}

static coir_io *parse(void *env, coir_value *line)
{
    char *end;
    int64_t number = strtoll(coir_text(line), &end, 10);
    (void)env;
    if (end == coir_text(line))
        return coir_stage_skip();
    return number < 0 ? coir_failf(1, "negative: %s", coir_text(line)) : coir_pure(coir_int(number));
}

/* Slow, and the larger the number the slower: so the small ones have to wait for their turn. */
static coir_io *count_divisors(void *env, coir_value *number)
{
    int64_t n = number->i64, count = 0;
    (void)env;
    for (int64_t divisor = 1; divisor <= n; divisor++)
        count += n % divisor == 0;
    return coir_pure(coir_stringf("%lld has %lld divisors", (long long)n, (long long)count));
}

static coir_io *print(void *env, coir_value *text)
{
    (void)env;
    puts(coir_text(text));
    return coir_unit();
}

static coir_io *show_divisors(struct lines *lines)
{
    return coir_par_pipe(coir_suspend(next_line, lines), COIR_STAGES(coir_stage_ordered(1, parse, NULL),
                                                                    coir_stage_ordered(4, count_divisors, NULL),
                                                                    coir_stage_ordered(1, print, NULL)));
}

static coir_io *print_error(void *env, coir_value *error)
{
    (void)env;
    printf("the pipe ended: %s\n", coir_error_message(error));
    return coir_unit();
}

int main(void)
{
    static const char *const good[] = { "720720", "97", "# a comment", "4096", "1", "1000000", NULL };
    static const char *const bad[] = { "-5", "12", NULL };
    struct lines first = { good }, second = { bad };
    return coir_main(coir_then(show_divisors(&first), coir_catch(show_divisors(&second), print_error, NULL)), NULL);
}
