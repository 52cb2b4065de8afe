/* See pseudonyms.h. One pass from left to right, the longest known thing first; what was replaced
 * is never looked at again. */
#include "ipc/ctl/pseudonyms.h"

#include "common/buffer.h"
#include "common/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_TEXT ((size_t)4 * 1024 * 1024) /* of one string, replaced */
#define SHORT_NAME 3                       /* shorter ones are matched by case: "al" is not "AL" */

enum kind { KIND_USER, KIND_HOME, KIND_PERSON, KIND_MAIL, KIND_COUNT_ };

static const char *const prefixes[] = {
    [KIND_USER] = "user-",
    [KIND_HOME] = "~user-",
    [KIND_PERSON] = "person-",
    [KIND_MAIL] = "mail-",
};

struct entry {
    enum kind kind;
    char *text;
    size_t length;
    unsigned number;
    bool seen;
};

struct pseudonyms {
    struct entry *entries; /* the longest first, but for mail addresses, which are only looked up */
    size_t count, capacity;
    unsigned numbers[KIND_COUNT_];
};

int pseudonyms_new(struct pseudonyms **ret) {
    *ret = calloc(1, sizeof **ret);
    return *ret ? 0 : -ENOMEM;
}

struct pseudonyms *pseudonyms_free(struct pseudonyms *pseudonyms) {
    if (!pseudonyms)
        return NULL;
    for (size_t i = 0; i < pseudonyms->count; i++)
        free(pseudonyms->entries[i].text);
    free(pseudonyms->entries);
    free(pseudonyms);
    return NULL;
}

/* ---- what is known ---- */

static struct entry *find(
    struct pseudonyms *pseudonyms, enum kind kind, const char *text, size_t length) {
    for (size_t i = 0; i < pseudonyms->count; i++) {
        struct entry *entry = &pseudonyms->entries[i];
        if (entry->kind == kind && entry->length == length &&
            strncasecmp(entry->text, text, length) == 0)
            return entry;
    }
    return NULL;
}

static int make_room(struct pseudonyms *pseudonyms) {
    if (pseudonyms->count < pseudonyms->capacity)
        return 0;
    size_t capacity = pseudonyms->capacity ? 2 * pseudonyms->capacity : 16;
    struct entry *entries =
        reallocarray(pseudonyms->entries, capacity, sizeof *pseudonyms->entries);
    if (!entries)
        return -ENOMEM;
    pseudonyms->entries = entries;
    pseudonyms->capacity = capacity;
    return 0;
}

/* `number`: 0: the next one of its kind. Returns 0 and the entry. */
static int add(
    struct pseudonyms *pseudonyms, enum kind kind, const char *text, size_t length, unsigned number,
    struct entry **ret) {
    if (pseudonyms->numbers[kind] >= PSEUDONYMS_MAX)
        return -ENOSPC;
    int r = make_room(pseudonyms);
    char *copy = r == 0 ? strndup(text, length) : NULL;
    if (!copy)
        return -ENOMEM;
    size_t at = pseudonyms->count;
    while (at > 0 && pseudonyms->entries[at - 1].length < length) {
        pseudonyms->entries[at] = pseudonyms->entries[at - 1];
        at--;
    }
    pseudonyms->numbers[kind]++;
    pseudonyms->entries[at] = (struct entry){
        .kind = kind,
        .text = copy,
        .length = length,
        .number = number > 0 ? number : pseudonyms->numbers[kind],
    };
    pseudonyms->count++;
    if (ret)
        *ret = &pseudonyms->entries[at];
    return 0;
}

int pseudonyms_add_user(struct pseudonyms *pseudonyms, const char *name, const char *home) {
    size_t length = strlen(name);
    struct entry *entry = find(pseudonyms, KIND_USER, name, length);
    int r = length == 0 ? -EINVAL : entry ? 0 : add(pseudonyms, KIND_USER, name, length, 0, &entry);
    if (r < 0)
        return r;
    size_t home_length = home ? strlen(home) : 0;
    while (home_length > 0 && home[home_length - 1] == '/')
        home_length--;
    if (home_length < 2 || home[0] != '/' || find(pseudonyms, KIND_HOME, home, home_length))
        return 0;
    return add(pseudonyms, KIND_HOME, home, home_length, entry->number, NULL);
}

int pseudonyms_add_person(struct pseudonyms *pseudonyms, const char *id) {
    size_t length = strlen(id);
    if (length == 0)
        return -EINVAL;
    if (find(pseudonyms, KIND_PERSON, id, length))
        return 0;
    return add(pseudonyms, KIND_PERSON, id, length, 0, NULL);
}

/* ---- what is found in a text ---- */

/* Bytes of UTF-8 beyond ASCII belong to words, too. */
static bool is_word(char c) {
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* What people have in addresses; the rest of RFC 5322's characters is what stands around them in a
 * log. */
static bool is_mail_local(char c) {
    return is_word(c) || (c != '\0' && strchr("._+'-", c));
}

static bool is_mail_domain(char c) {
    return is_word(c) || c == '.' || c == '-';
}

/* Bytes of "@" or, in a URL, "%40"; 0: it is neither. */
static size_t at_sign(const char *text) {
    if (text[0] == '@')
        return 1;
    return strncmp(text, "%40", 3) == 0 ? 3 : 0;
}

/* Bytes of a mail address or principal name (alice@EXAMPLE) that begins at `text`, where a word
 * begins; 0: none does. */
static size_t mail_length(const char *text) {
    size_t local = 0, domain = 0;
    if (!is_word(text[0]))
        return 0;
    while (is_mail_local(text[local]))
        local++;
    size_t sign = local > 0 ? at_sign(text + local) : 0;
    if (sign == 0 || !is_word(text[local + sign]))
        return 0;
    while (is_mail_domain(text[local + sign + domain]))
        domain++;
    while (!is_word(text[local + sign + domain - 1])) /* the full stop of a sentence */
        domain--;
    return local + sign + domain;
}

static bool matches(const struct entry *entry, const char *text) {
    bool same = entry->length < SHORT_NAME || entry->kind == KIND_HOME
                    ? strncmp(entry->text, text, entry->length) == 0
                    : strncasecmp(entry->text, text, entry->length) == 0;
    return same && !is_word(text[entry->length]);
}

static struct entry *find_known(struct pseudonyms *pseudonyms, const char *text) {
    for (size_t i = 0; i < pseudonyms->count; i++) {
        struct entry *entry = &pseudonyms->entries[i];
        if (entry->kind != KIND_MAIL && matches(entry, text))
            return entry;
    }
    return NULL;
}

/* A new one gets the next number; past the maximum they share the last. */
static int find_mail(
    struct pseudonyms *pseudonyms, const char *text, size_t length, struct entry **ret) {
    *ret = find(pseudonyms, KIND_MAIL, text, length);
    if (*ret)
        return 0;
    int r = add(pseudonyms, KIND_MAIL, text, length, 0, ret);
    for (size_t i = 0; r == -ENOSPC && i < pseudonyms->count; i++)
        if (pseudonyms->entries[i].kind == KIND_MAIL) {
            *ret = &pseudonyms->entries[i];
            return 0;
        }
    return r;
}

static int append_pseudonym(struct buffer *buffer, struct entry *entry) {
    char text[32];
    snprintf(text, sizeof text, "%s%u", prefixes[entry->kind], entry->number);
    entry->seen = true;
    return buffer_append_string(buffer, text);
}

/* One step: a pseudonym, or one byte as it is. Returns the bytes taken, or a negative errno. */
static ssize_t step(
    struct pseudonyms *pseudonyms, const char *text, size_t at, struct buffer *buffer) {
    struct entry *entry = NULL;
    bool in_word = at > 0 && is_word(text[at - 1]);
    size_t mail = in_word ? 0 : mail_length(text + at);
    int r = mail > 0 ? find_mail(pseudonyms, text + at, mail, &entry) : 0;
    if (r == 0 && !entry && !in_word)
        entry = find_known(pseudonyms, text + at);
    if (r == 0)
        r = entry ? append_pseudonym(buffer, entry) : buffer_append(buffer, text + at, 1);
    if (r < 0)
        return r;
    return entry ? (ssize_t)(mail > 0 ? mail : entry->length) : 1;
}

char *pseudonyms_replace(struct pseudonyms *pseudonyms, const char *text) {
    struct buffer CLEANUP_BUFFER buffer = BUFFER_INIT(MAX_TEXT);
    size_t size;
    for (size_t at = 0; text[at];) {
        ssize_t taken = step(pseudonyms, text, at, &buffer);
        if (taken < 0)
            return NULL;
        at += (size_t)taken;
    }
    return buffer_steal(&buffer, &size);
}

/* ---- JSON ---- */

/* For programs: they are no names, even where they look like one. */
static bool is_for_programs(struct json_object *object, const char *key) {
    static const char *const keys[] = {"code", "result", "level", "method", "message_id", "stream"};
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    /* a check's id; other ids are people's */
    return strcmp(key, "id") == 0 && json_object_object_get_ex(object, "result", NULL);
}

static int apply_to_string(struct pseudonyms *pseudonyms, struct json_object *value) {
    char CLEANUP_FREE *text = pseudonyms_replace(pseudonyms, json_object_get_string(value));
    return text && json_object_set_string(value, text) == 1 ? 0 : -ENOMEM;
}

int pseudonyms_apply(struct pseudonyms *pseudonyms, struct json_object *value) {
    int r = 0;
    switch (json_object_get_type(value)) {
    case json_type_string:
        return apply_to_string(pseudonyms, value);
    case json_type_array:
        for (size_t i = 0; r == 0 && i < json_object_array_length(value); i++)
            r = pseudonyms_apply(pseudonyms, json_object_array_get_idx(value, i));
        return r;
    case json_type_object: {
        json_object_object_foreach(value, key, member) {
            if (r == 0 && !is_for_programs(value, key))
                r = pseudonyms_apply(pseudonyms, member);
        }
        return r;
    }
    default:
        return 0;
    }
}

struct pseudonyms_counts pseudonyms_count(const struct pseudonyms *pseudonyms) {
    struct pseudonyms_counts counts = {0};
    unsigned *const by_kind[] = {
        [KIND_USER] = &counts.users,
        [KIND_HOME] = &counts.homes,
        [KIND_PERSON] = &counts.persons,
        [KIND_MAIL] = &counts.mails,
    };
    for (size_t i = 0; i < pseudonyms->count; i++)
        if (pseudonyms->entries[i].seen)
            ++*by_kind[pseudonyms->entries[i].kind];
    return counts;
}
