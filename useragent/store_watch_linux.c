/* Directories by inotify(7): of a place that is not there, the nearest one above it that is, and of
 * what happens in it only the next step towards the place. */
#include "useragent/store_watch.h"

#include "common/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRS_MAX 96
#define NAMES_MAX 16 /* of one directory that matter */

/* A directory's own end; those of its files are its browser's business. */
#define MASK_SELF (IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define MASK_ENTRIES (MASK_SELF | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define MASK_LOST (MASK_SELF | IN_DELETE | IN_MOVED_FROM)
#define MASK_PROFILES (MASK_ENTRIES | IN_CLOSE_WRITE)

struct watched {
    char *path; /* while scanning */
    uint32_t mask;
    int wd;
    bool any_directory; /* every directory in it matters */
    char names[NAMES_MAX][64];
    size_t name_count;
};

struct store_watch_table {
    struct watched dirs[DIRS_MAX];
    size_t count;
};

struct store_watch {
    int fd;
    bool scanning;
    struct store_watch_table *table;
};

int store_watch_new(struct store_watch **ret) {
    struct store_watch *watch = calloc(1, sizeof *watch);

    if (!watch)
        return -ENOMEM;
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0) {
        int error = errno;

        free(watch);
        return -error;
    }
    *ret = watch;
    return 0;
}

struct store_watch_table *store_watch_table_free(struct store_watch_table *table) {
    for (size_t i = 0; table && i < table->count; i++)
        free(table->dirs[i].path);
    free(table);
    return NULL;
}

struct store_watch *store_watch_free(struct store_watch *watch) {
    if (!watch)
        return NULL;
    close(watch->fd);
    store_watch_table_free(watch->table);
    free(watch);
    return NULL;
}

int store_watch_fd(const struct store_watch *watch) {
    return watch->fd;
}

/* ---- scanning: on the worker ---- */

struct scan {
    int fd;
    struct store_watch_table *table;
    int result;
};

/* What is full is left out: there are never so many by the table of families. */
static struct watched *watch_dir(struct scan *scan, const char *path, uint32_t mask) {
    struct store_watch_table *table = scan->table;
    struct watched *dir = NULL;

    for (size_t i = 0; i < table->count && !dir; i++)
        if (strcmp(table->dirs[i].path, path) == 0)
            dir = &table->dirs[i];
    if (!dir) {
        if (table->count == DIRS_MAX)
            return NULL;
        dir = &table->dirs[table->count];
        *dir = (struct watched){.path = strdup(path), .wd = -1};
        if (!dir->path) {
            scan->result = -ENOMEM;
            return NULL;
        }
        table->count++;
    }
    dir->mask |= mask;
    /* now, not at the end: what comes after this moment is told. Never less than before: the table
     * of the last scan still counts on it */
    dir->wd = inotify_add_watch(scan->fd, path, dir->mask | IN_MASK_ADD);
    if (dir->wd < 0 && errno == ENOSPC && scan->result == 0)
        scan->result = -ENOSPC;
    return dir;
}

static void add_name(struct watched *dir, const char *name, size_t length) {
    if (!dir || length >= sizeof dir->names[0])
        return;
    for (size_t i = 0; i < dir->name_count; i++)
        if (strlen(dir->names[i]) == length && memcmp(dir->names[i], name, length) == 0)
            return;
    if (dir->name_count == NAMES_MAX)
        return;
    memcpy(dir->names[dir->name_count], name, length);
    dir->names[dir->name_count++][length] = '\0';
}

static bool is_directory(const char *path) {
    struct stat status;

    return stat(path, &status) >= 0 && S_ISDIR(status.st_mode);
}

static bool is_link(const char *path) {
    struct stat status;

    return lstat(path, &status) >= 0 && S_ISLNK(status.st_mode);
}

/* Goes down `path` below `base` as far as there are directories, and watches for the step that is
 * missing; also for links on the way, which may come to lead elsewhere (snap's "current"). Returns
 * whether the whole path is there. */
static bool go_down(struct scan *scan, const char *base, const char *path) {
    char here[USER_DIRS_PATH_MAX];
    size_t length = strlen(base);

    if (strlen(path) >= sizeof here)
        return false;
    memcpy(here, path, length);
    here[length] = '\0';
    while (path[length] != '\0') {
        const char *name = path + length + 1;
        size_t name_length = strcspn(name, "/");
        char next[USER_DIRS_PATH_MAX];
        struct watched *dir = NULL;

        memcpy(next, path, length + 1 + name_length);
        next[length + 1 + name_length] = '\0';
        if (!is_directory(next) || is_link(next)) {
            dir = watch_dir(scan, here[0] ? here : "/", MASK_ENTRIES);
            add_name(dir, name, name_length);
            /* it may have come just before it was watched for */
            if (!is_directory(next))
                return false;
        }
        memcpy(here, next, sizeof here);
        length += 1 + name_length;
    }
    return true;
}

/* The directory that a place is relative to may itself be missing: it is reached from the home, or
 * from the root of the file system. */
static const char *base_of(const struct user_dirs *dirs, const char *path) {
    size_t length = strlen(dirs->home);

    return strncmp(path, dirs->home, length) == 0 && path[length] == '/' ? dirs->home : "";
}

static bool place_is_there(
    struct scan *scan, const struct user_dirs *dirs, const struct browser_place *place,
    char *ret_path) {
    return place->path && user_dirs_place(dirs, place, ret_path) >= 0 &&
           go_down(scan, base_of(dirs, ret_path), ret_path);
}

static void watch_database(struct scan *scan, const char *path) {
    struct watched *dir = watch_dir(scan, path, MASK_LOST);

    add_name(dir, "cert9.db", strlen("cert9.db"));
    add_name(dir, "key4.db", strlen("key4.db"));
}

static void watch_profiles(struct scan *scan, const char *root) {
    struct watched *dir = watch_dir(scan, root, MASK_PROFILES);

    if (dir)
        dir->any_directory = true;
    add_name(dir, "profiles.ini", strlen("profiles.ini"));
    add_name(dir, "installs.ini", strlen("installs.ini"));
}

/* Whether its databases are all another's too: then it matters to nobody that it is there. */
static bool shares_all(const struct browser_family *family) {
    const struct browser_place *own = family->stores, *first = browser_families[0].stores;

    if (family == browser_families)
        return true;
    for (; own->path && first->path; own++, first++)
        if (own->base != first->base || strcmp(own->path, first->path) != 0)
            return false;
    return !own->path && !first->path;
}

static void watch_thunderbird(struct scan *scan, const struct user_dirs *dirs) {
    char path[USER_DIRS_PATH_MAX];

    for (const struct browser_place *place = browser_thunderbird_roots; place->path; place++)
        if (place_is_there(scan, dirs, place, path))
            watch_profiles(scan, path);
}

static void watch_family(
    struct scan *scan, const struct user_dirs *dirs, const struct browser_family *family) {
    char path[USER_DIRS_PATH_MAX];

    for (const struct browser_place *place = family->stores; place->path; place++) {
        if (!place_is_there(scan, dirs, place, path))
            continue;
        if (family->kind == BROWSER_FIREFOX)
            watch_profiles(scan, path);
        else
            watch_database(scan, path);
    }
    if (family->kind == BROWSER_CHROMIUM && !shares_all(family) &&
        place_is_there(scan, dirs, &family->data, path))
        (void)watch_dir(scan, path, MASK_SELF);
}

/* FNV-1a; only for telling one state from another. */
static uint64_t mix(uint64_t hash, const char *text) {
    do
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
    while (*text++);
    return hash;
}

uint64_t store_watch_mark(const struct store_location *location) {
    static const char *const files[] = {"cert9.db", "key4.db"};
    uint64_t hash = mix(UINT64_C(14695981039346656037), location->path);

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        char file[USER_DIRS_PATH_MAX];

        if (user_dirs_join(location->path, files[i], file) >= 0 && access(file, F_OK) == 0)
            hash = mix(hash, files[i]);
    }
    return hash;
}

static uint64_t mark_all(const struct user_dirs *dirs) {
    struct store_location locations[STORE_MAX];
    uint64_t mark = STORE_WATCH_NO_STORES;
    size_t count;

    store_list(dirs, locations, &count);
    for (size_t i = 0; i < count; i++)
        mark += store_watch_mark(&locations[i]);
    return mark;
}

int store_watch_scan(
    const struct store_watch *watch, const struct user_dirs *dirs,
    struct store_watch_table **ret_table, uint64_t *ret_mark) {
    struct scan scan = {.fd = watch->fd, .table = calloc(1, sizeof *scan.table)};

    if (!scan.table)
        return -ENOMEM;
    for (const struct browser_family *family = browser_families; family->id; family++)
        watch_family(&scan, dirs, family);
    if (dirs->thunderbird)
        watch_thunderbird(&scan, dirs);
    for (size_t i = 0; i < scan.table->count; i++) {
        free(scan.table->dirs[i].path);
        scan.table->dirs[i].path = NULL;
    }
    if (scan.result == -ENOMEM) {
        store_watch_table_free(scan.table);
        return -ENOMEM;
    }
    *ret_table = scan.table;
    *ret_mark = mark_all(dirs);
    return scan.result;
}

/* ---- on the loop ---- */

static const struct watched *find(const struct store_watch_table *table, int wd) {
    for (size_t i = 0; table && i < table->count; i++)
        if (table->dirs[i].wd == wd)
            return &table->dirs[i];
    return NULL;
}

void store_watch_begin(struct store_watch *watch) {
    watch->scanning = true;
}

void store_watch_take(struct store_watch *watch, struct store_watch_table *table) {
    watch->scanning = false;
    if (!table)
        return;
    for (size_t i = 0; watch->table && i < watch->table->count; i++)
        if (watch->table->dirs[i].wd >= 0 && !find(table, watch->table->dirs[i].wd))
            (void)inotify_rm_watch(watch->fd, watch->table->dirs[i].wd);
    store_watch_table_free(watch->table);
    watch->table = table;
}

static bool concerns(const struct store_watch *watch, const struct inotify_event *event) {
    const struct watched *dir = find(watch->table, event->wd);

    if (event->mask & IN_Q_OVERFLOW)
        return true;
    if (event->mask & IN_IGNORED)
        return false; /* its end was told before, or it was us */
    if (watch->scanning && !dir)
        return true;
    if (!dir)
        return false;
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
        return true;
    if (dir->any_directory && (event->mask & IN_ISDIR))
        return true;
    for (size_t i = 0; event->len > 0 && i < dir->name_count; i++)
        if (strcmp(dir->names[i], event->name) == 0)
            return true;
    return false;
}

bool store_watch_read(struct store_watch *watch) {
    /* as inotify(7) reads: aligned, and room for one event at the very least */
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool found = false;
    ssize_t size;

    while ((size = read(watch->fd, buffer, sizeof buffer)) > 0) {
        const char *at = buffer;

        while (at < buffer + size) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

            found |= concerns(watch, event);
            at += sizeof *event + event->len;
        }
    }
    return found;
}
