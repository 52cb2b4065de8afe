/* Maps EST's outcomes to those that a user's machine acts on. */
#include "daemon/server_signing.h"

#include "common/log.h"
#include "common/log_messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct post {
    struct post *next;
    struct server_signing *signing;
    struct est_request *request;
    server_link_signed done;
    void *userdata;
    bool stale; /* posted under an older device certificate */
};

struct server_signing {
    struct post *posts;
    size_t count;
};

static const enum sign_outcome outcomes[] = {
    [EST_ISSUED] = SIGN_ISSUED,
    [EST_RETRY] = SIGN_RETRY,
    [EST_REFUSED] = SIGN_REFUSED,
    [EST_FAILED] = SIGN_FAILED,
};

static void unlink_post(struct server_signing *signing, struct post *post) {
    struct post **at = &signing->posts;
    while (*at != post)
        at = &(*at)->next;
    *at = post->next;
    signing->count--;
}

static void log_outcome(const struct est_answer *answer) {
    char escaped[512];
    const char *shown =
        log_escape(answer->detail, strlen(answer->detail), escaped, sizeof(escaped));
    log_event(
        LOG_LEVEL_WARNING, MSG_ISSUE_REFUSED, "The server issued no certificate.",
        LOG_TEXT("CODE", reason_code(answer->reason)),
        LOG_TEXT("REMEDY", reason_remedy(answer->reason)), LOG_NUMBER("STATUS", answer->status),
        LOG_TEXT("DETAIL", shown));
}

static void on_answer(const struct est_answer *answer, void *userdata) {
    struct post *post = userdata;
    enum sign_outcome outcome = outcomes[answer->outcome];
    /* that the device's own certificate has ended says nothing about the user: its renewal is on
     * its way, and no new generation would come to set a refused user going again */
    if (outcome == SIGN_REFUSED && (post->stale || answer->reason == REASON_EXPIRED))
        outcome = SIGN_RETRY;
    if (outcome != SIGN_ISSUED && answer->reason != REASON_NONE)
        log_outcome(answer);
    unlink_post(post->signing, post);
    post->done(
        outcome, answer->certificates, answer->retry_after_ms, answer->reason, post->userdata);
    free(post);
}

int server_signing_post(
    struct server_signing *signing, const struct est_target *target, const uint8_t *csr,
    size_t size, server_link_signed done, void *userdata) {
    if (signing->count >= SERVER_SIGNING_MAX)
        return -EBUSY;
    struct post *post = calloc(1, sizeof(*post));
    if (!post)
        return -ENOMEM;
    post->signing = signing;
    post->done = done;
    post->userdata = userdata;
    const struct est_enrolment enrolment = {.csr = csr, .size = size};
    int r = est_client_enroll(target, &enrolment, on_answer, post, &post->request);
    if (r < 0) {
        free(post);
        return r;
    }
    post->next = signing->posts;
    signing->posts = post;
    signing->count++;
    return 0;
}

void server_signing_cancel(struct server_signing *signing, void *userdata) {
    struct post *next;
    for (struct post *post = signing->posts; post; post = next) {
        next = post->next;
        if (post->userdata != userdata)
            continue;
        unlink_post(signing, post);
        est_request_cancel(post->request);
        free(post);
    }
}

void server_signing_identity_changed(struct server_signing *signing) {
    for (struct post *post = signing->posts; post; post = post->next)
        post->stale = true;
}

int server_signing_new(struct server_signing **ret) {
    struct server_signing *signing = calloc(1, sizeof(*signing));
    if (!signing)
        return -ENOMEM;
    *ret = signing;
    return 0;
}

struct server_signing *server_signing_free(struct server_signing *signing) {
    if (!signing)
        return NULL;
    while (signing->posts) {
        struct post *post = signing->posts;
        unlink_post(signing, post);
        est_request_cancel(post->request);
        free(post);
    }
    free(signing);
    return NULL;
}
