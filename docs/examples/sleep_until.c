/*
 * sleep_until.c - shows coir_sleep_until: a moment of the calendar's clock, right also when somebody sets that clock meanwhile
 */
#include <coir.h>

static struct timespec now(void)
{
    struct timespec moment;
    timespec_get(&moment, TIME_UTC);
    return moment;
}

/* The next tenth of a second, as a station clock would have it. */
static struct timespec next_tenth(void)
{
    enum { TENTH_NS = 100000000 };
    struct timespec moment = now();
    moment.tv_nsec = (moment.tv_nsec / TENTH_NS + 1) * TENTH_NS;
    moment.tv_sec += moment.tv_nsec / (10 * TENTH_NS);
    moment.tv_nsec %= 10 * TENTH_NS;
    return moment;
}

static bool is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

struct program { struct timespec moment; };

static coir_io *program_step(coir_routine *self)
{
    COIR_BEGIN(self, struct program, my);
    my->moment = next_tenth();                                  /* when this is run, not when it was built */
    COIR_AWAIT(coir_sleep_until(my->moment));
    printf("a moment to come: %s\n", is_before(now(), my->moment) ? "woken too early" : "reached");

    COIR_AWAIT(coir_sleep_until((struct timespec){ 0 }));
    puts("a moment of 1970: no pause");
    COIR_END;
}

int main(void)
{
    return coir_main(coir_do(program_step, NULL, sizeof(struct program)), NULL);
}
