/* The answer to one inspection, as it grows: the worker adds what it finds, store by store; the
 * loop sends it, whole or, when a store hangs, as far as it has come. Whoever closes it first wins;
 * what is added afterwards is dropped. Thread-safe. */
#pragma once

#include "useragent/agent_message.h"
#include "useragent/store_set.h"

#include <stdbool.h>

struct inspection;

/** Returns 0 or -ENOMEM. `mode`: what devtrustd wants of the stores now. */
int inspection_new(
    const struct agent_inspection *order, enum agent_mode mode, struct inspection **ret);

/** When neither worker nor loop uses it any more. Takes NULL, returns NULL. */
struct inspection *inspection_free(struct inspection *inspection);

/* constant */
const struct agent_inspection *inspection_order(const struct inspection *inspection);
enum agent_mode inspection_mode(const struct inspection *inspection);

/* ---- the worker's ---- */

/** Whether somebody still waits for what is found. */
bool inspection_is_open(struct inspection *inspection);

/** The stores that will be looked at; each is reported as busy until it is done. */
void inspection_expect(struct inspection *inspection, const struct store_set *set);

/** Store `index` of those was looked at: `found` is copied (certificates by reference). */
void inspection_store_done(
    struct inspection *inspection, size_t index, enum reason reason,
    const struct store_certificates *found);

/** Adds a check. Text that is no valid UTF-8 is replaced, what is too long is cut. `detail` (may be
 * NULL) is a printf format. */
__attribute__((format(printf, 6, 7))) void inspection_add(
    struct inspection *inspection, enum agent_check_id id, const char *subject,
    enum agent_result result, enum reason reason, const char *detail, ...);

/** Adds what a repair did: a name of static storage. */
void inspection_add_action(struct inspection *inspection, const char *action);

/* ---- the loop's ---- */

/** Closes it and gives the parameters of Inspected; NULL if it was closed before, memory is out, or
 * `late` and there is nothing to tell that is true. `late`: stores that were not looked at are
 * named as busy. */
struct json_object *inspection_close(struct inspection *inspection, bool late);
