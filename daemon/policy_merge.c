/* Merges our certificate selection rules with the administrator's. */
#include "daemon/policy_merge.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/utf8.h"

#include <errno.h>
#include <json-c/json_tokener.h>
#include <string.h>

#define SERIALISE (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
#define LENIENT_DEPTH 32

static void tokener_free(struct json_tokener **tokener) {
    if (*tokener)
        json_tokener_free(*tokener);
}

static bool only_blanks(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r\n", text[i]) || text[i] == '\0')
            return false;
    return true;
}

/* Chromium reads policy files with its own extensions on; json-c without the strict flag takes
 * nearly the same, but for surrogates in UTF-8, which Chromium refuses. */
static struct json_object *parse_lenient(const char *text, size_t size) {
    struct json_tokener *tokener CLEANUP(tokener_free) = json_tokener_new_ex(LENIENT_DEPTH);
    if (!tokener || size > POLICY_MERGE_MAX_FILE || memchr(text, '\0', size) ||
        !utf8_is_valid(text, size))
        return NULL;
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *root = json_tokener_parse_ex(tokener, text, (int)size);
    if (json_tokener_get_error(tokener) != json_tokener_success) {
        json_object_put(root);
        return NULL;
    }
    size_t end = json_tokener_get_parse_end(tokener);
    if (!only_blanks(text + end, size - end)) {
        json_object_put(root);
        return NULL;
    }
    return root;
}

static struct json_object *parse(const char *text, size_t size) {
    struct json_object *root = NULL;
    if (json_gate_parse(text, size, &root) == 0)
        return root;
    return parse_lenient(text, size);
}

static bool is_element(struct json_object *value) {
    int length =
        json_object_is_type(value, json_type_string) ? json_object_get_string_len(value) : -1;
    return length >= 0 && length <= POLICY_MERGE_MAX_ELEMENT &&
           strlen(json_object_get_string(value)) == (size_t)length &&
           utf8_is_valid(json_object_get_string(value), (size_t)length);
}

static bool has_string(struct json_object *array, const char *text) {
    size_t length = array ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < length; i++) {
        struct json_object *value = json_object_array_get_idx(array, i);
        if (is_element(value) && strcmp(json_object_get_string(value), text) == 0)
            return true;
    }
    return false;
}

/* Adds a copy of `text` unless it is there already. */
static int add_string(struct json_object *array, const char *text) {
    if (has_string(array, text))
        return 0;
    struct json_object *copy = json_object_new_string(text);
    if (!copy)
        return -ENOMEM;
    if (json_object_array_add(array, copy) < 0) {
        json_object_put(copy);
        return -ENOMEM;
    }
    return 0;
}

static int copy_elements(struct json_object *from, struct json_object **ret) {
    struct json_object *array CLEANUP_JSON = json_object_new_array();
    if (!array)
        return -ENOMEM;
    size_t length = json_object_array_length(from);
    for (size_t i = 0; i < length && json_object_array_length(array) < POLICY_MERGE_MAX_ELEMENTS;
         i++) {
        struct json_object *value = json_object_array_get_idx(from, i);
        if (is_element(value) && add_string(array, json_object_get_string(value)) < 0)
            return -ENOMEM;
    }
    *ret = TAKE_PTR(array);
    return 0;
}

int policy_merge_add(struct policy_merge *merge, const char *name, const char *text, size_t size) {
    struct json_object *root CLEANUP_JSON = parse(text, size);
    struct json_object *value = NULL;

    if (!json_object_is_type(root, json_type_object)) {
        log_escape(name, strlen(name), merge->broken_file, sizeof(merge->broken_file));
        return 0;
    }
    if (!json_object_object_get_ex(root, POLICY_MERGE_KEY, &value))
        return 0;
    if (!json_object_is_type(value, json_type_array)) {
        log_escape(name, strlen(name), merge->broken_file, sizeof(merge->broken_file));
        return 0;
    }
    struct json_object *elements = NULL;
    int r = copy_elements(value, &elements);
    if (r < 0)
        return r;
    json_object_put(merge->elements);
    merge->elements = elements;
    if (strcmp(name, POLICY_MERGE_FILE) > 0)
        log_escape(name, strlen(name), merge->conflict_file, sizeof(merge->conflict_file));
    return 0;
}

void policy_merge_deinit(struct policy_merge *merge) {
    json_object_put(merge->elements);
    *merge = (struct policy_merge){0};
}

static int rule_object(const char *issuer_cn, const char *pattern, struct json_object **ret) {
    struct json_object *rule CLEANUP_JSON = json_object_new_object();
    struct json_object *filter CLEANUP_JSON = json_object_new_object();
    struct json_object *issuer CLEANUP_JSON = json_object_new_object();

    if (!rule || !filter || !issuer || json_fields_add_string(issuer, "CN", issuer_cn) < 0 ||
        json_fields_add(filter, "ISSUER", TAKE_PTR(issuer)) < 0 ||
        json_fields_add_string(rule, "pattern", pattern) < 0 ||
        json_fields_add(rule, "filter", TAKE_PTR(filter)) < 0)
        return -ENOMEM;
    *ret = TAKE_PTR(rule);
    return 0;
}

int policy_merge_rule(const char *issuer_cn, const char *pattern, char **ret) {
    struct json_object *rule CLEANUP_JSON = NULL;
    int r = rule_object(issuer_cn, pattern, &rule);
    if (r < 0)
        return r;
    const char *text = json_object_to_json_string_ext(rule, SERIALISE);
    char *copy = text ? strdup(text) : NULL;
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

static int add_rules(struct json_object *array, const struct policy_rules *rules) {
    for (size_t i = 0; i < rules->count; i++) {
        char *text CLEANUP_FREE = NULL;
        int r = policy_merge_rule(rules->issuer_cn, rules->patterns[i], &text);
        if (r == 0)
            r = add_string(array, text);
        if (r < 0)
            return r;
    }
    return 0;
}

int policy_merge_render(
    const struct policy_merge *merge, const struct policy_rules *rules, char **ret) {
    struct json_object *root CLEANUP_JSON = json_object_new_object();
    struct json_object *array CLEANUP_JSON = NULL;
    int r = 0;

    if (merge->elements)
        r = copy_elements(merge->elements, &array);
    else if (!(array = json_object_new_array()))
        r = -ENOMEM;
    if (r == 0)
        r = add_rules(array, rules);
    if (r < 0 || !root || json_fields_add(root, POLICY_MERGE_KEY, TAKE_PTR(array)) < 0)
        return -ENOMEM;
    const char *text = json_object_to_json_string_ext(
        root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *copy = NULL;
    if (!text || asprintf(&copy, "%s\n", text) < 0)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

bool policy_merge_has_rules(const char *text, size_t size, const struct policy_rules *rules) {
    struct json_object *root CLEANUP_JSON = parse(text, size);
    struct json_object *array = NULL;

    if (!json_object_is_type(root, json_type_object) ||
        !json_object_object_get_ex(root, POLICY_MERGE_KEY, &array) ||
        !json_object_is_type(array, json_type_array))
        return false;
    for (size_t i = 0; i < rules->count; i++) {
        char *rule CLEANUP_FREE = NULL;
        if (policy_merge_rule(rules->issuer_cn, rules->patterns[i], &rule) < 0 ||
            !has_string(array, rule))
            return false;
    }
    return true;
}

static bool others_have(const struct policy_merge *merge, struct json_object *rule) {
    size_t length = merge->elements ? json_object_array_length(merge->elements) : 0;
    for (size_t i = 0; i < length; i++) {
        struct json_object *value = json_object_array_get_idx(merge->elements, i);
        const char *text = json_object_get_string(value);
        struct json_object *other CLEANUP_JSON = parse(text, strlen(text));
        if (other && json_object_equal(other, rule))
            return true;
    }
    return false;
}

bool policy_merge_others_have_rules(
    const struct policy_merge *merge, const struct policy_rules *rules) {
    for (size_t i = 0; i < rules->count; i++) {
        struct json_object *rule CLEANUP_JSON = NULL;
        if (rule_object(rules->issuer_cn, rules->patterns[i], &rule) < 0 ||
            !others_have(merge, rule))
            return false;
    }
    return true;
}
