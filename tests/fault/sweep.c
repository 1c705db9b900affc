/*
 * sweep.c - every program of this folder with each of its allocations failing, and each of its threads
 *
 *     fault [-j N] [-k K] [-v] [PROGRAM...]       the programs so named; all of them without a name
 *       -j  so many at once (2)      -k  only the K-th allocation and thread fail      -v  tells each run with its outcome
 *
 * For k = 0, 1, 2 ... the k-th allocation fails, alone, with the next one, or with all after it, until a run needs no more of them. The same
 * for threads. On several workers the number differs from run to run, so there k goes on a little beyond the largest that was seen;
 * not so in a simulation, which is the same each time up to what fails.
 *
 * A sweep is a child process, which has seen no allocation yet: so what coir makes once for the process fails too. When it dies or
 * hangs, its parent knows at which k by the page that they share, reports it, and goes on with a new child behind it. Children must not be
 * forked from a process that has run an io, so the parent runs none.
 *
 * Programs are swept in lanes, processes that take them by turns.
 *
 * The last line is "N passed, M failed" (programs); the status is 0 when at least one passed and none failed.
 */
#include "fault.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { SECONDS_MAX = 20, MARGIN = 5, FAULTS_SHOWN = 5, STATUS_HANGS = 99 };

/* ------------------------------------------------------------------------------------------------- threads that fail */

/* The program is linked with --wrap for these two. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *env);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *env);
int __real_pthread_join(pthread_t thread, void **value);
int __wrap_pthread_join(pthread_t thread, void **value);

static atomic_llong threads_running;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *env)
{
    int error = fault_strikes(&fault_threads) ? EAGAIN : __real_pthread_create(thread, attributes, body, env);
    if (error == 0)
        atomic_fetch_add(&threads_running, 1);
    return error;
}

int __wrap_pthread_join(pthread_t thread, void **value)
{
    int error = __real_pthread_join(thread, value);
    if (error == 0)
        atomic_fetch_sub(&threads_running, 1);
    return error;
}

/* ------------------------------------------------------------------------------------------------------------ sweeps */

enum what { MEMORY, THREADS };

struct sweep { enum what what; struct fault_way way; const char *where; long long count; };

static const struct sweep sweeps[] = {
    { MEMORY,  { 1, false, 0 }, "on 1 worker, where allocation %lld fails",                             1 },
    { MEMORY,  { 1, false, 0 }, "on 1 worker, where allocation %lld and the next fail",                 2 },
    { MEMORY,  { 1, false, 0 }, "on 1 worker, where allocation %lld and all after it fail",             FAULT_FOR_GOOD },
    { MEMORY,  { 2, false, 0 }, "on 2 workers, where allocation %lld fails",                            1 },
    { MEMORY,  { 2, false, 0 }, "on 2 workers, where allocation %lld and all after it fail",            FAULT_FOR_GOOD },
    { MEMORY,  { 2, true,  1 }, "simulated with seed 1, where allocation %lld fails",                   1 },
    { MEMORY,  { 3, true,  2 }, "simulated with seed 2, where allocation %lld fails",                   1 },
    { MEMORY,  { 2, true,  3 }, "simulated with seed 3, where allocation %lld and all after it fail",   FAULT_FOR_GOOD },
    { THREADS, { 4, false, 0 }, "on 4 workers, where thread %lld cannot be started",                    1 },
    { THREADS, { 4, false, 0 }, "on 4 workers, where thread %lld and all after it cannot be started",   FAULT_FOR_GOOD },
};
enum { SWEEPS = sizeof sweeps / sizeof *sweeps };

/* What a child tells its parent, in memory that they share. */
static struct told {
    long long k, most;                                  /* which fails now; the most that a run has asked for */
    long long right, enomem, wrong;                     /* runs that ended so */
    long long kept, memory;                             /* by the run in which nothing fails */
    bool      is_over;                                  /* all runs are made, and each was judged by itself */
} *told;

static struct fault_report report;
static bool tells_each;

/* Of the run at hand. */
static void say(const char *title, const struct fault_program *program, const struct sweep *sweep, const char *what)
{
    char where[100];
    snprintf(where, sizeof where, sweep->where, told->k);
    fprintf(stderr, "%s  %s, %s: %s\n", title, program->name, where, what);
}

static void say_wrong(const struct fault_program *program, const struct sweep *sweep, const char *what)
{
    say("FAIL", program, sweep, what);
    fprintf(stderr, "      again: make fault ONLY=%s K=%lld\n", program->name, told->k);
}

/* How a child died: in the run that was the last, or when all were made: then some memory that is none of coir's was lost on the way. */
static void say_death(const struct fault_program *program, const struct sweep *sweep, int status)
{
    if (told->is_over)
        fprintf(stderr, "FAIL  %s: a leak, see above, in one of %lld runs\n", program->name, told->k);
    else if (WIFEXITED(status))
        say_wrong(program, sweep, WEXITSTATUS(status) == STATUS_HANGS ? "it hangs" : "its process has left, see above");
    else
        say_wrong(program, sweep, strsignal(WTERMSIG(status)));
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    _exit(STATUS_HANGS);
}

static void try_once(const struct fault_program *program, const struct sweep *sweep)
{
    struct fault_span span = { told->k, sweep->count };
    long long running = atomic_load(&threads_running);
    alarm(SECONDS_MAX);
    fault_try(program, sweep->way, sweep->what == MEMORY ? span : FAULT_NONE, sweep->what == THREADS ? span : FAULT_NONE, &report);
    if (atomic_load(&threads_running) != running) {
        report.end = FAULT_WRONG;
        snprintf(report.text, sizeof report.text, "%lld threads are left", atomic_load(&threads_running) - running);
    }
    long long asked = sweep->what == MEMORY ? report.memory : report.threads;
    told->most = asked > told->most ? asked : told->most;
    *(report.end == FAULT_RIGHT ? &told->right : report.end == FAULT_TOLD ? &told->enomem : &told->wrong) += 1;
    if (report.end == FAULT_WRONG)
        say_wrong(program, sweep, report.text);
    else if (tells_each)
        say("ok  ", program, sweep, report.text);
}

static bool is_the_same_each_time(const struct sweep *sweep) { return sweep->way.workers == 1 || sweep->way.is_simulated; }

/* In the child. */
static void sweep_from(const struct fault_program *program, const struct sweep *sweep, long long last)
{
    fault_begin();
    fault_keeps(told->kept, sweep->way.workers);
    for (bool more = true; more && told->k <= last && told->wrong < FAULTS_SHOWN; told->k++) {
        try_once(program, sweep);
        more = report.struck || told->k < told->most + (is_the_same_each_time(sweep) ? 0 : MARGIN);
    }
    told->is_over = true;
}

/* Callbacks have their places in memory that stays for good. */
static void resume_at_once(void *env, void *op, coir_callback k) { (void)env; (void)op; coir_resume(k, coir_ok(coir_none())); }
static const coir_async_type resumed_at_once = { .start = resume_at_once };
static coir_result call_back(const coir_options *options) { return fault_run(coir_async(&resumed_at_once, NULL), options); }
static const struct fault_program callback = { "callback", "OK 0", "", call_back, &things_alive, notes, NULL };

/* In the child: what a run needs, and what it keeps, when nothing fails. */
static void measure(const struct fault_program *program)
{
    static const struct fault_way alone = { .workers = 1 };
    fault_begin();
    fault_keeps(1, 1 << 20);
    fault_try(&callback, alone, FAULT_NONE, FAULT_NONE, &report);
    told->kept = report.kept;
    fault_keeps(0, 0);
    fault_try(program, alone, FAULT_NONE, FAULT_NONE, &report);
    told->memory = report.memory;
    if (report.end != FAULT_RIGHT)
        fprintf(stderr, "FAIL  %s, where nothing fails: %s, expected %s\n", program->name, report.text, program->answer);
    told->wrong += report.end != FAULT_RIGHT;
}

/* Gives how the child ended. */
static int in_child(const struct fault_program *program, const struct sweep *sweep, long long last)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGALRM, on_alarm);
        if (sweep == NULL)
            measure(program);
        else
            sweep_from(program, sweep, last);
        if (sweep != NULL && sweep->count > 1)
            _exit(0);
        exit(0);                                        /* where the leak sanitizer looks round, which takes as long as a hundred runs */
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        abort();
    return status;
}

/* One sweep, in as many children as it takes. Gives how many runs came to a bad end. */
static long long sweep_all(const struct fault_program *program, const struct sweep *sweep, long long only)
{
    told->k = only < 0 ? 0 : only;
    told->most = told->wrong = 0;
    for (told->is_over = false; !told->is_over && told->wrong < FAULTS_SHOWN && (only < 0 || told->k <= only); told->k++) {
        int status = in_child(program, sweep, only < 0 ? LLONG_MAX : only);
        if (status == 0)
            break;
        say_death(program, sweep, status);
        told->wrong++;
    }
    return told->wrong;
}

/* --------------------------------------------------------------------------------------------------------- the program */

static bool passes(const struct fault_program *program, long long only)
{
    memset(told, 0, sizeof *told);
    if (in_child(program, NULL, 0) != 0 || told->wrong > 0) {
        fprintf(stderr, "FAIL  %s, where nothing fails\n", program->name);
        return false;
    }
    long long wrong = 0;
    for (size_t i = 0; i < SWEEPS; i++)
        wrong += sweep_all(program, &sweeps[i], only);
    printf("%-28s %5lld allocations: %6lld runs ended right, %6lld without memory\n", program->name, told->memory, told->right, told->enomem);
    return wrong == 0;
}

static bool is_named(const char *name, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return count == 0;
}

static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    return memory;                                      /* zeroed */
}

/* What the lanes share. */
static struct { atomic_int next; atomic_uint passed, failed; } *shared;

/* Those that are named, by turns with the other lanes. */
static void lane(char **names, int count, long long only)
{
    int turn = 0, mine = atomic_fetch_add(&shared->next, 1);
    for (const struct fault_program *program = fault_programs(); program != NULL; program = program->next) {
        if (!is_named(program->name, names, count) || turn++ != mine)
            continue;
        atomic_fetch_add(passes(program, only) ? &shared->passed : &shared->failed, 1);
        fflush(stdout);
        mine = atomic_fetch_add(&shared->next, 1);
    }
}

/* In a process of its own. */
static void lane_begin(char **names, int count, long long only)
{
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child > 0)
        return;
    told = shared_memory(sizeof *told);
    lane(names, count, only);
    _exit(0);
}

int main(int argc, char **argv)
{
    long long only = -1;
    int lanes = 2, status;
    for (int option; (option = getopt(argc, argv, "j:k:v")) != -1; ) {
        if (option == '?')
            return 2;
        lanes = option == 'j' ? atoi(optarg) : lanes;
        only = option == 'k' ? atoll(optarg) : only;
        tells_each |= option == 'v';
    }
    shared = shared_memory(sizeof *shared);
    for (int i = 0; i < lanes; i++)
        lane_begin(argv + optind, argc - optind, only);
    while (wait(&status) > 0)
        atomic_fetch_add(&shared->failed, status != 0);
    printf("%u passed, %u failed\n", atomic_load(&shared->passed), atomic_load(&shared->failed));
    return atomic_load(&shared->failed) > 0 || atomic_load(&shared->passed) == 0;
}
