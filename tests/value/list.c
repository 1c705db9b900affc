/*
 * list.c - lists against a plain array, shared and alone; what they do with panic values and without memory
 */
#include "starve.h"

#include "value/value.h"

enum { ITEMS_MAX = 40 };

/* Thing i on even places, the plain number i on odd ones. */
static coir_value item(int i) { return i % 2 == 0 ? thing(i) : coir_int(i); }
static int number_of(const coir_value *value) { return is_thing(value) ? thing_number(value) : (int)value->i64; }

static coir_value made(int count)
{
    coir_value items[ITEMS_MAX];
    for (int i = 0; i < count; i++)
        items[i] = item(i);
    return coir_list((size_t)count, items);
}

static coir_value pushed(int count)
{
    coir_value list = coir_list(0, NULL);
    for (int i = 0; i < count; i++)
        CHECK(coir_list_push(&list, item(i)));
    return list;
}

static coir_value added(int count)
{
    coir_value list = coir__list_new((size_t)count);
    for (int i = 0; i < count; i++)
        coir__list_add(&list, item(i));
    return list;
}

static void check_items(const coir_value *list, int count)
{
    CHECK_PTR(list->type, &coir_list_type);
    CHECK_UINT(coir_list_size(list), (unsigned)count);
    for (int i = 0; i < count; i++)
        CHECK_INT(number_of(coir_list_at(list, (size_t)i)), i);
    CHECK_PTR(coir_list_at(list, (size_t)count), NULL);
    CHECK_PTR(coir_list_at(list, SIZE_MAX), NULL);
}

TEST(list, holds_its_items_in_order_however_it_was_made)
{
    coir_value (*const ways[])(int) = { made, pushed, added };
    for (int count = 0; count <= ITEMS_MAX; count++) {
        for (size_t way = 0; way < 3; way++) {
            CASE("%d items, way %zu", count, way);
            coir_value list = ways[way](count);
            check_items(&list, count);
            CHECK_INT(atomic_load(&things_alive), (count + 1) / 2);
            coir_drop(list);
            CHECK_INT(atomic_load(&things_alive), 0);
        }
    }
    notes();
}

TEST(list, is_what_only_a_list_has)
{
    coir_value others[] = { coir_none(), coir_int(1), coir_string("x", 1), coir_box(coir_ok(coir_none())) };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        CHECK_UINT(coir_list_size(&others[i]), 0);
        CHECK_PTR(coir_list_at(&others[i], 0), NULL);
        coir_value taken = coir_list_take(&others[i], 0);
        CHECK(coir_is_none(&taken));
        CHECK(!coir_list_push(&others[i], thing(1)));
        CHECK_STR(notes(), "-1");
        coir_drop(others[i]);
    }
    CHECK_UINT(coir_list_size(NULL), 0);
    CHECK_PTR(coir_list_at(NULL, 0), NULL);
}

TEST(list, drops_what_it_holds_and_nothing_that_was_taken)
{
    coir_value list = coir_list(3, (coir_value[]){ thing(1), sole_thing(2), thing(3) });
    coir_value taken = coir_list_take(&list, 1), again = coir_list_take(&list, 1), past = coir_list_take(&list, 3);
    CHECK_INT(thing_number(&taken), 2);
    CHECK(coir_is_none(&again));
    CHECK(coir_is_none(&past));
    CHECK_UINT(coir_list_size(&list), 3);
    coir_drop(list);
    CHECK_STR(notes(), "-1 -3");
    coir_drop(taken);
    CHECK_STR(notes(), "-2");
}

TEST(list, that_others_share_gives_shares_and_stays)
{
    coir_value list = coir_list(2, (coir_value[]){ thing(1), coir_int(2) }), other = coir_share(&list);
    coir_value taken = coir_list_take(&list, 0);
    CHECK_INT(thing_number(coir_list_at(&list, 0)), 1);
    coir_drop(list);
    CHECK_STR(notes(), "");
    coir_drop(other);
    CHECK_STR(notes(), "");
    coir_drop(taken);
    CHECK_STR(notes(), "-1");
}

TEST(list, that_others_share_is_copied_before_it_changes)
{
    coir_value list = made(4), other = coir_share(&list);
    CHECK(coir_list_push(&list, item(4)));
    check_items(&list, 5);
    check_items(&other, 4);
    coir_drop(other);
    check_items(&list, 5);
    coir_drop(list);
    CHECK_INT(atomic_load(&things_alive), 0);
    notes();
}

TEST(list, that_cannot_be_copied_stays_as_it_was)
{
    coir_value list = coir_list(3, (coir_value[]){ thing(1), starved_thing(2), thing(3) }), other = coir_share(&list);
    CHECK(!coir_list_push(&list, thing(4)));
    CHECK_STR(notes(), "-4");
    CHECK_PTR(list.ptr, other.ptr);
    CHECK_UINT(coir_list_size(&list), 3);
    coir_drop(other);
    CHECK(coir_list_push(&list, thing(5)));             /* alone it needs no copy */
    coir_drop(list);
    CHECK_STR(notes(), "-1 -2 -3 -5");
}

TEST(list, larger_than_memory_says_enomem)
{
    coir_value list = coir__list_new(SIZE_MAX);
    CHECK_PTR(list.type, &coir_panic_type);
    CHECK_INT(coir_error_code(&list), ENOMEM);
}

/* ---------------------------------------------------------------------------------------------------- panic values */

TEST(list, with_a_panic_value_is_the_first_of_them)
{
    coir_value items[] = { thing(1), coir_panic_value("first"), thing(2), coir_panic_value("second"), thing(3) };
    coir_value list = coir_list(5, items);
    CHECK_PTR(list.type, &coir_panic_type);
    CHECK_STR(coir_error_message(&list), "first");
    CHECK_INT(atomic_load(&things_alive), 0);
    coir_drop(list);
    notes();
}

TEST(list, given_a_panic_value_becomes_it)
{
    coir_value list = made(3), other = coir_share(&list);
    CHECK(!coir_list_push(&list, coir_panic_value("broken")));
    CHECK_PTR(list.type, &coir_panic_type);
    CHECK_STR(coir_error_message(&list), "broken");
    check_items(&other, 3);
    CHECK(!coir_list_push(&list, thing(9)));
    CHECK_STR(notes(), "-9");
    coir_drop(list);
    coir_drop(other);

    list = coir__list_new(3);
    coir__list_add(&list, thing(1));
    coir__list_add(&list, coir_panic_value("broken"));
    coir__list_add(&list, thing(2));
    CHECK_PTR(list.type, &coir_panic_type);
    CHECK_STR(coir_error_message(&list), "broken");
    coir_drop(list);
    CHECK_INT(atomic_load(&things_alive), 0);
    notes();
}

TEST(list, of_items_that_are_nowhere_is_a_panic)
{
    coir_value list = coir_list(1, NULL);
    CHECK_PTR(list.type, &coir_panic_type);
    CHECK_CONTAINS(coir_error_message(&list), "coir_list");
    coir_drop(list);
}

/* ------------------------------------------------------------------------------------------------ against an array */

enum { LISTS = 4, LENGTH_MAX = 30 };
struct model { bool is_there; size_t count; int64_t items[LENGTH_MAX]; };

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % below;
}

static void check_like(const coir_value *list, const struct model *model)
{
    if (!model->is_there)
        return;
    CHECK_UINT(coir_list_size(list), model->count);
    for (size_t i = 0; i < model->count; i++) {
        const coir_value *found = coir_list_at(list, i);
        CHECK_INT(is_thing(found) ? thing_number(found) : found->i64, model->items[i]);
    }
}

static void one_change(coir_value *lists, struct model *models, uint64_t *state)
{
    uint32_t a = draw(state, LISTS), b = draw(state, LISTS);
    int number = (int)draw(state, 1000) + 1;
    size_t at = draw(state, LENGTH_MAX);
    if (!models[a].is_there) {
        lists[a] = coir_list(0, NULL);
        models[a] = (struct model){ .is_there = true };
    }
    switch (draw(state, 4)) {
    case 0:
    case 1:
        if (models[a].count == LENGTH_MAX)
            break;
        CHECK(coir_list_push(&lists[a], number % 2 == 0 ? thing(number) : coir_int(number)));
        models[a].items[models[a].count++] = number;
        break;
    case 2: {
        bool is_sole = true;
        for (int i = 0; i < LISTS; i++)
            is_sole = is_sole && (i == (int)a || !models[i].is_there || lists[i].ptr != lists[a].ptr);
        coir_drop(coir_list_take(&lists[a], at));
        if (is_sole && at < models[a].count)
            models[a].items[at] = 0;
        break;
    }
    default:
        if (a == b)
            break;
        if (models[b].is_there)
            coir_drop(lists[b]);
        lists[b] = coir_share(&lists[a]);
        models[b] = models[a];
    }
}

TEST(list, does_what_an_array_does_whoever_shares_it)
{
    for (uint64_t seed = 1; seed <= (uint64_t)scaled(200); seed++) {
        coir_value lists[LISTS];
        struct model models[LISTS] = { { .is_there = false } };
        uint64_t state = seed;
        CASE("seed %d", (int)seed);
        for (int step = 0; step < 300; step++) {
            one_change(lists, models, &state);
            for (int i = 0; i < LISTS; i++)
                check_like(&lists[i], &models[i]);
        }
        for (int i = 0; i < LISTS; i++)
            if (models[i].is_there)
                coir_drop(lists[i]);
        CHECK_INT(atomic_load(&things_alive), 0);
        CHECK(strchr(notes(), '!') == NULL);
    }
}

/* ---------------------------------------------------------------------------------------------------------- memory */

#ifdef COIR_PLAIN_MEMORY
static void make_lists(void)
{
    coir_value list = coir_list(2, (coir_value[]){ thing(1), coir_string("x", 1) });
    if (was_made(&list))
        CHECK_UINT(coir_list_size(&list), 2);
    coir_drop(list);
}

static void push_to_a_list(void)
{
    coir_value list = coir_list(0, NULL);
    size_t count = 0;
    for (int i = 0; i < 20 && was_made(&list); i++) {
        count += coir_list_push(&list, thing(i)) ? 1 : 0;
        CHECK_UINT(coir_list_size(&list), count);
    }
    coir_drop(list);
}

static void push_to_a_shared_list(void)
{
    coir_value list = coir_list(2, (coir_value[]){ thing(1), thing(2) }), other = coir_share(&list);
    if (was_made(&list)) {
        bool fits = coir_list_push(&list, thing(3));
        CHECK_UINT(coir_list_size(&list), fits ? 3 : 2);
        CHECK_UINT(coir_list_size(&other), 2);
    }
    coir_drop(list);
    coir_drop(other);
}

static void add_to_a_list(void)
{
    coir_value list = coir__list_new(2);
    coir__list_add(&list, thing(1));
    coir__list_add(&list, coir_stringf("x"));
    if (was_made(&list))
        CHECK_UINT(coir_list_size(&list), 2);
    coir_drop(list);
}

TEST_ALONE(list, without_memory_drops_what_it_took) { starve(make_lists); }
TEST_ALONE(list, without_memory_to_grow_stays_as_it_was) { starve(push_to_a_list); }
TEST_ALONE(list, without_memory_for_a_copy_stays_as_it_was) { starve(push_to_a_shared_list); }
TEST_ALONE(list, without_memory_takes_what_is_added_all_the_same) { starve(add_to_a_list); }
#endif
