/* See agent_answers.h. */
#include "daemon/agent_answers.h"

#include "common/browser_family.h"
#include "common/cleanup.h"
#include "common/json_fields.h"

#include <errno.h>
#include <string.h>

#define MAX_ID 32
#define MAX_CODE 32
#define MAX_SUBJECT 1024
#define MAX_DETAIL 256

struct answer {
    const char *id, *subject, *result, *code, *detail;
};

static const struct json_field answer_table[] = {
    JSON_FIELD(struct answer, id, "id", JSON_FIELD_STRING, true, 1, MAX_ID),
    JSON_FIELD(struct answer, subject, "subject", JSON_FIELD_STRING, true, 0, MAX_SUBJECT),
    JSON_FIELD(struct answer, result, "result", JSON_FIELD_STRING, true, 1, 32),
    JSON_FIELD(struct answer, code, "code", JSON_FIELD_STRING, false, 1, MAX_CODE),
    JSON_FIELD(struct answer, detail, "detail", JSON_FIELD_STRING, false, 0, MAX_DETAIL),
};

/* What is said where all is well, and where there is nothing to look at. `is_said`: the agent's
 * detail would only say it again. */
static const struct words {
    const char *id, *good, *nothing;
    bool is_said;
} words[] = {
    {"store", "It can be used.", "There is none, and none is needed.", false},
    {"store-certificate", "It holds our certificate.", "None is to be there now.", false},
    {"store-key", "The key is there and signs.",
     "There is no certificate whose key could be tried.", true},
    {"store-single", "One certificate and one key of ours.", "There is nothing of ours to count.",
     false},
    {"store-expiry", "Its certificate is good for long enough.",
     "There is no certificate that could expire.", false},
    {"browser-store", "It reads certificates where they are put.",
     "It is installed, but this user has not used it.", false},
    {"browser-restart", "It needs no restart to see the certificate.", "It is not running.", false},
    {"home-disk", "There is enough free space.", "There is no home to look at.", false},
    {"home-permissions", "Nothing of ours is open to others.",
     "There is nothing of ours in the home.", false},
    {"agent-record", "It is in order.", "There is no record, and none is needed.", false},
};

/* Ids and codes go to scripts and terminals as they are. */
static bool is_word(const char *text) {
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

static int read_answer(struct json_object *object, struct answer *ret) {
    if (!json_object_is_type(object, json_type_object) ||
        json_fields_read(object, answer_table, ARRAY_LENGTH(answer_table), ret, NULL) < 0 ||
        !is_word(ret->id) || (ret->code && !is_word(ret->code)))
        return -EINVAL;
    return 0;
}

int agent_answers_validate(struct json_object *answer) {
    for (size_t i = 0; i < json_object_array_length(answer); i++) {
        struct answer one = {0};
        if (read_answer(json_object_array_get_idx(answer, i), &one) < 0)
            return -EINVAL;
    }
    return 0;
}

static const struct words *find_words(const char *id) {
    static const struct words unknown = {
        .good = "The agent finds it in order.", .nothing = "There is nothing to look at."};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (strcmp(words[i].id, id) == 0)
            return &words[i];
    return &unknown;
}

/* An agent names a browser's family by its id. */
static const char *subject_of(const struct answer *answer) {
    const struct browser_family *family =
        strncmp(answer->id, "browser-", 8) == 0 ? browser_family_find(answer->subject) : NULL;
    if (family)
        return family->name;
    return answer->subject[0] ? answer->subject : NULL;
}

/* A code of a newer agent stands as it is: it can be looked up there. */
static void add_one(const struct answer *answer, const char *user, struct checks *checks) {
    struct check check = {
        .id = answer->id,
        .user = user,
        .subject = subject_of(answer),
        .result = check_result_from_name(answer->result),
        .detail = answer->detail,
    };
    bool is_bad = check.result == CHECK_WARNING || check.result == CHECK_FAILURE;
    if (answer->code || is_bad) {
        check.reason = answer->code ? reason_from_code(answer->code) : REASON_OTHER;
        check.code = check.reason == REASON_OTHER ? answer->code : NULL;
    }
    if (check.reason == REASON_NONE) {
        const struct words *found = find_words(answer->id);
        check.text = check.result == CHECK_OK ? found->good : found->nothing;
        if (check.result == CHECK_OK && found->is_said)
            check.detail = NULL;
    }
    checks_add(checks, &check);
}

void agent_answers_add(struct json_object *answer, const char *user, struct checks *checks) {
    for (size_t i = 0; i < json_object_array_length(answer); i++) {
        struct answer one = {0};
        if (read_answer(json_object_array_get_idx(answer, i), &one) == 0)
            add_one(&one, user, checks);
    }
}

bool agent_answers_knows_stores(struct json_object *answer) {
    for (size_t i = 0; answer && i < json_object_array_length(answer); i++) {
        struct answer one = {0};
        if (read_answer(json_object_array_get_idx(answer, i), &one) == 0 &&
            strcmp(one.id, "store") == 0 && check_result_from_name(one.result) == CHECK_FAILURE &&
            reason_from_code(one.code) != REASON_STORE_MISSING)
            return false;
    }
    return answer != NULL;
}
