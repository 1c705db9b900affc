/*
 * hedged.c - shows a hedged request: when an answer takes long, a second server is asked the same, and who answers first is heard
 *
 * The second try is a racer that sleeps first. Whoever loses is canceled and waited for: a connection is closed, nothing goes on behind the
 * caller's back. Simulated, so that it takes no time and prints the same each time; with coir_main() it would run as it stands.
 */
#include <coir.h>

struct server { const char *name; coir_duration takes; bool is_down; };

static coir_result ask(void *server)
{
    printf("    %s is asked\n", ((const struct server *)server)->name);
    return coir_ok(coir_none());
}

static coir_result hang_up(void *server)
{
    printf("    %s is not needed any more\n", ((const struct server *)server)->name);
    return coir_ok(coir_none());
}

/* What stands for a call over the network. */
static coir_io *request(const struct server *server)
{
    coir_io *answer = server->is_down ? coir_failf(1, "%s is down", server->name) : coir_pure(coir_stringf("the answer of %s", server->name));
    coir_io *call = coir_sequence(COIR_IOS(coir_defer_copy(ask, server, sizeof *server), coir_sleep(server->takes), answer));
    return coir_on_cancel(call, coir_defer_copy(hang_up, server, sizeof *server));
}

/* The first success counts: a server that fails quickly does not win. */
static coir_io *hedged(const struct server *first, coir_duration patience, const struct server *second)
{
    return coir_race_ok(COIR_IOS(request(first), coir_then(coir_sleep(patience), request(second))));
}

static void try_it(const char *title, struct server first, struct server second)
{
    printf("%s\n", title);
    coir_result result = coir_sim_run(hedged(&first, coir_ms(50), &second), NULL);
    printf("    %s\n", result.tag == COIR_OK ? coir_text(&result.value) : coir_error_message(&result.value));
    coir_result_drop(&result);
}

int main(void)
{
    struct server quick = { "north", coir_ms(20), false }, slow = { "south", coir_ms(900), false }, dead = { "east", coir_ms(10), true };
    try_it("a quick one:", quick, slow);
    try_it("a slow one:", slow, quick);
    try_it("one that is down:", dead, quick);
    try_it("two that are down:", dead, dead);
    return 0;
}
