/*
 * philosophers.c - shows Dijkstra's dining philosophers, with a footman: five forks, five philosophers, and at most four of them at the table
 *
 * A fork is a lock. Were all five at the table, each could hold the left fork and wait for the right one; the footman is a semaphore of four. Without him (the
 * second dinner) the run finds the ring, says who waits for whom, and goes on: some philosophers do not eat, nobody hangs.
 */
#include <coir.h>

enum { SEATS = 5, MEALS = 3 };

struct table { coir_lock *forks[SEATS]; coir_semaphore *footman; int meals[SEATS]; };

struct philosopher { struct table *table; size_t seat; };

static coir_result eat(void *env)
{
    const struct philosopher *my = env;
    my->table->meals[my->seat]++;
    return coir_ok(coir_none());
}

/* With a pause between the two forks: everybody has time to take the left one. */
static coir_io *dine(void *env, size_t seat)
{
    struct table *table = env;
    coir_io *meal = coir_then(coir_yield(), coir_defer_copy(eat, COIR_ENV(struct philosopher, .table = table, .seat = seat)));
    coir_io *with_right = coir_with_lock(table->forks[(seat + 1) % SEATS], meal);
    coir_io *with_both = coir_with_lock(table->forks[seat], coir_then(coir_yield(), with_right));
    return coir_repeat(table->footman == NULL ? with_both : coir_with_permits(table->footman, 1, with_both), MEALS);
}

static void dinner(const char *title, coir_semaphore *footman)
{
    struct table table = { .footman = footman };
    int meals = 0, hungry = 0;
    for (int i = 0; i < SEATS; i++)
        table.forks[i] = coir_lock_new();
    coir_result result = coir_run(coir_par_traverse_all(0, SEATS, dine, &table), COIR_OPTIONS(.workers = 1));
    for (size_t i = 0; i < SEATS; i++) {
        const coir_result *end = coir_result_in(coir_list_at(&result.value, i));
        meals += table.meals[i];
        hungry += table.meals[i] < MEALS;
        if (end->tag != COIR_OK && coir_error_code(&end->value) != COIR_DEADLOCK)
            printf("philosopher %zu: %s\n", i, coir_error_message(&end->value));
        coir_lock_drop(table.forks[i]);
    }
    printf("%s: %s\n", title, hungry == 0 ? "everybody has eaten" : "a deadlock was found, and ended");
    if (hungry == 0)
        printf("meals: %d\n", meals);
    coir_result_drop(&result);
}

int main(void)
{
    coir_semaphore *footman = coir_semaphore_new(SEATS - 1);
    dinner("with a footman", footman);
    dinner("without", NULL);
    coir_semaphore_drop(footman);
    return 0;
}
