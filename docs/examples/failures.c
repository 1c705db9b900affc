/*
 * failures.c - shows what can go wrong and who gets to know: errors, panics, finalizers, and what is kept in `also`
 *
 * An error is an expected failure, a panic a bug or a broken promise. catch sees errors only, recover panics only, finally
 * everything. Who is given a failure has taken it; what nobody took is kept in `also`, and the most severe is the result.
 */
#include <coir.h>

#include <errno.h>

static void print_payload(const coir_value *payload)
{
    if (coir_cast(payload, &coir_error_type) != NULL)
        printf("%s", coir_error_message(payload));
    else
        coir_value_print(payload, stdout);                      /* any value serves as an error */
}

static void show(const char *what, coir_io *io)
{
    static const char *const tags[] = { "ok", "error", "panic", "canceled" };
    coir_result result = coir_run(io, COIR_OPTIONS(.workers = 1));
    printf("%s: %s, ", what, tags[result.tag]);
    print_payload(&result.value);
    for (const coir_failure *further = result.also; further != NULL; further = coir_failure_next(further)) {
        printf("; also %s, ", tags[coir_failure_tag(further)]);
        print_payload(coir_failure_value(further));
    }
    putchar('\n');
    coir_result_drop(&result);
}

static coir_io *open_page(void)  { return coir_failf(ENOENT, "no such page"); }
static coir_io *break_down(void) { return coir_panicf("this cannot happen"); }

static coir_io *use_default(void *env, coir_value *failure)     /* lent: what is not taken is dropped for us */
{
    (void)env;
    printf("    (given: %s)\n", coir_error_message(failure));
    return coir_pure(coir_int(42));
}

static coir_value explain(void *env, coir_value *error)
{
    (void)env;
    return coir_error_because(coir_errorf(EIO, "cannot start"), coir_take(error));
}

static coir_value cause_of(void *env, coir_value *error)
{
    (void)env;
    const coir_value *cause = coir_error_cause(error);
    return cause == NULL ? coir_none() : coir_share(cause);
}

static coir_value tag_of(void *env, coir_value *boxed)
{
    (void)env;
    return coir_int(coir_result_in(boxed)->tag);
}

static coir_io *look(void *env, const coir_result *result)
{
    (void)env;
    printf("    (finalizer: it ended %s)\n", result->tag == COIR_OK ? "well" : "badly");
    return coir_unit();
}

int main(void)
{
    show("a plain number", coir_fail(coir_int(7)));
    show("catch", coir_catch(open_page(), use_default, NULL));
    show("catch that code", coir_catch_code(open_page(), ENOENT, coir_pure(coir_int(0))));
    show("catch another code", coir_catch_code(open_page(), EACCES, coir_pure(coir_int(0))));
    show("map_error", coir_map_error(open_page(), explain, NULL));
    show("and its cause", coir_map_error(coir_map_error(open_page(), explain, NULL), cause_of, NULL));
    show("attempt, the tag", coir_map(coir_attempt(open_page()), tag_of, NULL));
    show("catch does not see a panic", coir_catch(break_down(), use_default, NULL));
    show("recover does", coir_recover(break_down(), use_default, NULL));
    show("an error that must not be", coir_or_panic(open_page()));
    show("finally", coir_finally_fn(open_page(), look, NULL));
    show("a finalizer that fails", coir_finally(coir_pure(coir_int(1)), coir_failf(EIO, "cannot close")));
    show("both fail", coir_finally(open_page(), coir_failf(EIO, "cannot close")));
    show("the graver one stands", coir_finally(open_page(), break_down()));
    show("so no catch hides it", coir_catch(coir_finally(open_page(), break_down()), use_default, NULL));
    return 0;
}
