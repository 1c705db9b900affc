/*
 * service.c - shows a service that shuts down in order: no new work, time for what is under way, then it is called off
 *
 * Requests come every 10 ms, each a child of coir_supervise_drain(). After 45 ms the service is told to stop. Its requests have 30 ms more; the
 * one that takes longer is canceled, and its finalizer runs. Then, and not before, the log is closed. Simulated, so that it takes no time and
 * prints the same each time; with coir_main() it would run as it stands.
 */
#include <coir.h>

struct request { int number; };

static coir_result say(void *text) { puts(text); return coir_ok(coir_none()); }
static coir_io *saying(const char *text) { return coir_defer(say, (void *)(uintptr_t)text); }

static coir_result say_number(void *request, const char *what)
{
    printf("request %d %s\n", ((const struct request *)request)->number, what);
    return coir_ok(coir_none());
}
static coir_result begun(void *request)    { return say_number(request, "begins"); }
static coir_result done(void *request)     { return say_number(request, "is done"); }
static coir_result canceled(void *request) { return say_number(request, "is called off"); }

/* The fourth one takes long. */
static coir_io *serve(struct request request)
{
    coir_duration work = request.number == 4 ? coir_seconds(10) : coir_ms(25);
    coir_io *served = coir_sequence(COIR_IOS(coir_defer_copy(begun, &request, sizeof request), coir_sleep(work),
                                             coir_defer_copy(done, &request, sizeof request)));
    return coir_on_cancel(served, coir_defer_copy(canceled, &request, sizeof request));
}

static coir_io *accept_step(coir_routine *self)
{
    COIR_BEGIN(self, struct request, my);
    for (my->number = 1; ; my->number++) {
        COIR_AWAIT(coir_sleep(coir_ms(10)));
        COIR_AWAIT(coir_fork(serve(*my)));
    }
    COIR_END;
}

static coir_io *service(void)
{
    coir_io *accept = coir_timeout_to(coir_do(accept_step, NULL, sizeof(struct request)), coir_ms(45), saying("told to stop"));
    return coir_finally(coir_supervise_drain(accept, coir_ms(30)), saying("the log is closed"));
}

int main(void)
{
    coir_result result = coir_sim_run(service(), NULL);
    int status = result.tag == COIR_OK ? 0 : 1;
    coir_result_drop(&result);
    return status;
}
