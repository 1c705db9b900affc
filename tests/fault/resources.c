/*
 * resources.c - what is acquired is released once, and told how the use ended, whatever is missing
 */
#include "fault.h"

#include <coir/resource.h>

/* --------------------------------------------------------------------------------------------- acquired, and released */

/* How many are held. Releasing needs no memory here; what comes of an acquisition may. */
static atomic_int held;

static coir_result take(void *number)
{
    atomic_fetch_add(&held, 1);
    return coir_ok(thing((int)(intptr_t)number));
}
static coir_io *taking(int number) { return coir_defer(take, (void *)(intptr_t)number); }

static coir_io *give_back(void *env, coir_value *value, const coir_result *outcome)
{
    (void)env;
    (void)value;
    (void)outcome;
    atomic_fetch_sub(&held, 1);
    return coir_unit();
}
static coir_io *give_back_and_fail(void *env, coir_value *value, const coir_result *outcome)
{
    coir_io *done = give_back(env, value, outcome);
    return coir_then(done, coir_fail(coir_take(value)));
}

static coir_resource *one(int number)     { return coir_resource_new(taking(number), give_back, NULL); }
static coir_resource *failing(int number) { return coir_resource_new(taking(number), give_back_and_fail, NULL); }
static coir_resource *none(void)          { return coir_resource_lift(coir_failf(7, "not to be had")); }

static coir_io *number_of(void *env, const coir_value *value)
{
    (void)env;
    return coir_pure(value->type == &coir_list_type ? coir_int((int64_t)coir_list_size(value)) : coir_stringf("%d", thing_number(value)));
}
static coir_io *fail_use(void *env, const coir_value *value) { (void)env; (void)value; return coir_then(coir_yield(), coir_failf(8, "use")); }

static coir_io *used(coir_resource *resource)   { return coir_use(resource, number_of, NULL); }
static coir_io *misused(coir_resource *resource) { return coir_use(resource, fail_use, NULL); }

static coir_resource *next_of(void *env, const coir_value *value) { (void)env; return one(thing_number(value) + 1); }
static coir_value seen_as(void *env, const coir_value *value)     { (void)env; return coir_share(value); }
static coir_resource *made(void *number)                          { return one(*(int *)number); }
static coir_resource *at(void *env, size_t index)                 { (void)env; return one((int)index + 1); }
static coir_resource *instead(void *env, coir_value *failure)     { (void)failure; return one(*(int *)env); }
static coir_value because(void *env, coir_value *failure)         { (void)env; return coir_error_because(coir_errorf(9, "x"), coir_take(failure)); }
static coir_io *use_box(void *env, const coir_value *box)         { (void)env; return coir_pure(coir_share(box)); }

/* ------------------------------------------------------------------------------------------------------------- all of them */

static int five = 5;
#define COPIED &five, sizeof five

static coir_io *plain(void)         { return used(one(1)); }
static coir_io *use_fails(void)     { return misused(failing(1)); }
static coir_io *release_fails(void) { return used(failing(2)); }
static coir_io *with(void)          { return coir_with(one(1), coir_pure(thing(2))); }
static coir_io *bracketed(void)     { return coir_bracket(taking(1), number_of, give_back, NULL); }
static coir_io *copied(void)        { return used(coir_resource_new_copy(taking(1), give_back, COPIED)); }
static coir_io *dropped(void)       { return used(coir_resource_drops(coir_pure(thing(3)))); }
static coir_io *lifted(void)        { return used(coir_resource_lift(coir_pure(thing(4)))); }
static coir_io *suspended(void)     { return used(coir_resource_suspend_copy(made, COPIED)); }
static coir_io *mapped(void)        { return used(coir_resource_map(one(1), seen_as, NULL)); }
static coir_io *bound(void)         { return misused(coir_resource_flat_map(one(1), next_of, NULL)); }
static coir_io *both(void)          { return used(coir_resource_then(one(1), failing(2))); }
static coir_io *second_fails(void)  { return used(coir_resource_then(one(1), none())); }
static coir_io *zipped(void)        { return used(coir_resource_zip(3, (coir_resource *[]){ one(1), failing(2), one(3) })); }
static coir_io *zip_fails(void)     { return used(coir_resource_zip(3, (coir_resource *[]){ one(1), none(), one(3) })); }
static coir_io *side_by_side(void)  { return used(coir_resource_par_zip(3, (coir_resource *[]){ one(1), one(2), one(3) })); }
static coir_io *traversed(void)     { return used(coir_resource_traverse(3, at, NULL)); }
static coir_io *local(void)         { return used(coir_resource_local(one(1), thing(6))); }
static coir_io *finally(void)       { return used(coir_resource_finally(one(1), coir_pure(thing(7)))); }
static coir_io *caught(void)        { return used(coir_resource_catch_copy(none(), instead, COPIED)); }
static coir_io *recovered(void)     { return used(coir_resource_recover(coir_resource_lift(coir_from_result(coir_panic(thing(1)))), instead, &five)); }
static coir_io *error_mapped(void)  { return used(coir_resource_map_error(none(), because, NULL)); }
static coir_io *attempted(void)     { return coir_use(coir_resource_attempt(none()), use_box, NULL); }

static coir_io *close_opened(void *env, coir_value *opened) { (void)env; return coir_opened_close(coir_take(opened), NULL); }
static coir_io *opened(void)
{
    return coir_uncancelable(coir_flat_map(coir_resource_open(coir_resource_drops(coir_pure(thing(3)))), close_opened, NULL));
}

struct holding { coir_value first, second; };
static coir_io *holding_step(coir_routine *self)
{
    COIR_BEGIN(self, struct holding, my);
    COIR_HOLD(my->first, one(1));
    COIR_HOLD(my->second, failing(2));
    COIR_AWAIT(coir_yield());
    COIR_RETURN(coir_int(thing_number(&my->first) + thing_number(&my->second)));
    COIR_END;
}
static coir_io *routine(void) { return coir_do(holding_step, NULL, sizeof(struct holding)); }

static const struct { coir_io *(*make)(void); const char *outcome; } uses[] = {
    { plain,         "OK 1" },
    { use_fails,     "ERROR code 8 also(ERROR thing 1)" },
    { release_fails, "ERROR thing 2" },
    { with,          "OK thing 2" },
    { bracketed,     "OK 1" },
    { copied,        "OK 1" },
    { dropped,       "OK 3" },
    { lifted,        "OK 4" },
    { suspended,     "OK 5" },
    { mapped,        "OK 1" },
    { bound,         "ERROR code 8" },
    { both,          "ERROR thing 2" },
    { second_fails,  "ERROR code 7" },
    { zipped,        "ERROR thing 2" },
    { zip_fails,     "ERROR code 7" },
    { side_by_side,  "OK 3" },
    { traversed,     "OK 3" },
    { local,         "OK 1" },
    { finally,       "OK 1" },
    { caught,        "OK 5" },
    { recovered,     "OK 5" },
    { error_mapped,  "ERROR code 9" },
    { attempted,     "OK <ERROR code 7>" },
    { opened,        "OK 0" },
    { routine,       "ERROR thing 2" },
};
enum { USES = sizeof uses / sizeof *uses };

static coir_io *one_use(void *is_shared, size_t index)
{
    coir_io *io = uses[index].make();
    if (!*(const bool *)is_shared)
        return coir_attempt(io);
    coir_io *again = coir_io_ref(io);
    return coir_zip(COIR_IOS(coir_attempt(again), coir_attempt(io)));
}

/* Each is made when its turn comes; where it lacks memory the others go on. */
static coir_io *attempt_use(void *is_shared, size_t index)
{
    coir_io *io = one_use(is_shared, index);
    return io != NULL ? io : coir_pure(coir_none());
}

static void expect_one(size_t index, const coir_value *box)
{
    if (box->type == &coir_result_type)
        fault_expect(index, box, uses[index].outcome);
    else
        fault_told();
}

static coir_result all_uses(const coir_options *options, bool is_shared)
{
    atomic_store(&held, 0);
    coir_result result = fault_run(coir_traverse(USES, attempt_use, &is_shared), options);
    if (atomic_load(&held) != 0)
        fault_wrong("%d are held", atomic_load(&held));
    if (result.tag != COIR_OK)
        return result;
    for (size_t i = 0; i < USES; i++) {
        const coir_value *item = coir_list_at(&result.value, i);
        expect_one(i, is_shared && item->type == &coir_list_type ? coir_list_at(item, 0) : item);
        if (is_shared && item->type == &coir_list_type)
            expect_one(i, coir_list_at(item, 1));
    }
    coir_result_drop(&result);
    return coir_ok(coir_int(USES));
}

FAULT_PROGRAM(resources, "OK 25")        { return all_uses(options, false); }
FAULT_PROGRAM(resources_shared, "OK 25") { return all_uses(options, true); }
