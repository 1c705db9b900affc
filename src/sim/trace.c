/*
 * trace.c - what a simulation did, a line for each step: when, where, which fiber, which instruction, and what came of it
 *
 * No line holds an address: then the same seed gives the same text, on any machine. So plain bits are shown as a number only where that is
 * too small to be a pointer.
 */
#include "sim/sim.h"

#include "io/machine.h"

#include "fiber/look.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { POINTERS_FROM = 1 << 22, TEXT_SHOWN = 24 };

/* ------------------------------------------------------------------------------------------------------------ values */

/* How much of a text is shown, which does not end within a character of several bytes. */
static int shown_of(const char *text)
{
    size_t size = strlen(text);
    if (size <= TEXT_SHOWN)
        return (int)size;
    for (size = TEXT_SHOWN; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80; size--) {
    }
    return (int)size;
}

static void show_value(const coir_value *value, char *text, size_t size)
{
    if (value->type == &coir_string_type)
        snprintf(text, size, "\"%.*s\"%s", shown_of(coir_text(value)), coir_text(value), strlen(coir_text(value)) > TEXT_SHOWN ? "..." : "");
    else if (value->type == &coir_error_type || value->type == &coir_panic_type)
        snprintf(text, size, "%d", coir_error_code(value));
    else if (value->type == &coir_list_type)
        snprintf(text, size, "a list of %zu", coir_list_size(value));
    else if (value->type == &coir_fiber_type)
        snprintf(text, size, "fiber %" PRIu64, coir_fiber_id(coir_fiber_of(value)));
    else if (value->type != NULL)
        snprintf(text, size, "a %s", value->type->name == NULL ? "value" : value->type->name);
    else if (value->i64 > -POINTERS_FROM && value->i64 < POINTERS_FROM)
        snprintf(text, size, "%" PRId64, value->i64);
    else
        snprintf(text, size, "(plain)");
}

static void show_result(const coir_result *result, char *text, size_t size)
{
    char value[48];
    show_value(&result->value, value, sizeof value);
    snprintf(text, size, "%s %s%s", coir_tag_name(result->tag), value, result->also == NULL ? "" : " and more");
}

/* ------------------------------------------------------------------------------------------------------ instructions */

static const char *name_of(const coir_io *node)
{
    switch (node->op) {
    case OP_PRIM:
        return node->prim->name;
    case OP_MACHINE:
        return node->machine->name;
    case OP_HOLD:
        return node->prim->holds;
    default:
        return coir__ops[node->op].name;
    }
}

struct instruction coir__trace_next(const struct coir_sim *sim, const coir_fiber *fiber)
{
    struct instruction next = { .name = "the end", .up = true, .tag = fiber->result.tag };
    if (fiber->flags & FIBER_WAITING) {
        next = (struct instruction){ .name = name_of(fiber->top), .op = fiber->top->op, .woken = true };
        return next;
    }
    if (fiber->io != NULL)
        next = (struct instruction){ .name = name_of(fiber->io), .op = fiber->io->op };
    else if (fiber->top != NULL)
        next = (struct instruction){ .name = name_of(fiber->top), .op = fiber->top->op, .up = true, .tag = fiber->result.tag };
    if (sim->options.trace != NULL && next.up)
        show_result(&fiber->result, next.given, sizeof next.given);
    return next;
}

/* ----------------------------------------------------------------------------------------------------------- effects */

void coir__trace_effect(struct coir_sim *sim, const char *format, ...)
{
    va_list arguments;
    if (sim->options.trace == NULL || sim->effects_size + 2 >= EFFECTS_SIZE)
        return;
    if (sim->effects_size > 0)
        sim->effects_size += (size_t)snprintf(sim->effects + sim->effects_size, EFFECTS_SIZE - sim->effects_size, ", ");
    va_start(arguments, format);
    int more = vsnprintf(sim->effects + sim->effects_size, EFFECTS_SIZE - sim->effects_size, format, arguments);
    va_end(arguments);
    sim->effects_size += (size_t)more;
    if (sim->effects_size >= EFFECTS_SIZE)
        sim->effects_size = EFFECTS_SIZE - 1;
}

void coir__trace_fiber(struct coir_sim *sim, const char *verb, const coir_fiber *fiber)
{
    char label[64];
    if (sim->options.trace != NULL)
        coir__trace_effect(sim, "%s%s", verb, coir__fiber_label(fiber, label, sizeof label));
}

void coir__trace_waits(struct coir_sim *sim, coir_fiber *fiber)
{
    struct seen seen;
    char text[SEEN_TEXT_SIZE];
    if (sim->options.trace == NULL)
        return;
    if (coir__look(fiber, &seen, NULL, 0))
        coir__trace_effect(sim, "waits for %s", coir__seen_text(&seen, NULL, text, sizeof text));
    else
        coir__trace_effect(sim, "waits");
}

void coir__trace_end(struct coir_sim *sim, const coir_result *result)
{
    char text[64];
    if (sim->options.trace == NULL)
        return;
    show_result(result, text, sizeof text);
    coir__trace_effect(sim, "ends with %s", text);
}

/* ------------------------------------------------------------------------------------------------------------- lines */

void coir__trace_title(FILE *out) { fprintf(out, "%6s  %16s  %-6s  %-16s  %-32s  %s\n", "step", "seconds", "worker", "fiber", "instruction", "effect"); }

/* Without blanks at its end, and with nothing of the program's texts that would end it early. */
static void print_line(char *line, FILE *out)
{
    size_t size = strlen(line);
    while (size > 0 && line[size - 1] == ' ')
        size--;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = '?';
    fprintf(out, "%.*s\n", (int)size, line);
}

void coir__trace_row(struct coir_sim *sim, unsigned worker, const char *who, const struct instruction *instruction)
{
    char what[128], line[256 + EFFECTS_SIZE], where[16] = "";
    if (sim->options.trace == NULL)
        return;
    if (instruction->up)
        snprintf(what, sizeof what, "%s <- %s", instruction->name, instruction->given);
    else
        snprintf(what, sizeof what, "%s%s", instruction->name, instruction->woken ? ", woken" : "");
    if (*who != '\0')
        snprintf(where, sizeof where, "%u", worker);
    sim->effects[sim->effects_size] = '\0';
    snprintf(line, sizeof line, "%6" PRIu64 "  %6" PRId64 ".%09" PRId64 "  %-6s  %-16s  %-32s  %s", sim->steps, sim->now / 1000000000,
             sim->now % 1000000000, where, *who == ' ' ? who + 1 : who, what, sim->effects);
    print_line(line, sim->options.trace);
    sim->effects_size = 0;
}
