/*
 * result.c - which failure stands, what becomes of the others, pure functions, boxes
 *
 * Results are written as text: "e1" is an error with payload 1, "p2" a panic, "c3" CANCELED, "ok4"; those behind a blank are
 * further failures. So "p2 e1 e3" is a panic met between two errors.
 */
#include "starve.h"

#include "value/value.h"

static const char letters[] = { 'o', 'e', 'p', 'c' };

static coir_tag tag_of(const char *word)
{
    const char *letter = memchr(letters, *word, sizeof letters);
    return (coir_tag)(letter - letters);
}

static int payload_of(const char *word) { return atoi(word + strspn(word, "okepc")); }

/* Odd payloads are plain, even ones are things. */
static coir_value payload(int number) { return number % 2 == 0 ? thing(number) : coir_int(number); }
static int number_of(const coir_value *value) { return is_thing(value) ? thing_number(value) : (int)value->i64; }

/* The first of the words is the result, the others its further failures. */
static coir_result made(const char *text)
{
    coir_result result = coir_result_of(tag_of(text), payload(payload_of(text)));
    while ((text = strchr(text, ' ')) != NULL) {
        text++;
        coir__also(&result, coir_result_of(tag_of(text), payload(payload_of(text))));
    }
    return result;
}

static size_t write_word(char *to, coir_tag tag, const coir_value *value)
{
    static const char *const names[] = { "ok", "e", "p", "c" };
    return (size_t)sprintf(to, "%s%d", names[tag], number_of(value));
}

static const char *text_of(const coir_result *result)
{
    char *text = scratch(), *end = text + write_word(text, result->tag, &result->value);
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f)) {
        *end++ = ' ';
        end += write_word(end, coir_failure_tag(f), coir_failure_value(f));
    }
    return text;
}

#define CHECK_RESULT(result, expected) \
    do { CHECK_STR(text_of(&(result)), (expected)); coir_result_drop(&(result)); check_nothing_left(); } while (0)

static void check_nothing_left(void)
{
    CHECK_INT(atomic_load(&things_alive), 0);
    CHECK(strchr(notes(), '!') == NULL);
}

/* ------------------------------------------------------------------------------------------------------ two results */

TEST(result, of_two_is_the_more_severe_and_the_first_among_equals)
{
    static const struct { const char *first, *second, *both; } table[] = {
        { "ok2", "ok4", "ok4" }, { "ok2", "e2", "e2" },    { "ok2", "p2", "p2" },    { "ok2", "c2", "c2" },
        { "e2", "ok2", "e2" },   { "e2", "e4", "e2 e4" },  { "e2", "p4", "p4 e2" },  { "e2", "c4", "c4 e2" },
        { "p2", "ok2", "p2" },   { "p2", "e4", "p2 e4" },  { "p2", "p4", "p2 p4" },  { "p2", "c4", "c4 p2" },
        { "c2", "ok2", "c2" },   { "c2", "e4", "c2 e4" },  { "c2", "p4", "c2 p4" },  { "c2", "c4", "c2 c4" },
        /* what is further keeps its order: the other's own behind it, before or after one's own */
        { "e1 e2", "e3 e4", "e1 e2 e3 e4" }, { "e1 e2", "p3 e4", "p3 e1 e2 e4" }, { "p1 e2", "e3 p4", "p1 e2 e3 p4" },
        { "ok2", "e2 e3 e4", "e2 e3 e4" },   { "e2 e3 e4", "ok2", "e2 e3 e4" },   { "p1 e2", "c3 e4", "c3 p1 e2 e4" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CASE("%s and %s", table[i].first, table[i].second);
        coir_result both = coir_result_and(made(table[i].first), made(table[i].second));
        CHECK_RESULT(both, table[i].both);
    }
}

/* A failure of that tag with up to three further ones, numbered from *next on. */
static const char *drawn(uint32_t draw, char letter, int *next)
{
    static const char failures[] = "epc";
    char *text = scratch(), *end = text + sprintf(text, "%c%d", letter, (*next)++);
    for (uint32_t further = draw & 3; further > 0; further--, draw /= 3)
        end += sprintf(end, " %c%d", failures[(draw >> 2) % 3], (*next)++);
    return text;
}

static uint32_t draw_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

TEST(result, and_is_associative_for_equal_severity)
{
    uint64_t state = 1;
    for (int i = 0; i < scaled(2000); i++) {
        int next = 1;
        char letter = "epc"[i % 3];
        const char *a = drawn(draw_next(&state), letter, &next), *b = drawn(draw_next(&state), letter, &next),
                   *c = drawn(draw_next(&state), letter, &next);
        char expected[100];
        snprintf(expected, sizeof expected, "%s %s %s", a, b, c);       /* all of them, in the order of the arguments */
        CASE("%s, %s, %s", a, b, c);
        coir_result left = coir_result_and(coir_result_and(made(a), made(b)), made(c));
        coir_result right = coir_result_and(made(a), coir_result_and(made(b), made(c)));
        CHECK_STR(text_of(&left), expected);
        CHECK_STR(text_of(&right), expected);
        coir_result_drop(&left);
        coir_result_drop(&right);
        check_nothing_left();
    }
}

TEST(result, with_a_hundred_thousand_further_failures_is_made_in_no_time)
{
    coir_result result = coir_raise(coir_int(0));
    int count = scaled(100000);
    for (int i = 1; i <= count; i++)
        coir__also(&result, coir_raise(coir_int(i)));
    int64_t i = 1;
    for (const coir_failure *f = result.also; f != NULL; f = coir_failure_next(f), i++)
        CHECK_INT(coir_failure_value(f)->i64, i);
    CHECK_INT(i, count + 1);
    coir_result_drop(&result);
}

TEST(result, further_success_is_none)
{
    coir_result result = coir_raise(coir_int(1));
    coir__also(&result, coir_ok(thing(2)));
    coir__also(&result, coir_ok(coir_panic_value("broken")));
    CHECK_PTR(coir_failure_next(result.also), NULL);
    CHECK_INT(coir_failure_tag(result.also), COIR_PANIC);
    coir_result_drop(&result);
    check_nothing_left();
}

/* ----------------------------------------------------------------------------------------------------- many results */

enum { MANY = 6 };

/* The most severe of the words in front of the others. Nothing is in `also` that is no failure. */
static void expect_failures(size_t count, const char *const *texts, char *expected)
{
    size_t worst = 0;
    for (size_t i = 1; i < count; i++)
        if (tag_of(texts[i]) > tag_of(texts[worst]))
            worst = i;
    expected += sprintf(expected, "%.*s", (int)strcspn(texts[worst], " "), texts[worst]);
    for (size_t i = 0; i < count; i++) {
        const char *text = i == worst ? texts[i] + strcspn(texts[i], " ") : texts[i];
        if (*text != '\0' && tag_of(texts[i]) != COIR_OK)
            expected += sprintf(expected, "%s%s", *text == ' ' ? "" : " ", text);
    }
}

TEST(result, zip_and_sequence_keep_every_failure_in_the_order_of_the_arguments)
{
    uint64_t state = 2;
    for (int round = 0; round < scaled(3000); round++) {
        char texts[MANY][100], expected[MANY * 100];
        const char *pointers[MANY];
        coir_result zipped[MANY], sequence[MANY];
        size_t count = 1 + draw_next(&state) % MANY, failures = 0;
        int next = 1;
        for (size_t i = 0; i < count; i++) {
            char letter = "oooepc"[draw_next(&state) % 6];
            if (letter == 'o')
                sprintf(texts[i], "ok%d", next++);
            else
                strcpy(texts[i], drawn(draw_next(&state), letter, &next));
            failures += letter != 'o';
            pointers[i] = texts[i];
            zipped[i] = made(texts[i]);
            sequence[i] = made(texts[i]);
        }
        coir_result all = coir_result_zip(count, zipped), last = coir_result_sequence(count, sequence);
        for (size_t i = 0; i < count; i++) {
            CHECK_TAG(zipped[i], COIR_OK);              /* what was taken leaves OK with none behind */
            CHECK(coir_is_none(&zipped[i].value) && zipped[i].also == NULL);
            CHECK(coir_is_none(&sequence[i].value) && sequence[i].also == NULL);
        }
        if (failures > 0) {
            expect_failures(count, pointers, expected);
            CASE("%s", expected);
            CHECK_STR(text_of(&all), expected);
            CHECK_STR(text_of(&last), expected);
        } else {
            CHECK_TAG(all, COIR_OK);
            CHECK_UINT(coir_list_size(&all.value), count);
            for (size_t i = 0; i < count; i++)
                CHECK_INT(number_of(coir_list_at(&all.value, i)), payload_of(texts[i]));
            CHECK_STR(text_of(&last), texts[count - 1]);
        }
        coir_result_drop(&all);
        coir_result_drop(&last);
        check_nothing_left();
    }
}

TEST(result, of_none_is_the_empty_list_or_none)
{
    coir_result zipped = coir_result_zip(0, NULL), sequence = coir_result_sequence(0, NULL);
    CHECK_TAG(zipped, COIR_OK);
    CHECK_PTR(zipped.value.type, &coir_list_type);
    CHECK_UINT(coir_list_size(&zipped.value), 0);
    CHECK_TAG(sequence, COIR_OK);
    CHECK(coir_is_none(&sequence.value));
    coir_result_drop(&zipped);

    zipped = coir_result_zip(1, NULL);
    sequence = coir_result_sequence(1, NULL);
    CHECK_CODE(zipped, COIR_PANIC, EINVAL);
    CHECK_CODE(sequence, COIR_PANIC, EINVAL);
    coir_result_drop(&zipped);
    coir_result_drop(&sequence);
}

/* ----------------------------------------------------------------------------------------------------- panic values */

static coir_result with_panic_value(coir_tag tag)
{
    coir_result result = coir_result_of(tag, coir_panic_value("broken"));
    if (tag != COIR_OK)
        coir__also(&result, coir_raise(thing(2)));
    return result;
}

static void check_broken(coir_result result, bool has_also)
{
    CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
    CHECK_STR(coir_error_message(&result.value), "broken");
    CHECK_INT(result.also != NULL, has_also);
    coir_result_drop(&result);
    check_nothing_left();
}

TEST(result, with_a_panic_value_is_a_panic_wherever_it_is_met)
{
    for (coir_tag tag = COIR_OK; tag <= COIR_CANCELED; tag++) {
        bool has_also = tag != COIR_OK;
        CASE("tag %d", (int)tag);
        check_broken(coir__checked(with_panic_value(tag)), has_also);
        check_broken(coir_result_and(coir_ok(thing(4)), with_panic_value(tag)), has_also);
        check_broken(coir_result_and(with_panic_value(tag), coir_ok(thing(4))), has_also);
        coir_result one = with_panic_value(tag);
        check_broken(coir_result_zip(1, &one), has_also);
        one = with_panic_value(tag);
        check_broken(coir_result_sequence(1, &one), has_also);
        coir_value box = coir_box(with_panic_value(tag));
        CHECK_PTR(box.type, &coir_result_type);
        check_broken(coir_result_take(coir_result_in(&box)), has_also);
        coir_drop(box);
    }
}

TEST(result, tags_have_names)
{
    CHECK_STR(coir_tag_name(COIR_OK), "ok");
    CHECK_STR(coir_tag_name(COIR_ERROR), "error");
    CHECK_STR(coir_tag_name(COIR_PANIC), "panic");
    CHECK_STR(coir_tag_name(COIR_CANCELED), "canceled");
    CHECK_STR(coir_tag_name((coir_tag)99), "?");
}

TEST(result, whose_tag_is_none_is_a_panic)
{
    coir_result result = made("e2 e4");
    result.tag = (coir_tag)9;
    result = coir__checked(result);
    CHECK_CODE(result, COIR_PANIC, COIR_MISUSE);
    CHECK_CONTAINS(coir_error_message(&result.value), "9");
    CHECK_INT(number_of(coir_failure_value(result.also)), 4);
    coir_result_drop(&result);
    check_nothing_left();
}

/* ---------------------------------------------------------------------------------------------------------- sharing */

TEST(result, shared_holds_the_same)
{
    static const char *const texts[] = { "ok2", "ok1", "e2", "p2 e4 e6", "c1 p2 e3 e4" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        coir_result one = made(texts[i]), other = coir_result_share(&one);
        CHECK_STR(text_of(&one), texts[i]);
        coir_result_drop(&one);
        coir__also(&other, coir_raise(coir_int(9)));    /* its chain is whole: one can be appended */
        char expected[100];
        snprintf(expected, sizeof expected, "%s e9", texts[i]);
        CHECK_RESULT(other, expected);
    }
}

TEST(result, that_cannot_be_shared_shares_as_a_panic_alone)
{
    const struct { coir_result result; int code; } table[] = {
        { coir_ok(sole_thing(2)), COIR_MISUSE },
        { coir_result_of(COIR_CANCELED, starved_thing(2)), ENOMEM },
        { coir_result_and(coir_raise(thing(2)), coir_raise(sole_thing(4))), COIR_MISUSE },
        { coir_result_and(made("e2 e4"), coir_raise(starved_thing(6))), ENOMEM },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        coir_result one = table[i].result, other = coir_result_share(&one);
        CASE("%zu", i);
        CHECK_CODE(other, COIR_PANIC, table[i].code);
        CHECK_PTR(other.also, NULL);
        coir_result_drop(&other);
        coir_result_drop(&one);
    }
    check_nothing_left();
}

TEST(result, dropped_twice_is_dropped_once)
{
    coir_result result = made("e2 e4");
    coir_result_drop(&result);
    CHECK_STR(notes(), "-2 -4");
    CHECK_TAG(result, COIR_OK);
    coir_result_drop(&result);
    CHECK_STR(notes(), "");
}

/* --------------------------------------------------------------------------------------------------- pure functions */

/* What a callback does with what it is lent. */
enum manner { GIVES_ANOTHER, GIVES_IT_BACK, TAKES_IT, TAKES_AND_GIVES_IT, BREAKS, TAKES_AND_BREAKS };
static int calls;

static coir_value map_by(void *env, coir_value *value)
{
    calls++;
    switch (*(const enum manner *)env) {
    case GIVES_ANOTHER:      return payload(number_of(value) + 100);
    case GIVES_IT_BACK:      return *value;
    case TAKES_IT:           coir_drop(coir_take(value)); return coir_int(99);
    case TAKES_AND_GIVES_IT: return coir_take(value);
    case TAKES_AND_BREAKS:   coir_drop(coir_take(value)); return coir_panic_value("broken");
    default:                 return coir_panic_value("broken");
    }
}

static coir_result flat_map_by(void *env, coir_value *value)
{
    enum manner manner = *(const enum manner *)env;
    coir_value given = manner == GIVES_IT_BACK ? coir_take(value) : map_by(env, value);
    return coir_ok(given);
}

TEST(result, map_changes_a_success_alone)
{
    static const struct { const char *text; enum manner manner; const char *mapped; int calls; } table[] = {
        { "ok2", GIVES_ANOTHER, "ok102", 1 }, { "ok2", GIVES_IT_BACK, "ok2", 1 }, { "ok2", TAKES_IT, "ok99", 1 },
        { "ok2", TAKES_AND_GIVES_IT, "ok2", 1 }, { "ok1", GIVES_ANOTHER, "ok101", 1 }, { "ok1", GIVES_IT_BACK, "ok1", 1 },
        { "e2 e4", GIVES_ANOTHER, "e2 e4", 0 }, { "p2", GIVES_ANOTHER, "p2", 0 }, { "c2", GIVES_ANOTHER, "c2", 0 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        enum manner manner = table[i].manner;
        CASE("%s, manner %d", table[i].text, (int)manner);
        calls = 0;
        coir_result mapped = coir_result_map(made(table[i].text), map_by, &manner);
        CHECK_RESULT(mapped, table[i].mapped);
        mapped = coir_result_flat_map(made(table[i].text), flat_map_by, &manner);
        CHECK_RESULT(mapped, table[i].mapped);
        CHECK_INT(calls, manner == GIVES_IT_BACK ? table[i].calls : 2 * table[i].calls);
    }
    for (enum manner manner = BREAKS; manner <= TAKES_AND_BREAKS; manner++) {
        check_broken(coir_result_map(made("ok2"), map_by, &manner), false);
        check_broken(coir_result_flat_map(made("ok2"), flat_map_by, &manner), false);
    }
}

static coir_result fails_with(void *env, coir_value *value) { (void)value; return made(env); }

TEST(result, flat_map_gives_what_its_function_gives)
{
    char further[] = "p4 e6";
    coir_result given = coir_result_flat_map(made("ok2"), fails_with, further);
    CHECK_RESULT(given, "p4 e6");
}

TEST(result, map_error_visits_each_error)
{
    static const struct { const char *text; enum manner manner; const char *mapped; } table[] = {
        { "e2 e4", GIVES_ANOTHER, "e102 e104" }, { "p2 e4 p6 e1", GIVES_ANOTHER, "p2 e104 p6 e101" },
        { "c2 e4 p6", GIVES_ANOTHER, "c2 e104 p6" }, { "e2 e4", GIVES_IT_BACK, "e2 e4" }, { "e2 e4", TAKES_IT, "e99 e99" },
        { "ok2", GIVES_ANOTHER, "ok2" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        enum manner manner = table[i].manner;
        CASE("%s, manner %d", table[i].text, (int)manner);
        coir_result mapped = coir_result_map_error(made(table[i].text), map_by, &manner);
        CHECK_RESULT(mapped, table[i].mapped);
    }
}

/* The failures of a result, where a broken promise is written as "!". */
static const char *with_broken(const coir_result *result)
{
    char *text = scratch(), *end = text;
    bool is_broken = result->value.type == &coir_error_type;
    end += is_broken ? (size_t)sprintf(end, "!") : write_word(end, result->tag, &result->value);
    for (const coir_failure *f = result->also; f != NULL; f = coir_failure_next(f)) {
        *end++ = ' ';
        is_broken = coir_failure_value(f)->type == &coir_error_type;
        end += is_broken ? (size_t)sprintf(end, "!") : write_word(end, coir_failure_tag(f), coir_failure_value(f));
    }
    return text;
}

#define CHECK_BROKEN(result, expected) \
    do { CHECK_STR(with_broken(&(result)), (expected)); coir_result_drop(&(result)); check_nothing_left(); } while (0)

/* Breaks its promise for the failure with the number *env. */
static coir_value breaks_for(void *env, coir_value *value)
{
    return number_of(value) == *(const int *)env ? coir_panic_value("broken") : coir_take(value);
}

TEST(result, map_error_that_breaks_its_promise_is_a_panic_and_keeps_the_error)
{
    static const struct { const char *text; int breaks_for; const char *mapped; } table[] = {
        { "e2", 2, "! e2" },                   { "e2 e4", 2, "! e2 e4" },          { "e2 e4 e6", 4, "! e2 e4 e6" },
        { "e2 e4 e6", 6, "! e2 e4 e6" },       { "p2 e4 e6", 4, "p2 ! e4 e6" },    { "c2 e4", 4, "c2 ! e4" },
        { "e2 e4 p6 e8", 8, "p6 e2 e4 ! e8" }, { "e1 e3 e5 e7", 5, "! e1 e3 e5 e7" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int number = table[i].breaks_for;
        CASE("%s, breaks for %d", table[i].text, number);
        coir_result mapped = coir_result_map_error(made(table[i].text), breaks_for, &number);
        char expected[100];
        CHECK_STR(with_broken(&mapped), table[i].mapped);
        snprintf(expected, sizeof expected, "%s e9", table[i].mapped);  /* the chain is whole: one can be appended */
        coir__also(&mapped, coir_raise(coir_int(9)));
        CHECK_BROKEN(mapped, expected);
    }
    enum manner manner = TAKES_AND_BREAKS;
    coir_result mapped = coir_result_map_error(made("e2 e4"), map_by, &manner);
    CHECK_BROKEN(mapped, "! !");
}

TEST(result, failures_of_another_tag_are_mapped_likewise)
{
    int number = 6;
    coir_result mapped = coir__map_failures(made("e2 p4 p6"), COIR_PANIC, breaks_for, &number);
    CHECK_BROKEN(mapped, "p4 e2 !");                 /* the panic that stood behind an error comes to the front; another in place of one is a mapping */
}

typedef coir_result handle_fn(coir_result result, coir_result_fn *fn, void *env);

TEST(result, handlers_see_their_own_failure_alone_and_take_it)
{
    static const struct { handle_fn *handle; const char *text, *handled; } table[] = {
        { coir_result_catch, "e2 e4", "e8 e6" },    { coir_result_catch, "ok2", "ok2" },
        { coir_result_catch, "p2 e4", "p2 e4" },    { coir_result_catch, "c2", "c2" },
        { coir_result_recover, "p2 e4", "e8 e6" },  { coir_result_recover, "e2 e4", "e2 e4" },
        { coir_result_recover, "c2", "c2" },        { coir_result_recover, "ok2", "ok2" },
    };
    char given[] = "e8 e6";
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CASE("%zu: %s", i, table[i].text);
        coir_result handled = table[i].handle(made(table[i].text), fails_with, given);
        CHECK_RESULT(handled, table[i].handled);
    }
}

TEST(result, handler_that_breaks_its_promise_keeps_the_failure)
{
    static const struct { handle_fn *handle; const char *text; enum manner manner; const char *handled; } table[] = {
        { coir_result_catch, "e2 e4 e6", BREAKS, "! e2 e4 e6" },   { coir_result_catch, "e2 e4", TAKES_AND_BREAKS, "! e4" },
        { coir_result_catch, "e1", BREAKS, "! e1" },               { coir_result_catch, "e2", TAKES_AND_BREAKS, "!" },
        { coir_result_recover, "p2 e4", BREAKS, "! p2 e4" },       { coir_result_recover, "p1", TAKES_AND_BREAKS, "!" },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        enum manner manner = table[i].manner;
        CASE("%s, manner %d", table[i].text, (int)manner);
        coir_result handled = table[i].handle(made(table[i].text), flat_map_by, &manner);
        CHECK_BROKEN(handled, table[i].handled);
    }
}

static coir_value fold_by(void *env, coir_result *result)
{
    bool takes = *(const bool *)env;
    return takes ? coir_box(coir_result_take(result)) : coir_int((int64_t)result->tag);
}

TEST(result, fold_is_given_any_result_whole)
{
    static const char *const texts[] = { "ok2", "e2 e4", "p2 e4", "c2" };
    for (int i = 0; i < 4; i++) {
        bool takes = false;
        coir_value folded = coir_result_fold(made(texts[i]), fold_by, &takes);
        CHECK_INT(folded.i64, i);
        check_nothing_left();
        takes = true;
        folded = coir_result_fold(made(texts[i]), fold_by, &takes);
        CHECK_STR(text_of(coir_result_in(&folded)), texts[i]);
        coir_drop(folded);
        check_nothing_left();
    }
}

TEST(result, without_a_function_is_a_panic_that_names_who_wanted_it)
{
    coir_result results[] = {
        coir_result_map(made("ok2"), NULL, NULL),
        coir_result_flat_map(made("ok2"), NULL, NULL),
        coir_result_map_error(made("e2"), NULL, NULL),
        coir_result_catch(made("e2"), NULL, NULL),
        coir_result_recover(made("e2"), NULL, NULL),
    };
    static const char *const names[] = {
        "coir_result_map:", "coir_result_flat_map:", "coir_result_map_error:", "coir_result_catch:", "coir_result_recover:",
    };
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        CHECK_CODE(results[i], COIR_PANIC, EINVAL);
        CHECK_CONTAINS(coir_error_message(&results[i].value), names[i]);
        CHECK_INT(results[i].also != NULL, i >= 2);     /* a failure is kept, a success is not */
        coir_result_drop(&results[i]);
    }
    coir_value folded = coir_result_fold(made("e2"), NULL, NULL);
    CHECK_PTR(folded.type, &coir_panic_type);
    CHECK_CONTAINS(coir_error_message(&folded), "coir_result_fold");
    coir_drop(folded);
    check_nothing_left();
}

/* ----------------------------------------------------------------------------------------------------------- boxes */

TEST(result, in_a_box_is_whole_and_can_be_taken)
{
    static const char *const texts[] = { "ok1", "ok2", "e2 e4", "p1 e3", "c2 p4" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        coir_value box = coir_box(made(texts[i])), untouched = coir_box(made(texts[i]));
        CHECK_STR(text_of(coir_result_in(&box)), texts[i]);
        coir_result taken = coir_result_take(coir_result_in(&box));
        coir_drop(box);
        coir_drop(untouched);
        CHECK_RESULT(taken, texts[i]);
    }
    coir_value other = coir_int(1);
    CHECK_PTR(coir_result_in(&other), NULL);
    CHECK_PTR(coir_result_in(NULL), NULL);
}

/* ---------------------------------------------------------------------------------------------------------- memory */

#ifdef COIR_PLAIN_MEMORY
static void merge_results(void)
{
    uint64_t before = coir__failures_forgotten();
    coir_result one = coir_result_and(made("e2 e4"), made("p6 e8"));
    CHECK_TAG(one, COIR_PANIC);
    uint64_t count = 0;
    for (const coir_failure *f = one.also; f != NULL; f = coir_failure_next(f))
        count++;
    CHECK_UINT(count + coir__failures_forgotten() - before, 3);         /* none is lost without being counted */
    coir_result other = coir_result_share(&one);
    CHECK_TAG(other, COIR_PANIC);
    coir_result_drop(&other);
    coir_result_drop(&one);
}

static void zip_results(void)
{
    coir_result results[] = { made("ok2"), made("ok4"), made("ok6") };
    coir_result failures[] = { made("ok2"), made("e4"), made("p6"), made("e8") };
    coir_result zipped = coir_result_zip(3, results);
    if (zipped.tag != COIR_OK)
        CHECK_CODE(zipped, COIR_PANIC, ENOMEM);
    coir_result_drop(&zipped);
    zipped = coir_result_zip(4, failures);
    CHECK_TAG(zipped, COIR_PANIC);
    CHECK_INT(number_of(&zipped.value), 6);
    coir_result_drop(&zipped);
}

static void box_results(void)
{
    coir_value box = coir_box(made("e2 e4"));
    if (was_made(&box))
        CHECK_INT(number_of(&coir_result_in(&box)->value), 2);
    coir_drop(box);
}

static void break_promises(void)
{
    enum manner manner = BREAKS;
    coir_result mapped = coir_result_map_error(made("e2 e4"), map_by, &manner);
    CHECK_TAG(mapped, COIR_PANIC);
    coir_result_drop(&mapped);
    mapped = coir_result_catch(made("e2 e4"), flat_map_by, &manner);
    CHECK_TAG(mapped, COIR_PANIC);
    coir_result_drop(&mapped);
    mapped = coir_result_map(made("ok2"), NULL, NULL);
    CHECK_TAG(mapped, COIR_PANIC);
    coir_result_drop(&mapped);
}

TEST_ALONE(result, without_memory_counts_what_it_forgets) { starve(merge_results); }
TEST_ALONE(result, without_memory_zips_to_enomem_or_to_the_most_severe) { starve(zip_results); }
TEST_ALONE(result, without_memory_for_a_box_is_dropped) { starve(box_results); }
TEST_ALONE(result, without_memory_is_still_a_panic_where_a_promise_is_broken) { starve(break_promises); }
#endif
