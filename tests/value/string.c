/*
 * string.c - texts: every size, every byte
 */
#include "starve.h"

#include "value/value.h"

#include <wchar.h>

TEST(string, keeps_every_byte)
{
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    coir_value text = coir_string(bytes, sizeof bytes);
    memset(bytes, 'x', sizeof bytes);
    CHECK_UINT(coir_text_size(&text), 256);
    for (int i = 0; i < 256; i++)
        CHECK_INT((unsigned char)coir_text(&text)[i], i);
    CHECK_INT(coir_text(&text)[256], '\0');
    coir_drop(text);
}

TEST(string, of_nothing_is_empty)
{
    coir_value texts[] = { coir_string(NULL, 0), coir_string(NULL, 9), coir_string("x", 0), coir_stringf("%s", "") };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CASE("%zu", i);
        CHECK_PTR(texts[i].type, &coir_string_type);
        CHECK_STR(coir_text(&texts[i]), "");
        CHECK_UINT(coir_text_size(&texts[i]), 0);
        coir_drop(texts[i]);
    }
}

TEST(string, formatted_is_whole_whatever_its_size)
{
    char expected[1001];
    memset(expected, 'a', sizeof expected - 1);
    for (int size = 0; size <= 1000; size++) {
        coir_value text = coir_stringf("%.*s", size, expected), error = coir_errorf(1, "%.*s", size, expected);
        CASE("%d bytes", size);
        CHECK_UINT(coir_text_size(&text), (unsigned)size);
        CHECK_UINT(strlen(coir_text(&text)), (unsigned)size);
        CHECK(memcmp(coir_text(&text), expected, (size_t)size) == 0);
        CHECK_UINT(strlen(coir_error_message(&error)), (unsigned)size);
        CHECK(memcmp(coir_error_message(&error), expected, (size_t)size) == 0);
        coir_drop(text);
        coir_drop(error);
    }
}

TEST(string, that_the_c_library_cannot_print_is_a_panic)
{
    static const wchar_t no_character[] = { (wchar_t)0x7fffffff, 0 };
    coir_value text = coir_stringf("<%ls>", no_character), error = coir_errorf(5, "<%ls>", no_character);
    CHECK_PTR(text.type, &coir_panic_type);
    CHECK_CONTAINS(coir_error_message(&text), "<%ls>");
    CHECK_INT(coir_error_code(&error), 5);              /* an error is one whatever its text */
    CHECK_STR(coir_error_message(&error), "<%ls>");
    coir_drop(text);
    coir_drop(error);
}

TEST(string, larger_than_memory_says_enomem)
{
    coir_value text = coir_string("x", SIZE_MAX);
    CHECK_PTR(text.type, &coir_panic_type);
    CHECK_INT(coir_error_code(&text), ENOMEM);
}

TEST(string, is_what_only_a_string_has)
{
    const coir_value others[] = { coir_none(), coir_lend("borrowed"), coir_int(1), coir_list(0, NULL), coir_errorf(1, "message") };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        CHECK_STR(coir_text(&others[i]), "");
        CHECK_UINT(coir_text_size(&others[i]), 0);
        coir_drop(others[i]);
    }
    CHECK_STR(coir_text(NULL), "");
    CHECK_UINT(coir_text_size(NULL), 0);
}

/* Reads a string constant back, as a C compiler does. */
static size_t unescaped(const char *text, char *bytes)
{
    size_t size = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p != '\\') {
            bytes[size++] = *p;
            continue;
        }
        static const char letters[] = "nrt\"\\", meaning[] = "\n\r\t\"\\";
        const char *letter = strchr(letters, *++p);
        if (letter != NULL) {
            bytes[size++] = meaning[letter - letters];
        } else {
            bytes[size++] = (char)((p[0] - '0') * 64 + (p[1] - '0') * 8 + (p[2] - '0'));
            p += 2;
        }
    }
    return size;
}

TEST(string, printed_reads_as_a_c_constant)
{
    char bytes[512], text[4 * sizeof bytes + 1] = "", back[sizeof text];
    for (int i = 0; i < 512; i++)
        bytes[i] = (char)(i % 2 == 0 ? i / 2 : '0' + i / 2 % 10);       /* digits behind each: no escape may swallow one */
    FILE *out = fmemopen(text, sizeof text, "w");
    CHECK(out != NULL);
    coir__print_escaped(bytes, sizeof bytes, out);
    CHECK_INT(fclose(out), 0);
    for (const char *p = text; *p != '\0'; p++)
        CHECK(*p != '"' || p[-1] == '\\');
    CHECK_UINT(unescaped(text, back), sizeof bytes);
    CHECK(memcmp(back, bytes, sizeof bytes) == 0);
}

#ifdef COIR_PLAIN_MEMORY
static void make_strings(void)
{
    coir_value texts[] = { coir_string("abc", 3), coir_stringf("%d", 7), coir_stringf("%*s", 900, "long") };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (was_made(&texts[i]))
            CHECK(coir_text_size(&texts[i]) > 0);
        coir_drop(texts[i]);
    }
}

TEST_ALONE(string, without_memory_says_enomem) { starve(make_strings); }
#endif
