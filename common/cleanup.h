/* Scope-bound release of resources: the compiler runs the release on every way out of the scope. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** Attach a release function `void f(type *)` to a local variable, which may be there for its
 * release alone. */
#define CLEANUP(function) __attribute__((cleanup(function), unused))

/** Define `function_ptr(type **)` from `type *function(type *)` (free functions take NULL, return
 * NULL). */
#define DEFINE_CLEANUP(type, function)                                                             \
    __attribute__((unused)) static inline void function##_ptr(                                     \
        type *pointer) /* NOLINT: a type takes no parentheses */ {                                 \
        if (*pointer)                                                                              \
            function(*pointer);                                                                    \
    }                                                                                              \
    struct cleanup_semicolon_eater

static inline void cleanup_free(void *pointer) {
    free(*(void **)pointer);
}

static inline void cleanup_close(const int *fd) {
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_fclose(FILE **file) {
    if (*file)
        fclose(*file);
}

static inline void cleanup_closedir(DIR **dir) {
    if (*dir)
        closedir(*dir);
}

#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_CLOSE CLEANUP(cleanup_close)
#define CLEANUP_FCLOSE CLEANUP(cleanup_fclose)
#define CLEANUP_CLOSEDIR CLEANUP(cleanup_closedir)

/** Give a cleanup local away: evaluates to its value and sets it to NULL. */
#define TAKE_PTR(pointer)                                                                          \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

/** Give a cleanup descriptor away: evaluates to its value and sets it to -1. */
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int taken_ = (fd);                                                                         \
        (fd) = -1;                                                                                 \
        taken_;                                                                                    \
    })

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
