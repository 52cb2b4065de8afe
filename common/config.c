/* INI files by table over libinih. The reader in front of the library counts the lines and refuses
 * what the library would cut, skip or join without a word, so that every error names its line. */
#include "common/config.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_SIZE ((size_t)64 * 1024)
#define MAX_LIST_ITEMS 256
#define MAX_QUOTED 96 /* bytes of a bad value that an error shows */

/* What was seen of a key so far. */
struct use {
    bool seen;
    size_t words; /* LIST */
};

/* One walk over the file. The first error ends it. */
struct walk {
    const char *path;
    const struct config_key *table;
    size_t count;
    struct use *uses; /* per key of the table */
    void *target;     /* NULL: only check */

    const char *next, *end; /* what is left of the text */
    int line;               /* the one that was handed out last */

    int error; /* 0 or a negative errno */
    char *ret_error;
    size_t error_size;
};

/* --- errors --- */

__attribute__((format(printf, 2, 3))) static int refuse(
    struct walk *walk, const char *format, ...) {
    if (walk->error < 0)
        return walk->error;
    walk->error = -EINVAL;

    char what[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    if (walk->error_size > 0)
        (void)snprintf(
            walk->ret_error, walk->error_size, "%s:%d: %s", walk->path, walk->line, what);
    return walk->error;
}

static const char *quoted(const char *text, char ret[MAX_QUOTED]) {
    return log_escape(text, strlen(text), ret, MAX_QUOTED);
}

/* --- values: each parser returns 0, -EINVAL (the caller names the remedy) or -ENOMEM --- */

static int parse_digits(const char **text, int64_t *ret) {
    const char *p = *text;
    if (*p < '0' || *p > '9')
        return -EINVAL;
    int64_t value = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *p - '0', &value))
            return -EINVAL;
    *text = p;
    *ret = value;
    return 0;
}

static int parse_int(const char *text, int64_t *ret) {
    bool negative = *text == '-';
    if (negative)
        text++;
    int64_t value;
    if (parse_digits(&text, &value) < 0 || *text != '\0')
        return -EINVAL;
    *ret = negative ? -value : value;
    return 0;
}

int config_parse_duration(const char *text, int64_t *ret_seconds) {
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};

    int64_t value;
    if (!text || parse_digits(&text, &value) < 0)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_LENGTH(units); i++)
        if (strcmp(text, units[i].name) == 0) {
            if (__builtin_mul_overflow(value, units[i].seconds, &value))
                return -EINVAL;
            *ret_seconds = value;
            return 0;
        }
    return -EINVAL;
}

static int parse_bool(const char *text, bool *ret) {
    static const struct {
        const char *name;
        bool value;
    } names[] = {{"yes", true}, {"true", true}, {"no", false}, {"false", false}};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (strcmp(text, names[i].name) == 0) {
            *ret = names[i].value;
            return 0;
        }
    return -EINVAL;
}

static int parse_enum(const char *text, const char *const *values, int *ret) {
    for (int i = 0; values[i]; i++)
        if (strcmp(text, values[i]) == 0) {
            *ret = i;
            return 0;
        }
    return -EINVAL;
}

static bool path_is_good(const char *path) {
    if (path[0] != '/')
        return false;
    for (const char *part = path; part; part = strchr(part + 1, '/')) {
        size_t length = strcspn(part + 1, "/");
        if (length == 2 && part[1] == '.' && part[2] == '.')
            return false;
    }
    return true;
}

/* --- members --- */

static int set_string(const char *text, char **member) {
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*member);
    *member = copy;
    return 0;
}

static const char list_space[] = " \t";

static char **list_free(char **list) {
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
    return NULL;
}

DEFINE_CLEANUP(char **, list_free);

static size_t list_length(char *const *list) {
    size_t length = 0;
    while (list && list[length])
        length++;
    return length;
}

static size_t count_words(const char *text) {
    size_t words = 0;
    for (text += strspn(text, list_space); *text != '\0'; text += strspn(text, list_space)) {
        words++;
        text += strcspn(text, list_space);
    }
    return words;
}

/* Appends the words of `text`; the list is always NULL-terminated, also between two words. */
static int list_append(char ***list, const char *text) {
    size_t length = list_length(*list);

    for (text += strspn(text, list_space);; text += strspn(text, list_space)) {
        char **grown = reallocarray(*list, length + 2, sizeof(char *));
        if (!grown)
            return -ENOMEM;
        *list = grown;
        grown[length] = NULL;
        if (*text == '\0')
            return 0;

        size_t size = strcspn(text, list_space);
        grown[length] = strndup(text, size);
        if (!grown[length])
            return -ENOMEM;
        grown[++length] = NULL;
        text += size;
    }
}

/* The first line of a key replaces what was preset, further ones append. */
static int set_list(const char *text, bool append, char ***member) {
    CLEANUP(list_free_ptr) char **list = NULL;
    if (append)
        list = TAKE_PTR(*member);
    else
        *member = list_free(*member);
    int r = list_append(&list, text);
    *member = TAKE_PTR(list);
    return r;
}

static bool in_range(const struct config_key *key, int64_t value) {
    return value >= key->minimum && value <= key->maximum;
}

/* Checks one value and sets it where `member` is not NULL. */
static int set_value(const struct config_key *key, const char *text, bool again, void *member) {
    union {
        bool boolean;
        int64_t number;
        int index;
    } value;
    int r = 0;

    switch (key->type) {
    case CONFIG_STRING:
    case CONFIG_PATH:
        if (text[0] == '\0' || (key->type == CONFIG_PATH && !path_is_good(text)))
            return -EINVAL;
        return member ? set_string(text, member) : 0;
    case CONFIG_LIST:
        return member ? set_list(text, again, member) : 0;
    case CONFIG_BOOL:
        r = parse_bool(text, &value.boolean);
        if (r == 0 && member)
            *(bool *)member = value.boolean;
        return r;
    case CONFIG_ENUM:
        r = parse_enum(text, key->values, &value.index);
        if (r == 0 && member)
            *(int *)member = value.index;
        return r;
    case CONFIG_INT:
    case CONFIG_DURATION:
        r = key->type == CONFIG_INT ? parse_int(text, &value.number)
                                    : config_parse_duration(text, &value.number);
        if (r < 0 || !in_range(key, value.number))
            return -EINVAL;
        if (member)
            *(int64_t *)member = value.number;
        return 0;
    }
    return -EINVAL;
}

/* --- the walk --- */

static const struct config_key *find_key(
    const struct walk *walk, const char *section, const char *name) {
    for (size_t i = 0; i < walk->count; i++)
        if (strcmp(walk->table[i].section, section) == 0 && strcmp(walk->table[i].key, name) == 0)
            return &walk->table[i];
    return NULL;
}

static bool section_is_known(const struct walk *walk, const char *name, size_t length) {
    for (size_t i = 0; i < walk->count; i++)
        if (strlen(walk->table[i].section) == length &&
            memcmp(walk->table[i].section, name, length) == 0)
            return true;
    return false;
}

/* For libinih: 1 is good, 0 is an error. */
static int handle_value(void *userdata, const char *section, const char *name, const char *text) {
    struct walk *walk = userdata;
    char shown[MAX_QUOTED];

    if (walk->error < 0)
        return 0;
    const struct config_key *key = find_key(walk, section, name);
    if (!key && section[0] == '\0') {
        (void)refuse(
            walk, "\"%s\" stands before the first [section]; move it into one",
            quoted(name, shown));
        return 0;
    }
    if (!key) {
        (void)refuse(
            walk, "unknown key \"%s\" in [%s]; mend the name or remove the line",
            quoted(name, shown), section);
        return 0;
    }

    struct use *use = &walk->uses[key - walk->table];
    if (use->seen && key->type != CONFIG_LIST) {
        (void)refuse(walk, "%s is set for the second time; remove one of the lines", key->key);
        return 0;
    }
    if (key->type == CONFIG_LIST)
        use->words += count_words(text);
    if (use->words > MAX_LIST_ITEMS) {
        (void)refuse(walk, "%s has more than %d items; remove some", key->key, MAX_LIST_ITEMS);
        return 0;
    }
    void *member = walk->target ? (char *)walk->target + key->offset : NULL;
    int r = set_value(key, text, use->seen, member);
    use->seen = true;
    if (r == -ENOMEM)
        walk->error = r;
    else if (r < 0)
        (void)refuse(walk, "bad value \"%s\" for %s; %s", quoted(text, shown), key->key, key->help);
    return r == 0;
}

/* "[name]" and perhaps a comment; libinih would take any other rest for nothing. */
static int check_section_line(struct walk *walk, const char *line, size_t length) {
    const char *close = memchr(line, ']', length);
    if (!close)
        return refuse(walk, "the ] of the section is missing; write [section]");
    size_t name_length = (size_t)(close - line) - 1;
    if (!section_is_known(walk, line + 1, name_length))
        return refuse(walk, "unknown section; mend the name or remove the section");
    const char *rest = close + 1;
    while (rest < line + length && (*rest == ' ' || *rest == '\t'))
        rest++;
    if (rest < line + length && *rest != ';' && *rest != '#')
        return refuse(walk, "text behind the section; write it on a line of its own");
    return 0;
}

static int check_text(struct walk *walk, const char *line, size_t length) {
    for (size_t i = 0; i < length;) {
        uint32_t code;
        int size = utf8_decode(line + i, length - i, &code);
        if (size < 0)
            return refuse(walk, "not valid UTF-8; save the file as UTF-8");
        if ((code < 0x20 && code != '\t') || code == 0x7f)
            return refuse(walk, "a control character; remove it");
        i += (size_t)size;
    }
    return 0;
}

/* The next line without white space around it: indentation has no meaning, where libinih would join
 * an indented line to the one before. Returns false at the end. */
static bool take_line(struct walk *walk, const char **ret_line, size_t *ret_length) {
    if (walk->next == walk->end)
        return false;
    const char *line = walk->next;
    const char *newline = memchr(line, '\n', (size_t)(walk->end - line));
    const char *end = newline ? newline : walk->end;
    walk->next = newline ? newline + 1 : walk->end;
    walk->line++;

    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    *ret_line = line;
    *ret_length = (size_t)(end - line);
    return true;
}

/* fgets() for libinih: hands out one line, its newline included, into `size` bytes (INI_MAX_LINE of
 * the library's build). NULL at the end and after an error. */
static char *read_line(char *ret, int size, void *stream) {
    struct walk *walk = stream;
    const char *line;
    size_t length;

    if (walk->error < 0 || !take_line(walk, &line, &length))
        return NULL;
    if (length > 0 && (line[0] == '#' || line[0] == ';'))
        length = 0; /* a comment may be as long as it likes */
    if (length + 2 > (size_t)size) {
        (void)refuse(
            walk, "the line is longer than %d bytes; shorten it%s", size - 2,
            " (a list may be spread over several lines of the same key)");
        return NULL;
    }
    if (check_text(walk, line, length) < 0)
        return NULL;
    if (length > 0 && line[0] == '[' && check_section_line(walk, line, length) < 0)
        return NULL;

    memcpy(ret, line, length);
    ret[length] = '\n';
    ret[length + 1] = '\0';
    return ret;
}

static int walk_text(struct walk *walk, const char *text, size_t size) {
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    const size_t mark_size = sizeof(byte_order_mark) - 1;

    walk->next = text;
    walk->end = text + size;
    if (size >= mark_size && memcmp(text, byte_order_mark, mark_size) == 0)
        walk->next += mark_size;
    walk->line = 0;
    memset(walk->uses, 0, walk->count * sizeof(walk->uses[0]));

    int r = ini_parse_stream(read_line, walk, handle_value, walk);
    if (r == -2)
        return -ENOMEM;
    if (r > 0 && (walk->error == 0 || r < walk->line)) { /* a syntax error, seen by the library */
        walk->error = 0;
        walk->line = r;
        return refuse(walk, "neither a [section] nor key = value; mend the line");
    }
    return walk->error;
}

/* --- the file --- */

static int read_text(const char *path, char *text, size_t *ret_size) {
    /* O_NONBLOCK: a FIFO in the file's place must not hang the program */
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;

    size_t used = 0;
    for (;;) {
        ssize_t n = read(fd, text + used, MAX_FILE_SIZE + 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > MAX_FILE_SIZE)
            return -EFBIG;
    }
    *ret_size = used;
    return 0;
}

static int explain_read(const char *path, int error, char *ret_error, size_t error_size) {
    const char *what = strerrordesc_np(-error);
    const char *remedy = "check the path and its permissions";
    if (error == -EFBIG) {
        what = "The file is larger than 64 KiB";
        remedy = "shorten it";
    } else if (error == -EINVAL) {
        what = "This is no regular file";
        remedy = "put a text file in its place";
    }
    if (error_size > 0)
        (void)snprintf(
            ret_error, error_size, "%s: %s; %s", path, what ? what : "unreadable", remedy);
    return error == -EFBIG ? -EINVAL : error;
}

int config_read(
    const char *path, const struct config_key *table, size_t count, void *ret_struct,
    char *ret_error, size_t error_size) {
    CLEANUP_FREE char *text = malloc(MAX_FILE_SIZE + 1);
    CLEANUP_FREE struct use *uses = calloc(count + 1, sizeof(*uses));
    if (!text || !uses)
        return -ENOMEM;
    size_t size = 0;
    int r = read_text(path, text, &size);
    if (r < 0)
        return explain_read(path, r, ret_error, error_size);

    struct walk walk = {
        .path = path,
        .table = table,
        .count = count,
        .uses = uses,
        .ret_error = ret_error,
        .error_size = error_size,
    };
    /* first only look: a file with an error leaves the struct as it was */
    r = walk_text(&walk, text, size);
    if (r < 0)
        return r;
    walk.target = ret_struct;
    return walk_text(&walk, text, size);
}

void config_free(const struct config_key *table, size_t count, void *config) {
    for (size_t i = 0; i < count; i++) {
        void *member = (char *)config + table[i].offset;
        if (table[i].type == CONFIG_STRING || table[i].type == CONFIG_PATH) {
            free(*(char **)member);
            *(char **)member = NULL;
        } else if (table[i].type == CONFIG_LIST) {
            *(char ***)member = list_free(*(char ***)member);
        }
    }
}
