/*
 * error.c - errors: what they say, their causes, and the one that needs no memory
 */
#include "starve.h"

#include "value/value.h"

#include <limits.h>

TEST(error, says_what_it_was_made_with)
{
    coir_value error = coir_errorf(7, "no page %d", 3); const int line = __LINE__;
    CHECK_PTR(error.type, &coir_error_type);
    CHECK_INT(coir_error_code(&error), 7);
    CHECK_STR(coir_error_message(&error), "no page 3");
    CHECK_STR(coir_error_domain(&error), "");
    CHECK_STR(coir_error_file(&error), __FILE__);
    CHECK_INT(coir_error_line(&error), line);
    CHECK_PTR(coir_error_cause(&error), NULL);
    coir_drop(error);

    error = coir_error_in("dns", -2, "%s", "no host");
    CHECK_STR(coir_error_domain(&error), "dns");
    CHECK_INT(coir_error_code(&error), -2);
    coir_drop(error);
}

TEST(error, is_what_only_an_error_is)
{
    const coir_value others[] = {
        coir_none(), coir_string("x", 1), coir_list(0, NULL), coir_box(coir_raise(coir_int(1))), thing(1),
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        CASE("%zu", i);
        CHECK_INT(coir_error_code(&others[i]), 0);
        CHECK_STR(coir_error_message(&others[i]), "");
        CHECK_STR(coir_error_domain(&others[i]), "");
        CHECK_STR(coir_error_file(&others[i]), "");
        CHECK_INT(coir_error_line(&others[i]), 0);
        CHECK_PTR(coir_error_cause(&others[i]), NULL);
        coir_drop(others[i]);
    }
    CHECK_INT(coir_error_code(NULL), 0);
    CHECK_STR(coir_error_message(NULL), "");
    CHECK_STR(notes(), "-1");
}

TEST(error, code_of_a_plain_integer_is_the_integer_if_it_is_an_int)
{
    const struct { int64_t integer; int code; } table[] = {
        { 5, 5 },
        { -5, -5 },
        { INT_MAX, INT_MAX },
        { INT_MIN, INT_MIN },
        { INT_MAX + 1ll, 0 },
        { INT_MIN - 1ll, 0 },
        { 1ll << 32 | 5, 0 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        coir_value plain = coir_int(table[i].integer);
        CHECK_INT(coir_error_code(&plain), table[i].code);
    }
}

TEST(error, is_told_by_its_code_and_domain)
{
    const struct { coir_result result; int code; const char *domain; bool has_code, is_in_domain; } table[] = {
        { coir_raisef(4, "x"), 4, "", true, true },
        { coir_raisef(4, "x"), 5, "", false, false },
        { coir_raise(coir_error_in("dns", 4, "x")), 4, "dns", true, true },
        { coir_raise(coir_error_in("dns", 4, "x")), 4, "", true, false },
        { coir_raise(coir_error_in("dns", 4, "x")), 4, NULL, true, false },
        { coir_raise(coir_int(4)), 4, NULL, true, true },
        { coir_raise(coir_int(0)), 0, "", true, true },
        { coir_raise(coir_int(1ll << 32)), 0, "", false, false },           /* 0 is not its code: it has none */
        { coir_raise(coir_string("x", 1)), 0, "", false, false },
        { coir_ok(coir_int(4)), 4, "", false, false },
        { coir_panic(coir_int(4)), 4, "", false, false },
        { coir_result_of(COIR_CANCELED, coir_int(4)), 4, "", false, false },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        coir_result result = table[i].result;
        CASE("%zu", i);
        CHECK_INT(coir_failed_with(&result, table[i].code), table[i].has_code);
        CHECK_INT(coir_failed_in(&result, table[i].domain, table[i].code), table[i].is_in_domain);
        coir_result_drop(&result);
    }
}

/* ---------------------------------------------------------------------------------------------------------- causes */

TEST(error, alone_is_given_its_cause_in_place)
{
    coir_value error = coir_errorf(1, "outer"), same = coir_error_because(error, thing(1));
    CHECK_PTR(same.ptr, error.ptr);
    CHECK_INT(thing_number(coir_error_cause(&same)), 1);
    same = coir_error_because(same, thing(2));
    CHECK_STR(notes(), "-1");                           /* the former cause */
    CHECK_INT(thing_number(coir_error_cause(&same)), 2);
    coir_drop(same);
    CHECK_STR(notes(), "-2");
}

TEST(error, that_others_share_is_copied_for_a_cause)
{
    coir_value error = coir_error_because(coir_error_make("a.c", 3, "dns", 4, "outer"), thing(1)), other = coir_share(&error);
    error = coir_error_because(error, thing(2));
    CHECK(error.ptr != other.ptr);
    CHECK_INT(coir_error_code(&error), 4);
    CHECK_STR(coir_error_message(&error), "outer");
    CHECK_STR(coir_error_domain(&error), "dns");
    CHECK_STR(coir_error_file(&error), "a.c");
    CHECK_INT(coir_error_line(&error), 3);
    CHECK_INT(thing_number(coir_error_cause(&error)), 2);
    CHECK_INT(thing_number(coir_error_cause(&other)), 1);
    coir_drop(other);
    CHECK_STR(notes(), "-1");
    CHECK_STR(coir_error_message(&error), "outer");
    coir_drop(error);
    CHECK_STR(notes(), "-2");
}

TEST(error, cause_of_what_is_no_error_is_dropped)
{
    coir_value same = coir_error_because(coir_int(5), thing(1));
    CHECK_INT(same.i64, 5);
    CHECK_STR(notes(), "-1");
    same = coir_error_because(coir_panic_value("broken"), thing(2));
    CHECK_PTR(same.type, &coir_panic_type);
    CHECK_STR(notes(), "-2");
    coir_drop(same);
}

TEST(error, whose_cause_is_a_panic_value_is_that_panic)
{
    coir_value panic = coir_error_because(coir_error_because(coir_errorf(1, "e"), thing(1)), coir_panic_value("broken"));
    CHECK_PTR(panic.type, &coir_panic_type);
    CHECK_STR(coir_error_message(&panic), "broken");
    CHECK_STR(notes(), "-1");
    coir_drop(panic);
}

TEST(error, without_a_cause_again_can_be_shared_again)
{
    coir_value error = coir_error_because(coir_errorf(1, "e"), sole_thing(1));
    CHECK(!coir_can_share(&error));
    error = coir_error_because(error, coir_none());
    CHECK(coir_can_share(&error));
    CHECK_PTR(coir_error_cause(&error), NULL);
    coir_drop(error);
    CHECK_STR(notes(), "-1");
}

/* ---------------------------------------------------------------------------------------------------------- panics */

TEST(error, of_a_panic_value_is_the_payload_of_its_panic)
{
    coir_value value = coir_panic_value("broken %d", 1);
    CHECK_STR(coir_error_message(&value), "broken 1");
    CHECK_INT(coir_error_code(&value), COIR_MISUSE);
    CHECK_STR(coir_error_domain(&value), "coir");
    const void *object = value.ptr;
    coir_result panic = coir__panic_of(value);
    CHECK_TAG(panic, COIR_PANIC);
    CHECK_PTR(panic.value.type, &coir_error_type);
    CHECK_PTR(panic.value.ptr, object);
    coir_result_drop(&panic);

    panic = coir__panicf("errno", EIO, "%s", "disk");
    CHECK_CODE(panic, COIR_PANIC, EIO);
    CHECK_STR(coir_error_message(&panic.value), "disk");
    coir_result_drop(&panic);
}

TEST(error, panic_value_is_shared_as_one)
{
    coir_value value = coir_panic_value("broken"), share = coir_share(&value);
    CHECK_PTR(share.type, &coir_panic_type);
    CHECK_PTR(share.ptr, value.ptr);
    coir_drop(value);
    CHECK_STR(coir_error_message(&share), "broken");
    coir_drop(share);
}

TEST(error, that_says_enomem_is_one_and_never_goes_away)
{
    coir_value value = coir__no_memory_value();
    coir_result panic = coir__no_memory();
    CHECK_CODE(panic, COIR_PANIC, ENOMEM);
    CHECK_PTR(panic.value.ptr, value.ptr);
    for (int i = 0; i < 3; i++)
        coir_drop(value);
    coir_result_drop(&panic);
    coir_value share = coir_share(&value);
    CHECK_PTR(share.ptr, value.ptr);
    CHECK_INT(coir_error_code(&share), ENOMEM);
    CHECK_STR(coir_error_domain(&share), "errno");

    /* Its copy with a cause is an error of its own. */
    panic = coir__no_memory();
    coir_value copy = coir_error_because(panic.value, thing(1));
    CHECK(copy.ptr != value.ptr);
    CHECK_INT(coir_error_code(&copy), ENOMEM);
    CHECK_STR(coir_error_message(&copy), coir_error_message(&value));
    CHECK_PTR(coir_error_cause(&value), NULL);
    coir_drop(copy);
    CHECK_STR(notes(), "-1");
}

/* ---------------------------------------------------------------------------------------------------------- memory */

#ifdef COIR_PLAIN_MEMORY
static void make_errors(void)
{
    coir_value error = coir_errorf(1, "e"), other = coir_errorf(2, "%*s", 900, "long");
    was_made(&error);
    was_made(&other);
    coir_value shared = coir_share(&error);
    error = coir_error_because(error, other);           /* a copy, since another has it */
    was_made(&error);
    coir_drop(shared);
    error = coir_error_because(error, thing(1));
    coir_drop(error);

    coir_value panic = coir_panic_value("broken");
    CHECK_PTR(panic.type, &coir_panic_type);            /* with memory or without */
    coir_drop(panic);
    error = coir__error("coir", COIR_CLOSED, "closed");
    CHECK_PTR(error.type, &coir_error_type);
    CHECK(coir_error_code(&error) == COIR_CLOSED || coir_error_code(&error) == ENOMEM);
    coir_drop(error);
}

TEST_ALONE(error, without_memory_says_enomem) { starve(make_errors); }
#endif
