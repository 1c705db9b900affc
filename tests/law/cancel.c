/*
 * cancel.c - whatever a program does, at whatever step it is canceled: what was acquired is given back
 *
 *     COIR_CANCEL_SEED=17 make test ONLY=law_cancel                  that program alone
 *     COIR_CANCEL_SEED=10000-90000 make test ONLY=law_cancel         many others
 *
 * Random programs whose parts are put into masks, time-outs, resources, scopes and finalizers. Each is simulated without a cancellation, then
 * once for each of its steps: so many steps are made, the main fiber is canceled, and the run goes on to its end. Of every run:
 *
 *     what was acquired was released once, by its fiber, the last first; who began to acquire or to release came to the end of it
 *     a finalizer of what began ran once; one for cancellations ran if and only if its io was canceled
 *     no value is left, none was dropped twice; permits are back, locks free
 *     it ends, within STEPS_MAX; and as CANCELED, if there was an instruction left that could see the request
 */
#include "check.h"
#include "random/build.h"

#include <coir/sim.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TERMS = 12, STEPS_MAX = 20000, STEPS_SWEPT = 2000, HOLDS_MAX = 4000, PERMITS = 1000, HANGS_AFTER = 60 };

/* ------------------------------------------------------------------------------------------------------------- ledger */

/* What a fiber acquired. It is the value too; nobody can share it. */
struct held { uint64_t fiber; bool is_released, is_dropped; };

/* What one run did. Simulations have one thread. */
static struct {
    struct held *holds[HOLDS_MAX];
    size_t       holds_count;
    int          acquiring, releasing, finalizing;      /* begun and not ended */
    int          canceled, on_cancel;                   /* ios that ended so; finalizers that were told so */
    int          main_acquiring, main_releasing;
    coir_fiber  *main;
    bool         has_ended;                             /* the main fiber's last instruction has been run */
} ledger;

/* Where the cancellations struck the main fiber. */
static struct { int inside_acquire, inside_release, between, elsewhere; } hits;

static bool is_main(void) { return coir_current_id() == coir_fiber_id(ledger.main); }

static bool main_holds(void)
{
    bool holds = false;
    for (size_t i = 0; i < ledger.holds_count; i++)
        holds |= !ledger.holds[i]->is_released && ledger.holds[i]->fiber == coir_fiber_id(ledger.main);
    return holds;
}

static void count_hit(void)
{
    if (ledger.main_acquiring > 0)
        hits.inside_acquire++;
    else if (ledger.main_releasing > 0)
        hits.inside_release++;
    else if (main_holds())
        hits.between++;
    else
        hits.elsewhere++;
}

static void hold_drop(void *hold_)
{
    struct held *hold = hold_;
    if (hold->is_dropped)
        world_wrong("what was acquired is dropped twice");
    hold->is_dropped = true;
}
static const coir_type hold_type = { "hold", hold_drop, NULL, NULL };

static void begin_acquire(void) { ledger.acquiring++; ledger.main_acquiring += is_main(); }
static void end_acquire(void)   { ledger.acquiring--; ledger.main_acquiring -= is_main(); }

static coir_value hold_new(void)
{
    struct held *hold = world_alloc(sizeof *hold);
    hold->fiber = coir_current_id();
    if (ledger.holds_count < HOLDS_MAX)
        ledger.holds[ledger.holds_count++] = hold;
    else
        world_wrong("more than %d things are acquired", HOLDS_MAX);
    return coir_own(hold, &hold_type);
}

static void hold_release(struct held *hold)
{
    if (hold->is_released)
        world_wrong("what was acquired is released twice");
    if (hold->is_dropped)
        world_wrong("what was acquired is dropped before it is released");
    if (hold->fiber != coir_current_id())
        world_wrong("another fiber releases what one acquired");
    for (size_t i = ledger.holds_count; i-- > 0 && ledger.holds[i] != hold;)
        if (ledger.holds[i]->fiber == hold->fiber && !ledger.holds[i]->is_released)
            world_wrong("what was acquired last is not released first");
    hold->is_released = true;
}

/* --------------------------------------------------------------------------------------------------------- resources */

static coir_lock      *lock;
static coir_semaphore *permits;
static uint64_t        seed_now;

/* How a guard acquires and releases. The first is the plain one. */
enum inside { INSIDE_NOTHING, INSIDE_YIELD, INSIDE_SLEEP, INSIDE_TIMEOUT, INSIDE_CANCELABLE, INSIDE_CANCEL_SELF, INSIDE_FAIL, INSIDES };

static coir_io *inside(unsigned how)
{
    switch ((enum inside)how) {
    case INSIDE_YIELD:       return coir_yield();
    case INSIDE_SLEEP:       return coir_sleep(coir_us(3));
    case INSIDE_TIMEOUT:     return coir_attempt(coir_timeout(coir_never(), coir_us(2)));       /* works behind a mask */
    case INSIDE_CANCELABLE:  return coir_cancelable(coir_then(coir_yield(), coir_sleep(coir_us(2))));
    case INSIDE_CANCEL_SELF: return coir_then(coir_cancel_self(), coir_yield());
    case INSIDE_FAIL:        return coir_then(coir_yield(), coir_failf(1, "on purpose"));
    default:                 return coir_unit();
    }
}

static coir_result acquire_begins(void *env) { (void)env; begin_acquire(); return coir_ok(coir_none()); }
static coir_result acquire_ends(void *env)   { (void)env; end_acquire(); return coir_ok(hold_new()); }
static coir_result acquire_fails(void *env)  { (void)env; end_acquire(); return coir_ok(coir_none()); }
static coir_io *acquire_failed(void *env, const coir_result *result) { (void)env; (void)result; return coir_defer(acquire_fails, NULL); }

static coir_io *acquire(unsigned how)
{
    coir_io *io = coir_then(coir_defer(acquire_begins, NULL), inside(how));
    if (how == INSIDE_FAIL)
        io = coir_on_failure(io, acquire_failed, NULL);
    if (how == INSIDE_CANCELABLE)                       /* canceled here it failed, and nothing will be released */
        io = coir_on_cancel(io, coir_defer(acquire_fails, NULL));
    return coir_then(io, coir_defer(acquire_ends, NULL));
}

static coir_result release_ends(void *env)
{
    (void)env;
    ledger.releasing--;
    ledger.main_releasing -= is_main();
    return coir_ok(coir_none());
}

static coir_io *release(void *env, coir_value *held, const coir_result *outcome)
{
    unsigned how = (unsigned)(uintptr_t)env;
    struct held *hold = coir_cast(held, &hold_type);
    (void)outcome;
    if (hold == NULL) {
        world_wrong("release is not given what was acquired");
        return coir_unit();
    }
    hold_release(hold);
    ledger.releasing++;
    ledger.main_releasing += is_main();
    if (how % 2 == 1)
        coir_drop(coir_take(held));
    return coir_finally(inside(how), coir_defer(release_ends, NULL));
}

static unsigned draw_inside(struct source *source)
{
    unsigned how = random_draw(source, 2 * INSIDES);
    return how < INSIDES ? how : INSIDE_YIELD;
}

static coir_resource *guard(struct source *source)
{
    unsigned acquires = draw_inside(source), releases = draw_inside(source);
    return coir_resource_new(acquire(acquires), release, (void *)(uintptr_t)releases);
}

static coir_resource *plain_guard(void *env)
{
    (void)env;
    return coir_resource_new(acquire(INSIDE_YIELD), release, (void *)(uintptr_t)INSIDE_YIELD);
}
static coir_resource *guard_after(void *env, const coir_value *held) { (void)held; return plain_guard(env); }
static coir_resource *guard_instead(void *env, coir_value *failure)  { (void)failure; return plain_guard(env); }
static coir_value     looked_at(void *env, const coir_value *held)
{
    (void)env;
    return coir_int(coir_cast(held, &hold_type) != NULL);
}
static coir_result bearing(void *env) { (void)env; return coir_ok(world_thing(&world_sole_type, 1, false)); }

static coir_resource *resource(struct source *source)
{
    coir_resource *first = guard(source);
    switch (random_draw(source, 14)) {
    case 0:  return coir_resource_then(first, guard(source));
    case 1:  return coir_resource_zip(3, (coir_resource *[]){ first, plain_guard(NULL), guard(source) });
    case 2:  return coir_resource_map(first, looked_at, NULL);
    case 3:  return coir_resource_flat_map(first, guard_after, NULL);
    case 4:  return coir_resource_catch(coir_resource_then(first, coir_resource_lift(coir_failf(1, "on purpose"))), guard_instead, NULL);
    case 5:  return coir_resource_finally(first, coir_yield());
    case 6:  return coir_resource_then(coir_resource_lift(coir_yield()), first);
    case 7:  return coir_resource_then(coir_resource_drops(coir_then(coir_yield(), coir_defer(bearing, NULL))), first);
    case 8:  return coir_resource_then(first, coir_lock_held(lock));
    case 9:  return coir_resource_then(coir_permits(permits, 2), first);
    case 10: return coir_resource_attempt(first);
    case 11: return coir_resource_then(first, coir_resource_suspend(plain_guard, NULL));
    case 12: return coir_resource_local(first, coir_int(7));
    default: return first;
    }
}

/* ------------------------------------------------------------------------------------------------- what stands around */

static coir_result finalizer_due(void *env)  { (void)env; ledger.finalizing++; return coir_ok(coir_none()); }
static coir_result finalizer_runs(void *env) { (void)env; ledger.finalizing--; return coir_ok(coir_none()); }
static coir_result told_of_cancel(void *env) { (void)env; ledger.on_cancel++; return coir_ok(coir_none()); }
static coir_io    *count_canceled(void *env, const coir_result *result)
{
    (void)env;
    ledger.canceled += result->tag == COIR_CANCELED;
    return coir_unit();
}
static coir_io *cancel_it(void *env, coir_value *fiber) { (void)env; return coir_cancel(coir_fiber_of(fiber)); }
static coir_io *cancel_it_nowait(void *env, coir_value *fiber) { (void)env; return coir_cancel_nowait(coir_fiber_of(fiber)); }

static void  io_drop(void *io) { coir_io_drop(io); }
static coir_io *give_back(void *io, coir_value *held, const coir_result *outcome)
{
    (void)io;
    return release((void *)(uintptr_t)INSIDE_YIELD, held, outcome);
}
static coir_io *use_it(void *io, const coir_value *held) { (void)held; return coir_io_ref(io); }

/* The mask sees to it that both are begun: what follows is then an "if and only if". */
static coir_io *finalized(coir_io *io)
{
    return coir_uncancelable(coir_then(coir_defer(finalizer_due, NULL), coir_finally(coir_cancelable(io), coir_defer(finalizer_runs, NULL))));
}
static coir_io *told(coir_io *io)
{
    return coir_uncancelable(coir_finally_fn(coir_on_cancel(coir_cancelable(io), coir_defer(told_of_cancel, NULL)), count_canceled, NULL));
}

static coir_io *around(const struct term *term, coir_io *io)
{
    struct source source = random_from_seed(seed_now * 1000 + (uint64_t)term->number);
    coir_io *other;
    if (term->op == OP_TRY)                             /* or it is taken, and nobody there who gives it back */
        return coir_uncancelable(io);
    switch (random_draw(&source, 36)) {
    case 0:  return coir_uncancelable(io);
    case 1:  return coir_cancelable(io);
    case 2:  return coir_timeout(io, coir_us(random_draw(&source, 8)));
    case 3:  return coir_timeout_to(io, coir_us(1 + random_draw(&source, 8)), coir_yield());
    case 4:  return coir_owns(coir_bracket(acquire(draw_inside(&source)), use_it, give_back, io), io, io_drop);
    case 5: case 6: case 7: case 8:
        return coir_with(resource(&source), io);
    case 9:  return coir_owns(coir_use(resource(&source), use_it, io), io, io_drop);
    case 10: case 11: return finalized(io);
    case 12: case 13: return told(io);
    case 14: return coir_scope(io);
    case 15: return coir_supervise(io);
    case 16: return coir_supervise_drain(io, coir_us(random_draw(&source, 4)));
    case 17: return coir_then(coir_yield(), io);
    case 18: return coir_then(coir_attempt(coir_timeout(coir_sleep(coir_us(random_draw(&source, 6))), coir_us(3))), io);
    case 19: case 20:
        other = coir_fork(coir_with(resource(&source), coir_sleep(coir_us(2))));
        return coir_then(coir_flat_map(other, random_draw(&source, 2) == 0 ? cancel_it : cancel_it_nowait, NULL), io);
    case 21: return random_draw(&source, 8) == 0 ? coir_then(coir_cancel_self(), io) : io;
    default: return io;
    }
}

/* Nothing that a cancellation would leave taken, or another fiber waiting for. */
static void tame(struct term *term)
{
    if (term->op == OP_HOLD)
        term->how = HOLD_WITH;
    if (term->op == OP_ACQUIRE || term->op == OP_RELEASE || (term->op == OP_TRY && world.program->is_alone))
        term->op = OP_UNIT;
    if (term->op == OP_MEET)
        term->op = OP_YIELD;
    if (term->op == OP_STALL)                           /* something here may put a mask around it */
        term->how = STALL_LOOKS;
    for (size_t i = 0; i < term->count; i++)
        tame(term->kids[i]);
}

/* --------------------------------------------------------------------------------------------------------------- runs */

static void unseen(void *env, uint64_t id, const coir_result *failure) { (void)env; (void)id; (void)failure; }

static coir_io *keep_main(void *env, coir_value *self)
{
    (void)env;
    ledger.main = coir_fiber_ref(coir_fiber_of(self));
    return coir_unit();
}
static coir_result ending(void *env) { (void)env; ledger.has_ended = true; return coir_ok(coir_none()); }

/* A failure of the program's is none of main's: it comes to its last instruction, unless it is canceled. */
static coir_io *main_of(coir_io *io)
{
    coir_io *begin = coir_flat_map(coir_self(), keep_main, NULL);
    return coir_then(begin, coir_then(coir_attempt(io), coir_defer(ending, NULL)));
}

static bool tick(coir_sim *sim)
{
    coir_duration interval;
    coir_sim_state state = coir_sim_tick_one(sim);
    if (state == COIR_SIM_ASLEEP && coir_sim_next_interval(sim, &interval))
        state = coir_sim_advance(sim, interval);
    return state == COIR_SIM_RUNNABLE || state == COIR_SIM_ASLEEP;
}

static bool is_free(coir_lock *which)
{
    coir_result result = coir_sim_run(coir_then_keep(coir_lock_try(which), coir_lock_release(which)), NULL);
    bool is = result.tag == COIR_OK && result.value.flag;
    coir_result_drop(&result);
    return is;
}

static void check_objects(void)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        if (is_lock(i) ? !is_free(world.locks[i]) : coir_semaphore_available(world.semaphores[i]) != permits_of(i))
            world_wrong("object %u is not back", i);
    if (!is_free(lock))
        world_wrong("the lock is not free");
    if (coir_semaphore_available(permits) != PERMITS)
        world_wrong("permits are not back");
}

static void check_ledger(void)
{
    for (size_t i = 0; i < ledger.holds_count; i++)
        if (!ledger.holds[i]->is_released || !ledger.holds[i]->is_dropped)
            world_wrong("what was acquired is %s", ledger.holds[i]->is_released ? "leaked" : "not released");
    if (ledger.acquiring != 0 || ledger.releasing != 0)
        world_wrong("%d acquisitions, %d releases have not come to their ends", ledger.acquiring, ledger.releasing);
    if (ledger.finalizing != 0)
        world_wrong("%d finalizers too few have run", ledger.finalizing);
    if (ledger.canceled != ledger.on_cancel)
        world_wrong("%d ios were canceled, %d were told so", ledger.canceled, ledger.on_cancel);
    if (atomic_load(&world.alive) != 0 || atomic_load(&world.owned) != 0)
        world_wrong("%d things, %d owned are left", atomic_load(&world.alive), atomic_load(&world.owned));
}

/* Makes `steps` steps, cancels, and runs to the end. Gives whether the program was still running then. */
static bool run(const struct program *program, int steps)
{
    bool is_going = true, must_be_canceled = false;
    memset(&ledger, 0, sizeof ledger);
    world_begin(program);
    world.is_mute = true;
    coir_value context = world_make(program->context, false);
    const coir_options options = { .size = sizeof options, .context = context, .on_unseen_failure = unseen };
    coir_sim *sim = coir_sim_open(main_of(random_build(program)),
                                  COIR_SIM_OPTIONS(.seed = program->how.seed, .policy = (coir_sim_policy)program->how.policy,
                                                   .workers = program->how.workers, .budget = program->how.budget,
                                                   .steps_max = STEPS_MAX, .run = &options));
    if (sim == NULL)
        abort();
    for (int i = 0; i < steps && is_going; i++)
        is_going = tick(sim);
    if (is_going && ledger.main != NULL && !ledger.has_ended) {
        count_hit();
        must_be_canceled = true;
        coir_fiber_cancel(ledger.main);
    }
    coir_sim_tick_all(sim);
    coir_result result = coir_sim_close(sim);
    if (coir_error_code(&result.value) == COIR_STOPPED)
        world_wrong("it does not end");
    else if (must_be_canceled && result.tag != COIR_CANCELED)
        world_wrong("a canceled program ends as %d", (int)result.tag);
    else if (result.tag != COIR_OK && result.tag != COIR_CANCELED)
        world_wrong("the main fiber ends as %d", (int)result.tag);
    coir_result_drop(&result);
    coir_sim_drop(sim);
    coir_fiber_drop(ledger.main);
    coir_drop(context);
    check_ledger();
    check_objects();
    return is_going;
}

/* ------------------------------------------------------------------------------------------------------------ programs */

static struct { int programs, runs, cut, terms[OPS]; } swept;     /* cut: with steps left at which it was not canceled */

static void count_terms(const struct term *term)
{
    swept.terms[term->op]++;
    for (size_t i = 0; i < term->count; i++)
        count_terms(term->kids[i]);
}

/* All that is drawn, but for what tame() replaces everywhere. */
static void check_terms(void)
{
    for (enum op op = 0; op < OPS; op++)
        if (swept.terms[op] == 0 && op != OP_ACQUIRE && op != OP_RELEASE && op != OP_MEET)
            CHECK_FAIL("in all these programs there was no \"%s\"", random_ops[op].shown);
}

static bool seed_is_good(uint64_t seed)
{
    struct program *program = random_program_of(random_from_seed(seed), TERMS);
    bool is_good = true, is_going = true;
    seed_now = seed;
    world.program = program;
    program->how.is_simulated = true;
    tame(program->root);
    count_terms(program->root);
    for (int step = 0; step < STEPS_SWEPT && is_going && is_good; step++) {
        is_going = run(program, step);
        swept.runs++;
        is_good = world.wrong.size == 0 || world.wrong.chars[0] == '\0';
        if (!is_good) {
            fprintf(stderr, "\nCOIR_CANCEL_SEED=%" PRIu64 ", canceled after %d steps:\n", seed, step);
            random_print(program, stderr);
            fputs(world.wrong.chars, stderr);
        }
        world_end();
    }
    swept.programs++;
    swept.cut += is_good && is_going;
    random_program_drop(program);
    return is_good;
}

static void seeds_asked_for(uint64_t *first, uint64_t *last)
{
    const char *text = getenv("COIR_CANCEL_SEED");
    char *end;
    if (text == NULL || *text == '\0')
        return;
    *first = *last = strtoull(text, &end, 10);
    if (*end == '-')
        *last = strtoull(end + 1, &end, 10);
}

TEST_WITH_TIMEOUT(law_cancel, a_program_canceled_at_any_step_gives_back_what_it_acquired, 24 * 3600)
{
    uint64_t first = 0, last = CHECK_SLOWNESS > 1 ? 399 : 9999;      /* each is run some 100 times */
    int failures = 0;
    seeds_asked_for(&first, &last);
    lock = coir_lock_new();
    permits = coir_semaphore_new(PERMITS);
    random_around = around;
    for (uint64_t seed = first; seed <= last && failures < 3; seed++) {
        CASE("COIR_CANCEL_SEED=%" PRIu64, seed);
        alarm(HANGS_AFTER);
        failures += !seed_is_good(seed);
    }
    alarm(0);
    random_around = NULL;
    world.is_mute = false;
    coir_lock_drop(lock);
    coir_semaphore_drop(permits);
    fprintf(stderr, "law_cancel: %d programs, %d runs, %d cut short; canceled inside acquire %d, inside release %d, between %d, elsewhere %d\n", swept.programs,
            swept.runs, swept.cut, hits.inside_acquire, hits.inside_release, hits.between, hits.elsewhere);
    CHECK_INT(failures, 0);
    if (first != last)
        CHECK(hits.inside_acquire > 0 && hits.inside_release > 0 && hits.between > 0);
    if (first == 0 && last == 9999) {                   /* fewer need not come to all of it, others may be longer */
        CHECK_INT(swept.cut, 0);
        check_terms();
    }
}
