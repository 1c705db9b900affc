/*
 * run.c - one run: options, the pool, the result; and what concerns the whole process
 */
#include "fiber/deadlock.h"
#include "runtime/future.h"
#include "sched/pool.h"

#include <coir.h>

#include <inttypes.h>
#include <sched.h>
#include <unistd.h>

enum { BUDGET_DEFAULT = 4096, BLOCKING_DEFAULT = 512 };

/* ------------------------------------------------------------------------------------------------------------ options */

static unsigned processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

/* "max 100000" or "200000 100000": processor time per period of this control group; 0: no bound. */
static unsigned cgroup_processors(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    long quota = 0, period = 0;
    if (file == NULL)
        return 0;
    int found = fscanf(file, "%ld %ld", &quota, &period);
    fclose(file);
    return found == 2 && quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
}

static unsigned workers_default(void)
{
    unsigned may = processors(), quota = cgroup_processors();
    unsigned count = quota > 0 && quota < may ? quota : may;
    return count < COIR_WORKERS_MAX ? count : COIR_WORKERS_MAX;
}

static coir_options options_complete(const coir_options *given)
{
    static const coir_options defaults;
    coir_options complete = given == NULL ? defaults : *given;
    if (complete.workers == 0)
        complete.workers = workers_default();
    if (complete.budget == 0)
        complete.budget = BUDGET_DEFAULT;
    if (complete.blocking_max == 0)
        complete.blocking_max = BLOCKING_DEFAULT;
    return complete;
}

/* ------------------------------------------------------------------------------------------------------- after a fork() */

static bool in_forked_child;

static void child_is_forked(void) { in_forked_child = true; }
static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, child_is_forked); }

bool coir__in_forked_child(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    return in_forked_child;
}

/* ------------------------------------------------------------------------------------------------------------------ run */

static coir_result refuse(coir_io *io, const char *domain, int code, const char *why)
{
    coir_io_drop(io);
    return coir__panicf(domain, code, "coir_run: %s", why);
}

coir_result coir_run(coir_io *io, const coir_options *options)
{
    if (coir__in_forked_child())
        return refuse(io, DOMAIN_COIR, COIR_REFUSED, "in a child of fork(), which has none of the parent's threads");
    if (coir__me.seat != NULL || coir__me.in_hook > 0)
        return refuse(io, DOMAIN_COIR, COIR_MISUSE, "called from a callback: it would block a worker. Return the io instead");
    const char *bad = options == NULL ? NULL : coir__options_bad(options);
    if (bad != NULL)
        return refuse(io, DOMAIN_ERRNO, EINVAL, bad);
    coir_options complete = options_complete(options);
    struct pool *pool = coir__pool_new(&complete);
    if (pool == NULL) {
        coir_io_drop(io);
        return coir__no_memory();
    }
    coir_result result = coir__pool_run(pool, io);
    coir__pool_drop(pool);
    return result;
}

/* -------------------------------------------------------------------------------------------------------- the process */

bool coir_set_memory(const coir_memory *memory)
{
    return memory != NULL && coir__memory_set(memory->allocate, memory->release, memory->env);
}

uint64_t coir__resumes_refused(void);

coir_counters coir_counters_now(void)
{
    return (coir_counters){ .resumes_refused = coir__resumes_refused(), .failures_forgotten = coir__failures_forgotten(),
                            .deadlocks = coir__deadlocks(), .values_kept = coir__values_kept(), .warnings = coir__warnings() };
}

const char *coir_version(void) { return COIR_VERSION; }
