/*
 * cxx17.cpp - shows that the headers, their macros and the sequential notation serve C++17 as well
 *
 * No designators there: COIR_ENV takes the members in order. Lambdas without captures are callbacks. Declare before COIR_BEGIN
 * what needs a constructor; what must survive an await is a member of the frame.
 */
#include <coir.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

namespace {

/* An object of C++ as a value: the type says how it is dropped. */
const coir_type text_type = { "std::string", [](void *object) { delete static_cast<std::string *>(object); }, nullptr, nullptr };

coir_value text(std::string s) { return coir_own(new std::string(std::move(s)), &text_type); }

const std::string &text_in(const coir_value &value) { return *static_cast<std::string *>(value.ptr); }

/* A line that is engaged at first. */
struct call { const char *name; int engaged, tries; coir_value answer; };

coir_io *call_step(coir_routine *self)
{
    COIR_BEGIN(self, call, my);
    for (my->tries = 1; my->tries <= 3; my->tries++) {
        COIR_TRY(my->tries <= my->engaged ? coir_failf(EBUSY, "engaged") : coir_pure(text("hello from ")));
        if (self->result.tag == COIR_OK) {
            my->answer = coir_take(&self->result.value);
            COIR_RETURN(text(text_in(my->answer) + my->name));
        }
        COIR_AWAIT(coir_sleep(coir_ms(1)));
    }
    COIR_RAISE(coir_errorf(ETIMEDOUT, "%s: gave up", my->name));
    COIR_FINALLY;
    coir_drop(my->answer);
    COIR_END;
}

coir_io *phone(coir_semaphore *lines, const char *name, int engaged)
{
    return coir_with_permits(lines, 1, coir_do(call_step, COIR_ENV(call, name, engaged, 0, coir_none())));
}

coir_io *wait_for_them(void *, coir_value *fibers) { return coir_wait(fibers); }

void show(void *, const coir_value *results)
{
    for (size_t i = 0; i < coir_list_size(results); i++) {
        const coir_result *result = coir_result_in(coir_list_at(results, i));
        std::puts(result->tag == COIR_OK ? text_in(result->value).c_str() : coir_error_message(&result->value));
    }
}

/* Money that goes from one variable to another. */
coir_value pay(void *, coir_value *both)
{
    coir_value paid[] = { coir_int(coir_list_at(both, 0)->i64 - 5), coir_int(coir_list_at(both, 1)->i64 + 5) };
    return coir_list(2, paid);
}

coir_io *pay_and_show(coir_var *ann, coir_var *bob)
{
    coir_io *both = coir_then(coir_vars_update(COIR_VARS(ann, bob), pay, nullptr), coir_vars_get(COIR_VARS(bob, ann)));
    return coir_tap(both, [](void *, const coir_value *money) {
        std::printf("bob has %d, ann has %d\n", int(coir_list_at(money, 0)->i64), int(coir_list_at(money, 1)->i64));
    }, nullptr);
}

}

int main()
{
    coir_semaphore *lines = coir_semaphore_new(2);
    coir_io *calls = coir_parallel(COIR_IOS(phone(lines, "ann", 0), phone(lines, "bob", 1), phone(lines, "cyd", 9)));
    coir_io *shout = coir_map(coir_pure(text("done")), [](void *, coir_value *value) {
        return text(text_in(*value) + "!");
    }, nullptr);

    coir_var *ann = coir_var_new(coir_int(20)), *bob = coir_var_new(coir_int(10));
    coir_io *paid = pay_and_show(ann, bob);
    coir_var_drop(ann);
    coir_var_drop(bob);

    coir_options options = {};
    options.workers = 2;
    int status = coir_main(coir_then(coir_then(coir_tap(coir_flat_map(calls, wait_for_them, nullptr), show, nullptr), paid),
        coir_tap(shout, [](void *, const coir_value *value) { std::puts(text_in(*value).c_str()); }, nullptr)), &options);
    coir_semaphore_drop(lines);
    return status;
}
