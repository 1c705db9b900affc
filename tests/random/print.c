/*
 * print.c - a random program for people: a line a term, with what stands inside further in
 */
#include "random/program.h"

static void print_plan(struct plan plan, FILE *out)
{
    static const char *const names[KINDS] = { "none", "int", "thing", "sole thing", "string", "error", "error because of thing",
                                              "list of ints", "list with thing", "list with sole thing", "box", "box of an error" };
    fprintf(out, " %s", names[plan.kind]);
    if (plan.kind != KIND_NONE)
        fprintf(out, " %d", plan.number);
}

static void print_looks(const struct term *term, FILE *out)
{
    static const char *const names[LOOKS] = { "join", "wait", "wait for all", "wait for any", "join elsewhere" };
    for (size_t i = 0; i < term->looks_count; i++)
        fprintf(out, "%s %s %u", i > 0 ? "," : ":", names[term->looks[i].look], term->looks[i].index);
}

/* What `times` and `which` mean here. */
static void print_figures(const struct term *term, FILE *out)
{
    static const char *const hunters[] = { "cancel", "cancel_nowait", "cancel_all", "fiber_cancel" };
    static const char *const ends[] = { "wait", "join", "the handle", "forgotten" };
    switch (term->op) {
    case OP_REPEAT: case OP_RETRY: case OP_FOREVER: case OP_WHILE: case OP_REC: case OP_TRAVERSE: case OP_FOR_EACH:
        fprintf(out, " %u times", term->times % 4);
        break;
    case OP_HOLD: case OP_HELD_OBJECT: case OP_TRY: case OP_ACQUIRE: case OP_RELEASE: case OP_RELEASE_FREE: case OP_ASK_WRONG:
        fprintf(out, is_lock(term->which) ? " lock %u" : " semaphore %u, %d permits", term->which, permits_asked(term));
        break;
    case OP_VAR: case OP_LET:          fprintf(out, " x%u", term->which); break;
    case OP_LOOK:                      fprintf(out, " v%u", term->which); break;
    case OP_KEY_GET: case OP_WITH_KEY: fprintf(out, " key %u", term->which); break;
    case OP_FAILF: case OP_SLEEP:      fprintf(out, " %u", term->times); break;
    case OP_TIMEOUT: case OP_TIMEOUT_TO: fprintf(out, " %u", term->times); break;
    case OP_RESULT:                    fprintf(out, ", and %u more", term->times % 3); break;
    case OP_CATCH_CODE:                fprintf(out, " %u", term->times % 4); break;
    case OP_WHEN:                      fprintf(out, " %s", term->times % 2 == 1 ? "true" : "false"); break;
    case OP_FORK:                      fprintf(out, ", built %s", term->times % 2 == 1 ? "by itself" : "beforehand"); break;
    case OP_ROUTINE:
        fprintf(out, ", tries %u%s%s", term->times & 3, random_holds(term) ? ", holds the second" : "", term->which == 1 ? ", with a finalizer" : "");
        break;
    case OP_HUNT:
        fprintf(out, ", by %s, %s", hunters[term->number % 4], ends[term->times >> 1 & 3]);
        break;
    case OP_GROUP: case OP_NURSERY:
        fprintf(out, "%s%s%s%s", term->times & 1 ? ", the others first" : "", term->times & 2 ? ", ends behind the others" : "",
                random_is_sure(term) ? ", sure" : "", (term->which & 2) != 0 ? ", masked" : "");
        break;
    case OP_ITEMS: fprintf(out, " %u times, limit %d", term->times % 4, term->number % 4); break;
    case OP_PARALLEL:
        fprintf(out, ", %s, built by themselves %u", term->which == 1 ? "forked one by one" : "at once", term->times);
        print_looks(term, out);
        break;
    default:
        break;
    }
}

static void print_term(const struct term *term, unsigned depth, FILE *out)
{
    const struct op_facts *facts = &random_ops[term->op];
    fprintf(out, "%*s%d %s", (int)depth * 2, "", term->number, facts->shown);
    if (random_ways[facts->ways].count > 1)
        fprintf(out, " (%s)", random_ways[facts->ways].names[term->how]);
    if (facts->carries || facts->bears)
        print_plan(term->value, out);
    print_figures(term, out);
    if (facts->bodies > 0 && term->slot >= 0)
        fprintf(out, " -> v%d", term->slot);
    fputc('\n', out);
    for (size_t i = 0; i < term->count; i++)
        print_term(term->kids[i], depth + 1, out);
}

void random_print(const struct program *program, FILE *out)
{
    const struct how *how = &program->how;
    if (how->is_simulated)
        fprintf(out, "simulated, seed %u, policy %u, ", how->seed, how->policy);
    fprintf(out, "%u workers, budget %u, %s%s%s, context", how->workers, (unsigned)how->budget,
            program->is_alone ? "one fiber" : program->is_calm ? "several fibers, calm" : "several fibers", program->runs_twice ? ", run twice" : "", program->is_shown ? ", shown" : "");
    print_plan(program->context, out);
    fputc('\n', out);
    print_term(program->root, 1, out);
}
