/*
 * world.c - things that are counted, books that are written, a foreign thread
 */
#include "random/world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct world world = { .lock = PTHREAD_MUTEX_INITIALIZER };

void *world_alloc(size_t size)
{
    pthread_mutex_lock(&world.lock);
    void *memory = random_alloc(&world.arena, size);
    pthread_mutex_unlock(&world.lock);
    return memory;
}

void world_wrong(const char *format, ...)
{
    char    line[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&world.lock);
    random_add(&world.wrong, "wrong: %s\n", line);
    pthread_mutex_unlock(&world.lock);
}

void world_begin(const struct program *program)
{
    world.program = program;
    for (unsigned i = 0; i < OBJECTS; i++) {
        world.locks[i] = is_lock(i) ? coir_lock_new() : NULL;
        world.semaphores[i] = is_lock(i) ? NULL : coir_semaphore_new(permits_of(i));
        world.guarded[i] = (struct guarded){ .entered = 0 };
    }
    world.closed = coir_semaphore_new_bounded(0, 1);
    for (unsigned i = 0; i < KEYS; i++)
        world.keys[i] = coir_key_new(coir_int((int)i));
    world.wrong.size = 0;
    random_add(&world.wrong, "%s", "");
}

void world_end(void)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        coir_lock_drop(world.locks[i]);
        coir_semaphore_drop(world.semaphores[i]);
    }
    coir_semaphore_drop(world.closed);
    for (unsigned i = 0; i < KEYS; i++)
        coir_key_drop(world.keys[i]);
    random_free_all(&world.arena);
    atomic_store(&world.alive, 0);
    atomic_store(&world.born, 0);
    atomic_store(&world.owned, 0);
}

/* ------------------------------------------------------------------------------------------------------------- things */

/* Their memory stays until the program's end, so that one who looks at a dead one is found out. */
struct thing { atomic_int owners; atomic_bool is_counted; int number; };

static void thing_drop(void *object)
{
    struct thing *thing = object;
    int before = atomic_fetch_sub(&thing->owners, 1);
    if (before < 1)
        world_wrong("thing %d is dropped twice", thing->number);
    if (before != 1)
        return;
    atomic_fetch_sub(&world.alive, 1);
    if (atomic_load(&thing->is_counted))
        atomic_fetch_sub(&world.born, 1);
}

static void *thing_share(void *object)
{
    struct thing *thing = object;
    if (atomic_fetch_add(&thing->owners, 1) < 1)
        world_wrong("thing %d is shared when it is dead", thing->number);
    return thing;
}

const coir_type world_thing_type = { "thing", thing_drop, thing_share, NULL };
const coir_type world_sole_type = { "sole thing", thing_drop, NULL, NULL };

coir_value world_thing(const coir_type *type, int number, bool is_born)
{
    struct thing *thing = world_alloc(sizeof *thing);
    atomic_init(&thing->owners, 1);
    atomic_init(&thing->is_counted, is_born);
    thing->number = number;
    atomic_fetch_add(&world.alive, 1);
    if (is_born)
        atomic_fetch_add(&world.born, 1);
    return coir_own(thing, type);
}

static bool is_thing(const coir_value *v) { return v->type == &world_thing_type || v->type == &world_sole_type; }

coir_value world_pair(coir_value first, coir_value second) { return coir_list(2, (coir_value[]){ first, second }); }

coir_value world_make(struct plan plan, bool is_born)
{
    int n = plan.number;
    switch (plan.kind) {
    case KIND_NONE:    return coir_none();
    case KIND_INT:     return coir_int(n);
    case KIND_THING:   return world_thing(&world_thing_type, n, is_born);
    case KIND_SOLE:    return world_thing(&world_sole_type, n, is_born);
    case KIND_STRING:  return coir_stringf("s%d", n);
    case KIND_ERROR:   return coir_errorf(n, "e%d", n);
    case KIND_BECAUSE: return coir_error_because(coir_errorf(n, "e%d", n), world_thing(&world_thing_type, n, is_born));
    case KIND_INTS:    return world_pair(coir_int(n), coir_int(n + 1));
    case KIND_THINGS:  return world_pair(world_thing(&world_thing_type, n, is_born), coir_stringf("s%d", n));
    case KIND_SOLES:   return world_pair(coir_int(n), world_thing(&world_sole_type, n, is_born));
    case KIND_BOX:     return coir_box(coir_ok(world_thing(&world_thing_type, n, is_born)));
    default:           return coir_box(coir_result_and(coir_raise(coir_int(n)), coir_raise(coir_int(n + 1))));
    }
}

static void uncount_result(const coir_result *result);
void world_uncount(const coir_value *value)
{
    if (is_thing(value) && atomic_exchange(&((struct thing *)value->ptr)->is_counted, false))
        atomic_fetch_sub(&world.born, 1);
    for (size_t i = 0; i < coir_list_size(value); i++)
        world_uncount(coir_list_at(value, i));
    if (coir_result_in(value) != NULL)
        uncount_result(coir_result_in(value));
    if (coir_error_cause(value) != NULL)
        world_uncount(coir_error_cause(value));
}
static void uncount_result(const coir_result *result)
{
    world_uncount(&result->value);
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f))
        world_uncount(coir_failure_value(f));
}

/* ---------------------------------------------------------------------------------------------------------- as texts */

static void add_value(struct text *text, const coir_value *value);

void world_add_result(struct text *text, const coir_result *result)
{
    static const char *const tags[] = { "OK", "ERROR", "PANIC", "CANCELED" };
    random_add(text, "%s ", tags[result->tag]);
    add_value(text, &result->value);
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f)) {
        random_add(text, ", also %s ", tags[coir_failure_tag(f)]);
        add_value(text, coir_failure_value(f));
    }
}

static void add_error(struct text *text, const coir_value *error)
{
    random_add(text, "%s:%d", coir_error_domain(error), coir_error_code(error));
    if (coir_error_domain(error)[0] == '\0')            /* coir's own texts are not what these tests are about */
        random_add(text, " %s", coir_error_message(error));
    if (coir_error_cause(error) != NULL) {
        random_add(text, " because ");
        add_value(text, coir_error_cause(error));
    }
}

static void add_value(struct text *text, const coir_value *value)
{
    if (value->type == NULL) {
        random_add(text, "%lld", (long long)value->i64);
    } else if (is_thing(value)) {
        const struct thing *thing = value->ptr;
        const char *dead = atomic_load(&thing->owners) < 1 ? "(dead)" : "";
        random_add(text, "%s%d%s", value->type == &world_sole_type ? "sole " : "thing ", thing->number, dead);
    } else if (value->type == &coir_string_type) {
        random_add(text, "\"%s\"", coir_text(value));
    } else if (value->type == &coir_list_type) {
        random_add(text, "[");
        for (size_t i = 0; i < coir_list_size(value); i++) {
            random_add(text, i > 0 ? ", " : "");
            add_value(text, coir_list_at(value, i));
        }
        random_add(text, "]");
    } else if (value->type == &coir_result_type) {
        random_add(text, "<");
        world_add_result(text, coir_result_in(value));
        random_add(text, ">");
    } else if (value->type == &coir_error_type) {
        add_error(text, value);
    } else {
        random_add(text, "%s", value->type->name);
    }
}

int64_t world_number(const coir_value *value)
{
    if (value->type == NULL)
        return value->i64;
    if (is_thing(value))
        return ((const struct thing *)value->ptr)->number;
    if (value->type == &coir_error_type)
        return coir_error_code(value);
    if (value->type == &coir_list_type)
        return (int64_t)coir_list_size(value);
    return 7;
}

/* ------------------------------------------------------------------------------------------------------------- books */

struct book *world_book(struct book *parent)
{
    struct book *book = world_alloc(sizeof *book);
    book->kids_end = &book->kids;
    if (parent != NULL) {
        *parent->kids_end = book;
        parent->kids_end = &book->next;
    }
    return book;
}

void world_open(struct book *book)
{
    if (world.is_mute || world_book_here() == book)
        return;
    pthread_mutex_lock(&world.lock);
    if (world.fibers_count < WORLD_FIBERS_MAX) {
        world.fibers[world.fibers_count].id = coir_current_id();
        world.fibers[world.fibers_count++].book = book;
    }
    pthread_mutex_unlock(&world.lock);
}

struct book *world_book_here(void)
{
    uint64_t id = coir_current_id();
    struct book *book = NULL;
    pthread_mutex_lock(&world.lock);
    for (size_t i = world.fibers_count; i-- > 0 && book == NULL;)
        if (world.fibers[i].id == id)
            book = world.fibers[i].book;
    pthread_mutex_unlock(&world.lock);
    return book;
}

void world_tell_seen(const struct term *term, const coir_value *value, const coir_value *context)
{
    struct book *book = world_book_here();
    if (book == NULL)
        return;
    random_add(&book->trace, " %d(", term->number);
    add_value(&book->trace, value);
    random_add(&book->trace, ")@%lld", context != NULL ? (long long)world_number(context) : -1);
    if (world.program->is_alone)
        random_add(&book->trace, "#%d", atomic_load(&world.born));
}

void world_tell(const struct term *term, const coir_value *value) { world_tell_seen(term, value, coir_context()); }

void world_tell_result(const struct term *term, const coir_result *result)
{
    const coir_value tag = coir_int((int64_t)result->tag);
    world_tell(term, &tag);
    world_tell(term, &result->value);
}

void world_tell_nothing(const struct term *term)
{
    const coir_value none = coir_none();
    world_tell(term, &none);
}

void world_tell_end(const coir_result *result)
{
    struct book *book = world_book_here();
    if (book == NULL)
        return;
    random_add(&book->trace, " ends(");
    world_add_result(&book->trace, result);
    random_add(&book->trace, ")");
}

/* -------------------------------------------------------------------------------------------------------------- gates */

struct gate *world_gate(unsigned guests)
{
    struct gate *gate = world_alloc(sizeof *gate);
    gate->left = guests;
    return gate;
}

struct guest *world_guest(struct gate *gate)
{
    struct guest *guest = world_alloc(sizeof *guest);
    guest->gate = gate;
    atomic_init(&guest->is_announced, false);
    return guest;
}

void world_announce(struct guest *guest)
{
    if (guest == NULL || atomic_exchange(&guest->is_announced, true))
        return;
    struct gate *gate = guest->gate;
    pthread_mutex_lock(&world.lock);
    bool wakes = --gate->left == 0 && gate->is_waited_for;
    pthread_mutex_unlock(&world.lock);
    if (wakes && !coir_resume(gate->waiting, coir_ok(coir_none())))
        world_wrong("the resume of who waits for guests is refused");
}

static void gate_start(void *gate_, void *op, coir_callback k)
{
    struct gate *gate = gate_;
    (void)op;
    pthread_mutex_lock(&world.lock);
    bool is_open = gate->left == 0;
    gate->is_waited_for = !is_open;
    gate->waiting = k;
    pthread_mutex_unlock(&world.lock);
    if (is_open)
        coir_resume(k, coir_ok(coir_none()));
}
static const coir_async_type gate_type = { .start = gate_start };
coir_io *world_pass(struct gate *gate) { return coir_async(&gate_type, gate); }

static void guest_gone(void *guest) { world_announce(guest); }
coir_io *world_as_guest(struct guest *guest, coir_io *io) { return coir_owns(io, guest, guest_gone); }

/* ------------------------------------------------------------------------------------------------------ foreign callers */

/* Begun with the first parcel. */
struct parcel { coir_callback k; coir_result result; bool twice; struct parcel *next; };
static struct {
    pthread_mutex_t lock;
    pthread_cond_t  came;
    pthread_t       thread;
    struct parcel  *first;
    bool            runs, ends;
} afar = { .lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER };

static void resume_from_afar(coir_callback k, coir_result result, bool twice)
{
    if (!coir_resume(k, result))
        world_wrong("the first resume from afar is refused");
    if (twice && coir_resume(k, coir_ok(coir_int(-1))))
        world_wrong("the second resume from afar is accepted");
}

static void *afar_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&afar.lock);
    for (;;) {
        struct parcel *parcel = afar.first;
        if (parcel == NULL && afar.ends)
            break;
        if (parcel == NULL) {
            pthread_cond_wait(&afar.came, &afar.lock);
            continue;
        }
        afar.first = parcel->next;
        pthread_mutex_unlock(&afar.lock);
        resume_from_afar(parcel->k, parcel->result, parcel->twice);
        pthread_mutex_lock(&afar.lock);
    }
    pthread_mutex_unlock(&afar.lock);
    return NULL;
}

void world_send_afar(coir_callback k, coir_result result, bool twice)
{
    if (world.program->how.is_simulated) {
        resume_from_afar(k, result, twice);
        return;
    }
    struct parcel *parcel = world_alloc(sizeof *parcel);
    pthread_mutex_lock(&afar.lock);
    *parcel = (struct parcel){ k, result, twice, afar.first };
    afar.first = parcel;
    if (!afar.runs) {
        afar.runs = true;
        afar.ends = false;
        if (pthread_create(&afar.thread, NULL, afar_main, NULL) != 0)
            abort();
    }
    pthread_cond_signal(&afar.came);
    pthread_mutex_unlock(&afar.lock);
}

void world_end_afar(void)
{
    if (!afar.runs)
        return;
    pthread_mutex_lock(&afar.lock);
    afar.ends = true;
    pthread_cond_signal(&afar.came);
    pthread_mutex_unlock(&afar.lock);
    pthread_join(afar.thread, NULL);
    afar.runs = false;
}
