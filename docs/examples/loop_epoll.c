/*
 * loop_epoll.c - shows coir beside a main loop of plain epoll: work is submitted, and its answers come back on the loop's own thread
 *
 * The loop watches two descriptors: a timer of its own, and the runtime's, which is readable when answers have come. So what touches the program's
 * own data needs no lock: it is called by coir_runtime_dispatch().
 */
#include <coir.h>

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { QUESTIONS = 5 };
struct app { coir_runtime *runtime; int answered, ticks; int64_t sum; };

/* On a fiber: takes some time, and waits for it without a thread. */
static coir_io *answer(int64_t number) { return coir_then(coir_sleep(coir_ms(5 * number)), coir_pure(coir_int(number * number))); }

/* On the loop's thread. */
static void on_answer(void *env, coir_future *future)
{
    struct app *app = env;
    coir_result result;
    if (coir_future_get(future, coir_ns(0), &result) && result.tag == COIR_OK) {
        app->sum += result.value.i64;
        printf("answer %lld\n", (long long)result.value.i64);
    }
    coir_result_drop(&result);
    app->answered++;
}

static void ask(struct app *app)
{
    for (int64_t i = 1; i <= QUESTIONS; i++) {
        coir_future *future = coir_submit(app->runtime, answer(i));
        if (!coir_future_deliver(future, on_answer, app))
            abort();
        coir_future_drop(future);
    }
}

static void watch(int loop, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (fd < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) != 0)
        abort();
}

static void run_loop(struct app *app, int loop, int timer)
{
    while (app->answered < QUESTIONS || app->ticks == 0) {
        struct epoll_event event;
        uint64_t count;
        if (epoll_wait(loop, &event, 1, -1) != 1)
            continue;
        if (event.data.fd == timer)
            app->ticks += read(timer, &count, sizeof count) == (ssize_t)sizeof count;
        else
            coir_runtime_dispatch(app->runtime);
    }
}

int main(void)
{
    struct app app = { .runtime = coir_runtime_start(NULL) };
    int loop = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec every_ms = { { 0, 1000000 }, { 0, 1000000 } };
    if (app.runtime == NULL || timerfd_settime(timer, 0, &every_ms, NULL) != 0)
        return 1;
    watch(loop, timer);
    watch(loop, coir_runtime_fd(app.runtime));
    ask(&app);
    run_loop(&app, loop, timer);
    printf("sum %lld\n", (long long)app.sum);
    coir_runtime_stop(app.runtime, COIR_STOP_WAIT);
    coir_runtime_drop(app.runtime);
    close(timer);
    close(loop);
    return 0;
}
