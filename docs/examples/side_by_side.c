/*
 * side_by_side.c - shows work that is done side by side: both, par_zip, a bounded par_traverse, and what a failure does
 *
 * All of it is structured: when such an io has ended, so has everything that it started. Simulated, so that the times are exact; with
 * coir_main() it would run as it stands.
 */
#include <coir.h>

#include <errno.h>

static coir_io *after(int64_t ms, coir_io *io) { return coir_then(coir_sleep(coir_ms(ms)), io); }

static coir_result say(void *text) { printf("    %s\n", (const char *)text); return coir_ok(coir_none()); }
static coir_io *saying(const char *text) { return coir_defer(say, (void *)(uintptr_t)text); }

/* Each page takes 10 ms; fn is called for several at once, so it only reads what env points to. */
static coir_io *fetch_page(void *env, size_t index)
{
    const char *const *pages = env;
    return after(10, coir_pure(coir_stringf("<%s>", pages[index])));
}

static coir_io *shout(void *env, coir_value *word)
{
    (void)env;
    return after(10, coir_pure(coir_stringf("%s!", coir_text(word))));
}

static void show(const char *title, coir_io *io)
{
    coir_sim_figures figures;
    printf("%s\n", title);
    coir_result result = coir_sim_run(io, COIR_SIM_OPTIONS(.figures = &figures));
    printf("    ");
    coir_result_print(&result, stdout);
    printf(" after %d ms\n", (int)(figures.elapsed.ns / 1000000));
    coir_result_drop(&result);
}

int main(void)
{
    static const char *const pages[] = { "home", "news", "mail", "maps", "help" };
    coir_value words = coir_list(2, (coir_value[]){ coir_stringf("one"), coir_stringf("two") });

    show("two at once", coir_both(after(10, coir_pure(coir_int(1))), after(30, coir_pure(coir_int(2)))));
    show("five pages, two at a time", coir_par_traverse(2, 5, fetch_page, (void *)(uintptr_t)pages));
    show("the items of a list, all at once", coir_par_each(0, words, shout, NULL));
    show("one fails: the other is called off, and its finalizer has run",
         coir_both(after(10, coir_fail(coir_int(7))), coir_finally(coir_sleep(coir_seconds(1000)), saying("finalizer"))));
    show("every failure counts",
         coir_par_zip_all(COIR_IOS(after(20, coir_fail(coir_int(1))), after(10, coir_fail(coir_int(2))), after(30, saying("done")))));
    show("too slow", coir_timeout_to(coir_par_traverse(1, 5, fetch_page, (void *)(uintptr_t)pages), coir_ms(25), coir_pure(coir_int(0))));
    return 0;
}
