/* The parameters of io.devtrust.Agent as structs: read from replies, built for calls. Bytes in,
 * bytes out. */
#pragma once

#include "common/x509_key.h"
#include "useragent/store.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>

enum agent_mode { AGENT_MODE_IDLE, AGENT_MODE_CERTIFICATE, AGENT_MODE_REMOVE };

struct agent_settings {
    bool present;
    uint8_t issuer_spki[SHA256_SIZE];
    uint8_t root_spki[SHA256_SIZE];
    char device_uuid[37];
    int64_t renew_after_s;        /* 0: not said */
    int64_t firefox_policy_since; /* seconds since 1970; 0: there is none */
};

struct agent_request {
    bool present;
    char id[USER_ID_MAX];
    char subject_uid[USER_ID_MAX];
    enum key_type key_type;
    bool key_type_known;        /* false: a newer server's type; the old certificate is kept */
    int64_t install_not_before; /* seconds since 1970 */
};

struct agent_inspection {
    char id[USER_ID_MAX]; /* empty: none */
    bool full, repair;
};

/** The certificate ends, and the server has been away; not_after 0: no such trouble. Seconds since
 * 1970. */
struct agent_expiry {
    int64_t not_after, unreachable_since;
};

/** One reply of Watch: the whole truth. */
struct agent_snapshot {
    int64_t revision;
    enum agent_mode mode;
    struct agent_settings settings;
    struct agent_request request;
    struct agent_inspection inspection;
    struct agent_expiry expiry;
};

/** Returns 0 or -EBADMSG with the field in *ret_field. */
int agent_message_read_snapshot(
    struct json_object *parameters, struct agent_snapshot *ret, const char **ret_field);

/** The reply of Submit. Exactly one: *ret_certificates (root, intermediates, leaf; at most 8;
 * sk_X509_pop_free) or *ret_retry_after_s > 0. Returns 0, -EBADMSG, -ENOMEM. */
int agent_message_read_submit(
    struct json_object *parameters, STACK_OF(X509) * *ret_certificates, int64_t *ret_retry_after_s);

/** One store in a report. */
struct agent_store_result {
    struct store_location location;
    enum reason reason; /* REASON_NONE: good */
};

struct agent_store_results {
    struct agent_store_result items[STORE_MAX];
    size_t count;
};

enum agent_outcome { AGENT_OUTCOME_INSTALLED, AGENT_OUTCOME_FAILED, AGENT_OUTCOME_REMOVED };

struct agent_report {
    enum agent_outcome outcome;
    char request_id[USER_ID_MAX];      /* empty: none */
    char serial[X509_SERIAL_HEX_SIZE]; /* empty: none */
    int64_t not_after, renew_at;       /* 0: none */
    enum reason reason;                /* REASON_NONE: none */
    struct agent_store_results stores;
};

#define AGENT_CHECKS_MAX 128 /* kept of one inspection */
#define AGENT_CHECKS_SENT 64 /* of those: what is not well first, in the order of being found */
#define AGENT_ACTIONS_MAX 16
#define AGENT_DETAIL_SIZE 257

enum agent_check_id {
    AGENT_CHECK_STORE,
    AGENT_CHECK_STORE_CERTIFICATE,
    AGENT_CHECK_STORE_KEY,
    AGENT_CHECK_STORE_SINGLE,
    AGENT_CHECK_STORE_EXPIRY,
    AGENT_CHECK_BROWSER_STORE,
    AGENT_CHECK_BROWSER_RESTART,
    AGENT_CHECK_HOME_DISK,
    AGENT_CHECK_HOME_PERMISSIONS,
    AGENT_CHECK_RECORD,
    AGENT_CHECK_COUNT_
};

/** "store" …: the ids of io.devtrust.Agent.AgentCheck. */
const char *agent_check_name(enum agent_check_id id);

/* The order is that of importance. */
enum agent_result {
    AGENT_RESULT_FAILURE,
    AGENT_RESULT_WARNING,
    AGENT_RESULT_NOT_APPLICABLE, /* also: could not be looked at; the detail or the code says why */
    AGENT_RESULT_OK,
    AGENT_RESULT_COUNT_
};

struct agent_check {
    enum agent_check_id id;
    enum agent_result result;
    enum reason reason; /* REASON_NONE: none */
    char subject[USER_DIRS_PATH_MAX];
    char detail[AGENT_DETAIL_SIZE]; /* empty: none */
};

/** What a full inspection found and what its repair did. */
struct agent_findings {
    struct agent_check checks[AGENT_CHECKS_MAX];
    size_t check_count;
    const char *actions[AGENT_ACTIONS_MAX];
    size_t action_count;
};

/** Copies text from elsewhere so that it may stand in a message: what is no UTF-8 is replaced, what
 * is too long for `size` bytes is cut between two characters. */
void agent_message_clean(const char *text, char *ret, size_t size);

/** Parameters for the calls; NULL when memory is out. The caller owns them. */
struct json_object *agent_message_watch(const char *version);
struct json_object *agent_message_submit(const char *request_id, const char *csr);
struct json_object *agent_message_report(const struct agent_report *report);
struct json_object *agent_message_renew(const char *reason);

/** The answer to an inspection: what each store holds. `found[i]` belongs to `results->items[i]`.
 * `findings`: NULL for an inspection that is not full. NULL also for what fits into no message. */
struct json_object *agent_message_inspected(
    const char *id, const struct agent_store_results *results,
    const struct store_certificates *found, const struct agent_findings *findings);
