/*
 * blockers.c - an elastic set of threads for what blocks
 *
 * Everything is under one lock: a job is a system call or more, so the lock costs nothing beside it.
 *
 * A thread is begun when more jobs wait than threads are idle. (A woken thread counts as idle until it has the lock, and takes one job then: so the
 * two numbers can be compared.) A thread that ends by itself cannot join itself: it leaves that to whoever next adds a job, or ends, or to the end of the
 * run.
 */
#include "sched/blockers.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>

enum { IDLE_SECONDS = 10 };

struct blocker { pthread_t thread; struct blockers *blockers; struct blocker *next; };

void coir__blockers_init(struct blockers *blockers, const struct coir__run *run, const coir_options *options)
{
    pthread_condattr_t monotonic;
    *blockers = (struct blockers){ .run = run, .max = options->blocking_max, .stack_size = options->stack_size };
    pthread_mutex_init(&blockers->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&blockers->wanted, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* ------------------------------------------------------------------------------------------------- the jobs, under lock */

static void jobs_put(struct blockers *blockers, struct job *job)
{
    job->next = NULL;
    job->prev = blockers->last;
    job->begun = false;
    *(blockers->last == NULL ? &blockers->first : &blockers->last->next) = job;
    blockers->last = job;
    blockers->waiting++;
}

static void jobs_remove(struct blockers *blockers, struct job *job)
{
    *(job->prev == NULL ? &blockers->first : &job->prev->next) = job->next;
    *(job->next == NULL ? &blockers->last : &job->next->prev) = job->prev;
    job->begun = true;
    blockers->waiting--;
}

/* ---------------------------------------------------------------------------------------------------------- a thread */

/* Those that have ended are as good as gone: this takes no time worth mentioning. Takes the list. */
static void join_all(struct blocker *ended)
{
    for (struct blocker *next; ended != NULL; ended = next) {
        next = ended->next;
        pthread_join(ended->thread, NULL);
        coir__free(ended, sizeof *ended);
    }
}

static struct blocker *take_ended(struct blockers *blockers)
{
    struct blocker *ended = blockers->ended;
    blockers->ended = NULL;
    return ended;
}

/* Under the lock. False: it was idle for long, or the end has come. */
static bool await_job(struct blockers *blockers)
{
    struct timespec until = timespec_of_ns(ns_add(clock_monotonic(), (int64_t)IDLE_SECONDS * NS_PER_SECOND));
    int status = 0;
    blockers->idle++;
    while (blockers->first == NULL && !blockers->over && status == 0)
        status = pthread_cond_timedwait(&blockers->wanted, &blockers->lock, &until);
    blockers->idle--;
    return blockers->first != NULL && !blockers->over;
}

static void *blocker_main(void *argument)
{
    struct blocker *self = argument;
    struct blockers *blockers = self->blockers;
    pthread_setname_np(pthread_self(), "coir blocking");
    coir__me.blocks_for = blockers->run;
    pthread_mutex_lock(&blockers->lock);
    while (await_job(blockers)) {
        struct job *job = blockers->first;
        jobs_remove(blockers, job);
        pthread_mutex_unlock(&blockers->lock);
        job->work(job);                                 /* after which it is gone */
        pthread_mutex_lock(&blockers->lock);
    }
    struct blocker *ended = take_ended(blockers);
    blockers->threads--;
    self->next = blockers->ended;
    blockers->ended = self;
    pthread_cond_broadcast(&blockers->wanted);          /* the end of the run waits for the last one */
    pthread_mutex_unlock(&blockers->lock);
    join_all(ended);
    return NULL;
}

/* Under the lock: the thread waits for it. False: there is none to be had. */
static bool blocker_start(struct blockers *blockers, struct blocker *blocker)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    *blocker = (struct blocker){ .blockers = blockers };
    pthread_attr_init(&attributes);
    if (blockers->stack_size > 0)
        (void)pthread_attr_setstacksize(&attributes, blockers->stack_size);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);          /* signals are the program's */
    bool started = pthread_create(&blocker->thread, &attributes, blocker_main, blocker) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    blockers->threads += started;
    return started;
}

/* ---------------------------------------------------------------------------------------------------------- for others */

bool coir__blockers_add(struct blockers *blockers, struct job *job)
{
    struct blocker *spare = coir__alloc(sizeof *spare);         /* here, since it may call the program */
    pthread_mutex_lock(&blockers->lock);
    jobs_put(blockers, job);
    bool wanted = blockers->waiting > blockers->idle && blockers->threads < blockers->max;
    if (wanted && spare != NULL && blocker_start(blockers, spare))
        spare = NULL;
    bool served = blockers->threads > 0;
    if (!served)
        jobs_remove(blockers, job);
    struct blocker *ended = take_ended(blockers);
    pthread_cond_signal(&blockers->wanted);
    pthread_mutex_unlock(&blockers->lock);
    join_all(ended);
    if (spare != NULL)
        coir__free(spare, sizeof *spare);
    return served;
}

bool coir__blockers_remove(struct blockers *blockers, struct job *job)
{
    pthread_mutex_lock(&blockers->lock);
    bool removed = !job->begun;
    if (removed)
        jobs_remove(blockers, job);
    pthread_mutex_unlock(&blockers->lock);
    return removed;
}

void coir__blockers_stop(struct blockers *blockers)
{
    pthread_mutex_lock(&blockers->lock);
    blockers->over = true;
    pthread_cond_broadcast(&blockers->wanted);
    while (blockers->threads > 0)
        pthread_cond_wait(&blockers->wanted, &blockers->lock);
    struct blocker *ended = take_ended(blockers);
    pthread_mutex_unlock(&blockers->lock);
    join_all(ended);
}

void coir__blockers_done(struct blockers *blockers)
{
    pthread_cond_destroy(&blockers->wanted);
    pthread_mutex_destroy(&blockers->lock);
}
