/*
 * values.c - programs without a run: strings, lists, errors, boxes, and the functions on results
 */
#include "fault.h"

static coir_value enomem(void) { return coir_heap(NULL); }

/* Takes both. A list that had no memory for the item becomes the panic that says so. */
static coir_value pushed(coir_value list, coir_value item)
{
    if (!coir_list_push(&list, item) && list.type == &coir_list_type)
        coir_put(&list, enomem());
    return list;
}

FAULT_PROGRAM(values, "OK [[thing 1 text 0 1 2 3 4 5] [thing 1 text 0 1 2 3 4 5 more] <ERROR thing 2> <ERROR thing 2> code 7 code 7 heap 0]")
{
    (void)options;
    coir_value list = coir_list(2, (coir_value[]){ thing(1), coir_stringf("te%s", "xt") });
    for (int i = 0; i < 6; i++)
        list = pushed(list, coir_int(i));
    coir_value longer = pushed(coir_share(&list), coir_string("more", 4));
    coir_value box = coir_box(coir_raise(thing(2))), same_box = coir_share(&box);
    coir_value error = coir_error_because(coir_errorf(7, "%0300d", 7), thing(3));
    coir_value other = coir_error_because(coir_share(&error), coir_stringf("another cause"));
    coir_value all[] = { list, longer, box, same_box, error, other, coir_heap(malloc(1)), coir_none() };
    return fault_checked(coir_list(sizeof all / sizeof *all, all));
}

/* One level holds the next, so that taking them apart goes deep. */
FAULT_PROGRAM(nested_values, "OK [[[[[[[[<ERROR code 8>] 7] 6] 5] 4] 3] 2] 1]")
{
    (void)options;
    coir_value value = coir_box(coir_raise(coir_error_because(coir_errorf(8, "eighth"), coir_list(1, (coir_value[]){ thing(8) }))));
    value = coir_list(1, &value);
    for (int i = 7; i > 0; i--)
        value = coir_list(2, (coir_value[]){ value, coir_int(i) });
    coir_value again = coir_share(&value);
    coir_drop(value);
    return fault_checked(again);
}

static coir_value as_text(void *env, coir_value *value) { (void)env; return coir_stringf("(%d)", thing_number(value)); }
static coir_value with_cause(void *env, coir_value *value)
{
    (void)env;
    return coir_error_because(coir_errorf(9, "because"), coir_take(value));
}
static coir_result ok_text(void *env, coir_value *value) { return coir_ok(as_text(env, value)); }
static coir_result raise_text(void *env, coir_value *value) { return coir_raise(as_text(env, value)); }
static coir_value boxed(void *env, coir_result *result) { (void)env; return coir_box(coir_result_take(result)); }

static coir_result panic_thing(int number) { return coir_panic(thing(number)); }

FAULT_PROGRAM(results, "OK [<OK (1)> <ERROR (2)> <ERROR code 9 also(ERROR code 9)> <OK (4)> <OK (5)> <OK [thing 6 7]> "
                       "<PANIC thing 9 also(ERROR thing 8, ERROR thing 10)> <PANIC thing 9 also(ERROR thing 8, ERROR thing 10)> <OK thing 12>]")
{
    (void)options;
    coir_result several[] = { coir_raise(thing(8)), panic_thing(9), coir_raise(thing(10)), coir_ok(thing(11)) };
    coir_result fine[] = { coir_ok(thing(6)), coir_ok(coir_stringf("7")) }, last[] = { coir_ok(thing(11)), coir_ok(thing(12)) };
    coir_result failures = coir_result_zip(sizeof several / sizeof *several, several), shared = coir_result_share(&failures);
    coir_value all[] = {
        coir_box(coir_result_map(coir_ok(thing(1)), as_text, NULL)),
        coir_box(coir_result_flat_map(coir_ok(thing(2)), raise_text, NULL)),
        coir_box(coir_result_map_error(coir_result_and(coir_raise(thing(3)), coir_raise(thing(13))), with_cause, NULL)),
        coir_box(coir_result_catch(coir_raise(thing(4)), ok_text, NULL)),
        coir_box(coir_result_recover(panic_thing(5), ok_text, NULL)),
        coir_box(coir_result_zip(2, fine)),
        coir_result_fold(failures, boxed, NULL),
        coir_box(shared),
        coir_box(coir_result_sequence(2, last)),
    };
    return fault_checked(coir_list(sizeof all / sizeof *all, all));
}
