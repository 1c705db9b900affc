/*
 * context.c - shows dependencies that come from outside: the context of a run, another one for a part of it, and a fiber-local key
 *
 * The business below knows neither who prints nor in which language. The run's context says so; a test would lend another.
 */
#include <coir.h>

struct language { const char *hello, *goodbye; };
struct app      { const char *name; const struct language *language; };

/* ---- Business that needs a language, and nothing else. */
static const struct language *language(void) { return coir_context()->ptr; }    /* in a callback */

static coir_result greet(void *env)
{
    const char *const *name = env;
    printf("%s %s\n", language()->hello, *name);
    return coir_ok(coir_none());
}

static coir_io *part_in(void *env, coir_value *context)         /* as a step: coir_ask() gives it */
{
    const struct language *spoken = context->ptr;
    const char *const *name = env;
    printf("%s %s\n", spoken->goodbye, *name);
    return coir_unit();
}

static coir_io *visit(const char *name)
{
    return coir_then(coir_defer_copy(greet, &name, sizeof name), coir_flat_map_copy(coir_ask(), part_in, &name, sizeof name));
}

/* ---- The app has more than that in its context: contra_map makes the smaller one from the larger. */
static coir_value language_of_app(void *env, const coir_value *context)
{
    const struct app *app = context->ptr;
    (void)env;
    return coir_lend(app->language);
}

static coir_result sign(void *env, const coir_value *context)
{
    const struct app *app = context->ptr;
    (void)env;
    printf("-- %s\n", app->name);
    return coir_ok(coir_none());
}

/* ---- A key: who is asking? Set for a part of the program, seen by the fibers forked in it. */
static coir_io *log_request(void *env, coir_value *id)
{
    (void)env;
    printf("request %lld\n", (long long)id->i64);
    return coir_unit();
}

static coir_io *join(void *env, coir_value *fiber)
{
    (void)env;
    return coir_join(coir_fiber_of(fiber));
}

static coir_io *request(coir_key *key, int64_t id)
{
    coir_io *deep_inside = coir_flat_map(coir_key_get(key), log_request, NULL);
    return coir_with_key(key, coir_int(id), coir_flat_map(coir_fork(deep_inside), join, NULL));
}

int main(void)
{
    static const struct language english = { "hello", "goodbye" }, french = { "bonjour", "au revoir" };
    struct app app = { "the app", &english };
    coir_key *id = coir_key_new(coir_int(0));
    coir_io *program = coir_sequence(COIR_IOS(
        coir_contra_map(visit("ann"), language_of_app, NULL),
        coir_local(visit("bob"), coir_lend(&french)),           /* this part only */
        coir_defer_read(sign, NULL),                            /* the run's own context again */
        request(id, 7), request(id, 8), coir_flat_map(coir_key_get(id), log_request, NULL)));

    coir_key_drop(id);                                          /* the ios keep it */
    return coir_main(program, COIR_OPTIONS(.context = coir_lend(&app)));
}
