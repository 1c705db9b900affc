/*
 * hash_tree.c - shows blocking C code in fibers: walk a tree and hash its files, eight at a time, with progress
 *
 * Recursion is as deep as the tree, the C stack is not. coir_par_each() lends every fiber its name until what was built from it has ended: no copy, no
 * free. What reads files is called on threads beside the pool, so a slow disk holds up no fiber.
 */
#include <coir.h>

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct walk { coir_semaphore *permits; atomic_size_t files, bytes; };

/* On a blocking thread: FNV-1a of a file, or the names in a directory. */
struct path { struct walk *walk; const char *name; };

static coir_result hash_file(void *env)
{
    struct path *path = env;
    FILE *file = fopen(path->name, "rbe");
    if (file == NULL)
        return coir_raisef(errno, "open %s", path->name);
    uint64_t hash = 14695981039346656037u;
    size_t size = 0;
    for (int byte; (byte = getc(file)) != EOF; size++)
        hash = (hash ^ (unsigned char)byte) * 1099511628211u;
    bool is_read = !ferror(file);
    fclose(file);
    if (!is_read)
        return coir_raisef(EIO, "read %s", path->name);
    atomic_fetch_add(&path->walk->files, 1);
    atomic_fetch_add(&path->walk->bytes, size);
    printf("%016llx  %s\n", (unsigned long long)hash, path->name);
    return coir_ok(coir_none());
}

static coir_result list_directory(void *env)
{
    struct path *path = env;
    DIR *directory = opendir(path->name);
    if (directory == NULL)
        return errno == ENOTDIR ? coir_ok(coir_none()) : coir_raisef(errno, "list %s", path->name);
    coir_value names = coir_list(0, NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL; )
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            coir_list_push(&names, coir_stringf("%s/%s", path->name, entry->d_name));
    closedir(directory);
    return coir_ok(names);
}

/* The walk itself: list; a directory goes on with its names, a file is hashed. A permit is held for one call, never for a tree. */
static coir_io *visit(struct walk *walk, const char *name);

static coir_io *visit_name(void *env, coir_value *name) { return visit(env, coir_text(name)); }

static coir_io *visit_names(void *env, coir_value *names)
{
    struct path *path = env;
    if (coir_is_none(names))                                    /* not a directory */
        return coir_with_permits(path->walk->permits, 1, coir_blocking_copy(hash_file, path, sizeof *path));
    return coir_par_each(0, coir_take(names), visit_name, path->walk);
}

static coir_io *visit(struct walk *walk, const char *name)
{
    struct path path = { walk, name };
    coir_io *list = coir_with_permits(walk->permits, 1, coir_blocking_copy(list_directory, &path, sizeof path));
    return coir_flat_map_copy(list, visit_names, &path, sizeof path);
}

static coir_result show_progress(void *env)
{
    struct walk *walk = env;
    fprintf(stderr, "%zu files, %zu bytes\n", atomic_load(&walk->files), atomic_load(&walk->bytes));
    return coir_ok(coir_none());
}

int main(int argc, char **argv)
{
    struct walk walk = { .permits = coir_semaphore_new(8) };
    coir_io *progress = coir_forever(coir_then(coir_sleep(coir_ms(500)), coir_defer(show_progress, &walk)));
    coir_io *whole = coir_race(COIR_IOS(visit(&walk, argc > 1 ? argv[1] : "."), progress));
    int status = coir_main(whole, NULL);                        /* the race cancels the progress when the walk has ended */
    printf("%zu files\n", atomic_load(&walk.files));
    coir_semaphore_drop(walk.permits);
    return status;
}
