/*
 * value.c - sharing, printing and dropping through a type; what holds values as deep as memory allows
 */
#include "program.h"

#include "base/memory.h"

enum { DEEP = 1000000 };

static coir_value list_of_one(coir_value item) { return coir_list(1, &item); }
static coir_value boxed(coir_value item) { return coir_box(coir_ok(item)); }
static coir_value failed(coir_value item) { return coir_box(coir_raise(item)); }
static coir_value met_later(coir_value item)
{
    return coir_box(coir_result_and(coir_raise(coir_int(1)), coir_raise(item)));
}
static coir_value caused(coir_value cause) { return coir_error_because(coir_errorf(1, "e"), cause); }

/* Everything that can hold a value. */
static const struct holder { const char *name; coir_value (*put_in)(coir_value item); } holders[] = {
    { "list", list_of_one },
    { "box", boxed },
    { "box of an error", failed },
    { "box, further failure", met_later },
    { "error", caused },
};
enum { HOLDERS = sizeof holders / sizeof holders[0] };
#define EACH_HOLDER(h) for (const struct holder *h = holders; h < holders + HOLDERS && (CASE("%s", h->name), true); h++)

static const char *printed(const coir_value *value)
{
    char *text = scratch();
    memset(text, 0, SCRATCH_SIZE);
    FILE *out = fmemopen(text, SCRATCH_SIZE - 1, "w");
    CHECK(out != NULL);
    coir_value_print(value, out);
    CHECK_INT(fclose(out), 0);
    return text;
}

/* --------------------------------------------------------------------------------------------------------- sharing */

TEST(value, plain_one_is_shared_by_copying_it)
{
    const coir_value plain[] = {
        coir_none(), coir_int(-1), coir_uint(UINT64_MAX), coir_real(0.5), coir_bool(true), coir_lend("x"),
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        coir_value share = coir_share(&plain[i]);
        CHECK(coir_can_share(&plain[i]));
        CHECK_UINT(share.u64, plain[i].u64);
        CHECK_PTR(share.type, NULL);
        coir_drop(share);
    }
}

TEST(value, shared_one_is_dropped_by_its_last_owner)
{
    coir_value one = thing(1), other = coir_share(&one);
    CHECK_PTR(other.ptr, one.ptr);
    coir_drop(one);
    CHECK_STR(notes(), "");
    coir_drop(other);
    CHECK_STR(notes(), "-1");
}

TEST(value, without_share_is_refused_with_its_types_name)
{
    coir_value sole = sole_thing(1), share = coir_share(&sole);
    CHECK(!coir_can_share(&sole));
    CHECK_PTR(share.type, &coir_panic_type);
    CHECK_CONTAINS(coir_error_message(&share), "a sole cannot be shared");
    coir_drop(share);
    coir_drop(sole);
    CHECK_STR(notes(), "-1");
}

TEST(value, whose_share_gives_null_says_enomem)
{
    coir_value starved = starved_thing(1), share = coir_share(&starved);
    CHECK(coir_can_share(&starved));
    CHECK_PTR(share.type, &coir_panic_type);
    CHECK_INT(coir_error_code(&share), ENOMEM);
    coir_drop(share);
    coir_drop(starved);
    CHECK_STR(notes(), "-1");
}

TEST(value, inside_another_shares_one_count)
{
    EACH_HOLDER(holder) {
        coir_value one = holder->put_in(thing(1)), other = coir_share(&one);
        CHECK(coir_can_share(&one));
        CHECK_PTR(other.ptr, one.ptr);
        coir_drop(one);
        CHECK_STR(notes(), "");
        coir_drop(other);
        CHECK_STR(notes(), "-1");
    }
}

TEST(value, holder_is_refused_with_the_name_of_what_it_holds)
{
    EACH_HOLDER(outer) for (size_t i = 0; i < HOLDERS; i++) {
        coir_value one = outer->put_in(holders[i].put_in(sole_thing(1))), share = coir_share(&one);
        CHECK(!coir_can_share(&one));
        CHECK_PTR(share.type, &coir_panic_type);
        CHECK_CONTAINS(coir_error_message(&share), one.type->name);
        CHECK_CONTAINS(coir_error_message(&share), "there is a sole inside");
        CHECK_PTR(one.type->share(one.ptr), NULL);      /* who calls it without asking is refused too */
        coir_drop(share);
        coir_drop(one);
        CHECK_STR(notes(), "-1");
    }
}

TEST(value, can_be_shared_again_when_what_could_not_is_taken_out)
{
    coir_value list = list_of_one(boxed(sole_thing(1)));
    CHECK(!coir_can_share(&list));
    coir_result *inside = coir_result_in(coir_list_at(&list, 0));
    coir_drop(coir_take(&inside->value));
    CHECK(coir_can_share(&list));
    coir_value share = coir_share(&list);
    CHECK_PTR(share.ptr, list.ptr);
    coir_drop(share);

    CHECK(coir_list_push(&list, sole_thing(2)));
    CHECK(!coir_can_share(&list));
    coir_drop(coir_list_take(&list, 1));
    CHECK(coir_can_share(&list));
    coir_drop(list);
    CHECK_STR(notes(), "-1 -2");
}

TEST(value, own_heap_is_freed_and_null_says_enomem)
{
    coir_value bytes = coir_heap(malloc(10)), none = coir_heap(NULL);
    CHECK_PTR(bytes.type, &coir_heap_type);
    CHECK(!coir_can_share(&bytes));
    CHECK_PTR(none.type, &coir_panic_type);
    CHECK_INT(coir_error_code(&none), ENOMEM);
    coir_drop(bytes);
    coir_drop(none);
}

/* ----------------------------------------------------------------------------------------------------------- depth */

struct deep { coir_value (*put_in)(coir_value item); coir_value innermost; };

static coir_value nest(const struct deep *deep, int depth)
{
    coir_value value = deep->innermost;
    for (int i = 0; i < depth; i++)
        value = deep->put_in(value);
    return value;
}

static coir_value any_of_them(coir_value item)
{
    static unsigned turn;
    return holders[turn++ % HOLDERS].put_in(item);
}

static void nest_and_drop(void *env)
{
    coir_value value = nest(env, scaled(DEEP));
    coir_drop(value);
    CHECK_STR(notes(), "-1");
}

TEST(value, a_million_deep_is_dropped_on_a_small_stack)
{
    EACH_HOLDER(holder) {
        struct deep deep = { holder->put_in, thing(1) };
        on_small_stack(nest_and_drop, &deep);
    }
    CASE("all by turns");
    struct deep deep = { any_of_them, sole_thing(1) };
    on_small_stack(nest_and_drop, &deep);
}

static void nest_and_ask(void *env)
{
    const struct deep *deep = env;
    bool is_sharable = deep->innermost.type->share != NULL;
    coir_value value = nest(deep, scaled(DEEP));
    CHECK_INT(coir_can_share(&value), is_sharable);
    coir_value share = coir_share(&value);
    CHECK_PTR(share.type, is_sharable ? value.type : &coir_panic_type);
    if (!is_sharable)
        CHECK_CONTAINS(coir_error_message(&share), "there is a sole inside");
    coir_drop(share);
    coir_drop(value);
}

TEST(value, a_million_deep_is_shared_or_refused_on_a_small_stack)
{
    struct deep sharable = { any_of_them, thing(1) }, refused = { any_of_them, sole_thing(2) };
    on_small_stack(nest_and_ask, &sharable);
    on_small_stack(nest_and_ask, &refused);
    CHECK_STR(notes(), "-1 -2");
}

static void nest_and_print(void *env)
{
    coir_value value = nest(env, 1000);
    const char *text = printed(&value);
    CHECK_CONTAINS(text, "...");
    coir_drop(value);
    notes();
}

TEST(value, printed_on_a_small_stack_ends_in_dots)
{
    for (size_t i = 0; i < HOLDERS; i++) {
        if (holders[i].put_in == caused)
            continue;                                   /* chains of causes are printed to their end */
        CASE("%s", holders[i].name);
        struct deep deep = { holders[i].put_in, thing(1) };
        on_small_stack(nest_and_print, &deep);
    }
    struct deep deep = { any_of_them, thing(1) };
    on_small_stack(nest_and_print, &deep);
}

/* A type of the program's that holds a value and prints it. */
struct shell { coir_value inside; };
static void shell_drop(void *object)
{
    struct shell *shell = object;
    coir_value inside = shell->inside;
    free(shell);
    coir_drop(inside);
}
static void shell_print(const void *object, FILE *out)
{
    putc('(', out);
    coir_value_print(&((const struct shell *)object)->inside, out);
    putc(')', out);
}
static const coir_type shell_type = { "shell", shell_drop, NULL, shell_print };
static coir_value list_in_a_shell(coir_value item)
{
    struct shell *shell = malloc(sizeof *shell);
    CHECK(shell != NULL);
    shell->inside = list_of_one(item);
    return coir_own(shell, &shell_type);
}

TEST(value, printed_through_the_programs_types_ends_in_dots)
{
    struct deep deep = { list_in_a_shell, thing(1) };
    on_small_stack(nest_and_print, &deep);
}

TEST(value, a_million_deep_through_the_programs_types_is_dropped_on_a_small_stack)
{
    struct deep deep = { list_in_a_shell, thing(1) };
    on_small_stack(nest_and_drop, &deep);
}

/* -------------------------------------------------------------------------------------------------------- printing */

TEST(value, is_printed_for_people)
{
    static const coir_type nameless = { NULL, NULL, NULL, NULL }, silent = { "silent", NULL, NULL, NULL };
    const struct { coir_value value; const char *text; } table[] = {
        { coir_none(), "0" },
        { coir_int(INT64_MIN), "-9223372036854775808" },
        { coir_string("say \"hi\"\n", 9), "\"say \\\"hi\\\"\\n\"" },
        { list_of_one(coir_none()), "[0]" },
        { coir_list(0, NULL), "[]" },
        { coir_list(3, (coir_value[]){ coir_int(1), coir_string("x", 1), thing(7) }), "[1, \"x\", thing 7]" },
        { coir_error_make("a.c", 3, "dns", 4, "no %s", "host"), "dns/4: no host (a.c:3)" },
        { coir_error_make("a.c", 3, "", 4, "%s", ""), "4 (a.c:3)" },
        { coir_error_make(NULL, 0, NULL, -1, "m"), "-1: m" },
        { coir_error_because(coir_error_make("a.c", 1, "", 1, "outer"), coir_error_make("b.c", 2, "x", 2, "inner")),
          "1: outer (a.c:1), because: x/2: inner (b.c:2)" },
        { coir_error_because(coir_error_make("a.c", 1, "", 1, "outer"), coir_int(5)), "1: outer (a.c:1), because: 5" },
        { coir_panic_value("broken %d", 1), "panic(coir/-1009: broken 1)" },
        { coir_box(coir_ok(coir_int(1))), "ok(1)" },
        { coir_box(coir_raise(coir_int(2))), "error(2)" },
        { coir_box(coir_panic(coir_int(3))), "panic(3)" },
        { coir_box(coir_result_of(COIR_CANCELED, coir_none())), "canceled" },
        { coir_box(coir_result_of(COIR_CANCELED, coir_int(4))), "canceled(4)" },
        { coir_box(coir_result_and(coir_raise(coir_int(1)), coir_panic(coir_int(2)))), "panic(2), also error(1)" },
        { coir_heap(malloc(1)), "<heap>" },
        { coir_own(NULL, &silent), "<silent>" },
        { coir_own(NULL, &nameless), "<value of a type without a name>" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CHECK_STR(printed(&table[i].value), table[i].text);
        coir_drop(table[i].value);
    }
    notes();
}

/* ----------------------------------------------------------------------------------------------------------- hooks */

/* What the program's functions see of the depth of hooks. */
static unsigned seen_in_drop, seen_in_share, seen_in_print;
static void hook_drop(void *object) { (void)object; seen_in_drop = coir__me.in_hook; }
static void *hook_share(void *object) { seen_in_share = coir__me.in_hook; return object; }
static void hook_print(const void *object, FILE *out) { (void)object; (void)out; seen_in_print = coir__me.in_hook; }
static const coir_type hook_type = { "hook", hook_drop, hook_share, hook_print };

TEST(value, functions_of_its_type_know_that_they_are_hooks)
{
    static int object;
    EACH_HOLDER(holder) {
        coir_value inside = coir_own(&object, &hook_type), share = coir_share(&inside);
        seen_in_drop = seen_in_print = 0;
        CHECK_UINT(seen_in_share, 1);
        coir_value one = holder->put_in(share);
        printed(&one);
        CHECK(seen_in_print >= 1);
        coir_drop(one);
        CHECK(seen_in_drop >= 1);
        CHECK_UINT(coir__me.in_hook, 0);
    }
}

/* Only in a process where no io has been dropped before. */
TEST_ALONE(value, with_the_first_io_inside_is_dropped)
{
    coir_drop(list_of_one(boxed(coir_io_value(coir_pure(thing(1))))));
    CHECK_STR(notes(), "-1");
}

/* --------------------------------------------------------------------------------------------------------- threads */

enum { THREADS = 4, ROUNDS = 20000 };

static void *share_and_drop(void *mine)
{
    coir_value value = *(coir_value *)mine;
    for (int i = 0; i < scaled(ROUNDS); i++) {
        coir_value share = coir_share(&value);
        CHECK_PTR(share.ptr, value.ptr);
        coir_drop(share);
    }
    coir_drop(value);
    return NULL;
}

static void on_threads(void *(*body)(void *), coir_value *value)
{
    pthread_t threads[THREADS];
    coir_value shares[THREADS];
    for (int i = 0; i < THREADS; i++)
        shares[i] = coir_share(value);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, body, &shares[i]), 0);
    coir_drop(*value);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
}

TEST(value, shared_by_threads_is_dropped_once)
{
    EACH_HOLDER(holder) {
        coir_value value = holder->put_in(thing(1));
        on_threads(share_and_drop, &value);
        CHECK_STR(notes(), "-1");
    }
    CASE("string");
    coir_value text = coir_string("text", 4);
    on_threads(share_and_drop, &text);
}

static void *drop_one(void *mine)
{
    coir_drop(*(coir_value *)mine);
    return NULL;
}

TEST(value, given_up_by_threads_at_once_is_dropped_once)
{
    for (int i = 0; i < scaled(200); i++) {
        coir_value value = holders[i % HOLDERS].put_in(thing(1));
        on_threads(drop_one, &value);
        CHECK_STR(notes(), "-1");
    }
}

/* Each thread appends to its own share of one list: none sees what another does. */
static void *push_to_mine(void *mine)
{
    coir_value *list = mine;
    for (int i = 0; i < 100; i++)
        CHECK(coir_list_push(list, coir_int(i)));
    CHECK_UINT(coir_list_size(list), 101);
    coir_drop(*list);
    return NULL;
}

TEST(value, list_changed_by_a_thread_is_not_changed_for_others)
{
    for (int i = 0; i < scaled(50); i++) {
        coir_value list = list_of_one(thing(1));
        on_threads(push_to_mine, &list);
        CHECK_STR(notes(), "-1");
    }
}

TEST(value, of_which_there_are_too_many_owners_says_enomem)
{
    coir_value text = coir_string("x", 1);
    _Atomic uint32_t *refs = text.ptr;                  /* the first member of every counted object */
    store_relaxed(refs, 1u << 31);
    coir_value share = coir_share(&text);
    CHECK_PTR(share.type, &coir_panic_type);
    CHECK_INT(coir_error_code(&share), ENOMEM);
    CHECK_UINT(load_relaxed(refs), 1u << 31);
    store_relaxed(refs, 1u);
    coir_drop(text);
}
