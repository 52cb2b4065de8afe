/* Remembers what stands in which policy directory because of us. */
#include "daemon/policy_record.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/state_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INSERTED 1024
static const struct state_file_type file_type = {.format = "devtrust-policy", .version = 1};

static void place_deinit(struct policy_place *place) {
    free(place->path);
    for (size_t i = 0; i < place->created_count; i++)
        free(place->created[i]);
    free(place->inserted);
    *place = (struct policy_place){0};
}

static void clear_rules(struct policy_record *record) {
    free(record->issuer_cn);
    for (size_t i = 0; i < record->pattern_count; i++)
        free(record->patterns[i]);
    free(record->patterns);
    record->issuer_cn = NULL;
    record->patterns = NULL;
    record->pattern_count = 0;
}

void policy_record_deinit(struct policy_record *record) {
    clear_rules(record);
    for (size_t i = 0; i < record->place_count; i++)
        place_deinit(&record->places[i]);
    record->place_count = 0;
}

int policy_record_set_rules(
    struct policy_record *record, const char *issuer_cn, char *const *patterns, size_t count) {
    struct policy_record next = {0};
    if (issuer_cn) {
        next.issuer_cn = strdup(issuer_cn);
        next.patterns = calloc(count ? count : 1, sizeof(*next.patterns));
        if (!next.issuer_cn || !next.patterns) {
            clear_rules(&next);
            return -ENOMEM;
        }
        for (; next.pattern_count < count; next.pattern_count++) {
            next.patterns[next.pattern_count] = strdup(patterns[next.pattern_count]);
            if (!next.patterns[next.pattern_count]) {
                clear_rules(&next);
                return -ENOMEM;
            }
        }
    }
    clear_rules(record);
    record->issuer_cn = next.issuer_cn;
    record->patterns = next.patterns;
    record->pattern_count = next.pattern_count;
    return 0;
}

struct policy_place *policy_record_find(struct policy_record *record, const char *path) {
    for (size_t i = 0; i < record->place_count; i++)
        if (strcmp(record->places[i].path, path) == 0)
            return &record->places[i];
    return NULL;
}

int policy_record_add(struct policy_record *record, const char *path, struct policy_place **ret) {
    if (record->place_count == POLICY_RECORD_MAX_PLACES)
        return -ENOSPC;
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    struct policy_place *place = &record->places[record->place_count++];
    *place = (struct policy_place){.path = copy};
    *ret = place;
    return 0;
}

int policy_place_add_created(struct policy_place *place, const char *path) {
    for (size_t i = 0; i < place->created_count; i++)
        if (strcmp(place->created[i], path) == 0)
            return 0;
    if (place->created_count == POLICY_RECORD_MAX_CREATED)
        return -ENOSPC;
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    place->created[place->created_count++] = copy;
    return 0;
}

int policy_place_set_inserted(struct policy_place *place, const char *inserted) {
    char *copy = strdup(inserted);
    if (!copy)
        return -ENOMEM;
    free(place->inserted);
    place->inserted = copy;
    return 0;
}

void policy_record_drop(struct policy_record *record, struct policy_place *place) {
    size_t index = (size_t)(place - record->places);
    place_deinit(place);
    record->place_count--;
    memmove(place, place + 1, (record->place_count - index) * sizeof(*place));
    record->places[record->place_count] = (struct policy_place){0};
}

struct rules_fields {
    const char *issuer_cn;
    struct json_object *patterns;
};

static const struct json_field rules_table[] = {
    JSON_FIELD(struct rules_fields, issuer_cn, "issuer_cn", JSON_FIELD_STRING, false, 1, 256),
    JSON_FIELD(struct rules_fields, patterns, "patterns", JSON_FIELD_ARRAY, false, 0, 64),
};

static int read_rules(struct json_object *root, struct policy_record *record) {
    struct rules_fields fields = {0};
    int r = json_fields_read(root, rules_table, ARRAY_LENGTH(rules_table), &fields, NULL);
    if (r < 0 || !fields.issuer_cn || !fields.patterns)
        return r;
    char *patterns[64];
    size_t count = json_object_array_length(fields.patterns), used = 0;
    for (size_t i = 0; i < count && i < ARRAY_LENGTH(patterns); i++) {
        struct json_object *pattern = json_object_array_get_idx(fields.patterns, i);
        if (!json_object_is_type(pattern, json_type_string))
            return -EBADMSG;
        patterns[used++] = (char *)json_object_get_string(pattern);
    }
    return policy_record_set_rules(record, fields.issuer_cn, patterns, used);
}

struct place_fields {
    const char *path, *inserted;
    int64_t since;
    struct json_object *created;
};

static const struct json_field place_table[] = {
    JSON_FIELD(struct place_fields, path, "path", JSON_FIELD_STRING, true, 1, 1024),
    JSON_FIELD(struct place_fields, since, "since", JSON_FIELD_INT, true, 0, INT64_MAX / 2),
    JSON_FIELD(
        struct place_fields, created, "created", JSON_FIELD_ARRAY, false, 0,
        POLICY_RECORD_MAX_CREATED),
    JSON_FIELD(
        struct place_fields, inserted, "inserted", JSON_FIELD_STRING, false, 1, MAX_INSERTED),
};

static int read_place(struct json_object *object, struct policy_record *record) {
    struct place_fields fields = {0};
    struct policy_place *place = NULL;
    int r = json_fields_read(object, place_table, ARRAY_LENGTH(place_table), &fields, NULL);
    if (r < 0)
        return -EBADMSG;
    r = policy_record_add(record, fields.path, &place);
    if (r < 0)
        return r;
    place->since = fields.since;
    if (fields.inserted)
        r = policy_place_set_inserted(place, fields.inserted);
    if (r < 0)
        return r;
    size_t count = fields.created ? json_object_array_length(fields.created) : 0;
    for (size_t i = 0; i < count; i++) {
        struct json_object *path = json_object_array_get_idx(fields.created, i);
        if (!json_object_is_type(path, json_type_string))
            return -EBADMSG;
        r = policy_place_add_created(place, json_object_get_string(path));
        if (r < 0)
            return r;
    }
    return 0;
}

int policy_record_read(int state_dir_fd, const char *name, struct policy_record *ret) {
    struct json_object *root CLEANUP_JSON = NULL;
    struct json_object *places = NULL;
    struct policy_record record = {0};

    int r = state_file_read(state_dir_fd, name, &file_type, &root);
    if (r == -ENOENT) {
        *ret = record;
        return 0;
    }
    if (r < 0)
        return r;
    r = read_rules(root, &record);
    if (r == 0 && json_object_object_get_ex(root, "places", &places) &&
        json_object_is_type(places, json_type_array))
        for (size_t i = 0; r == 0 && i < json_object_array_length(places); i++)
            r = read_place(json_object_array_get_idx(places, i), &record);
    if (r < 0) {
        policy_record_deinit(&record);
        return r == -ENOMEM ? r : -EBADMSG;
    }
    *ret = record;
    return 0;
}

static struct json_object *strings_to_json(char *const *strings, size_t count) {
    struct json_object *array CLEANUP_JSON = json_object_new_array();
    for (size_t i = 0; array && i < count; i++) {
        struct json_object *text = json_object_new_string(strings[i]);
        if (!text || json_object_array_add(array, text) < 0) {
            json_object_put(text);
            return NULL;
        }
    }
    return TAKE_PTR(array);
}

static struct json_object *place_to_json(const struct policy_place *place) {
    struct json_object *object CLEANUP_JSON = json_object_new_object();
    if (!object || json_fields_add_string(object, "path", place->path) < 0 ||
        json_fields_add_int(object, "since", place->since) < 0 ||
        json_fields_add(object, "created", strings_to_json(place->created, place->created_count)) <
            0 ||
        json_fields_add_string(object, "inserted", place->inserted) < 0)
        return NULL;
    return TAKE_PTR(object);
}

static struct json_object *record_to_json(const struct policy_record *record) {
    struct json_object *root CLEANUP_JSON = json_object_new_object();
    struct json_object *places CLEANUP_JSON = json_object_new_array();

    if (!root || !places || json_fields_add_string(root, "issuer_cn", record->issuer_cn) < 0 ||
        json_fields_add(
            root, "patterns", strings_to_json(record->patterns, record->pattern_count)) < 0)
        return NULL;
    for (size_t i = 0; i < record->place_count; i++) {
        struct json_object *place = place_to_json(&record->places[i]);
        if (!place || json_object_array_add(places, place) < 0) {
            json_object_put(place);
            return NULL;
        }
    }
    if (json_fields_add(root, "places", TAKE_PTR(places)) < 0)
        return NULL;
    return TAKE_PTR(root);
}

int policy_record_write(int state_dir_fd, const char *name, const struct policy_record *record) {
    if (!record->issuer_cn && record->place_count == 0)
        return atomic_file_remove(state_dir_fd, name);
    struct json_object *root CLEANUP_JSON = record_to_json(record);
    if (!root)
        return -ENOMEM;
    return state_file_write(state_dir_fd, name, &file_type, root, 0600);
}
