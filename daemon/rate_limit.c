/* Counts requests per minute over an hour. */
#include "daemon/rate_limit.h"

#include <string.h>

static int64_t minute_of(int64_t now_s) {
    return now_s / 60;
}

/* Seconds until the minute is an hour old. */
static int64_t expires_in(int64_t minute, int64_t now_s) {
    int64_t now = minute_of(now_s);
    if (minute > now)
        minute = now;
    return (minute + RATE_LIMIT_MINUTES) * 60 - now_s;
}

/* Leaves out what has expired, and moves what lies in the future to the present. */
bool rate_limit_settle(struct rate_limit *limit, int64_t now_s) {
    const int64_t now = minute_of(now_s);
    bool moved = false;
    size_t kept = 0;

    for (size_t i = 0; i < limit->used; i++) {
        if (expires_in(limit->slots[i].minute, now_s) <= 0)
            continue;
        if (limit->slots[i].minute > now) {
            limit->slots[i].minute = now;
            moved = true;
        }
        if (kept > 0 && limit->slots[kept - 1].minute == limit->slots[i].minute)
            limit->slots[kept - 1].count += limit->slots[i].count;
        else
            limit->slots[kept++] = limit->slots[i];
    }
    limit->used = kept;
    return moved;
}

int64_t rate_limit_wait(const struct rate_limit *limit, int64_t per_hour, int64_t now_s) {
    int64_t total = 0;
    for (size_t i = 0; i < limit->used; i++)
        if (expires_in(limit->slots[i].minute, now_s) > 0)
            total += limit->slots[i].count;
    if (total < per_hour)
        return 0;
    for (size_t i = 0; i < limit->used; i++) {
        int64_t wait = expires_in(limit->slots[i].minute, now_s);
        if (wait <= 0)
            continue;
        total -= limit->slots[i].count;
        if (total < per_hour)
            return wait;
    }
    return 0;
}

void rate_limit_count(struct rate_limit *limit, int64_t now_s) {
    const int64_t now = minute_of(now_s);

    rate_limit_settle(limit, now_s);
    if (limit->used > 0 && limit->slots[limit->used - 1].minute == now) {
        limit->slots[limit->used - 1].count++;
        return;
    }
    limit->slots[limit->used].minute = now;
    limit->slots[limit->used++].count = 1;
}

struct json_object *rate_limit_to_json(const struct rate_limit *limit) {
    struct json_object *array = json_object_new_array_ext((int)limit->used);
    for (size_t i = 0; array && i < limit->used; i++) {
        struct json_object *pair = json_object_new_array_ext(2);
        if (!pair || json_object_array_add(array, pair) < 0)
            continue;
        json_object_array_add(pair, json_object_new_int64(limit->slots[i].minute));
        json_object_array_add(pair, json_object_new_int64(limit->slots[i].count));
    }
    return array;
}

static int64_t pair_number(struct json_object *pair, size_t index) {
    struct json_object *number = json_object_array_get_idx(pair, index);
    return json_object_is_type(number, json_type_int) ? json_object_get_int64(number) : -1;
}

void rate_limit_from_json(struct json_object *array, struct rate_limit *ret) {
    struct rate_limit limit = {.used = 0};
    size_t length =
        json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;

    for (size_t i = 0; i < length && limit.used < RATE_LIMIT_MINUTES; i++) {
        struct json_object *pair = json_object_array_get_idx(array, i);
        if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2)
            continue;
        int64_t minute = pair_number(pair, 0), count = pair_number(pair, 1);
        if (minute < 0 || count < 1 || count > 1000000 || minute > INT64_MAX / 120)
            continue;
        if (limit.used > 0 && minute <= limit.slots[limit.used - 1].minute)
            continue;
        limit.slots[limit.used].minute = minute;
        limit.slots[limit.used++].count = count;
    }
    *ret = limit;
}
