/*
 * loop_glib.c - shows coir beside GLib's main loop: g_unix_fd_add() watches the runtime's descriptor, and the answers are called on the loop's thread
 */
#include <coir.h>

#include <glib-unix.h>
#include <stdlib.h>

enum { QUESTIONS = 5 };
struct app { coir_runtime *runtime; GMainLoop *loop; int answered, ticks; int64_t sum; };

/* On a fiber. */
static coir_io *answer(int64_t number) { return coir_then(coir_sleep(coir_ms(5 * number)), coir_pure(coir_int(number * number))); }

/* On the loop's thread, as all that follows. */
static void end_if_done(struct app *app)
{
    if (app->answered == QUESTIONS && app->ticks > 0)
        g_main_loop_quit(app->loop);
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

static gboolean on_readable(gint fd, GIOCondition condition, gpointer env)
{
    struct app *app = env;
    (void)fd;
    (void)condition;
    coir_runtime_dispatch(app->runtime);
    return G_SOURCE_CONTINUE;
}

static gboolean on_tick(gpointer env)
{
    struct app *app = env;
    app->ticks++;
    end_if_done(app);
    return G_SOURCE_CONTINUE;
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
    struct app app = { .runtime = coir_runtime_start(NULL), .loop = g_main_loop_new(NULL, FALSE) };
    int fd = app.runtime == NULL ? -1 : coir_runtime_fd(app.runtime);
    if (fd < 0)
        return 1;
    guint answers = g_unix_fd_add(fd, G_IO_IN, on_readable, &app);
    guint timer = g_timeout_add(1, on_tick, &app);
    ask(&app);
    g_main_loop_run(app.loop);
    printf("sum %lld\n", (long long)app.sum);
    g_source_remove(answers);
    g_source_remove(timer);
    g_main_loop_unref(app.loop);
    coir_runtime_stop(app.runtime, COIR_STOP_WAIT);
    coir_runtime_drop(app.runtime);
    return 0;
}
