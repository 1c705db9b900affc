/*
 * recursion.c - shows recursion that cannot overflow the stack: what is still to do waits on the heap, whatever the depth
 *
 * coir_call(value, fn, env) is a call that has not happened yet. In tail position it takes the caller's place, so ten million
 * calls need no more memory than one; elsewhere every pending call costs a small frame.
 */
#include <coir.h>

#include <stdlib.h>

static int64_t first(const coir_value *pair)  { return coir_list_at(pair, 0)->i64; }
static int64_t second(const coir_value *pair) { return coir_list_at(pair, 1)->i64; }

/* Two calls, then their sum. */
static coir_value sum(void *env, coir_value *pair)
{
    (void)env;
    return coir_int(first(pair) + second(pair));
}

static coir_io *fibonacci(void *env, coir_value *n)
{
    if (n->i64 < 2)
        return coir_pure(*n);
    return coir_map(coir_zip(COIR_IOS(coir_call(coir_int(n->i64 - 1), fibonacci, env),
                                      coir_call(coir_int(n->i64 - 2), fibonacci, env))), sum, NULL);
}

/* Two functions that call each other, in tail position. */
static coir_io *is_odd(void *env, coir_value *n);

static coir_io *is_even(void *env, coir_value *n)
{
    return n->i64 == 0 ? coir_pure(coir_int(1)) : coir_call(coir_int(n->i64 - 1), is_odd, env);
}

static coir_io *is_odd(void *env, coir_value *n)
{
    return n->i64 == 0 ? coir_pure(coir_int(0)) : coir_call(coir_int(n->i64 - 1), is_even, env);
}

/* A(m, n): a call whose argument is a call. flat_map hands the inner result straight to the function itself. */
static coir_io *ackermann(void *env, coir_value *n)
{
    int64_t m = *(int64_t *)env, m_less = m - 1;
    if (m == 0)
        return coir_pure(coir_int(n->i64 + 1));
    if (n->i64 == 0)
        return coir_call_copy(coir_int(1), ackermann, &m_less, sizeof m_less);
    coir_io *inner = coir_call_copy(coir_int(n->i64 - 1), ackermann, &m, sizeof m);
    return coir_flat_map_copy(inner, ackermann, &m_less, sizeof m_less);
}

static coir_io *ackermann_of(int64_t m, int64_t n)
{
    return coir_call_copy(coir_int(n), ackermann, &m, sizeof m);
}

/* A tree that is a list in disguise: every node has a left child only. */
struct tree { struct tree *left, *right; };

static coir_value higher(void *env, coir_value *pair)
{
    (void)env;
    return coir_int(1 + (first(pair) > second(pair) ? first(pair) : second(pair)));
}

static coir_io *height(void *env, coir_value *tree)
{
    const struct tree *node = tree->ptr;
    if (node == NULL)
        return coir_pure(coir_int(0));
    return coir_map(coir_zip(COIR_IOS(coir_call(coir_lend(node->left), height, env),
                                      coir_call(coir_lend(node->right), height, env))), higher, NULL);
}

static void show(void *env, const coir_value *n)
{
    const char *const *what = env;
    printf("%s is %lld\n", *what, (long long)n->i64);
}

static coir_io *shown(const char *what, coir_io *io)
{
    return coir_tap_copy(io, show, &what, sizeof what);
}

int main(void)
{
    enum { NODES = 1000000 };
    struct tree *nodes = calloc(NODES, sizeof *nodes);
    if (nodes == NULL)
        return EXIT_FAILURE;
    for (size_t i = 0; i + 1 < NODES; i++)
        nodes[i].left = &nodes[i + 1];

    int status = coir_main(coir_sequence(COIR_IOS(
        shown("fibonacci(20)", coir_call(coir_int(20), fibonacci, NULL)),
        shown("is_even(10000000)", coir_call(coir_int(10000000), is_even, NULL)),
        shown("ackermann(2, 9)", ackermann_of(2, 9)),
        shown("ackermann(3, 5)", ackermann_of(3, 5)),
        shown("the height of the tree", coir_call(coir_lend(nodes), height, NULL)))), NULL);
    free(nodes);
    return status;
}
