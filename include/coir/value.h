/*
 * coir/value.h - what programs compute with: values, strings, lists, errors, results, durations
 *
 *     coir_value name = coir_stringf("fiber %d", 7);
 *     printf("%s\n", coir_text(&name));
 *     coir_drop(name);
 *
 * Unless a function says otherwise: a coir_value and a coir_result are taken (moved: the callee owns them, whatever happens), a
 * coir_value * or coir_result * is lent with leave to take from it, a const pointer is lent to look at, any other pointer is
 * borrowed for the call. What returns a coir_value gives it to you. Every function may be called from any thread, never waits,
 * and never fails but as it says. A value that cannot be made for want of memory is a value of type coir_panic_type that says
 * so: wherever the runtime meets one it is a panic from that point, so nothing needs to be checked while building.
 */
#ifndef COIR_VALUE_H
#define COIR_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define COIR_API            extern __attribute__((visibility("default")))
#define COIR_MUST_USE       __attribute__((warn_unused_result))   /* building something and not using it is never meant */
#define COIR_PRINTF(f, a)   __attribute__((format(printf, f, a)))
#else
#define COIR_API            extern
#define COIR_MUST_USE
#define COIR_PRINTF(f, a)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------------- values */

/* coir_type: how the runtime treats an object that it does not know. Each function may be NULL.
 * Thread   drop and share are called on whichever thread gives up or reads the value, also at the same time for one object; they
 *          must not wait and must not run ios; they may build and drop ios and values. */
typedef struct coir_type {
    const char *name;
    void  (*drop)(void *object);                        /* the owner is gone */
    void *(*share)(void *object);                       /* one more owner: usually the object itself, counted; NULL: no memory */
    void  (*print)(const void *object, FILE *out);
} coir_type;

/* coir_value: sixteen bytes, moved by plain assignment. Zeroed it is none, which is dropped without effect; coir_int(0), coir_bool(false)
 * and coir_lend(NULL) are the same value. */
typedef struct coir_value {
    union { int64_t i64; uint64_t u64; double f64; bool flag; void *ptr; };
    const coir_type *type;                              /* NULL: plain bits, or a pointer that somebody else owns */
} coir_value;

COIR_API const coir_type coir_heap_type;                /* malloc()ed memory: dropped with free(), cannot be shared */
COIR_API const coir_type coir_string_type;
COIR_API const coir_type coir_list_type;
COIR_API const coir_type coir_error_type;
COIR_API const coir_type coir_result_type;              /* a boxed result, see coir_box() */
COIR_API const coir_type coir_panic_type;               /* a promise that could not be kept, see coir_panic_value() */

/* Plain values: one constructor for each member of the union, so that -Wconversion watches. */
static inline coir_value coir_none(void)          { coir_value v; v.u64 = 0; v.type = NULL; return v; }
static inline coir_value coir_int(int64_t n)      { coir_value v = coir_none(); v.i64 = n; return v; }
static inline coir_value coir_uint(uint64_t n)    { coir_value v = coir_none(); v.u64 = n; return v; }
static inline coir_value coir_real(double x)      { coir_value v = coir_none(); v.f64 = x; return v; }
static inline coir_value coir_bool(bool b)        { coir_value v = coir_none(); v.flag = b; return v; }

/* Pointers say who owns: coir_lend() somebody else, coir_own() the value, coir_heap() the value, with free(). */
static inline coir_value coir_lend(const void *p) { coir_value v = coir_none(); v.ptr = (void *)(uintptr_t)p; return v; }
static inline coir_value coir_own(void *object, const coir_type *type)
{
    coir_value v;
    v.ptr = object;
    v.type = type;
    return v;
}
/* coir_heap: malloced may be NULL, as malloc() gives it: then the value is the panic that says ENOMEM. */
COIR_API COIR_MUST_USE coir_value coir_heap(void *malloced);

/* coir_take: makes a lent value yours, and leaves none behind. */
static inline COIR_MUST_USE coir_value coir_take(coir_value *lent) { coir_value v = *lent; *lent = coir_none(); return v; }
static inline bool coir_is_none(const coir_value *v) { return v->type == NULL && v->u64 == 0; }
static inline void coir_drop(coir_value v)           { if (v.type != NULL && v.type->drop != NULL) v.type->drop(v.ptr); }
/* coir_put: moves the value in, then drops what the place held. */
static inline void coir_put(coir_value *place, coir_value v) { coir_value old = *place; *place = v; coir_drop(old); }
/* coir_cast: the object if it has that type, otherwise NULL. */
static inline void *coir_cast(const coir_value *v, const coir_type *type) { return v->type == type ? v->ptr : NULL; }

/* coir_share: one more owner of the same.
 * Gives    a copy of a plain value; for a typed one what its share() gives; a panic value that names the type if it has no
 *          share(), or that says ENOMEM if share() gave NULL. */
COIR_API COIR_MUST_USE coir_value coir_share(const coir_value *value);
/* coir_can_share: whether coir_share() gives more than a panic. For lists, errors with a cause and boxed results: whether all that
 * is inside can. Looks into what was taken out meanwhile a few levels deep only: below that, what could not be shared when it
 * was put in still cannot. */
COIR_API bool coir_can_share(const coir_value *value);
/* coir_value_print: for people. Plain bits are written as a signed number, since nobody knows what they are; what lies very deep as
 * three dots. */
COIR_API void coir_value_print(const coir_value *value, FILE *out);

/* coir_panic_value: what a callback gives when it cannot give a value: wherever the runtime meets it (given by a callback, put
 * into pure, fail, resume, a list, a result) it is a COIR_PANIC from that point, whose payload is an error with this text. */
COIR_API COIR_MUST_USE coir_value coir_panic_value(const char *format, ...) COIR_PRINTF(1, 2);

/* --------------------------------------------------------------------------------------------------------- strings */

/* Immutable, counted, NUL-terminated; shared for the price of a counter. */
COIR_API COIR_MUST_USE coir_value coir_string(const char *bytes, size_t size);         /* copies; bytes NULL: "" */
COIR_API COIR_MUST_USE coir_value coir_stringf(const char *format, ...) COIR_PRINTF(1, 2);
COIR_API const char *coir_text(const coir_value *string);                              /* "" for what is not a string */
COIR_API size_t      coir_text_size(const coir_value *string);                         /* in bytes, without the NUL */

/* ----------------------------------------------------------------------------------------------------------- lists */

/* A value that holds values; shared for the price of a counter, if all its items can be shared. */

/* coir_list: takes the items, borrows the array that they stand in. items NULL with count 0: empty.
 * Gives    a panic value without memory, or if one of the items is one: then the first of them; the others are dropped. */
COIR_API COIR_MUST_USE coir_value coir_list(size_t count, const coir_value *items);
/* coir_list_push: appends. Takes item. A list that others share is copied first.
 * Gives    false when there is no memory, or `list` is not a list, or an item could not be shared: item is dropped, the list
 *          stays as it was. False also if item is a panic value: then that is what *list is from now on. */
COIR_API bool        coir_list_push(coir_value *list, coir_value item);
COIR_API size_t      coir_list_size(const coir_value *list);                           /* 0 for what is not a list */
/* coir_list_at: lent with the list. NULL past the end, or for what is not a list. */
COIR_API const coir_value *coir_list_at(const coir_value *list, size_t index);
/* coir_list_take: leaves none in its place; of a list that others share it gives a share. None past the end. */
COIR_API COIR_MUST_USE coir_value coir_list_take(coir_value *list, size_t index);

/* ---------------------------------------------------------------------------------------------------------- errors */

/*
 * Any value serves as an error, so an int costs nothing. A coir_error has a domain (a static string that says whose code it is),
 * a code, a message, the place where it was made, and perhaps a cause. Immutable, counted.
 *
 *     return coir_fail(coir_errorf(ENOENT, "no such page: %s", name));
 */
#define coir_errorf(code, ...) coir_error_make(__FILE__, __LINE__, "", (code), __VA_ARGS__)            /* your own domain */
#define coir_error_in(domain, code, ...) coir_error_make(__FILE__, __LINE__, (domain), (code), __VA_ARGS__)
/* coir_error_make: file and domain must live as long as the error (string constants do); the message is made at once. */
COIR_API COIR_MUST_USE coir_value coir_error_make(const char *file, int line, const char *domain, int code, const char *format,
                                                  ...) COIR_PRINTF(5, 6);
/* coir_error_because: the same error with a cause, instead of the one that it had. Takes both. An error that others share is
 * copied. What is not a coir_error is given back as it is, and the cause dropped. Of a panic value as a cause it gives that. */
COIR_API COIR_MUST_USE coir_value coir_error_because(coir_value error, coir_value cause);
/* A panic value is read like the error that it stands for. NULL is not an error. */
COIR_API int         coir_error_code(const coir_value *error);      /* also of plain bits that are an int; 0 of anything else */
COIR_API const char *coir_error_message(const coir_value *error);   /* "" for what is not a coir_error */
COIR_API const char *coir_error_domain(const coir_value *error);    /* "" likewise */
COIR_API const char *coir_error_file(const coir_value *error);      /* "" likewise */
COIR_API int         coir_error_line(const coir_value *error);      /* 0 likewise */
COIR_API const coir_value *coir_error_cause(const coir_value *error);       /* lent; NULL if there is none */

/* The codes of domain "coir". Their numbers never change. */
enum {
    COIR_TIMEOUT        = -1001,                        /* a time-out went off */
    COIR_CLOSED         = -1002,                        /* the end of a channel */
    COIR_POISONED       = -1003,                        /* a channel was poisoned */
    COIR_CHILD_CANCELED = -1004,                        /* what was waited for was canceled */
    COIR_SCOPE_CLOSED   = -1005,
    COIR_REFUSED        = -1006,                        /* not for this run, or not for this thread */
    COIR_STOPPED        = -1007,
    COIR_LAGGED         = -1008,
    COIR_MISUSE         = -1009,                        /* of panics: a promise that the program broke */
    COIR_DEADLOCK       = -1010,                        /* of panics: the wait could never have ended */
    COIR_ABANDONED      = -1011                         /* of panics: nobody is left who could end the wait */
};

/* --------------------------------------------------------------------------------------------------------- results */

/* In the order of severity. */
typedef enum coir_tag {
    COIR_OK,
    COIR_ERROR,                                         /* an expected failure: any value, whatever type the program chose */
    COIR_PANIC,                                         /* a bug, a broken promise, no memory */
    COIR_CANCELED                                       /* somebody asked this fiber to stop */
} coir_tag;

COIR_API const char *coir_tag_name(coir_tag tag);       /* "ok", "error", "panic", "canceled"; "?" for none of them. Static */

typedef struct coir_failure coir_failure;               /* a further failure, met while unwinding from the first */

typedef struct coir_result {
    coir_tag      tag;
    coir_value    value;                                /* the success, or the payload of the failure */
    coir_failure *also;                                 /* oldest first; usually NULL */
} coir_result;

static inline coir_result coir_result_of(coir_tag tag, coir_value v)
{
    coir_result r;
    r.tag = tag;
    r.value = v;
    r.also = NULL;
    return r;
}
static inline coir_result coir_ok(coir_value v)       { return coir_result_of(COIR_OK, v); }
static inline coir_result coir_raise(coir_value v)    { return coir_result_of(COIR_ERROR, v); }
#define coir_raisef(code, ...) coir_raise(coir_errorf((code), __VA_ARGS__))
static inline coir_result coir_panic(coir_value v)    { return coir_result_of(COIR_PANIC, v); }
/* coir_result_take: makes a lent result yours, and leaves OK with none behind. */
static inline COIR_MUST_USE coir_result coir_result_take(coir_result *lent)
{
    coir_result r = *lent;
    *lent = coir_ok(coir_none());
    return r;
}
/* coir_failed_with: an ERROR with that code, in whatever domain. coir_failed_in: in that domain, which is "" for plain integers. */
COIR_API bool coir_failed_with(const coir_result *result, int code);
COIR_API bool coir_failed_in(const coir_result *result, const char *domain, int code);

COIR_API void coir_result_drop(coir_result *result);    /* leaves OK with none: twice is harmless */
COIR_API void coir_result_print(const coir_result *result, FILE *out);
/* coir_result_share: one more owner of the same. A value in it that cannot be shared makes it a panic that names the type, and
 * nothing else. */
COIR_API COIR_MUST_USE coir_result coir_result_share(const coir_result *result);

/* The further failures: for (const coir_failure *f = r.also; f != NULL; f = coir_failure_next(f)) ... */
COIR_API coir_tag            coir_failure_tag(const coir_failure *failure);
COIR_API const coir_value   *coir_failure_value(const coir_failure *failure);          /* lent */
COIR_API const coir_failure *coir_failure_next(const coir_failure *failure);

/* coir_result_and: what stands when `second` is met after `first`, as when a finalizer fails. Two successes: the second's value,
 * the first's is dropped. One failure: that failure. Two: the more severe is the result, the first among equals; the other
 * goes to its `also`. Raffiot's Result.sequence for two. */
COIR_API COIR_MUST_USE coir_result coir_result_and(coir_result first, coir_result second);

/* Pure functions on results, after Raffiot's result module. Each takes the results that it is given. Callbacks are called before
 * the function returns; what they were lent and did not take is dropped after them. A handler of failures that gives a panic value
 * leaves the failure, as far as it did not take it, in `also` of that panic. */
typedef coir_value  coir_map_fn(void *env, coir_value *value);      /* may return *value: that counts as taken; so no share of it */
typedef coir_result coir_result_fn(void *env, coir_value *value);
typedef coir_value  coir_result_fold_fn(void *env, coir_result *result);
COIR_API COIR_MUST_USE coir_result coir_result_map(coir_result result, coir_map_fn *fn, void *env);             /* of OK */
COIR_API COIR_MUST_USE coir_result coir_result_flat_map(coir_result result, coir_result_fn *fn, void *env);     /* of OK */
COIR_API COIR_MUST_USE coir_result coir_result_map_error(coir_result result, coir_map_fn *fn, void *env);       /* of ERROR */
COIR_API COIR_MUST_USE coir_result coir_result_catch(coir_result result, coir_result_fn *fn, void *env);        /* of ERROR */
COIR_API COIR_MUST_USE coir_result coir_result_recover(coir_result result, coir_result_fn *fn, void *env);      /* of PANIC */
/* coir_result_fold: fn on any of them; a NULL fn is a panic value. */
COIR_API COIR_MUST_USE coir_value  coir_result_fold(coir_result result, coir_result_fold_fn *fn, void *env);
/* coir_result_zip: all OK: a list of the values. Otherwise every failure, in the order of the arguments, the most severe first.
 * Takes the results, and leaves OK with none in the array, which is borrowed. Of none: the empty list. */
COIR_API COIR_MUST_USE coir_result coir_result_zip(size_t count, coir_result *results);
/* coir_result_sequence: the same, but gives the last value alone. Of none: OK with none. */
COIR_API COIR_MUST_USE coir_result coir_result_sequence(size_t count, coir_result *results);

/* coir_box: a result as a value, of type coir_result_type, as coir_attempt() and coir_wait() give it. */
COIR_API COIR_MUST_USE coir_value coir_box(coir_result result);
/* coir_result_in: the result in a box, lent with it; NULL for any other value. As long as nobody else shares the box it may be
 * taken from, and nothing put in; a box that others share is only to be looked at. */
COIR_API coir_result *coir_result_in(const coir_value *boxed);

/* ------------------------------------------------------------------------------------------------------- durations */

/* A struct, so that coir_sleep(5) does not compile. The constructors saturate. */
typedef struct coir_duration { int64_t ns; } coir_duration;

static inline coir_duration coir_ns(int64_t n) { coir_duration d; d.ns = n; return d; }
static inline coir_duration coir_times_(int64_t n, int64_t unit)
{
    if (n > INT64_MAX / unit) return coir_ns(INT64_MAX);
    if (n < INT64_MIN / unit) return coir_ns(INT64_MIN);
    return coir_ns(n * unit);
}
static inline coir_duration coir_us(int64_t n)      { return coir_times_(n, 1000); }
static inline coir_duration coir_ms(int64_t n)      { return coir_times_(n, 1000000); }
static inline coir_duration coir_seconds(int64_t n) { return coir_times_(n, 1000000000); }
static inline coir_duration coir_minutes(int64_t n) { return coir_times_(n, 60000000000); }

#ifdef __cplusplus
}
#endif
#endif
