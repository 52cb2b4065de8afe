/* A scanner for declarations; what stands in parentheses is skipped, not understood. */
#include "ipc/varlink_idl.h"

#include <errno.h>
#include <string.h>

struct idl_cursor {
    const char *at;
};

static void idl_skip_space(struct idl_cursor *cursor) {
    for (;;) {
        cursor->at += strspn(cursor->at, " \t\r\n");
        if (*cursor->at != '#')
            return;
        cursor->at += strcspn(cursor->at, "\n");
    }
}

/* A word of letters, digits, dots, dashes; empty at anything else. */
static size_t idl_word(struct idl_cursor *cursor, const char **ret) {
    static const char alphabet[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    idl_skip_space(cursor);
    size_t length = strspn(cursor->at, alphabet);
    *ret = cursor->at;
    cursor->at += length;
    return length <= VARLINK_IDL_NAME_MAX ? length : 0;
}

static bool idl_word_is(const char *word, size_t length, const char *expected) {
    return strlen(expected) == length && memcmp(word, expected, length) == 0;
}

/* ( … ) with whatever nests inside */
static int idl_skip_struct(struct idl_cursor *cursor) {
    idl_skip_space(cursor);
    if (*cursor->at != '(')
        return -EINVAL;
    for (size_t depth = 0; *cursor->at; cursor->at++) {
        if (*cursor->at == '#')
            cursor->at += strcspn(cursor->at, "\n");
        if (*cursor->at == '(')
            depth++;
        if (*cursor->at == ')' && --depth == 0) {
            cursor->at++;
            return 0;
        }
        if (!*cursor->at)
            break;
    }
    return -EINVAL;
}

static int idl_skip_arrow(struct idl_cursor *cursor) {
    idl_skip_space(cursor);
    if (strncmp(cursor->at, "->", 2) != 0)
        return -EINVAL;
    cursor->at += 2;
    return 0;
}

static const struct {
    const char *keyword;
    enum varlink_idl_kind kind;
    bool has_reply;
} declarations[] = {
    {"type", VARLINK_IDL_TYPE, false},
    {"method", VARLINK_IDL_METHOD, true},
    {"error", VARLINK_IDL_ERROR, false},
};

static int idl_declaration(struct idl_cursor *cursor, varlink_idl_visit visit, void *userdata) {
    const char *keyword, *name;
    size_t keyword_length = idl_word(cursor, &keyword);
    for (size_t i = 0; i < sizeof declarations / sizeof declarations[0]; i++) {
        if (!idl_word_is(keyword, keyword_length, declarations[i].keyword))
            continue;
        size_t length = idl_word(cursor, &name);
        if (length == 0 || name[0] < 'A' || name[0] > 'Z' || memchr(name, '.', length))
            return -EINVAL;
        int r = idl_skip_struct(cursor);
        if (r == 0 && declarations[i].has_reply)
            r = idl_skip_arrow(cursor);
        if (r == 0 && declarations[i].has_reply)
            r = idl_skip_struct(cursor);
        if (r < 0 || !visit)
            return r;
        return visit(declarations[i].kind, name, length, userdata);
    }
    return -EINVAL;
}

int varlink_idl_read(const char *text, const char *name, varlink_idl_visit visit, void *userdata) {
    struct idl_cursor cursor = {text};
    const char *word;
    size_t length = idl_word(&cursor, &word);
    if (!idl_word_is(word, length, "interface"))
        return -EINVAL;
    length = idl_word(&cursor, &word);
    if (!idl_word_is(word, length, name))
        return -EINVAL;
    for (idl_skip_space(&cursor); *cursor.at; idl_skip_space(&cursor)) {
        int r = idl_declaration(&cursor, visit, userdata);
        if (r < 0)
            return r;
    }
    return 0;
}

struct idl_search {
    enum varlink_idl_kind kind;
    const char *name;
};

static int idl_search_visit(
    enum varlink_idl_kind kind, const char *name, size_t length, void *userdata) {
    const struct idl_search *search = userdata;
    return kind == search->kind && idl_word_is(name, length, search->name) ? -EEXIST : 0;
}

bool varlink_idl_has(
    const char *text, const char *interface, enum varlink_idl_kind kind, const char *name) {
    struct idl_search search = {kind, name};
    return varlink_idl_read(text, interface, idl_search_visit, &search) == -EEXIST;
}
