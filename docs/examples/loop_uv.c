/*
 * loop_uv.c - shows coir beside libuv: a poll handle watches the runtime's descriptor, and the answers are called on the loop's thread
 */
#define _GNU_SOURCE                                     /* libuv's header needs it */
#include <coir.h>

#include <stdlib.h>
#include <uv.h>

enum { QUESTIONS = 5 };
struct app { coir_runtime *runtime; uv_poll_t answers; uv_timer_t timer; int answered, ticks; int64_t sum; };

/* On a fiber. */
static coir_io *answer(int64_t number) { return coir_then(coir_sleep(coir_ms(5 * number)), coir_pure(coir_int(number * number))); }

/* On the loop's thread, as all that follows. */
static void end_if_done(struct app *app)
{
    if (app->answered < QUESTIONS || app->ticks == 0 || uv_is_closing((uv_handle_t *)&app->timer))
        return;
    uv_close((uv_handle_t *)&app->answers, NULL);
    uv_close((uv_handle_t *)&app->timer, NULL);
}

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
    end_if_done(app);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct app *app = handle->data;
    (void)status;
    (void)events;
    coir_runtime_dispatch(app->runtime);
}

static void on_tick(uv_timer_t *handle)
{
    struct app *app = handle->data;
    app->ticks++;
    end_if_done(app);
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

int main(void)
{
    static struct app app;
    uv_loop_t loop;
    app.runtime = coir_runtime_start(NULL);
    app.answers.data = app.timer.data = &app;
    if (app.runtime == NULL || uv_loop_init(&loop) != 0 || uv_poll_init(&loop, &app.answers, coir_runtime_fd(app.runtime)) != 0 ||
        uv_poll_start(&app.answers, UV_READABLE, on_readable) != 0 || uv_timer_init(&loop, &app.timer) != 0 ||
        uv_timer_start(&app.timer, on_tick, 1, 1) != 0)
        return 1;
    ask(&app);
    uv_run(&loop, UV_RUN_DEFAULT);
    printf("sum %lld\n", (long long)app.sum);
    uv_loop_close(&loop);
    coir_runtime_stop(app.runtime, COIR_STOP_WAIT);
    coir_runtime_drop(app.runtime);
    return 0;
}
