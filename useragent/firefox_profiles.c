/* Reads profiles.ini and installs.ini as Firefox does (nsINIParser, nsToolkitProfileService). Not
 * with libinih: it cuts lines at 200 bytes, joins indented ones and takes " ;" for a comment, all
 * of which a path may contain. */
#include "useragent/firefox_profiles.h"

#include "common/browser_family.h"
#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)64 * 1024) /* some 600 profiles */
#define GROUP_ENTRIES_MAX 1024       /* of a root that are looked at */

void firefox_profiles_deinit(struct firefox_profiles *profiles) {
    for (size_t i = 0; i < profiles->count; i++)
        free(profiles->paths[i]);
    *profiles = (struct firefox_profiles){0};
}

/* ---- one profile ---- */

/* Two names of one directory (a symbolic link, relative and absolute) are one database. */
static bool is_known(const struct firefox_profiles *profiles, const struct stat *status) {
    struct stat other;

    for (size_t i = 0; i < profiles->count; i++)
        if (stat(profiles->paths[i], &other) == 0 && other.st_dev == status->st_dev &&
            other.st_ino == status->st_ino)
            return true;
    return false;
}

static int add(struct firefox_profiles *profiles, const char *path) {
    struct stat status;
    char *copy;

    /* the link in its place is the user's own, followed as Firefox follows it */
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode) || is_known(profiles, &status))
        return 0;
    if (profiles->count == FIREFOX_PROFILES_MAX) {
        profiles->more = true;
        return 0;
    }
    copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    profiles->paths[profiles->count++] = copy;
    return 0;
}

static bool has_dot_dot(const char *path) {
    for (const char *part = path; *part; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");

        if (length == 2 && part[0] == '.' && part[1] == '.')
            return true;
        part += length;
    }
    return false;
}

static int add_named(
    struct firefox_profiles *profiles, const char *root, const char *path, bool relative) {
    char joined[USER_DIRS_PATH_MAX];

    if (!relative)
        return path[0] == '/' && strlen(path) < USER_DIRS_PATH_MAX ? add(profiles, path) : 0;
    if (path[0] == '\0' || path[0] == '/' || has_dot_dot(path) ||
        user_dirs_join(root, path, joined) < 0)
        return 0;
    return add(profiles, joined);
}

/* ---- the file ---- */

enum section_kind {
    SECTION_NONE,    /* before the first, or one whose line is broken */
    SECTION_PROFILE, /* [Profile…] */
    SECTION_INSTALL, /* any other: [Install…], or its hash alone in installs.ini */
};

struct section {
    enum section_kind kind;
    bool relative;
    char path[USER_DIRS_PATH_MAX]; /* empty: none so far */
};

static int end_section(
    struct firefox_profiles *profiles, const char *root, struct section *section) {
    int r = 0;

    if (section->path[0] != '\0')
        r = add_named(
            profiles, root, section->path,
            section->kind == SECTION_PROFILE ? section->relative : section->path[0] != '/');
    *section = (struct section){0};
    return r;
}

static bool text_is(const char *text, size_t size, const char *wanted) {
    return strlen(wanted) == size && memcmp(text, wanted, size) == 0;
}

static void take_path(struct section *section, const char *value, size_t size) {
    if (size == 0 || size >= sizeof section->path || memchr(value, '\0', size))
        return;
    memcpy(section->path, value, size);
    section->path[size] = '\0';
}

static void take_value(
    struct section *section, const char *key, size_t key_size, const char *value, size_t size,
    bool *ret_group) {
    if (section->kind == SECTION_PROFILE) {
        if (text_is(key, key_size, "Path"))
            take_path(section, value, size);
        else if (text_is(key, key_size, "IsRelative"))
            section->relative = text_is(value, size, "1");
        else if (text_is(key, key_size, "StoreID"))
            *ret_group = true;
    } else if (section->kind == SECTION_INSTALL && text_is(key, key_size, "Default")) {
        take_path(section, value, size);
    }
}

static enum section_kind kind_of(const char *line, size_t size) {
    static const char profile[] = "[Profile";

    if (line[size - 1] != ']')
        return SECTION_NONE;
    return size >= sizeof profile && memcmp(line, profile, sizeof profile - 1) == 0
               ? SECTION_PROFILE
               : SECTION_INSTALL;
}

/* Blanks before a line have no meaning; behind a value they belong to it. */
static void trim(const char **line, size_t *size) {
    while (*size > 0 && (**line == ' ' || **line == '\t')) {
        (*line)++;
        (*size)--;
    }
    while (*size > 0 && (*line)[*size - 1] == '\r')
        (*size)--;
}

int firefox_profiles_parse(
    const char *root, const char *text, size_t size, struct firefox_profiles *profiles,
    bool *ret_group) {
    struct section section = {0};
    const char *end = text + size;
    int r;

    for (const char *line = text, *next; line < end; line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((newline ? newline : end) - line);
        const char *equals;

        next = newline ? newline + 1 : end;
        trim(&line, &length);
        if (length == 0 || line[0] == '#' || line[0] == ';')
            continue;
        if (line[0] == '[') {
            r = end_section(profiles, root, &section);
            if (r < 0)
                return r;
            section.kind = kind_of(line, length);
            continue;
        }
        equals = memchr(line, '=', length);
        if (equals)
            take_value(
                &section, line, (size_t)(equals - line), equals + 1,
                length - (size_t)(equals + 1 - line), ret_group);
    }
    return end_section(profiles, root, &section);
}

/* ---- a root ---- */

/* What cannot be read names no profiles. */
static int read_file(const char *path, char **ret, size_t *ret_size) {
    /* O_NONBLOCK: a FIFO in the file's place must not hang the agent */
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    CLEANUP_FREE char *text = NULL;
    struct stat status;
    size_t size = 0;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return -ENOENT;
    text = malloc(FILE_MAX);
    if (!text)
        return -ENOMEM;
    while (size < FILE_MAX) {
        ssize_t count = read(fd, text + size, FILE_MAX - size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        size += (size_t)count;
    }
    *ret = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

static int add_file(
    struct firefox_profiles *profiles, const char *root, const char *name, bool *ret_group) {
    CLEANUP_FREE char *text = NULL;
    char path[USER_DIRS_PATH_MAX];
    size_t size;
    int r;

    if (user_dirs_join(root, name, path) < 0)
        return 0;
    r = read_file(path, &text, &size);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    return firefox_profiles_parse(root, text, size, profiles, ret_group);
}

static bool is_profile(const char *directory) {
    char times[USER_DIRS_PATH_MAX];

    return user_dirs_join(directory, "times.json", times) >= 0 && access(times, F_OK) == 0;
}

/* Since version 138 a [Profile…] with a StoreID stands for a group of profiles: only the one used
 * last has its name there, the others are in a database of Firefox's beside it, and all lie in the
 * root (tried: firefox-esr 153). Each profile has a times.json from its first moment on. */
static int add_group(struct firefox_profiles *profiles, const char *root) {
    CLEANUP_CLOSEDIR DIR *dir = opendir(root);
    unsigned looked_at = 0;
    int r = 0;

    if (!dir)
        return 0;
    for (struct dirent *entry = readdir(dir); r >= 0 && entry && looked_at < GROUP_ENTRIES_MAX;
         entry = readdir(dir), looked_at++) {
        char profile[USER_DIRS_PATH_MAX];

        if (entry->d_name[0] != '.' && user_dirs_join(root, entry->d_name, profile) >= 0 &&
            is_profile(profile))
            r = add(profiles, profile);
    }
    return r;
}

static int add_root(struct firefox_profiles *profiles, const char *root) {
    bool group = false;
    int r = add_file(profiles, root, "profiles.ini", &group);

    if (r >= 0)
        r = add_file(profiles, root, "installs.ini", &group);
    return r >= 0 && group ? add_group(profiles, root) : r;
}

static int add_roots(
    struct firefox_profiles *profiles, const struct user_dirs *dirs,
    const struct browser_place *places) {
    int r = 0;

    for (const struct browser_place *place = places; r >= 0 && place->path; place++) {
        char root[USER_DIRS_PATH_MAX];

        if (user_dirs_place(dirs, place, root) >= 0)
            r = add_root(profiles, root);
    }
    return r;
}

/* Families share roots: a directory is taken once, whoever names it. */
int firefox_profiles_list(const struct user_dirs *dirs, struct firefox_profiles *ret) {
    CLEANUP_FIREFOX_PROFILES struct firefox_profiles profiles = {0};
    int r = 0;

    for (const struct browser_family *family = browser_families; r >= 0 && family->id; family++)
        if (family->kind == BROWSER_FIREFOX)
            r = add_roots(&profiles, dirs, family->stores);
    if (r >= 0 && dirs->thunderbird)
        r = add_roots(&profiles, dirs, browser_thunderbird_roots);
    if (r < 0)
        return r;
    *ret = profiles;
    profiles = (struct firefox_profiles){0};
    return 0;
}
