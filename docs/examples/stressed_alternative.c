/*
 * stressed_alternative.c - shows one alternative over ten channels, at each of which a thousand writers stand
 *
 * The alternative is made once and run as often as there are messages; whichever of its cases can go, one goes. That none is lost and none comes twice is
 * counted for every writer. aPyCSP's stressed_alt.
 */
#include <coir.h>

enum { CHANNELS = 10, WRITERS = 1000, EACH = 5, MESSAGES = CHANNELS * WRITERS * EACH };

struct writer { coir_channel *out; int64_t number; int sent; };

/* A message is the writer's number and how many it has sent before. */
static coir_io *writer_step(coir_routine *self)
{
    COIR_BEGIN(self, struct writer, my);
    for (; my->sent < EACH; my->sent++)
        COIR_AWAIT(coir_send(my->out, coir_int(my->number * EACH + my->sent)));
    COIR_END;
}

static coir_io *write_all(void *channels_, size_t index)
{
    coir_channel **channels = channels_;
    return coir_do(writer_step, COIR_ENV(struct writer, .out = channels[index % CHANNELS], .number = (int64_t)index));
}

struct tally { int heard[CHANNELS * WRITERS]; int from[CHANNELS], strays; };

/* What a case does: counts its channel, and its writer, whose messages come in their order. */
struct ear { struct tally *tally; int channel; };

static coir_io *hear(void *ear_, coir_value *message)
{
    const struct ear *ear = ear_;
    int64_t writer = message->i64 / EACH;
    ear->tally->from[ear->channel]++;
    if (writer % CHANNELS == ear->channel && message->i64 % EACH == ear->tally->heard[writer])
        ear->tally->heard[writer]++;
    else
        ear->tally->strays++;
    return coir_unit();
}

static coir_io *listen(coir_channel **channels, struct tally *tally)
{
    coir_case cases[CHANNELS];
    struct ear ears[CHANNELS];
    for (int i = 0; i < CHANNELS; i++) {
        ears[i] = (struct ear){ tally, i };             /* of each its own place: they are copied all at once, below */
        cases[i] = coir_on_copy(coir_receive(channels[i]), hear, &ears[i], sizeof ears[i]);
    }
    return coir_repeat(coir_alt_fair(CHANNELS, cases), MESSAGES);
}

int main(void)
{
    static struct tally tally;
    coir_channel *channels[CHANNELS];
    for (int i = 0; i < CHANNELS; i++)
        channels[i] = coir_channel_new(0);
    int status = coir_main(coir_both(coir_par_traverse(0, CHANNELS * WRITERS, write_all, channels), listen(channels, &tally)), NULL);
    int complete = 0;
    for (int i = 0; i < CHANNELS * WRITERS; i++)
        complete += tally.heard[i] == EACH;
    printf("writers heard to their end: %d, of messages that should not have come: %d\n", complete, tally.strays);
    for (int i = 0; i < CHANNELS; i++) {
        printf("%s%d", i == 0 ? "messages by channel: " : " ", tally.from[i]);
        coir_channel_drop(channels[i]);
    }
    printf("\n");
    return status;
}
