/*
 * program.h - what tests of programs share: a result as text, notes of what happened, objects that are counted
 *
 *     static coir_result leave_note(void *env) { note("%s", (const char *)env); return coir_ok(coir_none()); }
 *
 *     CHECK_STR(outcome(1, coir_finally(coir_fail(coir_int(1)), coir_panicf("2"))), "PANIC MISUSE also(ERROR 1)");
 *     CHECK_STR(notes(), "body -3 finalizer");
 *
 * A thing is an object with a number. Who drops the last reference to thing 3 notes "-3"; dropping it once more notes "!3".
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------ notes */

static struct { pthread_mutex_t lock; size_t size; char text[4000]; } notebook = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* note: appends it, after a blank. From any thread. */
COIR_PRINTF(1, 2) static inline void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&notebook.lock);
    if (notebook.size > 0 && notebook.size < sizeof notebook.text - 1)
        notebook.text[notebook.size++] = ' ';
    size_t room = sizeof notebook.text - notebook.size;
    int more = vsnprintf(notebook.text + notebook.size, room, format, arguments);
    notebook.size += (size_t)more < room ? (size_t)more : room - 1;
    pthread_mutex_unlock(&notebook.lock);
    va_end(arguments);
}

/* scratch: one of a few buffers, by turns, so that a check can show some texts at once. */
enum { SCRATCH_SIZE = 4000 };
__attribute__((noinline)) static char *scratch(void)
{
    static char buffers[32][SCRATCH_SIZE];
    static atomic_uint turn;
    return buffers[atomic_fetch_add(&turn, 1) % 32];
}

/* spelled: what printf() would print. */
COIR_PRINTF(1, 2) static inline const char *spelled(const char *format, ...)
{
    va_list arguments;
    char *text = scratch();
    va_start(arguments, format);
    vsnprintf(text, SCRATCH_SIZE, format, arguments);
    va_end(arguments);
    return text;
}

/* Ids as printf() wants them with %ju. */
#define LOCK_ID(lock)           ((uintmax_t)coir_lock_id(lock))
#define SEMAPHORE_ID(semaphore) ((uintmax_t)coir_semaphore_id(semaphore))
#define FIBER_ID(fiber)         ((uintmax_t)coir_fiber_id(fiber))
#define CHANNEL_ID(channel)     ((uintmax_t)coir_channel_id(channel))

/* notes: all since the last time, "" if none. */
static inline const char *notes(void)
{
    char *text = scratch();
    pthread_mutex_lock(&notebook.lock);
    memcpy(text, notebook.text, notebook.size);
    text[notebook.size] = '\0';
    notebook.size = 0;
    pthread_mutex_unlock(&notebook.lock);
    return text;
}

/* ----------------------------------------------------------------------------------------------------------- things */

struct thing { atomic_int owners; int number; };

static atomic_int things_alive;

static inline void thing_drop(void *object)
{
    struct thing *thing = object;
    int before = atomic_fetch_sub(&thing->owners, 1);
    if (before < 1)
        note("!%d", thing->number);
    if (before != 1)
        return;
    note("-%d", thing->number);
    atomic_fetch_sub(&things_alive, 1);
    free(thing);
}

static inline void *thing_share(void *object)
{
    struct thing *thing = object;
    atomic_fetch_add(&thing->owners, 1);
    return thing;
}

static inline void *thing_share_without_memory(void *object) { (void)object; return NULL; }

static inline void thing_print(const void *object, FILE *out) { fprintf(out, "thing %d", ((const struct thing *)object)->number); }

static const coir_type thing_type = { "thing", thing_drop, thing_share, thing_print };
static const coir_type sole_type = { "sole", thing_drop, NULL, thing_print };                   /* cannot be shared */
static const coir_type starved_type = { "starved", thing_drop, thing_share_without_memory, thing_print };

static inline coir_value thing_of(const coir_type *type, int number)
{
    struct thing *thing = malloc(sizeof *thing);
    if (thing == NULL)
        abort();
    atomic_init(&thing->owners, 1);
    thing->number = number;
    atomic_fetch_add(&things_alive, 1);
    return coir_own(thing, type);
}

static inline coir_value thing(int number)         { return thing_of(&thing_type, number); }
static inline coir_value sole_thing(int number)    { return thing_of(&sole_type, number); }
static inline coir_value starved_thing(int number) { return thing_of(&starved_type, number); }
static inline bool is_thing(const coir_value *v)
{
    return v->type == &thing_type || v->type == &sole_type || v->type == &starved_type;
}
static inline int thing_number(const coir_value *v) { return is_thing(v) ? ((const struct thing *)v->ptr)->number : -1; }

static void forget_notes_and_things(void)
{
    notes();
    atomic_store(&things_alive, 0);
}
BEFORE_EACH(forget_notes_and_things);

/* ---------------------------------------------------------------------------------------------------------- results */

static inline void describe_value(const coir_value *value, FILE *out);

static inline void describe_failures(const coir_result *result, FILE *out)
{
    static const char *const tags[] = { "OK", "ERROR", "PANIC", "CANCELED" };
    fprintf(out, "%s ", tags[result->tag]);
    describe_value(&result->value, out);
    if (result->also == NULL)
        return;
    fputs(" also(", out);
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f)) {
        fprintf(out, "%s ", tags[coir_failure_tag(f)]);
        describe_value(coir_failure_value(f), out);
        fputs(coir_failure_next(f) != NULL ? ", " : ")", out);
    }
}

static inline void describe_code(int code, FILE *out)
{
    switch (code) {
    case EINVAL:              fputs("EINVAL", out); break;
    case ENOMEM:              fputs("ENOMEM", out); break;
    case COIR_MISUSE:         fputs("MISUSE", out); break;
    case COIR_DEADLOCK:       fputs("DEADLOCK", out); break;
    case COIR_ABANDONED:      fputs("ABANDONED", out); break;
    case COIR_CHILD_CANCELED: fputs("CHILD_CANCELED", out); break;
    case COIR_CLOSED:         fputs("CLOSED", out); break;
    case COIR_POISONED:       fputs("POISONED", out); break;
    case COIR_REFUSED:        fputs("REFUSED", out); break;
    case EAGAIN:              fputs("EAGAIN", out); break;
    default:                  fprintf(out, "code %d", code);
    }
}

static inline void describe_value(const coir_value *value, FILE *out)
{
    if (value->type == &coir_error_type) {
        describe_code(coir_error_code(value), out);
    } else if (value->type == &coir_list_type) {
        fputc('[', out);
        for (size_t i = 0; i < coir_list_size(value); i++) {
            fputs(i > 0 ? " " : "", out);
            describe_value(coir_list_at(value, i), out);
        }
        fputc(']', out);
    } else if (value->type == &coir_result_type) {
        fputc('<', out);
        describe_failures(coir_result_in(value), out);
        fputc('>', out);
    } else if (value->type == NULL) {
        fprintf(out, "%lld", (long long)value->i64);
    } else if (value->type == &coir_string_type) {
        fputs(coir_text(value), out);
    } else if (value->type->print != NULL) {
        value->type->print(value->ptr, out);
    } else {
        fputs(value->type->name, out);
    }
}

/* describe: "OK 5", "ERROR thing 3 also(PANIC MISUSE)", "OK [1 <ERROR 2>]". Borrows. */
static inline const char *describe(const coir_result *result)
{
    char *text = scratch();
    memset(text, 0, SCRATCH_SIZE);
    FILE *out = fmemopen(text, SCRATCH_SIZE - 1, "w");
    if (out == NULL)
        abort();
    describe_failures(result, out);
    fclose(out);
    return text;
}

static inline coir_result run(unsigned workers, coir_io *io) { return coir_run(io, COIR_OPTIONS(.workers = workers)); }

/* outcome: runs io and describes its result. */
static inline const char *outcome(unsigned workers, coir_io *io)
{
    coir_result result = run(workers, io);
    const char *text = describe(&result);
    coir_result_drop(&result);
    return text;
}

/* message: of a failure: what its error says; "" where that is no coir_error. For a check of the text alone. */
static inline const char *message_of(unsigned workers, coir_io *io)
{
    char *text = scratch();
    coir_result result = run(workers, io);
    snprintf(text, SCRATCH_SIZE, "%s", result.tag == COIR_OK ? "(no failure)" : coir_error_message(&result.value));
    coir_result_drop(&result);
    return text;
}

/* ending: an io that ends with that tag and a plain payload. */
static inline coir_io *ending(coir_tag tag, int64_t payload) { return coir_from_result(coir_result_of(tag, coir_int(payload))); }

/* noting: an io that notes the text, which must be a constant, and gives 0. */
static inline coir_result note_text(void *text) { note("%s", (const char *)text); return coir_ok(coir_none()); }
static inline coir_io *noting(const char *text) { return coir_defer(note_text, (void *)(uintptr_t)text); }

/* --------------------------------------------------------------------------------------------- memory, and small stacks */

/*
 * The bytes that coir holds, and the most since watching began. It must be the first thing that a TEST_ALONE does. While `left` is not
 * negative that many allocations succeed and the others fail; while `before_one` is not, that many succeed, one fails, and the
 * others succeed.
 */
static struct { atomic_llong bytes, peak, left, before_one; } watched = { .left = -1, .before_one = -1 };

static inline void *watched_allocate(void *env, size_t size)
{
    (void)env;
    if (atomic_load(&watched.left) >= 0 && atomic_fetch_sub(&watched.left, 1) <= 0) {
        atomic_store(&watched.left, 0);
        return NULL;
    }
    if (atomic_load(&watched.before_one) >= 0 && atomic_fetch_sub(&watched.before_one, 1) == 0)
        return NULL;
    long long now = atomic_fetch_add(&watched.bytes, (long long)size) + (long long)size, peak = atomic_load(&watched.peak);
    while (now > peak && !atomic_compare_exchange_weak(&watched.peak, &peak, now)) {}
    return malloc(size);
}

static inline void watched_release(void *env, void *memory, size_t size)
{
    (void)env;
    atomic_fetch_sub(&watched.bytes, (long long)size);
    free(memory);
}

static inline void watch_memory(void)
{
    const coir_memory memory = { watched_allocate, watched_release, NULL };
    CHECK(coir_set_memory(&memory));
}

/* peak_of: how many bytes more than before coir held at most while it ran io; the result is checked to be `expected`. */
static inline long long peak_of(unsigned workers, coir_io *io, const char *expected)
{
    long long before = atomic_load(&watched.bytes);
    atomic_store(&watched.peak, before);
    CHECK_STR(outcome(workers, io), expected);
    return atomic_load(&watched.peak) - before;
}

/* on_small_stack: calls body(env) on a thread with 64 KiB of stack, more where a sanitizer makes every frame larger. */
struct small { void (*body)(void *env); void *env; };
static inline void *small_start(void *small_)
{
    struct small *small = small_;
    small->body(small->env);
    return NULL;
}
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SMALL_STACK = 256 << 10 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
enum { SMALL_STACK = 256 << 10 };
#else
enum { SMALL_STACK = 64 << 10 };
#endif
#else
enum { SMALL_STACK = 64 << 10 };
#endif

static inline void on_small_stack(void (*body)(void *env), void *env)
{
    struct small small = { body, env };
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK_INT(pthread_attr_init(&attributes), 0);
    CHECK_INT(pthread_attr_setstacksize(&attributes, SMALL_STACK), 0);
    CHECK_INT(pthread_create(&thread, &attributes, small_start, &small), 0);
    CHECK_INT(pthread_attr_destroy(&attributes), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

#endif
