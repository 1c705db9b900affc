/*
 * bank.c - shows variables: accounts between which money is moved by many fibers at once, and auditors who always see all of it
 *
 * coir_vars_update() changes two accounts together, or neither, where there is not enough. Everybody names them in an order of his own, and yet nobody
 * waits for another in a ring. A cell counts the transfers: nobody waits for that at all.
 */
#include <coir.h>

#include <errno.h>

enum { ACCOUNTS = 4, EACH = 100, CLERKS = 8, TRANSFERS = 50, AUDITS = 20 };

struct bank { coir_var *accounts[ACCOUNTS]; coir_cell *transfers; };

/* ------------------------------------------------------------------------------------------------------------ transfers */

struct transfer { struct bank *bank; size_t from, to; int64_t amount; };

/* Of the two accounts. What fails leaves them as they are. */
static coir_io *move(void *env, coir_value *balances)
{
    struct transfer *transfer = env;
    int64_t from = coir_list_at(balances, 0)->i64, to = coir_list_at(balances, 1)->i64;
    if (from < transfer->amount)
        return coir_failf(EDOM, "account %zu has %lld, which is less than %lld", transfer->from, (long long)from, (long long)transfer->amount);
    return coir_pure(coir_list(2, (coir_value[]){ coir_int(from - transfer->amount), coir_int(to + transfer->amount) }));
}

static coir_value one_more(void *env, const coir_value *count)
{
    (void)env;
    return coir_int(count->i64 + 1);
}
static coir_result count_transfer(void *cell) { return coir_ok(coir_cell_update(cell, one_more, NULL)); }

static coir_io *transfer(struct bank *bank, size_t from, size_t to, int64_t amount)
{
    coir_io *moved = coir_vars_update_io_copy(COIR_VARS(bank->accounts[from], bank->accounts[to]), move,
                                              COIR_ENV(struct transfer, .bank = bank, .from = from, .to = to, .amount = amount));
    return coir_then(moved, coir_defer(count_transfer, bank->transfers));
}

/* A clerk goes round the accounts in steps of his own. */
struct clerk { struct bank *bank; size_t number, i; };

static coir_io *clerk_step(coir_routine *self)
{
    COIR_BEGIN(self, struct clerk, my);
    for (; my->i < TRANSFERS; my->i++)
        COIR_TRY(transfer(my->bank, (my->number + my->i) % ACCOUNTS, (my->number + my->i + 1 + my->i % (ACCOUNTS - 1)) % ACCOUNTS,
                          (int64_t)(my->i % 40)));
    COIR_END;
}

static coir_io *clerk(void *bank, size_t index) { return coir_do(clerk_step, COIR_ENV(struct clerk, .bank = bank, .number = index)); }

/* --------------------------------------------------------------------------------------------------------------- audits */

static coir_io *audit(void *env, coir_value *balances)
{
    int64_t sum = 0;
    (void)env;
    for (size_t i = 0; i < coir_list_size(balances); i++)
        sum += coir_list_at(balances, i)->i64;
    return sum == ACCOUNTS * EACH ? coir_pure(coir_int(sum)) : coir_failf(EDOM, "%lld in all accounts", (long long)sum);
}

static coir_io *audited(struct bank *bank) { return coir_flat_map(coir_vars_get(ACCOUNTS, bank->accounts), audit, NULL); }

static coir_io *auditor(struct bank *bank) { return coir_repeat(coir_then_keep(audited(bank), coir_yield()), AUDITS); }

static void show(const char *title, coir_io *io)
{
    coir_result result = coir_run(io, NULL);
    printf("%s: ", title);
    if (result.tag == COIR_OK)
        coir_result_print(&result, stdout);
    else
        printf("%s", coir_error_message(&result.value));
    printf("\n");
    coir_result_drop(&result);
}

int main(void)
{
    struct bank bank = { .transfers = coir_cell_new(coir_int(0)) };
    for (size_t i = 0; i < ACCOUNTS; i++)
        bank.accounts[i] = coir_var_new(coir_int(EACH));
    show("too much", transfer(&bank, 0, 1, EACH + 1));
    show("enough", coir_then(transfer(&bank, 0, 1, EACH), coir_vars_get(ACCOUNTS, bank.accounts)));
    show("at work, and audited all the time", coir_then(coir_par_traverse(0, CLERKS, clerk, &bank), audited(&bank)));
    show("two auditors beside the clerks",
         coir_then(coir_par_zip(COIR_IOS(coir_par_traverse(0, CLERKS, clerk, &bank), auditor(&bank), auditor(&bank))), audited(&bank)));
    coir_value transfers = coir_cell_get(bank.transfers);
    printf("some transfers were made: %s\n", transfers.i64 > 1 ? "yes" : "no");
    for (size_t i = 0; i < ACCOUNTS; i++)
        coir_var_drop(bank.accounts[i]);
    coir_cell_drop(bank.transfers);
    return 0;
}
