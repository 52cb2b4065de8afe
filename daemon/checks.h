/* What Diagnose answers: a list of checks, each with a result, a sentence, and, where something is
 * not well, its code and what to do. Bounded: a reply holds a megabyte. */
#pragma once

#include "common/reason.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes of JSON. What is well is left out past the first, anything past the second; that it was is
 * a check of its own. */
#define CHECKS_MAX_GOOD ((size_t)768 * 1024)
#define CHECKS_MAX ((size_t)960 * 1024)

enum check_result { CHECK_OK, CHECK_WARNING, CHECK_FAILURE, CHECK_NOT_APPLICABLE };

struct check {
    const char *id;      /* stable: devtrustctl(1) lists them */
    const char *user;    /* local name; NULL: the device's */
    const char *subject; /* a path, a URL, a browser; escaped; NULL: none */
    enum check_result result;
    enum reason reason; /* WARNING, FAILURE: never NONE */
    const char *code;   /* of a newer agent, instead of the reason's; NULL: the reason's */
    const char *text;   /* a sentence; NULL: the reason's */
    const char *detail; /* said after the sentence, in parentheses; escaped; NULL or "": none */
    const char *remedy; /* NULL: the reason's */
};

struct checks {
    struct json_object *array;
    size_t bytes;
    unsigned left_out;
    bool failed; /* memory ran out */
};

/** A zeroed one is empty. */
void checks_add(struct checks *checks, const struct check *check);

/** Whether a check of this id and (unescaped) subject is in the list. */
bool checks_has(const struct checks *checks, const char *id, const char *subject);

/** The array of io.devtrust.Device's Check; the list is empty afterwards. NULL when memory ran
 * out. */
struct json_object *checks_take(struct checks *checks);

void checks_deinit(struct checks *checks);
#define CLEANUP_CHECKS CLEANUP(checks_deinit)

const char *check_result_name(enum check_result result);
/** Unknown names (a newer agent's) read as WARNING. */
enum check_result check_result_from_name(const char *name);
