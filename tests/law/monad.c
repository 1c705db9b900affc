/*
 * monad.c - what holds for every program: pairs of programs that must mean the same
 *
 * Programs are drawn from seeds: the same seed gives the same program. Each law makes two programs of one seed; they are run, the one as
 * it is, the other also borrowed, with small budgets or on several workers. What they note meanwhile and how they end must
 * agree, and nothing may be left.
 */
#include "program.h"

/* ------------------------------------------------------------------------------------------------------------- seeds */

static uint64_t mix(uint64_t seed, uint64_t with)
{
    uint64_t z = seed + (with + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t seed, uint64_t limit) { return mix(seed, 99) % limit; }

/* ------------------------------------------------------------------------------------------------------------- values */

/* A token is a value with an owner that nobody hears of: when it is dropped is not what the laws are about. */
static atomic_int tokens_alive;
static void token_drop(void *object)
{
    struct thing *token = object;
    if (atomic_fetch_sub(&token->owners, 1) == 1) {
        atomic_fetch_sub(&tokens_alive, 1);
        free(token);
    }
}
static const coir_type token_type = { "token", token_drop, thing_share, thing_print };

static coir_value token(int number)
{
    struct thing *token = malloc(sizeof *token);
    if (token == NULL)
        abort();
    atomic_init(&token->owners, 1);
    token->number = number;
    atomic_fetch_add(&tokens_alive, 1);
    return coir_own(token, &token_type);
}

static coir_value some_value(uint64_t seed)
{
    int number = (int)below(seed, 7);
    return below(mix(seed, 1), 2) == 0 ? coir_int(number) : token(number);
}

/* What a program can make of any value. */
static int64_t number_in(const coir_value *v)
{
    if (v->type == NULL)
        return v->i64;
    if (v->type == &token_type)
        return ((const struct thing *)v->ptr)->number;
    if (v->type == &coir_error_type)
        return coir_error_code(v);
    if (v->type == &coir_list_type) {
        int64_t sum = 0;
        for (size_t i = 0; i < coir_list_size(v); i++)
            sum = sum * 3 + number_in(coir_list_at(v, i));
        return sum;
    }
    if (v->type == &coir_result_type)
        return 5 + (int64_t)coir_result_in(v)->tag + number_in(&coir_result_in(v)->value);
    return 1;
}

/* ----------------------------------------------------------------------------------------------------------- programs */

struct plan { uint64_t seed; int depth; };

static coir_io *program(uint64_t seed, int depth);
static coir_io *part(const struct plan *plan, uint64_t which) { return program(mix(plan->seed, which), plan->depth); }

static coir_io *arrow(void *env, coir_value *v)
{
    const struct plan *plan = env;
    uint64_t seed = mix(plan->seed, (uint64_t)number_in(v));
    coir_io *io = program(seed, plan->depth);
    return below(seed, 4) == 0 ? coir_as(io, coir_take(v)) : io;
}

static coir_value function(void *env, coir_value *v)
{
    const struct plan *plan = env;
    uint64_t seed = mix(plan->seed, (uint64_t)number_in(v));
    return below(seed, 3) == 0 ? coir_take(v) : some_value(seed);
}

static coir_result tick(void *env)
{
    const struct plan *plan = env;
    note("%u", (unsigned)(plan->seed % 1000));
    return coir_ok(coir_int((int64_t)(plan->seed % 5)));
}

static coir_io *redeemer(void *env, coir_result *r)
{
    const struct plan *plan = env;
    if (below(mix(plan->seed, r->tag), 3) == 0)
        return coir_from_result(coir_result_take(r));
    return part(plan, (uint64_t)number_in(&r->value) + r->tag);
}

static coir_io *finalizer(void *env, const coir_result *r)
{
    const struct plan *plan = env;
    return part(plan, (uint64_t)number_in(&r->value) + r->tag);
}

static void look(void *env, const coir_value *v)
{
    const struct plan *plan = env;
    note("look %d %u", (int)number_in(v), (unsigned)(plan->seed % 10));
}
static bool is_small(void *env, const coir_value *v) { (void)env; (void)v; return false; }
static coir_io *suspended(void *env) { return part(env, 0); }
static coir_io *indexed(void *env, size_t i) { return part(env, i); }
static void ignore(void *env) { (void)env; }
static coir_io *ignoring(void *env, coir_value *v) { (void)env; (void)v; return coir_yield(); }

static coir_io *stepping(void *env, coir_value *state)
{
    const struct plan *plan = env;
    int64_t left = number_in(state) % 4;
    return left <= 0 ? part(plan, 0) : coir_then(part(plan, (uint64_t)left), coir_again(coir_int(left - 1)));
}

/* One key for all: it stays until the process ends. */
static coir_key *the_key(void)
{
    static coir_key *key;
    if (key == NULL)
        key = coir_key_new(coir_int(1));
    return key;
}

static coir_value other_context(void *env, const coir_value *context)
{
    const struct plan *plan = env;
    return below(plan->seed, 2) == 0 ? coir_share(context) : some_value(plan->seed);
}
static coir_result number_of_context(void *env, const coir_value *context) { (void)env; return coir_ok(coir_int(number_in(context))); }

static coir_io *join_it(void *env, coir_value *fiber) { (void)env; return coir_join(coir_fiber_of(fiber)); }
static coir_io *wait_for_it(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

static coir_io *routine(coir_routine *self)
{
    COIR_BEGIN(self, struct plan, my);
    COIR_AWAIT(part(my, 0));
    COIR_TRY(part(my, 1 + (uint64_t)number_in(&self->result.value)));
    if (self->result.tag == COIR_ERROR && my->seed % 3 == 0)
        COIR_RAISE(coir_take(&self->result.value));
    if (my->seed % 3 == 1)
        COIR_BECOME(part(my, 2));
    COIR_RETURN(coir_take(&self->result.value));
    COIR_FINALLY;
    if (my->seed % 2 == 0)
        COIR_AWAIT(part(my, 3));
    COIR_END;
}

static bool some_wait;                                  /* for ever, in place of units */

static coir_io *leaf(uint64_t seed)
{
    switch (below(seed, 16)) {
    case 0: case 1: case 2: case 3: case 4:
        return coir_pure(some_value(mix(seed, 2)));
    case 5: case 6: case 7: case 8:
        return coir_defer_copy(tick, COIR_ENV(struct plan, .seed = mix(seed, 3)));
    case 9:
        return coir_as(coir_yield(), some_value(mix(seed, 4)));
    case 10: case 11: case 12:
        return coir_fail(some_value(mix(seed, 5)));
    case 13:
        return coir_from_result(coir_panic(some_value(mix(seed, 6))));
    case 14:
        return coir_from_result(coir_result_of(COIR_CANCELED, some_value(mix(seed, 7))));
    default:
        return some_wait ? coir_never() : coir_unit();
    }
}

static coir_io *program(uint64_t seed, int depth)
{
    if (depth <= 0)
        return leaf(seed);
    struct plan plan = { mix(seed, 11), depth - 1 };
    coir_io *m = program(mix(seed, 12), depth - 1), *n = NULL;
    coir_value items[2];
    uint64_t which = below(seed, 40);
    if (which < 14)
        n = program(mix(seed, 13), depth - 1);
    switch (which) {
    case 0:  return coir_then(m, n);
    case 1:  return coir_then_keep(m, n);
    case 2:  return coir_or_else(m, n);
    case 3:  return coir_finally(m, n);
    case 4:  return coir_on_cancel(m, n);
    case 5:  return coir_always(m, n);
    case 6:  return coir_catch_code(m, 3, n);
    case 7:  return coir_zip(COIR_IOS(m, n));
    case 8:  return coir_sequence(COIR_IOS(m, n, coir_unit()));
    case 9:
        coir_io_ref(n);                                 /* not in the call: there it might come when coir_or_else() has dropped n */
        return coir_then(n, coir_or_else(m, n));
    case 10: return coir_finally(coir_then(m, coir_io_ref(n)), n);
    case 11: return coir_zip(COIR_IOS(coir_attempt(coir_io_ref(m)), n, m));
    case 12: return coir_then(coir_attempt(m), n);
    case 13: return coir_then(coir_or_else(coir_repeat(n, 2), coir_unit()), m);
    case 14: case 15: return coir_flat_map_copy(m, arrow, &plan, sizeof plan);
    case 16: return coir_map_copy(m, function, &plan, sizeof plan);
    case 17: return coir_tap_copy(m, look, &plan, sizeof plan);
    case 18: case 19: return coir_catch_copy(m, arrow, &plan, sizeof plan);
    case 20: return coir_recover_copy(m, arrow, &plan, sizeof plan);
    case 21: return coir_map_error_copy(m, function, &plan, sizeof plan);
    case 22: return coir_map_panic_copy(m, function, &plan, sizeof plan);
    case 23: return coir_redeem_copy(m, redeemer, &plan, sizeof plan);
    case 24: return coir_finally_fn_copy(m, finalizer, &plan, sizeof plan);
    case 25: return coir_on_failure_copy(m, finalizer, &plan, sizeof plan);
    case 26: return coir_or_panic(m);
    case 27: return coir_attempt(m);
    case 28: return coir_owns(coir_named(m, "named"), NULL, ignore);
    case 29: return coir_local(coir_while_copy(m, is_small, "x", 1), some_value(seed));
    case 30: return coir_then(m, coir_iterate_copy(some_value(seed), stepping, &plan, sizeof plan));
    case 31: return coir_then(m, coir_traverse_copy(2, indexed, &plan, sizeof plan));
    case 32:
        items[0] = some_value(seed);
        items[1] = some_value(mix(seed, 1));
        return coir_then(m, coir_each_copy(coir_list(2, items), arrow, &plan, sizeof plan));
    case 33: return coir_with_key(the_key(), some_value(seed), coir_then_keep(m, coir_key_get(the_key())));
    case 34: return coir_contra_map_copy(coir_then(m, coir_defer_read(number_of_context, NULL)), other_context, &plan, sizeof plan);
    case 35: return coir_flat_map(coir_fork(m), join_it, NULL);
    case 36: return coir_flat_map(coir_parallel(COIR_IOS(m)), wait_for_it, NULL);
    case 37: return coir_then(m, coir_do(routine, &plan, sizeof plan));
    case 38: return coir_then_keep(m, coir_flat_map(coir_self(), ignoring, NULL));
    default: return coir_then(m, coir_suspend_copy(suspended, &plan, sizeof plan));
    }
}

/* -------------------------------------------------------------------------------------------------------- comparison */

/* What can be told of a run: how it ended, and what was noted meanwhile. */
static const char *story(coir_io *io, unsigned workers, uint32_t budget, bool further_failures)
{
    coir_result result = coir_run(io, COIR_OPTIONS(.workers = workers, .budget = budget));
    const char *end = describe(&result);
    const char *also = strstr(end, " also(");
    note("| %.*s", also != NULL && !further_failures ? (int)(also - end) : (int)strlen(end), end);
    coir_result_drop(&result);
    return notes();
}

struct law {
    const char *name;
    coir_io *(*left)(uint64_t seed);
    coir_io *(*right)(uint64_t seed);
    bool further_failures;                              /* whether they must agree too */
};

static void check_law(const struct law *law)
{
    for (int i = 0; i < scaled(3000); i++) {
        uint64_t seed = mix((uint64_t)i, 1);
        unsigned workers = i % 16 != 0 ? 1 : i % 32 != 0 ? 2 : 4;
        uint32_t budget = (uint32_t)(i % 7);
        CASE("%s, seed %d", law->name, i);
        const char *left = story(law->left(seed), 1, 0, law->further_failures);
        const char *right = story(law->right(seed), workers, budget, law->further_failures);
        CHECK_STR(right, left);
        coir_io *borrowed = law->right(seed);
        right = story(coir_io_ref(borrowed), 1, budget, law->further_failures);
        coir_io_drop(borrowed);
        CHECK_STR(right, left);
        CHECK_INT(tokens_alive, 0);
    }
}

#define CHECK_LAWS(laws) do { for (size_t l_ = 0; l_ < sizeof(laws) / sizeof *(laws); l_++) check_law(&(laws)[l_]); } while (0)

/* The parts that the laws are about: three programs, and what the arrows are made of. */
static int depth_of(uint64_t seed)    { return (int)below(mix(seed, 21), 4); }
static coir_io *m(uint64_t seed)      { return program(mix(seed, 22), depth_of(seed)); }
static coir_io *n(uint64_t seed)      { return program(mix(seed, 23), depth_of(seed)); }
static coir_io *o(uint64_t seed)      { return program(mix(seed, 24), 1); }
static struct plan k(uint64_t seed)   { return (struct plan){ mix(seed, 25), 2 }; }
static struct plan h(uint64_t seed)   { return (struct plan){ mix(seed, 26), 1 }; }

static coir_io *apply(coir_flat_map_fn *fn, struct plan plan, coir_value v)
{
    coir_io *io = fn(&plan, &v);
    coir_drop(v);
    return io;
}

static coir_io *bind(coir_io *io, coir_flat_map_fn *fn, struct plan plan) { return coir_flat_map_copy(io, fn, &plan, sizeof plan); }
static coir_io *handled(coir_io *io, coir_flat_map_fn *fn, struct plan plan) { return coir_catch_copy(io, fn, &plan, sizeof plan); }
static coir_io *recovered(coir_io *io, coir_flat_map_fn *fn, struct plan plan) { return coir_recover_copy(io, fn, &plan, sizeof plan); }

/* An arrow whose env is the whole seed, so that it can use all the parts. */
static struct plan whole(uint64_t seed) { return (struct plan){ seed, 0 }; }
static uint64_t seed_in(void *env)      { return ((const struct plan *)env)->seed; }

/* ------------------------------------------------------------------------------------------------------------ monad */

static coir_io *pure_it(void *env, coir_value *v)                { (void)env; return coir_pure(coir_take(v)); }
static coir_io *k_of(void *env, coir_value *v)                   { struct plan p = k(seed_in(env)); return arrow(&p, v); }
static coir_io *k_then_h(void *env, coir_value *v)               { return bind(k_of(env, v), arrow, h(seed_in(env))); }
static coir_io *always_n(void *env, coir_value *v)               { (void)v; return n(seed_in(env)); }
static coir_io *n_as_it(void *env, coir_value *v)                { return coir_as(n(seed_in(env)), coir_take(v)); }
static coir_io *pure_of_function(void *env, coir_value *v)       { return coir_pure(function(env, v)); }
static coir_value same(void *env, coir_value *v)                 { (void)env; return coir_take(v); }
static coir_value constant(void *env, coir_value *v)             { (void)v; return some_value(seed_in(env)); }
static coir_value k_of_it(void *env, coir_value *v)              { return coir_io_value(arrow(env, v)); }
static coir_value looked_at(void *env, coir_value *v)            { look(env, v); return coir_take(v); }
static coir_value h_after_k(void *env, coir_value *v)
{
    struct plan first = k(seed_in(env)), second = h(seed_in(env));
    coir_value between = function(&first, v), after = function(&second, &between);
    coir_drop(between);
    return after;
}

static coir_io *pure_bind(uint64_t s)          { return bind(coir_pure(some_value(s)), arrow, k(s)); }
static coir_io *applied(uint64_t s)            { return apply(arrow, k(s), some_value(s)); }
static coir_io *called(uint64_t s)             { struct plan p = k(s); return coir_call_copy(some_value(s), arrow, &p, sizeof p); }
static coir_io *bind_pure(uint64_t s)          { return bind(m(s), pure_it, k(s)); }
static coir_io *bind_to_the_left(uint64_t s)   { return bind(bind(m(s), arrow, k(s)), arrow, h(s)); }
static coir_io *bind_to_the_right(uint64_t s)  { return bind(m(s), k_then_h, whole(s)); }
static coir_io *map_same(uint64_t s)           { return coir_map(m(s), same, NULL); }
static coir_io *map_map(uint64_t s)
{
    struct plan first = k(s), second = h(s);
    return coir_map_copy(coir_map_copy(m(s), function, &first, sizeof first), function, &second, sizeof second);
}
static coir_io *map_composed(uint64_t s)       { struct plan p = whole(s); return coir_map_copy(m(s), h_after_k, &p, sizeof p); }
static coir_io *map_k(uint64_t s)              { struct plan p = k(s); return coir_map_copy(m(s), function, &p, sizeof p); }
static coir_io *bind_pure_of_k(uint64_t s)     { return bind(m(s), pure_of_function, k(s)); }
static coir_io *m_then_n(uint64_t s)           { return coir_then(m(s), n(s)); }
static coir_io *m_bind_n(uint64_t s)           { return bind(m(s), always_n, whole(s)); }
static coir_io *then_left(uint64_t s)          { return coir_then(coir_then(m(s), n(s)), o(s)); }
static coir_io *then_right(uint64_t s)         { return coir_then(m(s), coir_then(n(s), o(s))); }
static coir_io *sequence_of_3(uint64_t s)      { return coir_sequence(COIR_IOS(m(s), n(s), o(s))); }
static coir_io *m_keep_n(uint64_t s)           { return coir_then_keep(m(s), n(s)); }
static coir_io *m_bind_n_as(uint64_t s)        { return bind(m(s), n_as_it, whole(s)); }
static coir_io *m_as(uint64_t s)               { return coir_as(m(s), some_value(s)); }
static coir_io *map_constant(uint64_t s)       { struct plan p = whole(s); return coir_map_copy(m(s), constant, &p, sizeof p); }
static coir_io *flatten_map(uint64_t s)        { struct plan p = k(s); return coir_flatten(coir_map_copy(m(s), k_of_it, &p, sizeof p)); }
static coir_io *m_bind_k(uint64_t s)           { return bind(m(s), arrow, k(s)); }
static coir_io *m_tap(uint64_t s)              { struct plan p = k(s); return coir_tap_copy(m(s), look, &p, sizeof p); }
static coir_io *m_map_look(uint64_t s)         { struct plan p = k(s); return coir_map_copy(m(s), looked_at, &p, sizeof p); }
static coir_io *zip_of_2(uint64_t s)           { return coir_zip(COIR_IOS(m(s), n(s))); }
static coir_value listed(void *env, coir_value *v)
{
    coir_value two[2] = { coir_share(env), coir_take(v) };
    return coir_list(2, two);
}
static void drop_boxed_value(void *env) { coir_drop(*(coir_value *)env); free(env); }
static coir_io *n_listed_with(void *env, coir_value *v)
{
    coir_value *kept = malloc(sizeof *kept);
    if (kept == NULL)
        abort();
    *kept = coir_take(v);
    return coir_owns(coir_map(n(seed_in(env)), listed, kept), kept, drop_boxed_value);
}
static coir_io *bind_listed(uint64_t s)        { return bind(m(s), n_listed_with, whole(s)); }

static coir_io *fail_it(uint64_t s)            { return coir_fail(some_value(s)); }
static coir_io *fail_bind(uint64_t s)          { return bind(fail_it(s), arrow, k(s)); }
static coir_io *panic_it(uint64_t s)           { return coir_from_result(coir_panic(some_value(s))); }
static coir_io *panic_bind(uint64_t s)         { return bind(panic_it(s), arrow, k(s)); }
static coir_io *cancel_it(uint64_t s)          { return coir_from_result(coir_result_of(COIR_CANCELED, some_value(s))); }
static coir_io *cancel_bind(uint64_t s)        { return bind(cancel_it(s), arrow, k(s)); }

static const struct law monad_laws[] = {
    { "pure(v) >>= k is k(v)",                  pure_bind,          applied,            true },
    { "call(v, k) is k(v)",                     called,             applied,            true },
    { "m >>= pure is m",                        bind_pure,          m,                  true },
    { "(m >>= k) >>= h is m >>= (k >=> h)",     bind_to_the_left,   bind_to_the_right,  true },
    { "fail(e) >>= k is fail(e)",               fail_bind,          fail_it,            true },
    { "panic >>= k is panic",                   panic_bind,         panic_it,           true },
    { "canceled >>= k is canceled",             cancel_bind,        cancel_it,          true }
};
static const struct law functor_laws[] = {
    { "map(m, same) is m",                      map_same,           m,                  true },
    { "map(map(m, f), g) is map(m, g . f)",     map_map,            map_composed,       true },
    { "map(m, f) is m >>= (pure . f)",          map_k,              bind_pure_of_k,     true }
};
static const struct law chain_laws[] = {
    { "then(m, n) is m >>= const n",            m_then_n,           m_bind_n,           true },
    { "then is associative",                    then_left,          then_right,         true },
    { "sequence(m, n, o) is then(m, then(n, o))", sequence_of_3,    then_right,         true },
    { "then_keep(m, n) is m >>= \\v -> as(n, v)", m_keep_n,         m_bind_n_as,        true },
    { "as(m, v) is map(m, const v)",            m_as,               map_constant,       true },
    { "flatten(map(m, k)) is m >>= k",          flatten_map,        m_bind_k,           true },
    { "tap looks on",                           m_tap,              m_map_look,         true },
    { "zip(m, n) is m >>= \\x -> map(n, (x,))", zip_of_2,           bind_listed,        true }
};

TEST(law_monad, bind_and_pure_are_a_monad) { CHECK_LAWS(monad_laws); }
TEST(law_monad, map_is_its_functor) { CHECK_LAWS(functor_laws); }
TEST(law_monad, the_other_steps_are_made_of_bind) { CHECK_LAWS(chain_laws); }

/* ---------------------------------------------------------------------------------------------------------- failures */

static coir_io *fail_again(void *env, coir_value *e)             { (void)env; return coir_fail(coir_take(e)); }
static coir_io *panic_again(void *env, coir_value *e)            { (void)env; return coir_from_result(coir_panic(coir_take(e))); }
static coir_io *k_handled_by_h(void *env, coir_value *e)         { return handled(k_of(env, e), arrow, h(seed_in(env))); }
static coir_io *k_recovered_by_h(void *env, coir_value *e)       { return recovered(k_of(env, e), arrow, h(seed_in(env))); }
static coir_io *fail_of_function(void *env, coir_value *e)       { return coir_fail(function(env, e)); }
static coir_io *panic_of_function(void *env, coir_value *e)      { return coir_from_result(coir_panic(function(env, e))); }
static coir_io *as_it_was(void *env, coir_result *r)             { (void)env; return coir_from_result(coir_result_take(r)); }
static coir_io *unboxed(void *env, coir_value *v)                { return as_it_was(env, coir_result_in(v)); }
static coir_io *redeemer_of_box(void *env, coir_value *v)        { return redeemer(env, coir_result_in(v)); }

static coir_io *fail_handled(uint64_t s)       { return handled(fail_it(s), arrow, k(s)); }
static coir_io *pure_handled(uint64_t s)       { return handled(coir_pure(some_value(s)), arrow, k(s)); }
static coir_io *pure_value(uint64_t s)         { return coir_pure(some_value(s)); }
static coir_io *panic_handled(uint64_t s)      { return handled(panic_it(s), arrow, k(s)); }
static coir_io *cancel_handled(uint64_t s)     { return recovered(handled(coir_attempt(cancel_it(s)), arrow, k(s)), arrow, h(s)); }
static coir_io *handled_by_fail(uint64_t s)    { return handled(m(s), fail_again, k(s)); }
static coir_io *handled_twice(uint64_t s)      { return handled(handled(m(s), arrow, k(s)), arrow, h(s)); }
static coir_io *handled_inside(uint64_t s)     { return handled(m(s), k_handled_by_h, whole(s)); }
static coir_io *panic_recovered(uint64_t s)    { return recovered(panic_it(s), arrow, k(s)); }
static coir_io *fail_recovered(uint64_t s)     { return recovered(fail_it(s), arrow, k(s)); }
static coir_io *recovered_by_panic(uint64_t s) { return recovered(m(s), panic_again, k(s)); }
static coir_io *recovered_twice(uint64_t s)    { return recovered(recovered(m(s), arrow, k(s)), arrow, h(s)); }
static coir_io *recovered_inside(uint64_t s)   { return recovered(m(s), k_recovered_by_h, whole(s)); }
static coir_io *m_or_else_n(uint64_t s)        { return coir_or_else(m(s), n(s)); }
static coir_io *m_handled_by_n(uint64_t s)     { return handled(m(s), always_n, whole(s)); }
static coir_io *m_or_panic(uint64_t s)         { return coir_or_panic(m(s)); }
static coir_io *m_handled_by_panic(uint64_t s) { return handled(m(s), panic_again, k(s)); }
static coir_io *m_map_error(uint64_t s)        { struct plan p = k(s); return coir_map_error_copy(m(s), function, &p, sizeof p); }
static coir_io *m_fail_of_function(uint64_t s) { return handled(m(s), fail_of_function, k(s)); }
static coir_io *m_map_panic(uint64_t s)        { struct plan p = k(s); return coir_map_panic_copy(m(s), function, &p, sizeof p); }
static coir_io *m_panic_of_function(uint64_t s) { return recovered(m(s), panic_of_function, k(s)); }
static coir_io *redeemed_as_it_was(uint64_t s) { return coir_redeem(m(s), as_it_was, NULL); }
static coir_io *attempt_unboxed(uint64_t s)    { return coir_flat_map(coir_attempt(m(s)), unboxed, NULL); }
static coir_io *m_redeemed(uint64_t s)         { struct plan p = k(s); return coir_redeem_copy(m(s), redeemer, &p, sizeof p); }
static coir_io *attempt_redeemed(uint64_t s)   { return bind(coir_attempt(m(s)), redeemer_of_box, k(s)); }

static const struct law catch_laws[] = {
    { "catch(fail(e), k) is k(e)",                      fail_handled,       applied,            true },
    { "catch(pure(v), k) is pure(v)",                   pure_handled,       pure_value,         true },
    { "catch(panic, k) is panic",                       panic_handled,      panic_it,           true },
    { "nothing catches canceled",                       cancel_handled,     cancel_it,          true },
    { "catch(m, fail) is m",                            handled_by_fail,    m,                  false },
    { "catch(catch(m, k), h) is catch(m, catch(k, h))", handled_twice,      handled_inside,     true },
    { "or_else(m, n) is catch(m, const n)",             m_or_else_n,        m_handled_by_n,     true },
    { "or_panic(m) is catch(m, panic)",                 m_or_panic,         m_handled_by_panic, false },
    { "map_error(m, f) is catch(m, fail . f)",          m_map_error,        m_fail_of_function, false }
};
static const struct law recover_laws[] = {
    { "recover(panic, k) is k(panic)",                  panic_recovered,    applied,            true },
    { "recover(fail(e), k) is fail(e)",                 fail_recovered,     fail_it,            true },
    { "recover(m, panic) is m",                         recovered_by_panic, m,                  false },
    { "recover(recover(m, k), h) is recover(m, recover(k, h))", recovered_twice, recovered_inside, true },
    { "map_panic(m, f) is recover(m, panic . f)",       m_map_panic,        m_panic_of_function, false }
};
static const struct law redeem_laws[] = {
    { "redeem(m, from_result) is m",                    redeemed_as_it_was, m,                  true },
    { "attempt(m) >>= from_result is m",                attempt_unboxed,    m,                  true },
    { "redeem(m, f) is attempt(m) >>= f",               m_redeemed,         attempt_redeemed,   true }
};

TEST(law_monad, catch_is_the_bind_of_errors) { CHECK_LAWS(catch_laws); }
TEST(law_monad, recover_is_the_bind_of_panics) { CHECK_LAWS(recover_laws); }
TEST(law_monad, attempt_and_redeem_lose_nothing) { CHECK_LAWS(redeem_laws); }

/* -------------------------------------------------------------------------------------------------------- finalizers */

static coir_io *final_n(void *env, const coir_result *r)             { (void)r; return n(seed_in(env)); }
static coir_io *final_if_failed(void *env, const coir_result *r)
{
    return r->tag == COIR_ERROR || r->tag == COIR_PANIC ? n(seed_in(env)) : coir_unit();
}
static coir_io *final_if_canceled(void *env, const coir_result *r) { return r->tag == COIR_CANCELED ? n(seed_in(env)) : coir_unit(); }
static coir_io *n_or_finally_n(void *env, coir_result *r)
{
    return r->tag == COIR_OK ? n(seed_in(env)) : coir_finally(coir_from_result(coir_result_take(r)), n(seed_in(env)));
}

static coir_io *finally_unit(uint64_t s)       { return coir_finally(m(s), coir_unit()); }
static coir_io *m_finally_n(uint64_t s)        { return coir_finally(m(s), n(s)); }
static coir_io *m_finally_by(uint64_t s, coir_final_fn *fn)
{
    return coir_finally_fn_copy(m(s), fn, COIR_ENV(struct plan, .seed = s));
}
static coir_io *m_finally_fn_n(uint64_t s)     { return m_finally_by(s, final_n); }
static coir_io *m_on_failure_n(uint64_t s)     { struct plan p = whole(s); return coir_on_failure_copy(m(s), final_n, &p, sizeof p); }
static coir_io *m_finally_if_failed(uint64_t s) { return m_finally_by(s, final_if_failed); }
static coir_io *m_on_cancel_n(uint64_t s)      { return coir_on_cancel(m(s), n(s)); }
static coir_io *m_finally_if_canceled(uint64_t s) { return m_finally_by(s, final_if_canceled); }
static coir_io *m_always_n(uint64_t s)         { return coir_always(m(s), n(s)); }
static coir_io *m_redeemed_by_n(uint64_t s)    { struct plan p = whole(s); return coir_redeem_copy(m(s), n_or_finally_n, &p, sizeof p); }

static const struct law finally_laws[] = {
    { "finally(m, unit) is m",                              finally_unit,       m,                      true },
    { "finally(m, n) is finally_fn(m, const n)",            m_finally_n,        m_finally_fn_n,         true },
    { "on_failure is finally where it failed",              m_on_failure_n,     m_finally_if_failed,    true },
    { "on_cancel is finally where it was canceled",         m_on_cancel_n,      m_finally_if_canceled,  true },
    { "always(m, n) is n, or m's failure finally n",        m_always_n,         m_redeemed_by_n,        true }
};

TEST(law_monad, finalizers_are_one_with_different_conditions) { CHECK_LAWS(finally_laws); }

/* What finally gives is what coir_result_and() makes of the two results, but that the first's value stays. */
TEST(law_monad, finally_gives_both_results_as_result_and_merges_them)
{
    for (int i = 0; i < scaled(3000); i++) {
        uint64_t seed = mix((uint64_t)i, 2);
        CASE("seed %d", i);
        coir_result first = run(1, m(seed)), last = run(1, n(seed));
        const char *separate = notes();
        coir_result both;
        if (last.tag == COIR_OK) {
            coir_result_drop(&last);
            both = first;
        } else {
            both = coir_result_and(first, last);
        }
        const char *expected = describe(&both);
        coir_result_drop(&both);
        CHECK_STR(outcome(1, coir_finally(m(seed), n(seed))), expected);
        CHECK_STR(notes(), separate);
        CHECK_INT(tokens_alive, 0);
    }
}

/* ------------------------------------------------------------------------------------------------------------- loops */

static coir_io *repeat_3(uint64_t s)           { return coir_repeat(m(s), 3); }
static coir_io *thrice(uint64_t s)             { return coir_then(m(s), coir_then(m(s), m(s))); }
static coir_io *repeat_0(uint64_t s)           { return coir_repeat(m(s), 0); }
static coir_io *unit(uint64_t s)               { (void)s; return coir_unit(); }
static coir_io *retry_1(uint64_t s)            { return coir_retry(m(s), COIR_POLICY(.tries_max = 1)); }
static coir_io *retry_3(uint64_t s)            { return coir_retry(m(s), COIR_POLICY(.tries_max = 3)); }
static coir_io *or_else_3(uint64_t s)          { return coir_or_else(m(s), coir_or_else(m(s), m(s))); }
static coir_io *retry_retry(uint64_t s)
{
    return coir_retry(coir_retry(m(s), COIR_POLICY(.tries_max = 2)), COIR_POLICY(.tries_max = 2));
}
static coir_io *retry_4(uint64_t s)            { return coir_retry(m(s), COIR_POLICY(.tries_max = 4)); }
static coir_io *repeat_policy_3(uint64_t s)    { return coir_repeat_policy(m(s), COIR_POLICY(.tries_max = 3)); }
static coir_io *keep_running_1(uint64_t s)     { return coir_keep_running(m(s), COIR_POLICY(.tries_max = 1)); }
static coir_io *while_false(uint64_t s)        { return coir_while(m(s), is_small, NULL); }
static coir_io *traverse_3(uint64_t s)         { struct plan p = k(s); return coir_traverse_copy(3, indexed, &p, sizeof p); }
static coir_io *zip_3(uint64_t s)
{
    struct plan p = k(s);
    return coir_zip(COIR_IOS(indexed(&p, 0), indexed(&p, 1), indexed(&p, 2)));
}
static coir_io *each_of_2(uint64_t s)
{
    coir_value items[2] = { some_value(s), some_value(mix(s, 1)) };
    struct plan p = k(s);
    return coir_each_copy(coir_list(2, items), arrow, &p, sizeof p);
}
static coir_io *zip_of_applied(uint64_t s)
{
    return coir_zip(COIR_IOS(apply(arrow, k(s), some_value(s)), apply(arrow, k(s), some_value(mix(s, 1)))));
}
static coir_io *counting(void *env, coir_value *left)
{
    return left->i64 == 1 ? m(seed_in(env)) : coir_then(m(seed_in(env)), coir_again(coir_int(left->i64 - 1)));
}
static coir_io *iterate_3(uint64_t s)          { struct plan p = whole(s); return coir_iterate_copy(coir_int(3), counting, &p, sizeof p); }
static coir_io *thunk_m(void *env)             { return m(seed_in(env)); }
static coir_io *suspend_m(uint64_t s)          { struct plan p = whole(s); return coir_suspend_copy(thunk_m, &p, sizeof p); }
static coir_io *rec_m(void *env, coir_io *self) { (void)self; return m(seed_in(env)); }
static coir_io *rec_of_m(uint64_t s)           { struct plan p = whole(s); return coir_rec_copy(rec_m, &p, sizeof p); }
static coir_io *named_m(uint64_t s)            { return coir_named(m(s), "m"); }
static coir_io *owning_m(uint64_t s)           { return coir_owns(m(s), NULL, ignore); }
static coir_value the_same(void *env, const coir_value *context) { (void)env; return coir_share(context); }
static coir_io *local_m(uint64_t s)            { return coir_local(m(s), some_value(s)); }
static coir_io *local_local_m(uint64_t s)      { return coir_local(coir_local(m(s), some_value(s)), some_value(mix(s, 1))); }
static coir_io *same_local_m(uint64_t s)       { return coir_local(coir_contra_map(m(s), the_same, NULL), some_value(s)); }
static coir_io *flattened_m(uint64_t s)        { return coir_flatten(coir_pure(coir_io_value(m(s)))); }
static coir_io *shared_twice(uint64_t s)       { coir_io *io = m(s); return coir_then(coir_attempt(coir_io_ref(io)), io); }
static coir_io *built_twice(uint64_t s)        { return coir_then(coir_attempt(m(s)), m(s)); }

static const struct law loop_laws[] = {
    { "repeat(m, 3) is m three times",          repeat_3,           thrice,             true },
    { "repeat(m, 0) is unit",                   repeat_0,           unit,               true },
    { "retry once is m",                        retry_1,            m,                  true },
    { "retry(m, 3) is m or else m or else m",   retry_3,            or_else_3,          true },
    { "retry(retry(m, 2), 2) is retry(m, 4)",   retry_retry,        retry_4,            true },
    { "repeat_policy(m, 3) is repeat(m, 3)",    repeat_policy_3,    repeat_3,           true },
    { "keep_running once is m",                 keep_running_1,     m,                  true },
    { "while(m, never) is m",                   while_false,        m,                  true },
    { "iterate three times is repeat(m, 3)",    iterate_3,          repeat_3,           true },
    { "traverse(3, f) is zip of f's",           traverse_3,         zip_3,              true },
    { "each(list, f) is zip of f's",            each_of_2,          zip_of_applied,     true }
};
static const struct law wrapping_laws[] = {
    { "suspend(m) is m",                        suspend_m,          m,                  true },
    { "rec that does not is m",                 rec_of_m,           m,                  true },
    { "named(m) is m",                          named_m,            m,                  true },
    { "owns(m) is m",                           owning_m,           m,                  true },
    { "local(local(m, v), w) is local(m, v)",   local_local_m,      local_m,            true },
    { "contra_map(m, same) is m",               same_local_m,       local_m,            true },
    { "flatten(pure(m)) is m",                  flattened_m,        m,                  true },
    { "an io shared is as one built twice",     shared_twice,       built_twice,        true }
};

TEST(law_monad, loops_are_what_they_repeat) { CHECK_LAWS(loop_laws); }
TEST(law_monad, what_wraps_an_io_changes_nothing) { CHECK_LAWS(wrapping_laws); }

/* ------------------------------------------------------------------------------------------------ other ways to say it */

struct binding { uint64_t seed; };

static coir_io *bind_step(coir_routine *self)
{
    COIR_BEGIN(self, struct binding, my);
    COIR_AWAIT(m(my->seed));
    COIR_BECOME(arrow(&(struct plan){ k(my->seed).seed, k(my->seed).depth }, &self->result.value));
    COIR_END;
}
static coir_io *bind_awaiting(coir_routine *self)
{
    COIR_BEGIN(self, struct binding, my);
    COIR_AWAIT(m(my->seed));
    COIR_AWAIT(arrow(&(struct plan){ k(my->seed).seed, k(my->seed).depth }, &self->result.value));
    COIR_RETURN(coir_take(&self->result.value));
    COIR_END;
}
static coir_io *finally_step(coir_routine *self)
{
    COIR_BEGIN(self, struct binding, my);
    COIR_AWAIT(m(my->seed));
    COIR_RETURN(coir_take(&self->result.value));
    COIR_FINALLY;
    COIR_AWAIT(n(my->seed));
    COIR_END;
}
static coir_io *or_else_step(coir_routine *self)
{
    COIR_BEGIN(self, struct binding, my);
    COIR_TRY(m(my->seed));
    if (self->result.tag == COIR_OK)
        COIR_RETURN(coir_take(&self->result.value));
    COIR_BECOME(n(my->seed));
    COIR_END;
}

static coir_io *do_become(uint64_t s)          { return coir_do(bind_step, COIR_ENV(struct binding, .seed = s)); }
static coir_io *do_await(uint64_t s)           { return coir_do(bind_awaiting, COIR_ENV(struct binding, .seed = s)); }
static coir_io *do_finally(uint64_t s)         { return coir_do(finally_step, COIR_ENV(struct binding, .seed = s)); }
static coir_io *do_or_else(uint64_t s)         { return coir_do(or_else_step, COIR_ENV(struct binding, .seed = s)); }

static coir_io *fork_and_join(uint64_t s)      { return coir_flat_map(coir_fork(m(s)), join_it, NULL); }

static const struct law routine_laws[] = {
    { "await m, become k is m >>= k",           do_become,          m_bind_k,           true },
    { "await m, await k is m >>= k",            do_await,           m_bind_k,           true },
    { "finally in a routine is finally",        do_finally,         m_finally_n,        true },
    { "try m is or_else",                       do_or_else,         m_or_else_n,        true }
};

TEST(law_monad, routines_mean_what_the_combinators_mean) { CHECK_LAWS(routine_laws); }

TEST(law_monad, joining_a_fork_is_running_it)
{
    for (int i = 0; i < scaled(3000); i++) {
        uint64_t seed = mix((uint64_t)i, 3);
        CASE("seed %d", i);
        const char *left = story(m(seed), 1, 0, true);
        const char *right = story(fork_and_join(seed), i % 16 != 0 ? 1 : 2, (uint32_t)(i % 5), true);
        if (strstr(left, "| CANCELED") == NULL)
            CHECK_STR(right, left);
        else
            CHECK_CONTAINS(right, "| ERROR CHILD_CANCELED");
        CHECK_INT(tokens_alive, 0);
    }
}

/* ------------------------------------------------------------------------------------------------- however it is run */

TEST(law_monad, a_program_means_the_same_alone_and_borrowed_with_any_budget_on_any_workers)
{
    for (int i = 0; i < scaled(3000); i++) {
        uint64_t seed = mix((uint64_t)i, 4);
        int depth = 1 + i % 5;
        CASE("seed %d", i);
        const char *alone = story(program(seed, depth), 1, 0, true);
        coir_io *io = program(seed, depth);
        for (uint32_t budget = 1; budget < 4; budget++)
            CHECK_STR(story(coir_io_ref(io), 1, budget, true), alone);
        CHECK_STR(story(coir_io_ref(io), i % 16 == 0 ? 4 : 1, COIR_BUDGET_NONE, true), alone);
        CHECK_STR(story(io, 1, 0, true), alone);
        CHECK_INT(tokens_alive, 0);
    }
}

TEST(law_monad, a_program_dropped_unrun_leaves_nothing)
{
    for (int i = 0; i < scaled(3000); i++) {
        coir_io_drop(program(mix((uint64_t)i, 5), 1 + i % 6));
        CHECK_INT(tokens_alive, 0);
    }
}

/* A wait without end is a panic that unwinds, or the end of the run, which lets all fibers go as they stand. */
TEST(law_monad, a_program_that_waits_for_ever_leaves_nothing_whatever_the_verdict_does)
{
    some_wait = true;
    for (int i = 0; i < scaled(3000); i++)
        for (coir_on_deadlock verdict = COIR_DEADLOCK_PANIC; verdict <= COIR_DEADLOCK_STOP; verdict++) {
            uint64_t seed = mix((uint64_t)i, 7);
            CASE("seed %d, verdict %d", i, (int)verdict);
            coir_io *io = program(seed, 1 + i % 5);
            if (i % 2 == 0)
                coir_io_ref(io);
            coir_result result = coir_run(io, COIR_OPTIONS(.workers = 1, .on_deadlock = verdict, .budget = (uint32_t)(i % 3)));
            coir_result_drop(&result);
            if (i % 2 == 0)
                coir_io_drop(io);
            CHECK_INT(tokens_alive, 0);
            notes();
        }
    some_wait = false;
}

/* --------------------------------------------------------------------------------------------------------- no memory */

/* Where each cell is an allocation (COIR_PLAIN_MEMORY) each can fail; elsewhere only what is large. A program that runs out of
 * memory may end in any way that it can itself bring about; what it may not do is crash, hang, or leave anything. */
static void without_memory(atomic_llong *when)
{
    watch_memory();
    (void)the_key();
    for (int i = 0; i < scaled(400); i++) {
        uint64_t seed = mix((uint64_t)i, 6);
        bool failed = true;
        for (int n_th = 0; failed && n_th < 400; n_th++) {
            CASE("seed %d, allocation %d", i, n_th);
            long long before = atomic_load(&watched.bytes);
            atomic_store(when, n_th);
            coir_io *io = program(seed, 1 + i % 4);
            coir_result result = coir_run(i % 2 == 0 && io != NULL ? coir_io_ref(io) : io, COIR_OPTIONS(.workers = 1 + (unsigned)i % 2));
            if (i % 2 == 0)
                coir_io_drop(io);
            failed = atomic_load(when) < 0 || (when == &watched.left && atomic_load(when) == 0);
            coir_result_drop(&result);
            atomic_store(when, -1);
            CHECK_INT(tokens_alive, 0);
#ifdef COIR_PLAIN_MEMORY
            CHECK_INT(atomic_load(&watched.bytes), before);
#else
            (void)before;
#endif
            notes();
        }
    }
}

TEST_ALONE(law_monad, a_program_that_lacks_memory_once_ends_and_leaves_nothing) { without_memory(&watched.before_one); }
TEST_ALONE(law_monad, a_program_that_runs_out_of_memory_ends_and_leaves_nothing) { without_memory(&watched.left); }
