/*
 * interruption.c - shows how a signal becomes an io
 *
 * All threads block the signals, and one waits for them: so what it then does need not be safe in a signal handler, as coir_resume() is not.
 */
#define _POSIX_C_SOURCE 200809L
#include "interruption.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static sigset_t awaited_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);           /* tells the thread to end */
    return set;
}

static int await_signal(void)
{
    sigset_t awaited = awaited_signals();
    int signal_number = 0;
    sigwait(&awaited, &signal_number);
    return signal_number;
}

void interruptions_block(void)
{
    sigset_t blocked = awaited_signals();
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

void interruptions_await(void)
{
    await_signal();
}

/* What it would have done if nobody had waited for it. */
static void end_process(int signal_number)
{
    sigset_t awaited = awaited_signals();
    signal(signal_number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &awaited, NULL);
    raise(signal_number);
}

/* A handle counts once: for the first interruption, if nobody has canceled before. */
static void *watch_run(void *user)
{
    const struct interruption *watch = user;
    for (int signal_number; (signal_number = await_signal()) != SIGUSR1; ) {
        if (!coir_resume(watch->k, coir_ok(coir_bool(true))))
            end_process(signal_number);
        fputs("\ninterrupted: what is under way is called off\n", stderr);
    }
    return NULL;
}

static void watch_start(void *env, void *op, coir_callback k)
{
    struct interruption *watch = env;
    (void)op;
    watch->k = k;                       /* before the thread, which reads it */
    int error = pthread_create(&watch->thread, NULL, watch_run, watch);
    watch->is_watched = error == 0;
    if (error != 0)
        coir_resume(k, coir_raise(coir_error_in("errno", error, "cannot start a thread: %s", strerror(error))));
}

static void watch_cancel(void *env, void *op)
{
    const struct interruption *watch = env;
    (void)op;
    coir_resume(watch->k, coir_raise(coir_error_in("errno", ECANCELED, "there was no interruption")));
}

coir_io *interruption(struct interruption *watch)
{
    static const coir_async_type watch_type = { .start = watch_start, .cancel = watch_cancel };
    return coir_async(&watch_type, watch);
}

void interruption_end(struct interruption *watch)
{
    if (!watch->is_watched)
        return;
    pthread_kill(watch->thread, SIGUSR1);
    pthread_join(watch->thread, NULL);
    watch->is_watched = false;
}
