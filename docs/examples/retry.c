/*
 * retry.c - shows what is tried again: growing pauses, only where that may help, as the server wishes, for some time
 *
 * The program is simulated: its pauses take no time, and its jitter comes from a seed, so it prints the same whenever it is run.
 */
#include <coir.h>

enum { OK = 200, ACCEPTED = 202, NOT_FOUND = 404, SLOW_DOWN = 429, BUSY = 503 };

/* A server of which it is known what it will answer; the last answer for ever. Each takes 30 ms. */
static coir_io *answer(void *env, coir_value *now)
{
    const int **answers = env;
    int status = **answers;
    if ((*answers)[1] != 0)
        ++*answers;
    printf("%6lld ms: %d\n", (long long)(now->i64 / 1000000), status);
    return status < 300 ? coir_pure(coir_int(status)) : coir_failf(status, "status %d", status);
}

static coir_io *get(const int **answers) { return coir_then(coir_sleep(coir_ms(30)), coir_flat_map(coir_now(), answer, answers)); }

/* ---- What may pass by itself is worth another try. */
static bool may_pass(void *env, const coir_value *error)
{
    int status = coir_error_code(error);
    (void)env;
    return status == SLOW_DOWN || status == BUSY;
}

static coir_io *patiently(coir_io *request)
{
    return coir_retry(request, COIR_POLICY(.tries_max = 5, .delay = coir_ms(100), .factor = 2, .delay_max = coir_seconds(5),
                                           .jitter = 0.2, .only_if = may_pass));
}

static coir_io *for_a_second(coir_io *request)
{
    return coir_retry(request, COIR_POLICY(.delay = coir_ms(200), .give_up_after = coir_seconds(1)));
}

/* ---- The same, and never earlier than the server asked for, and with a line for each try that failed. */
static coir_duration asked_for(void *env, const coir_value *error)
{
    (void)env;
    return coir_error_code(error) == SLOW_DOWN ? coir_seconds(3) : coir_ms(0);
}

static bool log_try(void *env, const coir_round *round, coir_duration *pause)
{
    (void)pause;
    printf("           %s: try %d failed after %lld ms\n", (const char *)env, (int)round->tries, (long long)round->took.ns / 1000000);
    return true;
}

static coir_io *as_the_server_wishes(coir_io *request)
{
    coir_schedule *pauses = coir_schedule_full_jitter(coir_schedule_capped(coir_schedule_fibonacci(coir_ms(100)), coir_seconds(5)));
    coir_schedule *never_earlier = coir_schedule_and(pauses, coir_schedule_delay_from(asked_for, NULL));
    coir_schedule *five_tries = coir_schedule_and(never_earlier, coir_schedule_recurs(4));
    return coir_retry_by(request, coir_schedule_and(five_tries, coir_schedule_new(log_try, "page")));
}

/* ---- Asked again as long as the answer is that it is not done yet. */
static bool is_not_done(void *env, const coir_value *status)
{
    (void)env;
    return status->i64 == ACCEPTED;
}

static coir_io *until_done(coir_io *request)
{
    return coir_repeat_policy(request, COIR_POLICY(.delay = coir_ms(500), .only_if = is_not_done));
}

static void show(const char *title, coir_io *(*again)(coir_io *request), const int *answers)
{
    printf("%s\n", title);
    coir_result result = coir_sim_run(again(get(&answers)), COIR_SIM_OPTIONS(.seed = 4));
    if (result.tag == COIR_OK)
        printf("           it gave %lld\n", (long long)result.value.i64);
    else
        printf("           it failed: %s\n", coir_error_message(&result.value));
    coir_result_drop(&result);
}

int main(void)
{
    coir_io *shown = patiently(coir_unit());
    coir_io_print(shown, stdout, 0);
    coir_io_drop(shown);

    show("patiently:", patiently, (const int[]){ BUSY, BUSY, BUSY, OK, 0 });
    show("five tries are enough:", patiently, (const int[]){ BUSY, 0 });
    show("what will not pass is not tried again:", patiently, (const int[]){ BUSY, NOT_FOUND, 0 });
    show("for a second:", for_a_second, (const int[]){ BUSY, 0 });
    show("as the server wishes:", as_the_server_wishes, (const int[]){ BUSY, SLOW_DOWN, BUSY, OK, 0 });
    show("until it is done:", until_done, (const int[]){ ACCEPTED, ACCEPTED, OK, 0 });
    return 0;
}
