/* INI configuration by table (libinih): unknown sections and keys, bad values and duplicates are
 * errors with file, line and remedy. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_STRING,   /* char *, malloc'ed; the caller frees (config_free) */
    CONFIG_PATH,     /* char *, absolute, no ".." part */
    CONFIG_BOOL,     /* bool: yes|no|true|false */
    CONFIG_INT,      /* int64_t within minimum … maximum */
    CONFIG_DURATION, /* int64_t seconds: 90, 90s, 15min, 24h, 30d; within minimum … maximum */
    CONFIG_ENUM,     /* int: index into values */
    CONFIG_LIST,     /* char **, NULL-terminated, white-space separated; repeated keys append */
};

struct config_key {
    const char *section;
    const char *key;
    enum config_type type;
    size_t offset;
    int64_t minimum, maximum;  /* INT, DURATION */
    const char *const *values; /* ENUM: NULL-terminated */
    const char *help;          /* one line: what a good value is; used as the remedy */
};

/** Sets members from the file; what the file does not name keeps its value. Strings already there
 * are freed when replaced, so preset them with strdup() or NULL. `ret_error` (≥ 256 bytes):
 * "file:line: what is wrong; what to do". Returns 0, -ENOENT, -EINVAL (see ret_error), or a
 * negative errno; nothing is set then (but for -ENOMEM: release with config_free() as usual), and
 * ret_error is filled unless memory is out. Files of at most 64 KiB, lines of at most 198 bytes,
 * lists of at most 256 items; indentation has no meaning; " ;" starts a comment. */
int config_read(
    const char *path, const struct config_key *table, size_t count, void *ret_struct,
    char *ret_error, size_t error_size);

/** Frees every string and list member that the table names. */
void config_free(const struct config_key *table, size_t count, void *config);

/** "90", "15min", "24h", "30d" → seconds. Returns 0 or -EINVAL. */
int config_parse_duration(const char *text, int64_t *ret_seconds);
