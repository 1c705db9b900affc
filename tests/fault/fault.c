/*
 * fault.c - one run of a program in which something fails, and what it must leave behind
 */
#include "fault.h"

/* --------------------------------------------------------------------------------------------------------- programs */

static struct fault_program *programs, **programs_end = &programs;

void fault_add(struct fault_program *program)
{
    *programs_end = program;
    programs_end = &program->next;
}

const struct fault_program *fault_programs(void) { return programs; }

/* Of the present run. */
static struct { pthread_mutex_t lock; struct fault_way way; bool is_told; uint64_t forgotten; char wrong[1000]; } present = { .lock = PTHREAD_MUTEX_INITIALIZER };

void fault_wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&present.lock);
    if (present.wrong[0] == '\0')
        vsnprintf(present.wrong, sizeof present.wrong, format, arguments);
    pthread_mutex_unlock(&present.lock);
    va_end(arguments);
}

void fault_told(void)
{
    pthread_mutex_lock(&present.lock);
    present.is_told = true;
    pthread_mutex_unlock(&present.lock);
}

coir_result fault_run(coir_io *io, const coir_options *options)
{
    return present.way.is_simulated ? coir_sim_run(io, COIR_SIM_OPTIONS(.seed = present.way.seed, .run = options)) : coir_run(io, options);
}

/* ------------------------------------------------------------------------------------------------------ what can fail */

struct fault_scarce fault_memory = { .first = LLONG_MAX, .end = LLONG_MAX }, fault_threads = { .first = LLONG_MAX, .end = LLONG_MAX };
static atomic_llong bytes;                              /* that coir holds */

bool fault_strikes(struct fault_scarce *scarce)
{
    long long turn = atomic_fetch_add(&scarce->asked, 1);
    if (turn < atomic_load(&scarce->first) || turn >= atomic_load(&scarce->end))
        return false;
    atomic_fetch_add(&scarce->failed, 1);
    return true;
}

static void fail_in(struct fault_scarce *scarce, struct fault_span span)
{
    atomic_store(&scarce->first, LLONG_MAX);            /* meanwhile none fails */
    atomic_store(&scarce->asked, 0);
    atomic_store(&scarce->failed, 0);
    atomic_store(&scarce->end, span.count < LLONG_MAX - span.first ? span.first + span.count : LLONG_MAX);
    atomic_store(&scarce->first, span.first);
}

static void fail_no_more(struct fault_scarce *scarce) { atomic_store(&scarce->first, LLONG_MAX); }

static void *scarce_allocate(void *env, size_t size)
{
    (void)env;
    void *memory = fault_strikes(&fault_memory) ? NULL : malloc(size);
    if (memory != NULL)
        atomic_fetch_add(&bytes, (long long)size);
    return memory;
}

static void scarce_release(void *env, void *memory, size_t size)
{
    (void)env;
    atomic_fetch_sub(&bytes, (long long)size);
    free(memory);
}

/* ------------------------------------------------------------------------------------------------- the other thread */

enum { ELSEWHERE_ROOM = 64 };
static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    bool            runs, is_over;                      /* under lock, as all of it */
    pthread_t       thread;
    size_t          begun, done;
    struct { void (*act)(coir_callback k); coir_callback k; } queue[ELSEWHERE_ROOM];
} elsewhere = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void *elsewhere_main(void *unused)
{
    pthread_mutex_lock(&elsewhere.lock);
    for (;;) {
        while (elsewhere.begun == elsewhere.done && !elsewhere.is_over)
            pthread_cond_wait(&elsewhere.changed, &elsewhere.lock);
        if (elsewhere.begun == elsewhere.done)
            break;
        void (*act)(coir_callback k) = elsewhere.queue[elsewhere.done % ELSEWHERE_ROOM].act;
        coir_callback k = elsewhere.queue[elsewhere.done % ELSEWHERE_ROOM].k;
        pthread_mutex_unlock(&elsewhere.lock);
        act(k);
        pthread_mutex_lock(&elsewhere.lock);
        elsewhere.done++;
        pthread_cond_broadcast(&elsewhere.changed);
    }
    pthread_mutex_unlock(&elsewhere.lock);
    return unused;
}

/* Its one thread lives on: coir has nothing to do with it, so it need not be another one in each run. When the process ends it does. */
static void elsewhere_begin(void)
{
    pthread_mutex_lock(&elsewhere.lock);
    if (!elsewhere.runs && pthread_create(&elsewhere.thread, NULL, elsewhere_main, NULL) != 0)
        abort();
    elsewhere.runs = true;
    pthread_mutex_unlock(&elsewhere.lock);
}

__attribute__((destructor)) static void elsewhere_end(void)
{
    pthread_mutex_lock(&elsewhere.lock);
    bool runs = elsewhere.runs;
    elsewhere.is_over = true;
    pthread_cond_broadcast(&elsewhere.changed);
    pthread_mutex_unlock(&elsewhere.lock);
    if (runs)
        (void)pthread_join(elsewhere.thread, NULL);
}

void fault_elsewhere(void (*act)(coir_callback k), coir_callback k)
{
    elsewhere_begin();
    pthread_mutex_lock(&elsewhere.lock);
    if (elsewhere.begun - elsewhere.done == ELSEWHERE_ROOM)
        abort();
    elsewhere.queue[elsewhere.begun % ELSEWHERE_ROOM].act = act;
    elsewhere.queue[elsewhere.begun++ % ELSEWHERE_ROOM].k = k;
    pthread_cond_broadcast(&elsewhere.changed);
    pthread_mutex_unlock(&elsewhere.lock);
}

static void elsewhere_settle(void)
{
    pthread_mutex_lock(&elsewhere.lock);
    while (elsewhere.begun != elsewhere.done)
        pthread_cond_wait(&elsewhere.changed, &elsewhere.lock);
    pthread_mutex_unlock(&elsewhere.lock);
}

void fault_begin(void)
{
    const coir_memory memory = { scarce_allocate, scarce_release, NULL };
    if (!coir_set_memory(&memory))
        abort();
    elsewhere_begin();
}

/* ---------------------------------------------------------------------------------------------------------- judging */

static struct { long long bytes, left; } keeps;         /* what may stay for good, and how much of it has not yet */

void fault_keeps(long long bytes_once, unsigned times)
{
    keeps.bytes = bytes_once;
    keeps.left = bytes_once * (long long)times;
}

/* Without plain memory cells stay for whoever comes next. */
static bool is_kept_rightly(long long more)
{
#ifdef COIR_PLAIN_MEMORY
    if (more < 0 || more > keeps.left || (more > 0 && more % keeps.bytes != 0))
        return false;
#endif
    keeps.left -= more;
    return true;
}

static void on_unseen(void *env, uint64_t id, const coir_result *failure)
{
    (void)env;
    (void)id;
    if (strstr(describe(failure), "ENOMEM") != NULL)
        fault_told();
}

/* A failure that want of memory alone does not explain. */
static const char *unexplained(const char *expected, const char *may_say, const char *text)
{
    static const char *const words[] = { "MISUSE", "DEADLOCK", "EINVAL", "CHILD_CANCELED", "ABANDONED", "code -10", "CANCELED" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(text, words[i]) != NULL && strstr(expected, words[i]) == NULL && strstr(may_say, words[i]) == NULL)
            return words[i];
    return NULL;
}

/* Whether a further failure could not be recorded. */
static bool has_forgotten(void) { return coir_counters_now().failures_forgotten > present.forgotten; }

void fault_expect(size_t part, const coir_value *box, const char *expected)
{
    const char *text = describe(coir_result_in(box));
    bool is_told = strstr(text, "ENOMEM") != NULL || has_forgotten();
    if (is_told && unexplained(expected, "", text) == NULL)
        fault_told();
    else if (strcmp(text, expected) != 0)
        fault_wrong("part %zu is %s, expected %s", part, text, expected);
}

coir_result fault_expect_all(coir_result result, const char *expected)
{
    if (result.tag != COIR_OK)
        return result;
    size_t count = coir_list_size(&result.value);
    for (size_t i = 0; i < count; i++)
        fault_expect(i, coir_list_at(&result.value, i), expected);
    coir_result_drop(&result);
    return coir_ok(coir_int((int64_t)count));
}

static void judge(const struct fault_program *program, const char *text, bool is_told, struct fault_report *report)
{
    bool is_right = strcmp(text, program->answer) == 0;
    const char *word = unexplained(program->answer, program->may_say, text), *things = program->notes();
    int alive = atomic_exchange(program->things, 0);
    size_t size = sizeof report->text;
    report->end = FAULT_WRONG;
    if (!is_right && !is_told)
        snprintf(report->text, size, "%s, which is neither right nor says ENOMEM", text);
    else if (word != NULL)
        snprintf(report->text, size, "%s, of which want of memory does not explain %s", text, word);
    else if (present.wrong[0] != '\0')
        snprintf(report->text, size, "%s, and %s", text, present.wrong);
    else if (alive != 0)
        snprintf(report->text, size, "%s, and %d things are left", text, alive);
    else if (strchr(things, '!') != NULL)
        snprintf(report->text, size, "%s, and things were dropped twice: %s", text, things);
    else if (!is_kept_rightly(report->kept))
        snprintf(report->text, size, "%s, and %lld bytes are left", text, report->kept);
    else {
        snprintf(report->text, size, "%s", text);
        report->end = is_right ? FAULT_RIGHT : FAULT_TOLD;
    }
}

void fault_try(const struct fault_program *program, struct fault_way way, struct fault_span memory, struct fault_span threads,
               struct fault_report *report)
{
    const coir_options options = { .size = sizeof options, .workers = way.workers, .on_unseen_failure = on_unseen };
    long long before = atomic_load(&bytes);
    present.forgotten = coir_counters_now().failures_forgotten;
    present.way = way;
    present.is_told = false;
    present.wrong[0] = '\0';
    fail_in(&fault_memory, memory);
    fail_in(&fault_threads, threads);
    coir_result result = program->body(&options);
    const char *text = describe(&result);
    coir_result_drop(&result);                          /* dropping needs no memory */
    elsewhere_settle();
    fail_no_more(&fault_memory);
    fail_no_more(&fault_threads);
    report->memory = atomic_load(&fault_memory.asked);
    report->threads = atomic_load(&fault_threads.asked);
    report->struck = atomic_load(&fault_memory.failed) + atomic_load(&fault_threads.failed) > 0;
    report->kept = atomic_load(&bytes) - before;
    bool is_told = strstr(text, "ENOMEM") != NULL || present.is_told || has_forgotten();
    judge(program, text, report->struck && is_told, report);
}
