/*
 * polls.c - shows a poller that stays on time beside tasks that sleep and a task that computes, all on one worker
 *
 * The computing task is a loop of small steps without a yield and without an end of its own: only the poller can stop it. That
 * the program ends at all shows that fibers yield by themselves, after a budget of steps. With .budget = COIR_BUDGET_NONE the
 * poller would never have its turn.
 */
#include <coir.h>

enum { POLLS = 10, POLL_MS = 10, REQUESTS = 4 };

struct desk {                                                   /* one worker, so plain fields do */
    bool    searching, enough;
    int64_t candidate;
    int     polls, polls_while_searching, answers;
    int64_t late_ns_max;
};

/* CPU-bound: one step tries one number. */
static coir_result try_candidate(void *env)
{
    struct desk *desk = env;
    int64_t divisor = 2;
    desk->searching = true;
    desk->candidate++;
    while (divisor < 50 && desk->candidate % divisor != 0)
        divisor++;
    return coir_ok(coir_bool(desk->enough));
}

static bool not_yet(void *env, const coir_value *enough)
{
    (void)env;
    return !enough->flag;
}

static coir_result end_search(void *env)
{
    struct desk *desk = env;
    desk->searching = false;
    return coir_ok(coir_none());
}

static coir_io *search(struct desk *desk)
{
    return coir_then(coir_while(coir_defer(try_candidate, desk), not_yet, NULL), coir_defer(end_search, desk));
}

/* I/O-bound: it only waits. */
static coir_result answer(void *env)
{
    struct desk *desk = env;
    desk->answers++;
    return coir_ok(coir_none());
}

static coir_io *request(struct desk *desk, int64_t delay_ms)
{
    return coir_then(coir_sleep(coir_ms(delay_ms)), coir_defer(answer, desk));
}

struct poll { struct desk *desk; int64_t due_ns; };

static coir_io *poll_step(coir_routine *self)
{
    COIR_BEGIN(self, struct poll, my);
    for (; my->desk->polls < POLLS; my->desk->polls++) {
        COIR_AWAIT(coir_now());
        my->due_ns = self->result.value.i64 + coir_ms(POLL_MS).ns;
        COIR_AWAIT(coir_sleep(coir_ms(POLL_MS)));
        COIR_AWAIT(coir_now());
        if (self->result.value.i64 - my->due_ns > my->desk->late_ns_max)
            my->desk->late_ns_max = self->result.value.i64 - my->due_ns;
        my->desk->polls_while_searching += my->desk->searching;
    }
    my->desk->enough = true;
    COIR_END;
}

int main(void)
{
    struct desk desk = { 0 };
    coir_io *poller = coir_do(poll_step, COIR_ENV(struct poll, .desk = &desk));
    int status = coir_main(coir_parallel(COIR_IOS(
        search(&desk), poller, request(&desk, 0), request(&desk, 15), request(&desk, 30), request(&desk, 45))),
        COIR_OPTIONS(.workers = 1));

    printf("polls: %d, of them while the search went on: %d\n", desk.polls, desk.polls_while_searching);
    printf("requests answered: %d of %d\n", desk.answers, REQUESTS);
    printf("the search ended when it was told to: %s\n", desk.enough && !desk.searching ? "yes" : "no");
    fprintf(stderr, "%lld numbers tried; the latest poll was %lld us late\n", (long long)desk.candidate,
            (long long)desk.late_ns_max / 1000);
    return status;
}
