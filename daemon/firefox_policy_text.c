/* Finds places in a JSON text that the gate has let through, so that the text between them need not
 * be written anew. Each change is checked against json-c's reading of the text before and after. */
#include "daemon/firefox_policy_text.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VALUE "{\"Value\":\"" FIREFOX_POLICY_VALUE "\",\"Status\":\"locked\"}"
#define MEMBER "\"" FIREFOX_POLICY_PREFERENCE "\":" VALUE

/* From the root down to the preference, and what each looks like where it is missing. */
static const char *const containers[] = {"policies", "Preferences"};
static const char *const pieces[] = {
    "\"policies\":{\"Preferences\":{" MEMBER "}}", "\"Preferences\":{" MEMBER "}", MEMBER};
static const char whole_file[] = "{\"policies\":{\"Preferences\":{" MEMBER "}}}\n";

/* ---- as json-c reads it ---- */

/* The container of the preference; NULL: something on the way is missing (*ret_missing) or no
 * object. */
static struct json_object *preferences_of(struct json_object *root, bool *ret_missing) {
    struct json_object *object = root;

    *ret_missing = false;
    for (size_t i = 0; i < ARRAY_LENGTH(containers); i++) {
        if (!json_object_is_type(object, json_type_object))
            return NULL;
        if (!json_object_object_get_ex(object, containers[i], &object)) {
            *ret_missing = true;
            return NULL;
        }
    }
    return json_object_is_type(object, json_type_object) ? object : NULL;
}

static bool is_text(struct json_object *value, const char *text) {
    return json_object_is_type(value, json_type_string) &&
           strcmp(json_object_get_string(value), text) == 0;
}

/* Firefox takes the value alone, too, and locks it then. */
static bool says_the_same(struct json_object *value) {
    struct json_object *member = NULL;

    if (!json_object_is_type(value, json_type_object))
        return is_text(value, FIREFOX_POLICY_VALUE);
    return json_object_object_get_ex(value, "Value", &member) &&
           is_text(member, FIREFOX_POLICY_VALUE) &&
           !(json_object_object_get_ex(value, "Status", &member) && is_text(member, "clear"));
}

enum firefox_policy_finding firefox_policy_look(const char *text, size_t size) {
    struct json_object *root CLEANUP_JSON = NULL;
    struct json_object *value = NULL;
    bool missing;

    if (size > FIREFOX_POLICY_MAX_FILE || json_gate_parse(text, size, &root) < 0)
        return FIREFOX_POLICY_BROKEN;
    struct json_object *preferences = preferences_of(root, &missing);
    if (!preferences)
        return missing ? FIREFOX_POLICY_ABSENT : FIREFOX_POLICY_OTHER;
    if (!json_object_object_get_ex(preferences, FIREFOX_POLICY_PREFERENCE, &value))
        return FIREFOX_POLICY_ABSENT;
    return says_the_same(value) ? FIREFOX_POLICY_SET : FIREFOX_POLICY_OTHER;
}

static struct json_object *our_value(void) {
    struct json_object *value = NULL;
    return json_gate_parse(VALUE, strlen(VALUE), &value) == 0 ? value : NULL;
}

/* ---- places in the text ---- */

struct text {
    const char *data;
    size_t size;
};

static size_t skip_blanks(const struct text *text, size_t at) {
    while (at < text->size && text->data[at] && strchr(" \t\r\n", text->data[at]))
        at++;
    return at;
}

static size_t skip_string(const struct text *text, size_t at) {
    for (at++; at < text->size && text->data[at] != '"'; at++)
        if (text->data[at] == '\\')
            at++;
    return at + 1;
}

static size_t skip_value(const struct text *text, size_t at) {
    unsigned depth = 0;

    while (at < text->size) {
        char c = text->data[at];

        if (depth == 0 && (c == ',' || c == '}' || c == ']' || strchr(" \t\r\n", c)))
            break;
        at = c == '"' ? skip_string(text, at) : at + 1;
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            break;
    }
    return at;
}

/* Of an object's member: its key's quote, its value's first byte, and the byte behind it. */
struct member {
    size_t begin, value, end;
};

static bool key_is(const struct text *text, size_t at, const char *key) {
    size_t length = strlen(key);
    return at + length + 2 <= text->size && text->data[at] == '"' &&
           memcmp(text->data + at + 1, key, length) == 0 && text->data[at + 1 + length] == '"';
}

/* `object`: its brace. A key that is written with escapes is not found. */
static bool find_member(
    const struct text *text, size_t object, const char *key, struct member *ret) {
    size_t at = skip_blanks(text, object + 1);

    while (at < text->size && text->data[at] == '"') {
        struct member member = {.begin = at};

        at = skip_blanks(text, skip_string(text, at));
        member.value = skip_blanks(text, at + 1);
        member.end = skip_value(text, member.value);
        if (key_is(text, member.begin, key)) {
            *ret = member;
            return true;
        }
        at = skip_blanks(text, member.end);
        if (at >= text->size || text->data[at] != ',')
            return false;
        at = skip_blanks(text, at + 1);
    }
    return false;
}

/* Goes down as far as `wanted` containers are there. Returns the depth; *ret_object: the brace of
 * the innermost. */
static size_t descend(const struct text *text, size_t wanted, size_t *ret_object) {
    size_t depth = 0;
    struct member member;

    *ret_object = skip_blanks(text, 0);
    while (depth < wanted && find_member(text, *ret_object, containers[depth], &member)) {
        *ret_object = member.value;
        depth++;
    }
    return depth;
}

static bool is_object(const struct text *text, size_t at) {
    return at < text->size && text->data[at] == '{';
}

/* ---- putting in ---- */

static int splice(
    const struct text *text, size_t begin, size_t end, const char *piece, char **ret) {
    size_t length = strlen(piece);
    char *result = malloc(begin + length + (text->size - end) + 1);

    if (!result)
        return -ENOMEM;
    memcpy(result, text->data, begin);
    memcpy(result + begin, piece, length);
    memcpy(result + begin + length, text->data + end, text->size - end);
    result[begin + length + text->size - end] = '\0';
    *ret = result;
    return 0;
}

/* Adds the preference to json-c's reading of the text. */
static int add_to_tree(struct json_object *root) {
    struct json_object *object = root, *next;

    for (size_t i = 0; i < ARRAY_LENGTH(containers); i++) {
        if (!json_object_object_get_ex(object, containers[i], &next)) {
            next = json_object_new_object();
            if (json_fields_add(object, containers[i], next) < 0)
                return -ENOMEM;
        }
        object = next;
    }
    return json_fields_add(object, FIREFOX_POLICY_PREFERENCE, our_value());
}

static int check_is(const char *text, struct json_object *expected) {
    struct json_object *root CLEANUP_JSON = NULL;
    int r = json_gate_parse(text, strlen(text), &root);
    if (r < 0)
        return r;
    return json_object_equal(root, expected) ? 0 : -EBADMSG;
}

static int make_file(char **ret, char **ret_inserted) {
    char *text CLEANUP_FREE = strdup(whole_file);
    char *inserted CLEANUP_FREE = strdup(whole_file);
    if (!text || !inserted)
        return -ENOMEM;
    *ret = TAKE_PTR(text);
    *ret_inserted = TAKE_PTR(inserted);
    return 0;
}

int firefox_policy_insert(const char *data, size_t size, char **ret, char **ret_inserted) {
    const struct text text = {data, size};
    struct json_object *root CLEANUP_JSON = NULL;
    char *result CLEANUP_FREE = NULL, *inserted CLEANUP_FREE = NULL;
    size_t object;

    if (!data)
        return make_file(ret, ret_inserted);
    if (firefox_policy_look(data, size) != FIREFOX_POLICY_ABSENT)
        return -EBADMSG;
    size_t depth = descend(&text, ARRAY_LENGTH(containers), &object);
    if (!is_object(&text, object))
        return -EBADMSG;
    bool empty = text.data[skip_blanks(&text, object + 1)] == '}';
    if (asprintf(&inserted, "%s%s", pieces[depth], empty ? "" : ",") < 0)
        return -ENOMEM;
    if (size + strlen(inserted) > FIREFOX_POLICY_MAX_FILE)
        return -EMSGSIZE;
    int r = splice(&text, object + 1, object + 1, inserted, &result);
    if (r == 0)
        r = json_gate_parse(data, size, &root);
    if (r == 0)
        r = add_to_tree(root);
    if (r == 0)
        r = check_is(result, root);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(result);
    *ret_inserted = TAKE_PTR(inserted);
    return 0;
}

/* ---- taking out ---- */

/* How many containers the piece brought along, innermost first. */
static size_t made_containers(const char *inserted) {
    for (size_t depth = 0; depth < ARRAY_LENGTH(containers); depth++)
        if (strncmp(inserted, pieces[depth], strlen(pieces[depth])) == 0)
            return ARRAY_LENGTH(containers) - depth;
    return strcmp(inserted, whole_file) == 0 ? ARRAY_LENGTH(containers) : 0;
}

/* Takes the preference out of json-c's reading, with the containers that were made for it. Returns
 * how many of those went. */
static size_t remove_from_tree(struct json_object *root, size_t made) {
    struct json_object *objects[ARRAY_LENGTH(containers) + 1] = {root};
    size_t gone = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(containers); i++)
        (void)json_object_object_get_ex(objects[i], containers[i], &objects[i + 1]);
    json_object_object_del(objects[ARRAY_LENGTH(containers)], FIREFOX_POLICY_PREFERENCE);
    for (size_t i = ARRAY_LENGTH(containers); i > 0 && gone < made; i--, gone++) {
        if (json_object_object_length(objects[i]) > 0)
            break;
        json_object_object_del(objects[i - 1], containers[i - 1]);
    }
    return gone;
}

/* The piece as it was put in, if it stands there once and nothing has grown around it. */
static int cut_piece(
    const struct text *text, const char *inserted, struct json_object *expected, char **ret) {
    size_t length = strlen(inserted);
    const char *found = memmem(text->data, text->size, inserted, length);
    char *result CLEANUP_FREE = NULL;

    if (!found || length == 0)
        return -ENOENT;
    size_t begin = (size_t)(found - text->data);
    int r = splice(text, begin, begin + length, "", &result);
    if (r < 0)
        return r;
    if (check_is(result, expected) < 0)
        return -ENOENT;
    *ret = TAKE_PTR(result);
    return 0;
}

/* A member with the comma that belongs to it. */
static int cut_member(const struct text *text, size_t object, const char *key, char **ret) {
    struct member member;

    if (!is_object(text, object) || !find_member(text, object, key, &member))
        return -EBADMSG;
    size_t begin = member.begin, end = skip_blanks(text, member.end);
    if (end < text->size && text->data[end] == ',')
        return splice(text, begin, end + 1, "", ret);
    while (begin > 0 && strchr(" \t\r\n", text->data[begin - 1]))
        begin--;
    bool follows = begin > 0 && text->data[begin - 1] == ',';
    return splice(text, follows ? begin - 1 : member.begin, member.end, "", ret);
}

/* The file has been written anew by somebody since. */
static int cut_by_structure(
    const struct text *text, size_t gone, struct json_object *expected, char **ret) {
    char *result CLEANUP_FREE = NULL;
    size_t depth = ARRAY_LENGTH(containers) - gone, object;

    if (descend(text, depth, &object) < depth)
        return -EBADMSG;
    int r =
        cut_member(text, object, gone > 0 ? containers[depth] : FIREFOX_POLICY_PREFERENCE, &result);
    if (r == 0)
        r = check_is(result, expected);
    if (r == 0)
        *ret = TAKE_PTR(result);
    return r;
}

static bool is_ours(struct json_object *root) {
    struct json_object *ours CLEANUP_JSON = our_value();
    struct json_object *value = NULL;
    bool missing;
    struct json_object *preferences = preferences_of(root, &missing);

    return ours && preferences &&
           json_object_object_get_ex(preferences, FIREFOX_POLICY_PREFERENCE, &value) &&
           json_object_equal(value, ours);
}

int firefox_policy_withdraw(const char *data, size_t size, const char *inserted, char **ret) {
    const struct text text = {data, size};
    struct json_object *root CLEANUP_JSON = NULL;

    if (size > FIREFOX_POLICY_MAX_FILE || json_gate_parse(data, size, &root) < 0)
        return -EBADMSG;
    if (!is_ours(root))
        return 0;
    size_t gone = remove_from_tree(root, made_containers(inserted));
    if (strcmp(inserted, whole_file) == 0 && json_object_object_length(root) == 0) {
        *ret = NULL;
        return 1;
    }
    int r = cut_piece(&text, inserted, root, ret);
    if (r == -ENOENT)
        r = cut_by_structure(&text, gone, root, ret);
    return r < 0 ? r : 1;
}
