/*
 * error.c - errors with a domain, a code, a message, a place and perhaps a cause; and the values that stand for panics
 *
 * A panic value is the same object under another type, so turning it into the payload of a panic changes one pointer. The error
 * that says ENOMEM is static: who has no memory can still say so. It is never counted and never changed.
 */
#include "value/object.h"

#include <limits.h>
#include <string.h>

struct error {
    struct holder head;
    int code, line;                                     /* I, like all but cause */
    const char *domain, *file;
    const char *message;                                /* behind the struct, but for the static one */
    size_t size;                                        /* of the message */
    coir_value cause;                                   /* none: there is none. Only a sole owner sets it */
};

static struct error no_memory = {
    .head = { .refs = 1, .is_sharable = true },
    .code = ENOMEM,
    .domain = DOMAIN_ERRNO,
    .file = "",
    .message = "out of memory",
    .size = sizeof "out of memory" - 1,
};

static size_t error_memory(size_t size) { return sizeof(struct error) + size + 1; }

static struct error *error_new(size_t size)
{
    struct error *error = size < SIZE_MAX / 2 ? coir__alloc(error_memory(size)) : NULL;
    if (error == NULL)
        return NULL;
    holder_init(&error->head);
    error->message = (char *)(error + 1);
    error->size = size;
    error->cause = coir_none();
    return error;
}

static struct error *error_formatted(const char *domain, int code, const char *format, va_list arguments)
{
    struct text text;
    coir__text_measure(&text, format, arguments);
    struct error *error = error_new(text.size);
    if (error == NULL)
        return NULL;
    coir__text_write(&text, (char *)(error + 1), arguments);
    error->domain = domain;
    error->code = code;
    error->file = "";
    error->line = 0;
    return error;
}

static bool is_sole(struct error *error) { return error != &no_memory && refs_is_sole(&error->head.refs); }

/* ------------------------------------------------------------------------------------------------------ the types */

static void error_free(struct error *error) { coir__free(error, error_memory(error->size)); }

static void error_empty(struct buried *dead)
{
    struct error *error = (struct error *)(void *)dead;
    drop_held(error->cause);
    error_free(error);
}

static void error_drop(void *object)
{
    struct error *error = object;
    if (error == &no_memory || !refs_drop(&error->head.refs))
        return;
    if (!is_leaf(error->cause.type)) {
        coir__bury(&error->head.dead, error_empty);
        return;
    }
    drop_held(error->cause);
    error_free(error);
}

static void *error_share(void *object)
{
    struct error *error = object;
    coir_value value = coir_own(error, &coir_error_type);
    return error == &no_memory || (coir_can_share(&value) && refs_add(&error->head.refs)) ? error : NULL;
}

static void print_one(const struct error *error, FILE *out)
{
    if (error->domain[0] != '\0')
        fprintf(out, "%s/", error->domain);
    fprintf(out, "%d", error->code);
    if (error->size > 0)
        fprintf(out, ": %s", error->message);
    if (error->file[0] != '\0')
        fprintf(out, " (%s:%d)", error->file, error->line);
}

static void error_print(const void *object, FILE *out)
{
    const struct error *error = object;
    print_one(error, out);
    while (!coir_is_none(&error->cause)) {
        fputs(", because: ", out);
        if (error->cause.type != &coir_error_type) {
            coir_value_print(&error->cause, out);
            break;
        }
        error = error->cause.ptr;                       /* a loop: chains of causes have no limit */
        print_one(error, out);
    }
}

static void panic_print(const void *object, FILE *out)
{
    fputs("panic(", out);
    error_print(object, out);
    putc(')', out);
}

const coir_type coir_error_type = { "error", error_drop, error_share, error_print };
const coir_type coir_panic_type = { "panic", error_drop, error_share, panic_print };

/* ---------------------------------------------------------------------------------------------- for other floors */

coir_value coir__error_v(const char *domain, int code, const char *format, va_list arguments)
{
    struct error *error = error_formatted(domain, code, format, arguments);
    return coir_own(error == NULL ? &no_memory : error, &coir_error_type);
}

coir_value coir__error(const char *domain, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    coir_value error = coir__error_v(domain, code, format, arguments);
    va_end(arguments);
    return error;
}

coir_result coir__panicf(const char *domain, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    coir_value error = coir__error_v(domain, code, format, arguments);
    va_end(arguments);
    return coir_panic(error);
}

coir_result coir__no_memory(void) { return coir_panic(coir_own(&no_memory, &coir_error_type)); }
coir_value coir__no_memory_value(void) { return coir_own(&no_memory, &coir_panic_type); }

coir_result coir__panic_of(coir_value value)
{
    value.type = &coir_error_type;
    return coir_panic(value);
}

/* ---------------------------------------------------------------------------------------------- public functions */

coir_value coir_panic_value(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    coir_value panic = coir__error_v(DOMAIN_COIR, COIR_MISUSE, format, arguments);
    va_end(arguments);
    panic.type = &coir_panic_type;
    return panic;
}

coir_value coir_error_make(const char *file, int line, const char *domain, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct error *error = error_formatted(domain == NULL ? "" : domain, code, format, arguments);
    va_end(arguments);
    if (error == NULL)
        return coir__no_memory_value();
    error->file = file == NULL ? "" : file;
    error->line = line;
    return coir_own(error, &coir_error_type);
}

/* Another of the same, without the cause. NULL: no memory. */
static struct error *copied(const struct error *error)
{
    struct error *copy = error_new(error->size);
    if (copy == NULL)
        return NULL;
    memcpy(copy + 1, error->message, error->size + 1);
    copy->domain = error->domain;
    copy->code = error->code;
    copy->file = error->file;
    copy->line = error->line;
    return copy;
}

coir_value coir_error_because(coir_value error, coir_value cause)
{
    if (error.type != &coir_error_type) {
        drop_held(cause);
        return error;
    }
    if (unlikely(coir__is_panic_value(&cause))) {
        drop_held(error);
        return cause;
    }
    struct error *changed = error.ptr;
    if (!is_sole(changed)) {
        changed = copied(changed);
        drop_held(error);
    }
    if (changed == NULL) {
        drop_held(cause);
        return coir__no_memory_value();
    }
    coir_value former = changed->cause;
    changed->head.is_sharable = coir_can_share(&cause);
    changed->cause = cause;
    drop_held(former);
    return coir_own(changed, &coir_error_type);
}

static const struct error *error_of(const coir_value *value)
{
    return value != NULL && (value->type == &coir_error_type || value->type == &coir_panic_type) ? value->ptr : NULL;
}

int coir_error_code(const coir_value *error)
{
    const struct error *found = error_of(error);
    if (found != NULL)
        return found->code;
    bool is_code = error != NULL && error->type == NULL && error->i64 >= INT_MIN && error->i64 <= INT_MAX;
    return is_code ? (int)error->i64 : 0;
}

const char *coir_error_message(const coir_value *error)
{
    const struct error *found = error_of(error);
    return found == NULL ? "" : found->message;
}

const char *coir_error_domain(const coir_value *error)
{
    const struct error *found = error_of(error);
    return found == NULL ? "" : found->domain;
}

const char *coir_error_file(const coir_value *error)
{
    const struct error *found = error_of(error);
    return found == NULL ? "" : found->file;
}

int coir_error_line(const coir_value *error)
{
    const struct error *found = error_of(error);
    return found == NULL ? 0 : found->line;
}

const coir_value *coir_error_cause(const coir_value *error)
{
    const struct error *found = error_of(error);
    return found == NULL || coir_is_none(&found->cause) ? NULL : &found->cause;
}
