/*
 * random/model.h - values and results as evaluate.c has them: with owners, so that the moment at which each dies is known
 */
#ifndef RANDOM_MODEL_H
#define RANDOM_MODEL_H

#include "random/program.h"

#include <coir.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------ values */

enum shape { PLAIN, THING, SOLE, STRING, ERROR, LIST, BOX, HANDLE, AGAIN, BROKEN };

struct value { enum shape shape; int64_t n; struct object *object; };       /* BROKEN: a panic value; n is its code */
struct failure { coir_tag tag; struct value value; };
struct mark;
/* `meant`: of one that is canceled: the scope whose cancellation it is; NULL: it was no request that was seen. */
struct result { coir_tag tag; struct value value; size_t also_count; struct failure *also; const struct mark *meant; };

struct object {
    int      owners;
    bool     is_counted;                                /* of things: born by a callback */
    int64_t  number;                                    /* of things and strings; the code of errors */
    const char *domain;                                 /* of errors */
    char     letter;                                    /* of their messages and of strings, in front of the number */
    size_t   count;                                     /* of lists, and 1 for an error with a cause */
    struct value *items;
    struct result result;                               /* in a box */
    struct fiber *fiber;                                /* of a handle */
    struct made  *made;                                 /* of again */
};

/* What values live in, and how many things that callbacks bore are alive. */
struct heap { struct arena arena; int born; };
extern struct heap heap;

static inline void *alloc(size_t size) { return random_alloc(&heap.arena, size); }

static const struct value none;
static inline struct value plain(int64_t n)  { return (struct value){ PLAIN, n, NULL }; }
static inline struct value broken(int code)  { return (struct value){ BROKEN, code, NULL }; }

static inline struct value holding(enum shape shape)
{
    struct object *object = alloc(sizeof *object);
    object->owners = 1;
    return (struct value){ shape, 0, object };
}

static inline struct value thing(enum shape shape, int64_t number, bool is_born)
{
    struct value v = holding(shape);
    v.object->number = number;
    v.object->is_counted = is_born;
    heap.born += is_born;
    return v;
}

static inline struct value string(int64_t number)
{
    struct value v = holding(STRING);
    v.object->number = number;
    return v;
}

static inline struct value error(const char *domain, int64_t code, char letter)
{
    struct value v = holding(ERROR);
    v.object->number = code;
    v.object->domain = domain;
    v.object->letter = letter;
    return v;
}

static inline struct value list(size_t count, const struct value *items)
{
    struct value v = holding(LIST);
    v.object->count = count;
    v.object->items = alloc((count + 1) * sizeof *items);       /* room for one that is pushed */
    if (count > 0)
        memcpy(v.object->items, items, count * sizeof *items);
    return v;
}

static inline struct value pair_of(struct value first, struct value second) { return list(2, (struct value[]){ first, second }); }

static inline struct value box(struct result result)
{
    struct value v = holding(BOX);
    v.object->result = result;
    v.object->result.meant = NULL;                      /* what comes out of it is none of this fiber's */
    return v;
}

static inline bool is_none(const struct value *v) { return v->shape == PLAIN && v->n == 0; }

static inline bool can_share_result(const struct result *r);
static inline bool can_share(const struct value *v)
{
    if (v->shape == SOLE)
        return false;
    if (v->shape == BOX)
        return can_share_result(&v->object->result);
    bool can = true;
    if (v->shape == LIST || v->shape == ERROR)
        for (size_t i = 0; i < v->object->count; i++)
            can &= can_share(&v->object->items[i]);
    return can;
}
static inline bool can_share_result(const struct result *r)
{
    bool can = can_share(&r->value);
    for (size_t i = 0; i < r->also_count; i++)
        can &= can_share(&r->also[i].value);
    return can;
}

static inline struct value share(const struct value *v)
{
    if (!can_share(v))
        return broken(COIR_MISUSE);
    if (v->object != NULL)
        v->object->owners++;
    return *v;
}

static inline void drop_result(struct result *r);
static inline void drop(struct value v)
{
    if (v.object == NULL || --v.object->owners > 0)
        return;
    if ((v.shape == THING || v.shape == SOLE) && v.object->is_counted)
        heap.born--;
    for (size_t i = 0; i < v.object->count; i++)
        drop(v.object->items[i]);
    if (v.shape == BOX)
        drop_result(&v.object->result);
}

static inline struct value take(struct value *lent)
{
    struct value v = *lent;
    *lent = none;
    return v;
}

static inline struct value make(struct plan plan, bool is_born)
{
    int n = plan.number;
    struct value v;
    switch (plan.kind) {
    case KIND_NONE:   return none;
    case KIND_INT:    return plain(n);
    case KIND_THING:  return thing(THING, n, is_born);
    case KIND_SOLE:   return thing(SOLE, n, is_born);
    case KIND_STRING: return string(n);
    case KIND_ERROR:  return error("", n, 'e');
    case KIND_BECAUSE:
        v = error("", n, 'e');
        v.object->count = 1;
        v.object->items = alloc(sizeof *v.object->items);
        v.object->items[0] = thing(THING, n, is_born);
        return v;
    case KIND_INTS:   return pair_of(plain(n), plain(n + 1));
    case KIND_THINGS: return pair_of(thing(THING, n, is_born), string(n));
    case KIND_SOLES:  return pair_of(plain(n), thing(SOLE, n, is_born));
    case KIND_BOX:    return box((struct result){ .tag = COIR_OK, .value = thing(THING, n, is_born) });
    default:          break;
    }
    struct failure *further = alloc(sizeof *further);
    *further = (struct failure){ COIR_ERROR, plain(n + 1) };
    return box((struct result){ COIR_ERROR, plain(n), 1, further, NULL });
}

/* See uncount() in build.c. */
static inline void uncount(struct value *v)
{
    if ((v->shape == THING || v->shape == SOLE) && v->object->is_counted) {
        v->object->is_counted = false;
        heap.born--;
    }
    if (v->object == NULL || v->shape == AGAIN)
        return;
    for (size_t i = 0; i < v->object->count; i++)
        uncount(&v->object->items[i]);
    if (v->shape != BOX)
        return;
    uncount(&v->object->result.value);
    for (size_t i = 0; i < v->object->result.also_count; i++)
        uncount(&v->object->result.also[i].value);
}

static inline int64_t number_of(const struct value *v)
{
    switch (v->shape) {
    case PLAIN:                     return v->n;
    case THING: case SOLE: case ERROR: return v->object->number;
    case LIST:                      return (int64_t)v->object->count;
    default:                        return 7;
    }
}

/* ----------------------------------------------------------------------------------------------------------- results */

static inline struct result result_of(coir_tag tag, struct value v)
{
    if (v.shape == BROKEN)                              /* wherever the runtime meets one it is a panic from that point */
        return (struct result){ .tag = COIR_PANIC, .value = error(v.n == ENOMEM || v.n == EINVAL ? "errno" : "coir", v.n, 0) };
    return (struct result){ .tag = tag, .value = v };
}
static inline struct result ok(struct value v)    { return result_of(COIR_OK, v); }
static inline struct result panic(int code)       { return result_of(COIR_OK, broken(code)); }
static inline struct result ok_none(void)         { return ok(none); }

static inline void drop_result(struct result *r)
{
    drop(r->value);
    for (size_t i = 0; i < r->also_count; i++)
        drop(r->also[i].value);
    *r = ok_none();
}

static inline struct result share_result(const struct result *r)
{
    if (!can_share_result(r))
        return panic(COIR_MISUSE);
    struct result shared = *r;
    shared.meant = NULL;
    (void)share(&r->value);
    shared.also = alloc(r->also_count * sizeof *r->also);
    for (size_t i = 0; i < r->also_count; i++)
        shared.also[i] = (struct failure){ r->also[i].tag, share(&r->also[i].value) };
    return shared;
}

/* What stands of two, in the order in which they happened: the most severe, the first among equals; the others keep their order. */
static inline struct result merged(struct result first, struct result second)
{
    if (second.tag == COIR_OK) {
        drop_result(&second);
        return first;
    }
    if (first.tag == COIR_OK) {
        drop_result(&first);
        return second;
    }
    struct result whole = second.tag > first.tag ? second : first;
    size_t count = 0;
    whole.also = alloc((first.also_count + second.also_count + 1) * sizeof *whole.also);
    if (second.tag > first.tag)
        whole.also[count++] = (struct failure){ first.tag, first.value };
    for (size_t i = 0; i < first.also_count; i++)
        whole.also[count++] = first.also[i];
    if (second.tag <= first.tag)
        whole.also[count++] = (struct failure){ second.tag, second.value };
    for (size_t i = 0; i < second.also_count; i++)
        whole.also[count++] = second.also[i];
    whole.also_count = count;
    if (first.tag == COIR_CANCELED && first.meant == NULL)
        whole.meant = second.meant;
    return whole;
}

/* The most severe of what stands in a failure comes to the front. */
static inline struct result settled(struct result r)
{
    size_t worst = r.also_count;
    for (size_t i = 0; i < r.also_count; i++)
        if (r.also[i].tag > (worst < r.also_count ? r.also[worst].tag : r.tag))
            worst = i;
    if (worst == r.also_count)
        return r;
    struct failure front = r.also[worst];
    memmove(r.also + 1, r.also, worst * sizeof *r.also);
    r.also[0] = (struct failure){ r.tag, r.value };
    r.tag = front.tag;
    r.value = front.value;
    return r;
}

/* Failures that nobody took, in place of a result: OK if there are none. */
static inline struct result of_failures(size_t count, struct failure *failures)
{
    if (count == 0)
        return ok_none();
    return settled((struct result){ failures[0].tag, failures[0].value, count - 1, failures + 1, NULL });
}

/* The panic of a handler that broke its promise: the failure that it had been given, what it took out of it excepted, stays behind it. */
static inline struct result broken_handler(struct result broke, struct result failure)
{
    struct failure *also = alloc((failure.also_count + 1) * sizeof *also);
    also[0] = (struct failure){ failure.tag, failure.value };
    if (failure.also_count > 0)
        memcpy(also + 1, failure.also, failure.also_count * sizeof *also);
    return (struct result){ broke.tag, broke.value, failure.also_count + 1, also, NULL };
}

/* ---------------------------------------------------------------------------------------------------------- as texts */

static inline void add_value(struct text *text, const struct value *v);

static inline void add_result(struct text *text, const struct result *r)
{
    static const char *const tags[] = { "OK", "ERROR", "PANIC", "CANCELED" };
    random_add(text, "%s ", tags[r->tag]);
    add_value(text, &r->value);
    for (size_t i = 0; i < r->also_count; i++) {
        random_add(text, ", also %s ", tags[r->also[i].tag]);
        add_value(text, &r->also[i].value);
    }
}

static inline void add_value(struct text *text, const struct value *v)
{
    const struct object *object = v->object;
    switch (v->shape) {
    case PLAIN:  random_add(text, "%lld", (long long)v->n); break;
    case THING:  random_add(text, "thing %lld", (long long)object->number); break;
    case SOLE:   random_add(text, "sole %lld", (long long)object->number); break;
    case STRING: random_add(text, "\"s%lld\"", (long long)object->number); break;
    case HANDLE: random_add(text, "%s", coir_fiber_type.name); break;
    case AGAIN:  random_add(text, "coir_again"); break;
    case BROKEN: random_add(text, "panic value"); break;
    case ERROR:
        random_add(text, "%s:%lld", object->domain, (long long)object->number);
        if (object->letter != 0)
            random_add(text, " %c%lld", object->letter, (long long)object->number);
        if (object->count > 0) {
            random_add(text, " because ");
            add_value(text, &object->items[0]);
        }
        break;
    case LIST:
        random_add(text, "[");
        for (size_t i = 0; i < object->count; i++) {
            random_add(text, i > 0 ? ", " : "");
            add_value(text, &object->items[i]);
        }
        random_add(text, "]");
        break;
    case BOX:
        random_add(text, "<");
        add_result(text, &object->result);
        random_add(text, ">");
        break;
    }
}

#endif
