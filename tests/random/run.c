/*
 * run.c - a random program runs, and what it did is written down as evaluate.c writes what it must do
 */
#include "random/build.h"

#include <stdlib.h>
#include <string.h>

static void keep_unseen(void *env, uint64_t id, const coir_result *failure)
{
    struct text text = { 0 };
    (void)env;
    (void)id;
    world_add_result(&text, failure);
    pthread_mutex_lock(&world.lock);
    if (world.unseen_count < WORLD_FIBERS_MAX)
        world.unseen[world.unseen_count++] = text;
    else
        free(text.chars);
    pthread_mutex_unlock(&world.lock);
}

static int by_text(const void *a, const void *b) { return strcmp(((const struct text *)a)->chars, ((const struct text *)b)->chars); }

/* No fiber knows of another when it fails: the order is nobody's. */
static void add_unseen(struct text *text)
{
    qsort(world.unseen, world.unseen_count, sizeof world.unseen[0], by_text);
    for (size_t i = 0; i < world.unseen_count; i++) {
        random_add(text, "unseen: %s\n", world.unseen[i].chars);
        free(world.unseen[i].chars);
    }
    world.unseen_count = 0;
}

static void add_book(struct text *text, struct book *book, const char *name)
{
    random_add(text, "%s:%s\n", name, book->trace.chars != NULL ? book->trace.chars : "");
    free(book->trace.chars);
    int i = 0;
    for (struct book *kid = book->kids; kid != NULL; kid = kid->next, i++) {
        char kid_name[100];
        snprintf(kid_name, sizeof kid_name, "%s.%d", name, i);
        add_book(text, kid, kid_name);
    }
}

/* Every driver that there is. */
static coir_result run_as(const struct how *how, coir_io *io, const coir_options *options)
{
    if (how->is_simulated)
        return coir_sim_run(io, COIR_SIM_OPTIONS(.seed = how->seed, .policy = (coir_sim_policy)how->policy, .run = options));
    return coir_run(io, options);
}

static void run_main(struct text *text, coir_io *io, const coir_options *options)
{
    struct book *book = world_book(NULL);
    world.fibers_count = 0;
    coir_result result = run_as(&world.program->how, random_build_main(book, io), options);
    world_end_afar();
    random_add(text, "result: ");
    world_add_result(text, &result);
    random_add(text, "\n");
    coir_result_drop(&result);
    add_book(text, book, "main");
    add_unseen(text);
}

static bool is_visited(void *env, const coir_io_view *view) { (void)env; return view->name != NULL; }

static void show(const coir_io *io)
{
    char  *chars = NULL;
    size_t size = 0;
    FILE  *out = open_memstream(&chars, &size);
    if (out == NULL)
        abort();
    coir_io_print(io, out, 0);
    coir_io_dot(io, out, 0);
    fclose(out);
    if (io != NULL && !coir_io_visit(io, is_visited, NULL))
        world_wrong("visit does not come to its end");
    free(chars);
}

static bool permits_are_back(void)
{
    bool are_back = true;
    for (unsigned i = 0; i < OBJECTS; i++)
        are_back &= is_lock(i) || coir_semaphore_available(world.semaphores[i]) == permits_of(i);
    return are_back;
}

static void add_object(struct text *text, unsigned object)
{
    struct guarded *guarded = &world.guarded[object];
    if (!is_lock(object)) {
        long long available = coir_semaphore_available(world.semaphores[object]);
        random_add(text, "object %u: %lld permits, entered %d times\n", object, available, guarded->entered);
    } else {
        coir_io *io = coir_then_keep(coir_lock_try(world.locks[object]), coir_lock_release(world.locks[object]));
        coir_result result = coir_run(io, COIR_OPTIONS(.workers = 1));
        bool is_free = result.tag == COIR_OK && result.value.flag;
        random_add(text, "object %u: %s, entered %d times\n", object, is_free ? "free" : "held", guarded->entered);
        coir_result_drop(&result);
    }
    if (guarded->tries != atomic_load(&guarded->tries_sum))
        world_wrong("object %u: of %d tries %d were counted", object, atomic_load(&guarded->tries_sum), guarded->tries);
}

char *random_run(const struct program *program)
{
    struct text text = { 0 };
    world_begin(program);
    coir_value context = world_make(program->context, false);
    coir_io   *io = random_build(program);
    coir_io_drop(random_build(program));                /* one that never runs leaves nothing either */
    const coir_options options = { .size = sizeof options, .workers = program->how.workers, .budget = program->how.budget,
                                   .context = context, .on_unseen_failure = keep_unseen };
    if (program->is_shown)
        show(io);
    if (program->runs_twice) {
        run_main(&text, coir_io_ref(io), &options);
        if (permits_are_back()) {
            run_main(&text, io, &options);
            io = NULL;
        }
        coir_io_drop(io);
    } else {
        run_main(&text, io, &options);
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        add_object(&text, i);
    coir_drop(context);
    random_add(&text, "left: %d things, %d owned\n", atomic_load(&world.alive), atomic_load(&world.owned));
    random_add(&text, "%s", world.wrong.chars);
    world_end();
    return text.chars;
}
