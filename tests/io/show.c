/*
 * show.c - tests of programs as text, as graphs, and as walks
 */
#include "program.h"

static coir_io *flat_map(void *env, coir_value *v)      { (void)env; (void)v; return coir_unit(); }
static coir_value map(void *env, coir_value *v)         { (void)env; (void)v; return coir_none(); }
static coir_io *index_unit(void *env, size_t i)         { (void)env; (void)i; return coir_unit(); }

/* text_of: what print or dot write. */
typedef void show_fn(const coir_io *io, FILE *out, size_t nodes_max);
static const char *text_of(show_fn *show, const coir_io *io, size_t nodes_max)
{
    char *text = scratch();
    memset(text, 0, SCRATCH_SIZE);
    FILE *out = fmemopen(text, SCRATCH_SIZE - 1, "w");
    if (out == NULL)
        abort();
    show(io, out, nodes_max);
    fclose(out);
    return text;
}

static const char *text_and_drop(coir_io *io)
{
    const char *text = text_of(coir_io_print, io, 0);
    coir_io_drop(io);
    return text;
}

/* ---------------------------------------------------------------------------------------------------------- as text */

TEST(io_show, print_gives_a_line_an_instruction)
{
    coir_io *io = coir_catch(coir_flat_map(coir_zip(COIR_IOS(coir_pure(coir_int(1)), coir_yield())), flat_map, NULL), flat_map, NULL);
    CHECK_STR(text_and_drop(coir_then(io, coir_repeat(coir_self(), 3))),
              "then\n"
              "  catch\n"
              "    flat_map\n"
              "      zip\n"
              "        pure 1\n"
              "        yield\n"
              "  repeat 3 times\n"
              "    self\n");
}

TEST(io_show, print_calls_what_ends_at_once_as_the_program_did)
{
    CHECK_STR(text_and_drop(coir_fail(coir_int(5))), "fail 5\n");
    CHECK_STR(text_and_drop(ending(COIR_PANIC, 5)), "panic 5\n");
    CHECK_STR(text_and_drop(ending(COIR_CANCELED, 5)), "canceled 5\n");
    CHECK_STR(text_and_drop(ending(COIR_OK, 5)), "from_result 5\n");
    coir_result both = coir_result_and(coir_raise(coir_int(5)), coir_raise(coir_int(6)));
    CHECK_STR(text_and_drop(coir_from_result(both)), "fail 5, and further failures\n");
}

TEST(io_show, print_shows_values_as_their_types_do)
{
    CHECK_STR(text_and_drop(coir_pure(thing(3))), "pure thing 3\n");
    CHECK_STR(text_and_drop(coir_as(coir_call(sole_thing(4), flat_map, NULL), sole_thing(5))), "as thing 5\n  call thing 4\n");
    CHECK_STR(text_and_drop(coir_pure(coir_stringf("a\nb"))), "pure \"a\\nb\"\n");
    CHECK_STR(text_and_drop(coir_catch_code(coir_unit(), -7, coir_traverse(9, index_unit, NULL))),
              "catch_code -7\n"
              "  pure 0\n"
              "  traverse 9\n");
    notes();
}

static void print_lines(const void *object, FILE *out) { (void)object; fputs("two\nlines", out); }
static void print_long(const void *object, FILE *out) { (void)object; for (int i = 0; i < 10000; i++) fputs("xyz ", out); }
static const coir_type lines_type = { "lines", NULL, NULL, print_lines }, long_type = { "long", NULL, NULL, print_long };
static const coir_type mute_type = { "mute", NULL, NULL, NULL };

TEST(io_show, print_keeps_every_value_on_one_line_of_bounded_length)
{
    CHECK_STR(text_and_drop(coir_pure(coir_own(NULL, &lines_type))), "pure two lines\n");
    const char *text = text_and_drop(coir_pure(coir_own(NULL, &long_type)));
    CHECK(strlen(text) < 300);
    CHECK_CONTAINS(text, "...\n");
    CHECK_CONTAINS(text_and_drop(coir_pure(coir_own(NULL, &mute_type))), "mute");
    char exact[161];
    memset(exact, 'e', 158);
    exact[158] = '\0';
    CHECK(strstr(text_and_drop(coir_pure(coir_stringf("%s", exact))), "...") == NULL);
    CHECK(strstr(text_and_drop(coir_pure(coir_stringf("%se", exact))), "...") != NULL);
}

TEST(io_show, print_puts_labels_before_what_they_name)
{
    CHECK_STR(text_and_drop(coir_named(coir_map(coir_named(coir_unit(), "in\"side"), map, NULL), "out side")),
              "\"out side\" map\n  \"in\\\"side\" pure 0\n");
    CHECK_STR(text_and_drop(coir_named(coir_named(coir_unit(), "b"), "a")), "\"a\" \"b\" pure 0\n");
    coir_io *io = coir_unit();
    for (int i = 0; i < 1000; i++)
        io = coir_named(io, "x");
    CHECK_STR(text_and_drop(io), "\"x\" \"x\" \"x\" ... pure 0\n");
}

TEST(io_show, print_shows_what_is_shared_once)
{
    coir_io *shared = coir_map(coir_pure(coir_int(1)), map, NULL);
    coir_io *io = coir_sequence(COIR_IOS(coir_io_ref(shared), coir_unit(), coir_unit(), coir_named(shared, "again")));
    CHECK_STR(text_and_drop(io),
              "sequence\n"
              "  map  #1\n"
              "    pure 1\n"
              "  pure 0\n"
              "  pure 0\n"
              "  \"again\" #1\n");
}

TEST(io_show, a_graph_of_few_nodes_and_very_many_paths_is_shown_in_few_lines)
{
    coir_io *io = coir_pure(coir_int(1));
    for (int i = 0; i < 60; i++)
        io = coir_then(io, coir_io_ref(io));
    static char text[32 << 10];
    FILE *out = fmemopen(text, sizeof text, "w");
    coir_io_print(io, out, 0);
    fclose(out);
    CHECK_CONTAINS(text, "\n  #1\n");
    out = fmemopen(text, sizeof text, "w");
    coir_io_dot(io, out, 0);
    fclose(out);
    CHECK_CONTAINS(text, "}\n");
    coir_io_drop(io);
}

TEST(io_show, value_that_a_run_may_take_meanwhile_is_shown_by_its_type)
{
    coir_value list = coir_list(1, (coir_value[]){ sole_thing(2) });
    coir_io *shared = coir_sequence(COIR_IOS(coir_pure(sole_thing(1)), coir_pure(list), coir_pure(thing(3)),
                                             coir_pure(coir_list(0, NULL))));
    coir_io *io = coir_then(coir_io_ref(shared), shared);
    CHECK_STR(text_of(coir_io_print, io, 0),
              "then\n  sequence  #1\n    pure sole\n    pure list\n    pure thing 3\n    pure []\n  #1\n");
    coir_io_drop(io);
    notes();
    io = coir_io_ref(coir_pure(sole_thing(1)));
    CHECK_STR(outcome(1, io), "OK thing 1");
    CHECK_STR(text_and_drop(io), "pure sole\n");
    CHECK_STR(notes(), "-1");
}

TEST(io_show, number_beside_a_failure_that_a_run_may_take_meanwhile_is_shown)
{
    coir_io *io = coir_from_result(coir_result_and(coir_raise(coir_int(5)), coir_raise(sole_thing(6))));
    io = coir_io_ref(io);
    CHECK_STR(text_of(coir_io_print, io, 0), "fail 5, and further failures  #1\n");
    CHECK_STR(outcome(1, io), "ERROR 5 also(ERROR thing 6)");
    CHECK_STR(text_and_drop(io), "fail 5, and further failures\n");
    CHECK_STR(notes(), "-6");
}

TEST(io_show, print_stops_where_it_is_told_and_says_so)
{
    coir_io *io = coir_then(coir_then(coir_unit(), coir_unit()), coir_unit());
    CHECK_STR(text_of(coir_io_print, io, 1), "then\n  ... more than 1 instructions\n");
    CHECK_STR(text_of(coir_io_print, io, 4), "then\n  then\n    pure 0\n    pure 0\n  ... more than 4 instructions\n");
    CHECK_STR(text_of(coir_io_print, io, 5), text_of(coir_io_print, io, 0));
    coir_io_drop(io);
}

TEST(io_show, NULL_is_shown_as_such)
{
    CHECK_STR(text_of(coir_io_print, NULL, 0), "NULL\n");
    CHECK_CONTAINS(text_of(coir_io_dot, NULL, 0), "NULL");
}

TEST(io_show, io_inside_a_value_is_shown_by_its_first_instruction)
{
    coir_io *io = coir_unit();
    for (int i = 0; i < 5; i++)
        io = coir_pure(coir_io_value(io));
    CHECK_STR(text_and_drop(io), "pure io pure\n");
    CHECK_STR(text_and_drop(coir_flatten(coir_pure(coir_io_value(coir_named(coir_forever(coir_yield()), "spin"))))),
              "flatten\n  pure io \"spin\" forever\n");
}

static coir_io *every_instruction(void)
{
    coir_key *key = coir_key_new(coir_none());
    coir_lock *lock = coir_lock_new();
    coir_io *io = coir_sequence(COIR_IOS(
        coir_pure(coir_int(1)), coir_fail(coir_int(1)), coir_defer(NULL, NULL), coir_ask(), coir_self(), coir_yield(), coir_never(),
        coir_key_get(key), coir_with_key(key, coir_int(1), coir_unit()), coir_local(coir_unit(), coir_int(1)), coir_fork(coir_unit()),
        coir_parallel(COIR_IOS(coir_unit(), coir_unit())), coir_attempt(coir_unit()), coir_or_panic(coir_unit()),
        coir_or_else(coir_unit(), coir_unit()), coir_finally(coir_unit(), coir_unit()), coir_always(coir_unit(), coir_unit()),
        coir_on_cancel(coir_unit(), coir_unit()), coir_then_keep(coir_unit(), coir_unit()), coir_flatten(coir_unit()),
        coir_forever(coir_unit()), coir_do(NULL, NULL, 0), coir_iterate(coir_int(1), flat_map, NULL), coir_again(coir_int(1)),
        coir_each(coir_list(0, NULL), flat_map, NULL), coir_sleep(coir_ms(5)), coir_now(), coir_with_lock(lock, coir_unit()),
        coir_lock_try(lock), coir_retry(coir_unit(), COIR_POLICY(.tries_max = 2))));
    coir_lock_drop(lock);
    coir_key_drop(key);
    return io;
}

TEST(io_show, every_instruction_has_a_name)
{
    coir_io *io = every_instruction();
    const char *text = text_of(coir_io_print, io, 0);
    static const char *const names[] = {
        "ask", "self", "yield", "never", "key_get", "with_key 1", "local 1", "fork", "parallel", "attempt", "or_panic", "or_else",
        "finally", "always", "on_cancel", "then_keep", "flatten", "forever", "iterate 1", "again 1", "each []", "sleep", "now",
        "with_lock", "lock_try", "retry"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_CONTAINS(text, names[i]);
    coir_io_drop(io);
}

/* ------------------------------------------------------------------------------------------------------- as a graph */

TEST(io_show, dot_draws_shared_nodes_once)
{
    coir_io *shared = coir_pure(coir_stringf("a \"b\""));
    coir_io *io = coir_then(coir_io_ref(shared), coir_named(shared, "again"));
    CHECK_STR(text_of(coir_io_dot, io, 0),
              "digraph io {\n"
              "    graph [ordering=out];\n"
              "    node [shape=box];\n"
              "    n1 [label=\"then\"];\n"
              "    n2 [label=\"pure \\\"a \\\\\\\"b\\\\\\\"\\\"\", style=bold];\n"
              "    n1 -> n2;\n"
              "    n1 -> n2 [label=\"\\\"again\\\" \"];\n"
              "}\n");
    coir_io_drop(io);
}

TEST(io_show, dot_stops_where_it_is_told_and_says_so)
{
    coir_io *io = coir_then(coir_unit(), coir_unit());
    CHECK_STR(text_of(coir_io_dot, io, 2),
              "digraph io {\n"
              "    graph [ordering=out];\n"
              "    node [shape=box];\n"
              "    n1 [label=\"then\"];\n"
              "    n2 [label=\"pure 0\"];\n"
              "    n1 -> n2;\n"
              "    rest [label=\"...\", shape=plaintext];\n"
              "    n1 -> rest [style=dotted];\n"
              "}\n");
    coir_io_drop(io);
}

/* -------------------------------------------------------------------------------------------------------- as a walk */

static bool note_view(void *env, const coir_io_view *view)
{
    int *left = env;
    note("%zu:%s%s%s/%zu%s", view->depth, view->label != NULL ? view->label : "", view->label != NULL ? "=" : "", view->name,
         view->children, view->value != NULL ? "v" : "");
    return --*left != 0;
}

TEST(io_show, visit_goes_parents_first_and_children_in_order)
{
    int left = -1;
    coir_io *io = coir_then(coir_zip(COIR_IOS(coir_pure(coir_int(1)), coir_yield())), coir_named(coir_as(coir_self(), thing(3)), "name"));
    CHECK(coir_io_visit(io, note_view, &left));
    CHECK_STR(notes(), "0:then/2 1:zip/2 2:pure/0v 2:yield/0 1:name=as/1v 2:self/0");
    left = 3;
    CHECK(!coir_io_visit(io, note_view, &left));
    CHECK_STR(notes(), "0:then/2 1:zip/2 2:pure/0v");
    left = 6;
    CHECK(!coir_io_visit(io, note_view, &left));
    coir_io_drop(io);
    notes();
}

TEST(io_show, visit_comes_to_a_shared_io_as_often_as_it_is_mentioned)
{
    int left = -1;
    coir_io *shared = coir_pure(coir_int(1)), *io = coir_sequence(COIR_IOS(coir_io_ref(shared), coir_io_ref(shared), shared));
    CHECK(coir_io_visit(io, note_view, &left));
    CHECK_STR(notes(), "0:sequence/3 1:pure/0v 1:pure/0v 1:pure/0v");
    coir_io_drop(io);
}

TEST(io_show, visit_of_NULL_has_nothing_to_visit)
{
    int left = -1;
    CHECK(coir_io_visit(NULL, note_view, &left));
    CHECK_STR(notes(), "");
}

/* ------------------------------------------------------------------------------------------------------------ depth */

static bool count_views(void *env, const coir_io_view *view) { size_t *count = env; (void)view; ++*count; return true; }

static void show_towers(void *env)
{
    (void)env;
    int deep = scaled(1000000);
    FILE *out = fopen("/dev/null", "w");
    for (int which = 0; which < 4; which++) {
        CASE("%d", which);
        coir_io *io = coir_unit();
        for (int i = 0; i < deep; i++)
            io = which == 0 ? coir_then(io, coir_unit()) : which == 1 ? coir_then(coir_unit(), io) : which == 2 ? coir_named(io, "x")
                                                                                               : coir_pure(coir_io_value(io));
        coir_io_print(io, out, 0);
        coir_io_dot(io, out, 0);
        coir_io_print(io, out, 10);
        size_t count = 0;
        CHECK(coir_io_visit(io, count_views, &count));
        CHECK_UINT(count, which < 2 ? 2 * (size_t)deep + 1 : 1);
        coir_io_drop(io);
    }
    fclose(out);
}

TEST(io_show, million_deep_ios_are_shown_on_a_small_stack) { on_small_stack(show_towers, NULL); }

/* ------------------------------------------------------------------------------------------------- while others run it */

struct watching { coir_io *io; atomic_bool over; };

static void *watch(void *env)
{
    struct watching *watching = env;
    FILE *out = fopen("/dev/null", "w");
    while (!atomic_load(&watching->over)) {
        size_t count = 0;
        coir_io_print(watching->io, out, 0);
        coir_io_dot(watching->io, out, 0);
        CHECK(coir_io_visit(watching->io, count_views, &count));
    }
    fclose(out);
    return NULL;
}

TEST(io_show, io_is_shown_while_other_threads_run_it)
{
    for (int round = 0; round < scaled(50); round++) {
        coir_value items[] = { sole_thing(1) };
        struct watching watching = { .over = false };
        watching.io = coir_repeat(coir_or_else(coir_recover(
            coir_then(coir_zip(COIR_IOS(coir_pure(sole_thing(2)), coir_pure(coir_list(1, items)), coir_pure(thing(3)))), coir_yield()),
            flat_map, NULL), coir_unit()), 100);
        coir_io *run_too = coir_io_ref(watching.io);    /* before the other thread begins: a reference is one thread's at a time */
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, watch, &watching), 0);
        CHECK_STR(outcome(2, run_too), "OK 0");
        atomic_store(&watching.over, true);
        CHECK_INT(pthread_join(thread, NULL), 0);
        coir_io_drop(watching.io);
        CHECK_INT(things_alive, 0);
    }
    notes();
}

/* -------------------------------------------------------------------------------------------------------- no memory */

TEST_ALONE(io_show, without_memory_it_shows_what_it_can_and_says_so)
{
    watch_memory();
    coir_io *deep = coir_unit(), *shared = coir_then(coir_unit(), coir_unit());
    for (int i = 0; i < 100; i++)
        deep = coir_then(deep, coir_unit());
    shared = coir_then(coir_io_ref(shared), shared);
    size_t count = 0;
    atomic_store(&watched.left, 0);
    const char *text = text_of(coir_io_print, deep, 0), *graph = text_of(coir_io_dot, deep, 0);
    bool visited = coir_io_visit(deep, count_views, &count);
    const char *shared_text = text_of(coir_io_print, shared, 0), *shared_graph = text_of(coir_io_dot, shared, 0);
    atomic_store(&watched.left, -1);
    CHECK_CONTAINS(text, "then\n");
    CHECK_CONTAINS(text, "no memory to show more\n");
    CHECK_CONTAINS(graph, "no memory to show more");
    CHECK_CONTAINS(graph, "}\n");
    CHECK(!visited);
    CHECK(strchr(shared_text, '\n') != NULL);
    CHECK_CONTAINS(shared_graph, "}\n");
    coir_io_drop(deep);
    coir_io_drop(shared);
}
