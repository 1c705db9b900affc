/*
 * sim_step.c - shows a test that makes the steps and moves the clock itself: a watch that gives a machine up after three missed answers
 *
 * The watch asks every ten seconds, and waits three for the answer. Minutes of that pass on a virtual clock in no time, and stop where the
 * test wants to look. The machine is a stand-in, whose answers take as long as the test says, and a little that is drawn from the seed.
 */
#include <coir.h>

/* ---- The stand-in: in place of code that sends a request and calls back when the answer has come. */
struct machine { coir_duration answers_after; int asked, missed; };

static void ask_start(void *env, void *op, coir_callback k)
{
    struct machine *machine = env;
    *(coir_callback *)op = k;
    machine->asked++;
    coir_duration latest = { machine->answers_after.ns + coir_ms(20).ns };
    (void)coir_sim_complete(k, coir_ok(coir_none()), machine->answers_after, latest);
}

static void ask_cancel(void *machine, void *op)
{
    (void)machine;
    (void)coir_resume(*(coir_callback *)op, coir_raise(coir_int(0)));
}

static coir_io *ask(struct machine *machine)
{
    static const coir_async_type type = { .op_size = sizeof(coir_callback), .start = ask_start, .cancel = ask_cancel };
    return coir_async(&type, machine);
}

/* ---- What is to be tested. */
struct watch { struct machine *machine; };

static coir_io *watch_step(coir_routine *self)
{
    COIR_BEGIN(self, struct watch, my);
    for (;;) {
        COIR_TRY(coir_timeout(ask(my->machine), coir_seconds(3)));
        my->machine->missed = self->result.tag == COIR_OK ? 0 : my->machine->missed + 1;
        if (my->machine->missed == 3)
            COIR_RAISE(coir_errorf(1, "three answers missed"));
        COIR_AWAIT(coir_sleep(coir_seconds(10)));
    }
    COIR_END;
}

/* ---- The test. */
static void show(const char *what, coir_sim *sim, coir_sim_state state, const struct machine *machine)
{
    static const char *const states[] = { "runnable", "asleep", "outside", "deadlocked", "ended", "refused" };
    printf("%-32s %4lld s  %-9s asked %2d times, missed %d\n", what, (long long)coir_sim_now(sim).ns / 1000000000, states[state], machine->asked,
           machine->missed);
}

int main(void)
{
    struct machine machine = { .answers_after = coir_ms(50) };
    coir_io *watch = coir_do(watch_step, COIR_ENV(struct watch, .machine = &machine));
    coir_sim *sim = coir_sim_open(watch, COIR_SIM_OPTIONS(.seed = 1));
    coir_duration next = { 0 };
    if (sim == NULL)
        return 1;
    show("opened, and no step made", sim, coir_sim_state_of(sim), &machine);
    show("as far as it gets", sim, coir_sim_tick(sim), &machine);
    if (coir_sim_next_interval(sim, &next))
        printf("    the next thing will happen in %lld us\n", (long long)next.ns / 1000);
    show("a quiet minute", sim, coir_sim_tick_for(sim, coir_minutes(1)), &machine);

    machine.answers_after = coir_seconds(5);                    /* longer than the watch will wait */
    show("25 s of a slow machine", sim, coir_sim_tick_for(sim, coir_seconds(25)), &machine);
    machine.answers_after = coir_ms(50);
    show("10 s more, and it is well again", sim, coir_sim_tick_for(sim, coir_seconds(10)), &machine);
    machine.answers_after = coir_seconds(5);
    show("slow again, until the end", sim, coir_sim_tick_all(sim), &machine);

    printf("    %s\n", coir_error_message(&coir_sim_result(sim)->value));
    coir_sim_drop(sim);
    return 0;
}
