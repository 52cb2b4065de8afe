/* See top_sample.h. */
#include "ipc/ctl/top_sample.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX (INT64_MAX - 1)
#define NUMBER(struct_, member_)                                                                   \
    JSON_FIELD(struct_, member_, #member_, JSON_FIELD_INT, false, 0, NUMBER_MAX)

/* ---- methods ---- */

struct method_fields {
    struct top_method method;
    struct json_object *latency;
};

static const struct json_field method_table[] = {
    JSON_FIELD(struct method_fields, method.name, "method", JSON_FIELD_STRING, true, 1, 256),
    JSON_FIELD(struct method_fields, method.calls, "calls", JSON_FIELD_INT, true, 0, NUMBER_MAX),
    JSON_FIELD(struct method_fields, method.errors, "errors", JSON_FIELD_INT, true, 0, NUMBER_MAX),
    JSON_FIELD(struct method_fields, method.open, "open", JSON_FIELD_INT, true, 0, NUMBER_MAX),
    JSON_FIELD(struct method_fields, latency, "latency", JSON_FIELD_OBJECT, true, 0, 0),
};
static const struct json_field latency_table[] = {
    NUMBER(struct top_method, p50_us),
    NUMBER(struct top_method, p90_us),
    NUMBER(struct top_method, p99_us),
    NUMBER(struct top_method, max_us),
};

static int read_method(struct json_object *object, struct top_method *ret) {
    struct method_fields fields = {.latency = NULL};
    int r = json_fields_read(object, method_table, ARRAY_LENGTH(method_table), &fields, NULL);
    if (r == 0)
        r = json_fields_read(
            fields.latency, latency_table, ARRAY_LENGTH(latency_table), &fields.method, NULL);
    if (r < 0)
        return r;
    *ret = fields.method;
    return 0;
}

/* A daemon that has restarted in between counts from 0 again. */
static double rate_since(
    const struct top_method *method, const struct top_sample *before, double seconds) {
    for (size_t i = 0; i < before->method_count; i++)
        if (strcmp(before->methods[i].name, method->name) == 0 &&
            before->methods[i].calls <= method->calls)
            return (double)(method->calls - before->methods[i].calls) / seconds;
    return (double)method->calls / seconds;
}

static int compare_methods(const void *a, const void *b) {
    const struct top_method *one = a, *other = b;
    if (one->calls_per_s != other->calls_per_s)
        return one->calls_per_s < other->calls_per_s ? 1 : -1;
    if (one->calls != other->calls)
        return one->calls < other->calls ? 1 : -1;
    return strcmp(one->name, other->name);
}

static int read_methods(
    struct top_sample *sample, struct json_object *methods, const struct top_sample *before) {
    double seconds = before ? (double)(sample->time_us - before->time_us) / 1e6 : 0;
    sample->calls_per_s = seconds > 0 ? 0 : -1;
    for (size_t i = 0; i < json_object_array_length(methods); i++) {
        struct top_method *method = &sample->methods[sample->method_count];
        if (sample->method_count == TOP_METHODS_MAX)
            break;
        int r = read_method(json_object_array_get_idx(methods, i), method);
        if (r < 0)
            return r;
        method->calls_per_s = before && seconds > 0 ? rate_since(method, before, seconds) : -1;
        if (seconds > 0)
            sample->calls_per_s += method->calls_per_s;
        sample->method_count++;
    }
    qsort(sample->methods, sample->method_count, sizeof *sample->methods, compare_methods);
    return 0;
}

/* ---- users ---- */

static const struct json_field user_table[] = {
    JSON_FIELD(struct top_user, uid, "uid", JSON_FIELD_INT, true, 0, UINT32_MAX),
    NUMBER(struct top_user, connections),
    NUMBER(struct top_user, outstanding),
    NUMBER(struct top_user, bytes),
    NUMBER(struct top_user, messages_left),
    NUMBER(struct top_user, refused),
    NUMBER(struct top_user, delayed),
};
static const struct json_field limits_table[] = {
    NUMBER(struct top_limits, connections),    NUMBER(struct top_limits, outstanding),
    NUMBER(struct top_limits, bytes),          NUMBER(struct top_limits, messages_per_s),
    NUMBER(struct top_limits, messages_burst),
};

static double share(int64_t used, int64_t limit) {
    return limit > 0 ? (double)used / (double)limit : 0;
}

double top_user_pressure(const struct top_user *user, const struct top_limits *limits) {
    const double shares[] = {
        share(user->connections, limits->connections),
        share(user->outstanding, limits->outstanding),
        share(user->bytes, limits->bytes),
        share(limits->messages_burst - user->messages_left, limits->messages_burst),
    };
    double most = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(shares); i++)
        if (shares[i] > most)
            most = shares[i];
    return most;
}

static const struct top_limits *compared_limits; /* qsort() passes nothing on */

static int compare_users(const void *a, const void *b) {
    const struct top_user *one = a, *other = b;
    double pressure = top_user_pressure(one, compared_limits),
           other_pressure = top_user_pressure(other, compared_limits);
    if (pressure != other_pressure)
        return pressure < other_pressure ? 1 : -1;
    return one->uid < other->uid ? -1 : one->uid > other->uid;
}

static int read_users(
    const struct ctl *ctl, struct top_sample *sample, struct json_object *quotas) {
    for (size_t i = 0; quotas && i < json_object_array_length(quotas); i++) {
        struct top_user *user = &sample->users[sample->user_count];
        if (sample->user_count == TOP_USERS_MAX)
            break;
        int r = json_fields_read(
            json_object_array_get_idx(quotas, i), user_table, ARRAY_LENGTH(user_table), user, NULL);
        if (r < 0)
            return r;
        if (ctl_account(ctl, (uid_t)user->uid, user->name) < 0)
            snprintf(user->name, sizeof user->name, "%" PRId64, user->uid);
        sample->user_count++;
    }
    compared_limits = &sample->limits;
    qsort(sample->users, sample->user_count, sizeof *sample->users, compare_users);
    return 0;
}

/* ---- all ---- */

struct statistics_fields {
    int64_t uptime_s;
    struct json_object *methods;
};
static const struct json_field statistics_table[] = {
    JSON_FIELD(struct statistics_fields, uptime_s, "uptime_s", JSON_FIELD_INT, true, 0, NUMBER_MAX),
    JSON_FIELD(struct statistics_fields, methods, "methods", JSON_FIELD_ARRAY, true, 0, 0),
};

struct connections_fields {
    struct json_object *connections, *quotas, *limits;
};
static const struct json_field connections_table[] = {
    JSON_FIELD(
        struct connections_fields, connections, "connections", JSON_FIELD_ARRAY, true, 0, 8192),
    JSON_FIELD(struct connections_fields, quotas, "quotas", JSON_FIELD_ARRAY, false, 0, 8192),
    JSON_FIELD(struct connections_fields, limits, "limits", JSON_FIELD_OBJECT, false, 0, 0),
};

struct top_sample *top_sample_free(struct top_sample *sample) {
    if (!sample)
        return NULL;
    json_object_put(sample->statistics);
    json_object_put(sample->connections);
    free(sample);
    return NULL;
}

DEFINE_CLEANUP(struct top_sample *, top_sample_free);

int top_sample_new(
    const struct ctl *ctl, struct json_object *statistics, struct json_object *connections,
    int64_t time_us, const struct top_sample *before, struct top_sample **ret) {
    struct statistics_fields counted = {0};
    struct connections_fields open = {0};
    struct top_sample CLEANUP(top_sample_free_ptr) *sample = calloc(1, sizeof *sample);
    if (!sample)
        return -ENOMEM;
    sample->statistics = json_object_get(statistics);
    sample->connections = json_object_get(connections);
    sample->time_us = time_us;
    int r = json_fields_read(
        statistics, statistics_table, ARRAY_LENGTH(statistics_table), &counted, NULL);
    if (r == 0)
        r = json_fields_read(
            connections, connections_table, ARRAY_LENGTH(connections_table), &open, NULL);
    if (r == 0 && open.limits)
        r = json_fields_read(
            open.limits, limits_table, ARRAY_LENGTH(limits_table), &sample->limits, NULL);
    if (r == 0)
        r = read_methods(sample, counted.methods, before);
    if (r == 0)
        r = read_users(ctl, sample, open.quotas);
    if (r < 0)
        return r;
    sample->uptime_s = counted.uptime_s;
    sample->connection_count = (int64_t)json_object_array_length(open.connections);
    *ret = TAKE_PTR(sample);
    return 0;
}
