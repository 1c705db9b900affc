/*
 * sim_deadlock.c - shows how a deadlock is found, repeated and mended: two transfers that lock two accounts in opposite order
 *
 * A transfer locks the account that gives, then the one that gets. Two transfers in opposite directions come through nearly always. The
 * simulator finds the order in which they do not; with the locks taken in one order there is none.
 */
#include <coir.h>

struct account { coir_lock *lock; int balance; };
struct bank { struct account ann, bob; };

/* ---- What is to be tested. */
struct transfer { struct account *from, *to; int amount; };

static coir_result move_money(void *env)
{
    const struct transfer *transfer = env;
    transfer->from->balance -= transfer->amount;
    transfer->to->balance += transfer->amount;
    return coir_ok(coir_none());
}

static coir_io *moving(struct account *from, struct account *to, int amount)
{
    return coir_defer_copy(move_money, COIR_ENV(struct transfer, from, to, amount));
}

static coir_io *transfer(struct account *from, struct account *to, int amount)
{
    return coir_with_lock(from->lock, coir_with_lock(to->lock, moving(from, to, amount)));
}

/* The lock with the smaller number first, whoever gives. */
static coir_io *transfer_in_order(struct account *from, struct account *to, int amount)
{
    bool from_first = coir_lock_id(from->lock) < coir_lock_id(to->lock);
    coir_lock *first = from_first ? from->lock : to->lock, *second = from_first ? to->lock : from->lock;
    return coir_with_lock(first, coir_with_lock(second, moving(from, to, amount)));
}

/* ---- The test. */
typedef coir_io *transfer_fn(struct account *from, struct account *to, int amount);

static coir_io *wait_for_both(void *env, coir_value *fibers) { (void)env; return coir_wait(fibers); }

static coir_io *both_ways(struct bank *bank, transfer_fn *transfers)
{
    bank->ann.balance = bank->bob.balance = 100;
    coir_io *both = coir_parallel(COIR_IOS(coir_named(transfers(&bank->ann, &bank->bob, 30), "ann to bob"),
                                           coir_named(transfers(&bank->bob, &bank->ann, 20), "bob to ann")));
    return coir_flat_map(both, wait_for_both, NULL);
}

static coir_io *make(void *bank)          { return both_ways(bank, transfer); }
static coir_io *make_in_order(void *bank) { return both_ways(bank, transfer_in_order); }

static bool balances_are_right(void *env, const coir_result *result)
{
    const struct bank *bank = env;
    return result->tag == COIR_OK && bank->ann.balance == 90 && bank->bob.balance == 110;
}

int main(void)
{
    struct bank bank = { { coir_lock_new(), 0 }, { coir_lock_new(), 0 } };
    const coir_options *run = COIR_OPTIONS(.on_deadlock = COIR_DEADLOCK_STOP);          /* a deadlock is the result of the whole run */

    bool passed = coir_sim_explore(make, balances_are_right, &bank, COIR_EXPLORE_OPTIONS(.run = run), stdout);

    /* The call that it printed as the shortest. */
    coir_result result = coir_sim_run(make(&bank), COIR_SIM_OPTIONS(.seed = 0, .workers = 1, .budget = COIR_BUDGET_NONE,
                                                                    .policy = COIR_SIM_PRIORITIES, .steps_max = 100000, .run = run,
                                                                    .schedule = "4:1"));
    printf("\nrepeated: %s\n\n", coir_error_message(&result.value));
    coir_result_drop(&result);

    bool mended = coir_sim_explore(make_in_order, balances_are_right, &bank, COIR_EXPLORE_OPTIONS(.run = run), stdout);
    bool surely = coir_sim_explore(make_in_order, balances_are_right, &bank,
                                   COIR_EXPLORE_OPTIONS(.run = run, .exhaustive = true, .runs = 100000), stdout);
    coir_lock_drop(bank.bob.lock);
    coir_lock_drop(bank.ann.lock);
    return passed || !mended || !surely;
}
