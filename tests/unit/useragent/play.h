/* A scripted devtrustd for tests: serves io.devtrust.Agent as root on a real socket, issues real
 * certificates, and lets a test say what comes when. The agent runs in a child process as an
 * ordinary user, since it refuses any peer but uid 0. */
#pragma once

#include "common/base64.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/x509_csr.h"
#include "ipc/interfaces.h"
#include "ipc/transport.h"
#include "ipc/varlink_server.h"
#include "useragent/agent.h"
#include "useragent/agent_lock.h"
#include "useragent/agent_record.h"
#include "useragent/credential_key.h"

#include "home.h"
#include "pki.h"

#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>

#define PLAY_UID 65534
#define PLAY_PATIENCE_MS 60000 /* a bound for a hanging test, not a measure */

/* Who may not play devtrustd skips the test, and says why. */
#define REQUIRE_ROOT()                                                                             \
    do {                                                                                           \
        if (getuid() != 0) {                                                                       \
            print_message("needs root: the agent obeys nobody but a daemon of uid 0\n");           \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

enum play_submit { PLAY_ISSUE, PLAY_HOLD, PLAY_RETRY, PLAY_OTHER_KEY, PLAY_DROP, PLAY_STALE };

struct play {
    struct user_dirs dirs; /* the user's, owned by PLAY_UID */
    char directory[64];    /* root's, with the socket */
    char socket[96];
    char database[USER_DIRS_PATH_MAX];
    struct pki pki;
    uv_loop_t loop;
    struct varlink_server *server;
    struct varlink_call *watch;
    struct varlink_call *held; /* a Submit or Report that is not answered */
    pid_t agent;
    int listening;

    /* what Watch says */
    int64_t revision;
    const char *mode;
    const char *request_id; /* NULL: none */
    const char *inspection;
    bool full, repair; /* of it */
    int64_t install_not_before;
    int64_t renew_after_s;
    int64_t expiry, firefox_since; /* 0: none */
    int64_t life_s;

    /* what is answered */
    enum play_submit submit;
    bool hold_report;
    unsigned postpone_reports;            /* so many are answered with TooSoon, as by a full disk */
    uint64_t answer_within_ms, settle_ms; /* of the agent (agent.h) */
    const char *bus;                      /* of machine and user; NULL: none */
    const struct clock_source *clock;     /* of the agent, in its process; NULL: the machine's */
    bool advance_on_renew;                /* Renew makes the request "renewed" */

    /* what was seen */
    unsigned watches, submits, reports, renews, inspections;
    char csr[2][8192]; /* the last two */
    char outcome[32], reported_id[80], serial[64], code[64], renew_reason[32];
    unsigned stores_reported, stores_not_ok; /* in the last report */
    char store_code[64];                     /* of the last of these */
    int64_t renew_at;
    unsigned certificates_inspected, verified_inspected;
    struct json_object *inspected; /* the last one's parameters */
    bool timed_out;
};

static struct play *play_current; /* handlers have one userdata; tests one play */

static inline struct json_object *play_snapshot(struct play *play) {
    struct json_object *snapshot = json_object_new_object();
    struct json_object *settings = json_object_new_object();
    char hex[SHA256_HEX_SIZE];

    json_fields_add_int(snapshot, "revision", ++play->revision);
    json_fields_add_string(snapshot, "mode", play->mode);
    json_fields_add_string(
        settings, "issuer_spki_sha256", hex_encode(play->pki.issuer_spki, SHA256_SIZE, hex));
    json_fields_add_string(
        settings, "root_spki_sha256", hex_encode(play->pki.root_spki, SHA256_SIZE, hex));
    json_fields_add_string(settings, "device_uuid", PKI_DEVICE);
    json_fields_add_int(settings, "renew_after_s", play->renew_after_s);
    json_fields_add(settings, "trusted_applications", json_object_new_array());
    if (play->firefox_since > 0)
        json_fields_add_int(settings, "firefox_policy_since", play->firefox_since);
    if (play->expiry > 0) {
        struct json_object *expiry = json_object_new_object();

        json_fields_add_int(expiry, "not_after", play->expiry);
        json_fields_add_int(expiry, "unreachable_since", 86400);
        json_fields_add(snapshot, "expiry", expiry);
    }
    json_fields_add(snapshot, "settings", settings);
    if (play->request_id) {
        struct json_object *request = json_object_new_object();

        json_fields_add_string(request, "id", play->request_id);
        json_fields_add_string(request, "subject_uid", PKI_USER);
        json_fields_add_string(request, "key_type", "p256");
        json_fields_add_string(request, "reason", "first");
        json_fields_add_int(request, "deadline", time(NULL) + 600);
        json_fields_add_int(request, "install_not_before", play->install_not_before);
        json_fields_add(snapshot, "request", request);
    }
    if (play->inspection) {
        struct json_object *inspection = json_object_new_object();

        json_fields_add_string(inspection, "id", play->inspection);
        if (play->full)
            json_fields_add_bool(inspection, "full", true);
        if (play->repair)
            json_fields_add_bool(inspection, "repair", true);
        json_fields_add(snapshot, "inspection", inspection);
    }
    return snapshot;
}

/* Tells the agent what holds now. */
static inline void play_notify(struct play *play) {
    if (play->watch)
        varlink_call_notify(play->watch, play_snapshot(play));
}

static inline void play_watch_cancelled(struct varlink_call *call, void *userdata) {
    (void)call;
    (void)userdata;
    play_current->watch = NULL;
}

static inline void play_on_watch(struct varlink_call *call, void *userdata) {
    struct play *play = play_current;

    (void)userdata;
    play->watches++;
    play->watch = call;
    varlink_call_on_cancel(call, play_watch_cancelled, NULL);
    varlink_call_notify(call, play_snapshot(play));
}

static inline const char *play_text(struct varlink_call *call, const char *name) {
    struct json_object *value = NULL;

    json_object_object_get_ex(varlink_call_parameters(call), name, &value);
    return value ? json_object_get_string(value) : "";
}

static inline struct json_object *play_bundle(struct play *play, const char *csr) {
    struct json_object *reply = json_object_new_object();
    struct json_object *bundle = json_object_new_object();
    struct json_object *intermediates = json_object_new_array();
    uint8_t der[X509_CSR_MAX_SIZE * 2];
    size_t size = 0;
    const unsigned char *at = der;
    X509_REQ *request;
    EVP_PKEY *other = NULL;
    X509 *leaf;
    char *text = NULL;

    assert(base64_decode(csr, strlen(csr), false, der, &size) == 0);
    request = d2i_X509_REQ(NULL, &at, (long)size);
    assert(request);
    if (play->submit == PLAY_OTHER_KEY)
        other = EVP_EC_gen("P-256");
    leaf = pki_leaf(
        &play->pki, other ? other : X509_REQ_get0_pubkey(request), PKI_DEVICE, PKI_USER,
        time(NULL) - 300, play->life_s + 300);
    x509_cert_to_base64(play->pki.root, &text);
    json_fields_add_string(bundle, "root", text);
    free(text);
    x509_cert_to_base64(play->pki.issuer, &text);
    json_object_array_add(intermediates, json_object_new_string(text));
    free(text);
    x509_cert_to_base64(leaf, &text);
    json_fields_add_string(bundle, "leaf", text);
    free(text);
    json_fields_add(bundle, "intermediates", intermediates);
    json_fields_add(reply, "bundle", bundle);
    X509_free(leaf);
    X509_REQ_free(request);
    EVP_PKEY_free(other);
    return reply;
}

static inline void play_held_cancelled(struct varlink_call *call, void *userdata) {
    (void)call;
    (void)userdata;
    play_current->held = NULL;
}

static inline void play_hold(struct play *play, struct varlink_call *call) {
    play->held = call;
    varlink_call_on_cancel(call, play_held_cancelled, NULL);
}

static inline void play_on_submit(struct varlink_call *call, void *userdata) {
    struct play *play = play_current;
    struct json_object *reply;

    (void)userdata;
    play->submits++;
    memcpy(play->csr[1], play->csr[0], sizeof play->csr[0]);
    snprintf(play->csr[0], sizeof play->csr[0], "%s", play_text(call, "csr"));
    switch (play->submit) {
    case PLAY_HOLD:
    case PLAY_DROP:
        play_hold(play, call);
        break;
    case PLAY_RETRY:
        reply = json_object_new_object();
        json_fields_add_int(reply, "retry_after_s", 1);
        varlink_call_reply(call, reply);
        play->submit = PLAY_ISSUE;
        break;
    case PLAY_STALE:
        varlink_call_error(call, "io.devtrust.Agent.StaleRequest", NULL);
        break;
    case PLAY_ISSUE:
    case PLAY_OTHER_KEY:
        varlink_call_reply(call, play_bundle(play, play->csr[0]));
        break;
    }
}

static inline void play_note_stores(struct play *play, struct json_object *parameters) {
    struct json_object *stores = NULL, *value = NULL;

    json_object_object_get_ex(parameters, "stores", &stores);
    play->stores_reported = (unsigned)json_object_array_length(stores);
    play->stores_not_ok = 0;
    for (size_t i = 0; i < play->stores_reported; i++) {
        struct json_object *store = json_object_array_get_idx(stores, i);

        json_object_object_get_ex(store, "ok", &value);
        if (json_object_get_boolean(value))
            continue;
        play->stores_not_ok++;
        if (json_object_object_get_ex(store, "code", &value))
            snprintf(
                play->store_code, sizeof play->store_code, "%s", json_object_get_string(value));
    }
}

static inline void play_on_report(struct varlink_call *call, void *userdata) {
    struct play *play = play_current;
    struct json_object *value = NULL;

    (void)userdata;
    play->reports++;
    play_note_stores(play, varlink_call_parameters(call));
    snprintf(play->outcome, sizeof play->outcome, "%s", play_text(call, "outcome"));
    snprintf(play->reported_id, sizeof play->reported_id, "%s", play_text(call, "request_id"));
    snprintf(play->serial, sizeof play->serial, "%s", play_text(call, "serial"));
    snprintf(play->code, sizeof play->code, "%s", play_text(call, "code"));
    if (json_object_object_get_ex(varlink_call_parameters(call), "renew_at", &value))
        play->renew_at = json_object_get_int64(value);
    if (play->hold_report) {
        play_hold(play, call);
        return;
    }
    if (play->postpone_reports > 0) {
        struct json_object *reply = json_object_new_object();

        play->postpone_reports--;
        json_fields_add_int(reply, "retry_after_s", 1);
        varlink_call_error(call, "io.devtrust.Agent.TooSoon", reply);
        return;
    }
    if (play->request_id && strcmp(play->request_id, play->reported_id) == 0)
        play->request_id = NULL;
    varlink_call_reply(call, NULL);
    play_notify(play);
}

static inline void play_on_renew(struct varlink_call *call, void *userdata) {
    struct play *play = play_current;
    struct json_object *reply = json_object_new_object();

    (void)userdata;
    play->renews++;
    snprintf(play->renew_reason, sizeof play->renew_reason, "%s", play_text(call, "reason"));
    if (!play->advance_on_renew) {
        json_fields_add_int(reply, "retry_after_s", 3600);
        varlink_call_error(call, "io.devtrust.Agent.TooSoon", reply);
        return;
    }
    play->request_id = "renewed";
    json_fields_add_string(reply, "request_id", play->request_id);
    varlink_call_reply(call, reply);
    play_notify(play);
}

static inline void play_on_inspected(struct varlink_call *call, void *userdata) {
    struct play *play = play_current;
    struct json_object *certificates = NULL;
    struct json_object *verified = NULL;

    (void)userdata;
    play->inspections++;
    json_object_put(play->inspected);
    play->inspected = json_object_get(varlink_call_parameters(call));
    json_object_object_get_ex(varlink_call_parameters(call), "certificates", &certificates);
    play->certificates_inspected = (unsigned)json_object_array_length(certificates);
    for (size_t i = 0; i < play->certificates_inspected; i++) {
        json_object_object_get_ex(
            json_object_array_get_idx(certificates, i), "verified", &verified);
        if (json_object_get_boolean(verified))
            play->verified_inspected++;
    }
    play->inspection = NULL;
    varlink_call_reply(call, NULL);
}

static const struct method *const play_methods[] = {
    METHOD_ROW("io.devtrust.Agent.Watch", METHOD_ANYONE, true, 0, 4096, play_on_watch),
    METHOD_ROW("io.devtrust.Agent.Submit", METHOD_ANYONE, false, 60000, 16384, play_on_submit),
    METHOD_ROW("io.devtrust.Agent.Report", METHOD_ANYONE, false, 60000, 65536, play_on_report),
    METHOD_ROW("io.devtrust.Agent.Renew", METHOD_ANYONE, false, 60000, 4096, play_on_renew),
    METHOD_ROW(
        "io.devtrust.Agent.Inspected", METHOD_ANYONE, false, 60000, 65536, play_on_inspected),
};

static inline void play_listen(struct play *play) {
    static const struct varlink_interface interfaces[] = {
        {"io.devtrust.Agent", interface_io_devtrust_Agent}};
    const struct varlink_server_options options = {
        .vendor = "test",
        .product = "test",
        .version = "1",
        .url = "https://example.org",
        .interfaces = interfaces,
        .interface_count = 1,
        .methods = play_methods,
        .method_count = ARRAY_LENGTH(play_methods),
        .limits = varlink_limits_default,
    };

    assert(varlink_server_new(&play->loop, &options, &play->server) == 0);
    /* one listening socket for the whole test: the next server takes it over, as after a restart */
    if (play->listening <= 0)
        play->listening = transport_listen(play->socket);
    assert(play->listening > 0);
    assert(varlink_server_listen_fd(play->server, dup(play->listening)) == 0);
}

static inline void play_chown_home(struct play *play) {
    char text[512];
    const char *argv[] = {"chown", "-R", "65534:65534", play->dirs.home, NULL};

    assert(home_run(argv, text, sizeof text) == 0);
}

static inline void play_init(struct play *play) {
    memset(play, 0, sizeof *play);
    play_current = play;
    home_make(&play->dirs);
    play_chown_home(play);
    user_dirs_join(play->dirs.data, "pki/nssdb", play->database);
    strcpy(play->directory, "/tmp/devtrust-play-XXXXXX");
    assert(mkdtemp(play->directory));
    assert(chmod(play->directory, 0755) == 0);
    snprintf(play->socket, sizeof play->socket, "%s/io", play->directory);
    pki_init(&play->pki, "Example");
    assert(uv_loop_init(&play->loop) == 0);
    play->mode = "certificate";
    play->renew_after_s = 14 * 86400;
    play->life_s = 30 * 86400;
    play_listen(play);
}

/* ---- the agent ---- */

static inline void play_agent_ended(int result, void *userdata) {
    (void)result;
    (void)userdata;
    _exit(0);
}

static inline void play_agent_main(struct play *play) {
    static uv_loop_t loop;
    struct agent_options options = {
        .loop = &loop,
        .socket_path = play->socket,
        .dirs = play->dirs,
        .system_bus = play->bus,
        .user_bus = play->bus,
        .notice_settle_ms = 1,
        .clock = play->clock ? play->clock : &clock_system,
        .random = &random_system,
        .answer_within_ms = play->answer_within_ms,
        .settle_ms = play->settle_ms,
        .ended = play_agent_ended,
    };
    struct agent *agent = NULL;

    if (setgroups(0, NULL) < 0 || setresgid(PLAY_UID, PLAY_UID, PLAY_UID) < 0 ||
        setresuid(PLAY_UID, PLAY_UID, PLAY_UID) < 0)
        _exit(90);
    /* after the change of user, which clears it */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    log_init("agent", getenv("DEVTRUST_TEST_VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    if (uv_loop_init(&loop) < 0 || agent_new(&options, &agent) < 0)
        _exit(91);
    uv_run(&loop, UV_RUN_DEFAULT);
    _exit(92);
}

static inline void play_start_agent(struct play *play) {
    play->agent = fork();
    assert(play->agent >= 0);
    if (play->agent == 0)
        play_agent_main(play);
}

static inline void play_kill_agent(struct play *play) {
    int status;

    if (play->agent <= 0)
        return;
    kill(play->agent, SIGKILL);
    while (waitpid(play->agent, &status, 0) < 0)
        assert(errno == EINTR);
    play->agent = 0;
}

static inline void play_too_long(uv_timer_t *timer) {
    play_current->timed_out = true;
    uv_stop(timer->loop);
}

static inline void play_nothing(uv_handle_t *handle) {
    (void)handle;
}

/* Runs the loop until the condition holds; returns whether it did. */
static inline bool play_until(struct play *play, bool (*condition)(struct play *)) {
    uv_timer_t timer;

    play->timed_out = false;
    uv_timer_init(&play->loop, &timer);
    uv_timer_start(&timer, play_too_long, PLAY_PATIENCE_MS, 0);
    while (!condition(play) && !play->timed_out)
        uv_run(&play->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, play_nothing);
    uv_run(&play->loop, UV_RUN_NOWAIT);
    if (play->timed_out)
        fprintf(
            stderr, "timed out: watches %u, submits %u, reports %u (%s %s %s), renews %u (%s)\n",
            play->watches, play->submits, play->reports, play->outcome, play->reported_id,
            play->code, play->renews, play->renew_reason);
    return !play->timed_out;
}

static inline void play_deinit(struct play *play) {
    char text[512];
    const char *argv[] = {"rm", "-rf", play->directory, NULL};

    play_kill_agent(play);
    varlink_server_close(play->server, NULL, NULL);
    /* a failed test may have left a timer of its own: the loop is left as it is then */
    for (unsigned i = 0; i < 100; i++)
        uv_run(&play->loop, UV_RUN_NOWAIT);
    (void)uv_loop_close(&play->loop);
    close(play->listening);
    json_object_put(play->inspected);
    home_remove(&play->dirs);
    home_run(argv, text, sizeof text);
    pki_deinit(&play->pki);
}
