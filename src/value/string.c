/*
 * string.c - immutable texts: one allocation, a count, the bytes, a NUL behind them
 */
#include "value/object.h"

#include <string.h>

struct string {
    _Atomic uint32_t refs;                              /* A [REFS] */
    size_t size;                                        /* I */
    char bytes[];                                       /* I */
};

static size_t string_memory(size_t size) { return sizeof(struct string) + size + 1; }

static struct string *string_new(size_t size)
{
    struct string *string = size < SIZE_MAX / 2 ? coir__alloc(string_memory(size)) : NULL;
    if (string == NULL)
        return NULL;
    store_relaxed(&string->refs, 1u);                   /* relaxed: nobody else has it yet */
    string->size = size;
    string->bytes[size] = '\0';
    return string;
}

static const struct string *string_of(const coir_value *value)
{
    return value != NULL && value->type == &coir_string_type ? value->ptr : NULL;
}

/* ---------------------------------------------------------------------------------------------------- the type */

static void string_drop(void *object)
{
    struct string *string = object;
    if (refs_drop(&string->refs))
        coir__free(string, string_memory(string->size));
}

static void *string_share(void *object) { return refs_add(&((struct string *)object)->refs) ? object : NULL; }

static void string_print(const void *object, FILE *out)
{
    const struct string *string = object;
    putc('"', out);
    coir__print_escaped(string->bytes, string->size, out);
    putc('"', out);
}

const coir_type coir_string_type = { "string", string_drop, string_share, string_print };

static const char *escape_of(unsigned char byte)
{
    switch (byte) {
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '"':  return "\\\"";
    case '\\': return "\\\\";
    default:   return NULL;
    }
}

/* Bytes above 127 pass: in most places they are UTF-8. Three octal digits, since no digit behind them can be taken for a fourth. */
void coir__print_escaped(const char *bytes, size_t size, FILE *out)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        const char *escape = escape_of(byte);
        if (escape != NULL)
            fputs(escape, out);
        else if (byte < ' ' || byte == 127)
            fprintf(out, "\\%03o", (unsigned)byte);
        else
            putc(byte, out);
    }
}

/* ------------------------------------------------------------------------------------------------ formatted texts */

void coir__text_measure(struct text *text, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(text->start, sizeof text->start, format, again);
    va_end(again);
    text->format = format;
    text->is_wrong = size < 0;
    text->size = size < 0 ? strlen(format) : (size_t)size;
}

void coir__text_write(const struct text *text, char *to, va_list arguments)
{
    if (text->is_wrong) {
        memcpy(to, text->format, text->size + 1);
    } else if (text->size < sizeof text->start) {
        memcpy(to, text->start, text->size + 1);
    } else {
        va_list again;
        va_copy(again, arguments);
        (void)vsnprintf(to, text->size + 1, text->format, again);
        va_end(again);
    }
}

/* ---------------------------------------------------------------------------------------------- public functions */

coir_value coir_string(const char *bytes, size_t size)
{
    if (bytes == NULL)
        size = 0;
    struct string *string = string_new(size);
    if (string == NULL)
        return coir__no_memory_value();
    if (size > 0)
        memcpy(string->bytes, bytes, size);
    return coir_own(string, &coir_string_type);
}

coir_value coir_stringf(const char *format, ...)
{
    struct text text;
    va_list arguments;
    va_start(arguments, format);
    coir__text_measure(&text, format, arguments);
    struct string *string = text.is_wrong ? NULL : string_new(text.size);
    if (string != NULL)
        coir__text_write(&text, string->bytes, arguments);
    va_end(arguments);
    if (text.is_wrong)
        return coir_panic_value("coir_stringf: the C library cannot print \"%s\"", format);
    return string == NULL ? coir__no_memory_value() : coir_own(string, &coir_string_type);
}

const char *coir_text(const coir_value *string)
{
    const struct string *text = string_of(string);
    return text == NULL ? "" : text->bytes;
}

size_t coir_text_size(const coir_value *string)
{
    const struct string *text = string_of(string);
    return text == NULL ? 0 : text->size;
}
