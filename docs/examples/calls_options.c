/*
 * calls_options.c - reads the command line of bounded_api_calls, and the file of URLs
 *
 * What is wrong is said in one line on stderr.
 */
#define _GNU_SOURCE
#include "calls_options.h"

#include <coir.h>

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char help[] =
    "Usage: bounded_api_calls [OPTION]...\n"
    "Calls many URLs, never more than a few at a time, and tries again what failed for the moment.\n"
    "Without --file it starts an API server of its own on the loopback interface and calls that.\n"
    "\n"
    "  -n, --calls=N       calls to its own server (1000)\n"
    "  -f, --file=FILE     instead call the URLs in FILE, one a line; - is standard input;\n"
    "                      empty lines and lines that begin with # are skipped\n"
    "  -k, --limit=N       requests in flight at most (5)\n"
    "  -r, --retries=N     further tries of a call, after growing pauses (5): on a connection that\n"
    "                      failed, a time-out, and the statuses 429, 500, 502, 503 and 504\n"
    "  -t, --timeout=MS    of each request, in milliseconds (10000)\n"
    "      --latency=MS    its own server takes as long to answer, and up to 28 ms more (2)\n"
    "  -w, --workers=N     threads that run the fibers (one a processor)\n"
    "  -s, --seed=N        of its own server's pauses and failures (1)\n"
    "      --tsv           a line a call on standard output, and the summary on standard error:\n"
    "                      URL, status, tries, latency in ms, bytes, error; separated by tabs\n"
    "  -q, --quiet         no progress on standard error\n"
    "      --serve         only be the server, that allows --limit requests at a time, until interrupted\n"
    "  -h, --help\n"
    "  -V, --version\n"
    "\n"
    "Interrupted (SIGINT, SIGTERM) it calls off what is in flight, begins nothing more, and still sums up; a second\n"
    "time ends it at once.\n"
    "Exit status: 0 every call succeeded, 1 some failed for good, 2 bad usage, 130 interrupted.\n";

enum { CALLS_MAX = 1000000, LIMIT_MAX = 10000, RETRIES_MAX = 100, TIMEOUT_MAX_MS = 3600000, LATENCY_MAX_MS = 3600000,
       OPTION_TSV = 256, OPTION_SERVE, OPTION_LATENCY };

static _Noreturn void usage_error(const char *what)
{
    fprintf(stderr, "bounded_api_calls: %s (--help tells more)\n", what);
    exit(2);
}

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char message[200], *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && n >= min && n <= max)      /* strtoull() takes "-5" */
        return n;
    snprintf(message, sizeof message, "%s takes a number from %llu to %llu, not '%.40s'", option, (unsigned long long)min,
             (unsigned long long)max, text);
    usage_error(message);
}

/* A request in flight takes a descriptor here, one in the server, and up to two while its host's name is looked up. */
static void allow_descriptors(unsigned limit)
{
    struct rlimit descriptors;
    rlim_t needed = 3 * (rlim_t)limit + 64;
    if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0 || descriptors.rlim_cur >= needed)
        return;
    if (descriptors.rlim_max < needed) {
        char message[120];
        snprintf(message, sizeof message, "--limit=%u needs %llu descriptors, %llu are allowed; see ulimit -n", limit,
                 (unsigned long long)needed, (unsigned long long)descriptors.rlim_max);
        usage_error(message);
    }
    descriptors.rlim_cur = needed;
    setrlimit(RLIMIT_NOFILE, &descriptors);
}

struct calls_options calls_options_read(int argc, char **argv)
{
    static const struct option names[] = {
        { "calls",   required_argument, NULL, 'n' }, { "file",    required_argument, NULL, 'f' },
        { "limit",   required_argument, NULL, 'k' }, { "retries", required_argument, NULL, 'r' },
        { "timeout", required_argument, NULL, 't' }, { "workers", required_argument, NULL, 'w' },
        { "latency", required_argument, NULL, OPTION_LATENCY },
        { "seed",    required_argument, NULL, 's' }, { "tsv",     no_argument,       NULL, OPTION_TSV },
        { "quiet",   no_argument,       NULL, 'q' }, { "serve",   no_argument,       NULL, OPTION_SERVE },
        { "help",    no_argument,       NULL, 'h' }, { "version", no_argument,       NULL, 'V' }, { NULL, 0, NULL, 0 }
    };
    struct calls_options options = { .calls = 1000, .limit = 5, .retries_max = 5, .timeout_ms = 10000, .latency_ms = 2, .seed = 1 };
    bool calls_given = false;

    for (int option; (option = getopt_long(argc, argv, "n:f:k:r:t:w:s:qhV", names, NULL)) != -1; ) {
        switch (option) {
        case 'n': options.calls = (size_t)number("--calls", optarg, 1, CALLS_MAX); calls_given = true; break;
        case 'f': options.file = optarg; break;
        case 'k': options.limit = (unsigned)number("--limit", optarg, 1, LIMIT_MAX); break;
        case 'r': options.retries_max = (unsigned)number("--retries", optarg, 0, RETRIES_MAX); break;
        case 't': options.timeout_ms = (unsigned)number("--timeout", optarg, 1, TIMEOUT_MAX_MS); break;
        case 'w': options.workers = (unsigned)number("--workers", optarg, 1, COIR_WORKERS_MAX); break;
        case OPTION_LATENCY: options.latency_ms = (unsigned)number("--latency", optarg, 0, LATENCY_MAX_MS); break;
        case 's': options.seed = number("--seed", optarg, 0, UINT64_MAX); break;
        case OPTION_TSV: options.tsv = true; break;
        case 'q': options.quiet = true; break;
        case OPTION_SERVE: options.serve = true; break;
        case 'h': fputs(help, stdout); exit(0);
        case 'V': printf("bounded_api_calls, coir %s\n", coir_version()); exit(0);
        default: exit(2);               /* getopt_long() has said what is wrong */
        }
    }
    if (optind < argc)
        usage_error("takes no arguments; URLs come from --file");
    if (options.file != NULL && calls_given)
        usage_error("--calls is for its own server, --file for others");
    if (options.serve && (options.file != NULL || calls_given))
        usage_error("--serve calls nobody: it goes without --calls and --file");
    allow_descriptors(options.limit);
    return options;
}

/* ------------------------------------------------------------------------------------------------------------- URLs */

static bool url_list_add(struct url_list *list, const char *url)
{
    bool is_full = (list->count & (list->count - 1)) == 0;      /* the array's size is the power of 2 that count fits into */
    if (is_full) {
        char **urls = realloc(list->urls, sizeof *urls * (list->count > 0 ? 2 * list->count : 1));
        if (urls == NULL)
            return false;
        list->urls = urls;
    }
    list->urls[list->count] = strdup(url);
    if (list->urls[list->count] == NULL)
        return false;
    list->count++;
    return true;
}

void url_list_drop(struct url_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->urls[i]);
    free(list->urls);
    *list = (struct url_list){ 0 };
}

bool url_list_make(struct url_list *list, size_t count, unsigned port)
{
    for (size_t i = 1; i <= count; i++) {
        char url[80];
        snprintf(url, sizeof url, "http://127.0.0.1:%u/items/%zu", port, i);
        if (!url_list_add(list, url)) {
            url_list_drop(list);
            return false;
        }
    }
    return true;
}

/* Cuts white space off at both ends. */
static char *trimmed(char *line)
{
    while (isspace((unsigned char)*line))
        line++;
    for (size_t size = strlen(line); size > 0 && isspace((unsigned char)line[size - 1]); size--)
        line[size - 1] = '\0';
    return line;
}

static bool url_list_read_stream(struct url_list *list, FILE *in)
{
    char *line = NULL;
    size_t size = 0;
    bool has_memory = true;
    while (has_memory && getline(&line, &size, in) >= 0) {
        const char *url = trimmed(line);
        if (*url != '\0' && *url != '#')
            has_memory = url_list_add(list, url);
    }
    int why = errno;
    free(line);
    errno = why;
    return has_memory && feof(in) && !ferror(in);
}

bool url_list_read(struct url_list *list, const char *file)
{
    bool is_stdin = strcmp(file, "-") == 0;
    FILE *in = is_stdin ? stdin : fopen(file, "r");
    bool is_read = in != NULL && url_list_read_stream(list, in);
    const char *why = is_read ? "no URL in it" : strerror(errno);
    if (in != NULL && !is_stdin)
        fclose(in);
    if (is_read && list->count > 0)
        return true;
    fprintf(stderr, "bounded_api_calls: %s: %s\n", is_stdin ? "standard input" : file, why);
    url_list_drop(list);
    return false;
}
