/* Managed users without daemon, agents or server: accounts, agents, policy and the link to the
 * server are the test's. Time stands still; certificates are real. */
#pragma once

#include "daemon/user_calls.h"
#include "daemon/user_view.h"
#include "daemon/users.h"

#include "common/cleanup.h"
#include "common/est_message.h"
#include "common/json_gate.h"
#include "common/x509_csr.h"
#include "tests/unit/daemon/pki.h"
#include "tests/unit/daemon/state_dir.h"
#include "tests/unit/daemon/virtual_time.h"

#include <errno.h>

#define WORLD_DEVICE "0b6f6c0e-5b0d-4b57-9d44-7a3f0a1c2b3d"
#define WORLD_MAX 8

struct world_post {
    uint8_t *csr;
    size_t size;
    server_link_signed done;
    void *userdata; /* the user; NULL: cancelled or answered */
};

struct world {
    struct state_dir dir;
    uv_loop_t loop;
    struct user_store *store;
    struct users *users;
    struct pki_entity root, issuer, stranger_root, stranger;
    struct desired_state state;
    struct desired_user assigned[WORLD_MAX];
    bool attached[WORLD_MAX]; /* index: uid − 1000 */
    enum login login;         /* of everybody */
    int64_t unreachable_since;
    bool enrolled, policy_good, policy_there, clock_agrees;
    int64_t firefox_since;
    int policy_writes;
    struct world_post posts[32];
    size_t post_count;
    int sign_error, report_error;
    struct json_object *reports[32];
    size_t report_count;
    struct user_answer answer;
    char answer_current[37];
    int answers;
};

static struct world world;

/* ---- accounts: alice 1000, bob 1001, carol 1002; their service can be made to say something else
 * ---- */

static uid_t world_alice = 1000;
static int world_lookup_error;
__attribute__((unused)) static unsigned world_lookups; /* so far */
static unsigned world_settlings;                       /* so far */

__attribute__((unused)) static int world_by_name(
    const char *name, uid_t *ret_uid, char *ret_name, size_t size) {
    static const char *const names[] = {"alice", "bob", "carol"};
    __atomic_add_fetch(&world_lookups, 1, __ATOMIC_RELAXED); /* on a worker */
    if (world_lookup_error != 0)
        return world_lookup_error;
    for (size_t i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *ret_uid = i == 0 ? world_alice : (uid_t)(1000 + i);
            snprintf(ret_name, size, "%s", name);
            return 0;
        }
    return -ENOENT;
}

__attribute__((unused)) static int world_by_uid(uid_t uid, char *ret_name, size_t size) {
    const char *name = uid == world_alice ? "alice" : uid == 1001 ? "bob" : "carol";
    snprintf(ret_name, size, "%s", name);
    return 0;
}

static const struct user_database world_database = {world_by_name, world_by_uid};

/* ---- services ---- */

static bool world_agent_attached(int64_t uid, void *unused) {
    (void)unused;
    return uid >= 1000 && uid < 1000 + WORLD_MAX && world.attached[uid - 1000];
}

static enum login world_login(int64_t uid, void *unused) {
    (void)uid;
    (void)unused;
    return world.login;
}

static int64_t world_unreachable_since(void *unused) {
    (void)unused;
    return world.unreachable_since;
}

static void world_changed(int64_t uid, void *unused) {
    (void)uid;
    (void)unused;
}

static bool world_policy_ready(int64_t *ret_since, void *unused) {
    (void)unused;
    if (world.policy_good && !world.policy_there) {
        world.policy_there = true;
        world.policy_writes++;
    }
    *ret_since = virtual_now;
    return world.policy_there;
}

static int64_t world_firefox_since(void *unused) {
    (void)unused;
    return world.firefox_since;
}

static void world_policy_needed(bool needed, void *unused) {
    (void)unused;
    world_settlings++;
    if (!needed)
        world.policy_there = false;
}

static int world_sign(
    const uint8_t *csr, size_t size, server_link_signed done, void *userdata, void *unused) {
    (void)unused;
    if (world.sign_error != 0)
        return world.sign_error;
    assert(world.post_count < 32);
    struct world_post *post = &world.posts[world.post_count++];
    *post = (struct world_post){malloc(size), size, done, userdata};
    memcpy(post->csr, csr, size);
    return 0;
}

static void world_sign_cancel(void *userdata, void *unused) {
    (void)unused;
    for (size_t i = 0; i < world.post_count; i++)
        if (world.posts[i].userdata == userdata)
            world.posts[i].userdata = NULL;
}

static int world_report(struct json_object *report, void *unused) {
    (void)unused;
    if (world.report_error != 0) {
        json_object_put(report);
        return world.report_error;
    }
    assert(world.report_count < 32);
    world.reports[world.report_count++] = report;
    return 0;
}

static bool world_trust(X509 **ret_root, X509 **ret_issuer, const char **ret_uuid, void *unused) {
    (void)unused;
    *ret_root = world.root.certificate;
    *ret_issuer = world.issuer.certificate;
    *ret_uuid = WORLD_DEVICE;
    return world.enrolled;
}

static bool world_clock_agrees(void *unused) {
    (void)unused;
    return world.clock_agrees;
}

/* ---- life ---- */

static void world_start(void) {
    const struct users_options options = {
        .loop = &world.loop,
        .services =
            {.clock = &virtual_clock,
             .random = &virtual_random,
             .store = world.store,
             .requests_per_hour = 6,
             .request_deadline_s = 60,
             .agent_attached = world_agent_attached,
             .login = world_login,
             .unreachable_since = world_unreachable_since,
             .changed = world_changed,
             .policy_ready = world_policy_ready,
             .firefox_since = world_firefox_since,
             .sign = world_sign,
             .sign_cancel = world_sign_cancel,
             .report = world_report,
             .trust = world_trust,
             .clock_agrees = world_clock_agrees},
        .database = &world_database,
        .min_uid = 1000,
        .lookup_deadline_ms = 60000,
        .policy_needed = world_policy_needed,
    };
    assert(users_new(&options, &world.users) == 0);
}

static void no_lookup_pending(void) {
    bool pending = true;
    while (pending) {
        pending = false;
        for (size_t i = 0; i < users_count(world.users); i++)
            pending = pending || users_get(world.users, i)->lookup;
        if (pending)
            uv_run(&world.loop, UV_RUN_ONCE);
    }
}

/* Lets look-ups end and changes settle. */
static void world_settle(void) {
    no_lookup_pending();
    users_settle(world.users);
    no_lookup_pending();
    users_settle(world.users);
}

static void world_stop(void) {
    users_close(world.users);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    world.users = NULL;
    for (size_t i = 0; i < world.post_count; i++)
        free(world.posts[i].csr);
    world.post_count = 0;
}

static void world_say(void) {
    world.state.generation++;
    users_set_state(world.users, &world.state);
    world_settle();
}

/* As after a kill: nothing but the files. */
__attribute__((unused)) static void world_restart(void) {
    world_stop();
    world_start();
    users_set_state(world.users, &world.state);
    world_settle();
}

static void world_assign(size_t index, const char *id, const char *name) {
    world.assigned[index] =
        (struct desired_user){.id = (char *)(uintptr_t)id, .name = (char *)(uintptr_t)name};
    if (world.state.user_count < index + 1)
        world.state.user_count = index + 1;
}

__attribute__((unused)) static void world_attach(int64_t uid) {
    world.attached[uid - 1000] = true;
    users_agent_attached(world.users, uid);
    world_settle();
}

__attribute__((unused)) static void world_detach(int64_t uid) {
    world.attached[uid - 1000] = false;
    users_agent_detached(world.users, uid);
    world_settle();
}

/* Moves the clock and does what is due then. */
__attribute__((unused)) static void world_wait(int64_t seconds) {
    virtual_now += seconds;
    users_advance(world.users);
    world_settle();
}

__attribute__((unused)) static int world_setup(void **unused) {
    (void)unused;
    memset(&world, 0, sizeof(world));
    virtual_now = time(NULL); /* certificates are judged by it */
    world_alice = 1000;
    world_lookup_error = 0;
    state_dir_make(&world.dir);
    assert(uv_loop_init(&world.loop) == 0);
    assert(user_store_open(world.dir.fd, &world.store) == 0);
    world.root = pki_ca("Trust Root", NULL);
    world.issuer = pki_ca("Trust CA", &world.root);
    world.stranger_root = pki_ca("Stranger Root", NULL);
    world.stranger = pki_ca("Stranger CA", &world.stranger_root);
    world.enrolled = world.policy_good = world.clock_agrees = true;
    world.state = (struct desired_state){
        .enrolled = true,
        .distribution = DISTRIBUTION_ON,
        .key_type = KEY_TYPE_P256,
        .key_type_known = true,
        .lifetime_s = 86400,
        .renew_after_s = 40000,
        .users = world.assigned};
    strcpy(world.state.epoch, "1b6f6c0e-5b0d-4b57-9d44-7a3f0a1c2b3d");
    world_start();
    return 0;
}

__attribute__((unused)) static int world_teardown(void **unused) {
    (void)unused;
    world_stop();
    for (size_t i = 0; i < world.report_count; i++)
        json_object_put(world.reports[i]);
    world.store = user_store_free(world.store);
    pki_free(&world.root);
    pki_free(&world.issuer);
    pki_free(&world.stranger_root);
    pki_free(&world.stranger);
    state_dir_remove(&world.dir);
    return uv_loop_close(&world.loop);
}

/* ---- the agent's part ---- */

static struct user *world_user(int64_t uid) {
    return users_find_by_uid(world.users, uid);
}

static void world_submitted(const struct user_answer *answer, void *unused) {
    (void)unused;
    world.answer = *answer;
    world.answers++;
    snprintf(
        world.answer_current, sizeof(world.answer_current), "%s",
        answer->current ? answer->current : "");
}

/* free() it. `id` NULL: the open request's. */
__attribute__((unused)) static char *world_csr(
    struct user *user, EVP_PKEY *key, const char *uid, const char *id) {
    const struct x509_csr_subject subject = {
        uid ? uid : user->record.id, id ? id : user->record.request.id};
    uint8_t *der CLEANUP_FREE = NULL;
    size_t size;
    assert(x509_csr_create(key, &subject, &der, &size) == 0);
    char *text = calloc(1, size * 2 + 8);
    EVP_EncodeBlock((unsigned char *)text, der, (int)size);
    return text;
}

/* Submits with a key for the open request; `key` NULL: a new one. */
__attribute__((unused)) static void world_submit(int64_t uid, EVP_PKEY *key) {
    struct user *user = world_user(uid);
    EVP_PKEY *own CLEANUP_EVP_PKEY = NULL;
    if (!key)
        assert(x509_key_generate(KEY_TYPE_P256, &own) == 0);
    char *csr CLEANUP_FREE = world_csr(user, key ? key : own, NULL, NULL);
    char id[37];
    memcpy(id, user->record.request.id, sizeof(id));
    user_submit(user, id, csr, world_submitted, &world);
}

__attribute__((unused)) static int world_report_outcome(
    int64_t uid, enum user_outcome outcome, const char *request_id, const char *serial) {
    struct json_object *stores CLEANUP_JSON = json_object_new_array();
    const struct user_report report = {
        .outcome = outcome,
        .request_id = request_id,
        .serial = serial,
        .renew_at = virtual_now + 1000,
        .code = outcome == OUTCOME_FAILED ? "store-full" : NULL,
        .stores = stores};
    int r = user_report(world_user(uid), &report);
    world_settle();
    return r;
}

/* ---- the server's part ---- */

struct world_leaf {
    const struct pki_entity *issuer; /* NULL: the right one */
    const char *user, *device;       /* NULL: the right ones */
    EVP_PKEY *key;                   /* NULL: the request's */
    const char *policy, *basic;      /* NULL: the right ones */
    int64_t begin_s, end_s;
};

/* The certificate for the last post. */
static X509 *world_issue(const struct world_post *post, const struct world_leaf *wrong) {
    static uint32_t counter = 0x5a000000;
    const uint8_t *at = post->csr;
    X509_REQ *request CLEANUP_X509_REQ = d2i_X509_REQ(NULL, &at, (long)post->size);
    struct user *user = post->userdata;
    char san[256], cn[260];
    uint8_t serial[4];
    snprintf(
        san, sizeof(san), "URI:urn:uuid:%s,URI:urn:devtrust:user:%s",
        wrong->device ? wrong->device : WORLD_DEVICE, wrong->user ? wrong->user : user->record.id);
    counter++;
    for (int i = 0; i < 4; i++)
        serial[i] = (uint8_t)(counter >> (24 - 8 * i));
    assert(x509_profile_user_cn("Example", serial, cn, sizeof(cn)) == 0);
    const struct pki_shape shape = {
        .name = cn,
        .issuer = wrong->issuer ? wrong->issuer : &world.issuer,
        .key = wrong->key ? wrong->key : X509_REQ_get0_pubkey(request),
        .begin_s = wrong->begin_s,
        .end_s = wrong->end_s,
        .san = san,
        .basic = wrong->basic ? wrong->basic : "critical,CA:FALSE",
        .key_usage = "critical,digitalSignature",
        .usage = "clientAuth",
        .policy = wrong->policy ? wrong->policy : X509_POLICY_USER};
    struct pki_entity leaf = pki_make(&shape);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(leaf.certificate), counter);
    assert(X509_sign(leaf.certificate, shape.issuer->key, EVP_sha256()) > 0);
    EVP_PKEY_free(leaf.key);
    return leaf.certificate;
}

static struct world_post *world_last_post(void) {
    assert(world.post_count > 0);
    struct world_post *post = &world.posts[world.post_count - 1];
    assert(post->userdata);
    return post;
}

__attribute__((unused)) static void world_answer(
    enum sign_outcome outcome, int64_t retry_after_ms, enum reason reason) {
    struct world_post *post = world_last_post();
    void *user = post->userdata;
    post->userdata = NULL;
    post->done(outcome, NULL, retry_after_ms, reason, user);
    world_settle();
}

/* Answers the last post; `wrong` NULL: with the right certificate. */
__attribute__((unused)) static void world_answer_issued(const struct world_leaf *wrong) {
    static const struct world_leaf right = {.issuer = NULL};
    struct world_post *post = world_last_post();
    void *user = post->userdata;
    STACK_OF(X509) *chain CLEANUP_CERTS = sk_X509_new_null();
    sk_X509_push(chain, world_issue(post, wrong ? wrong : &right));
    X509_up_ref(world.issuer.certificate);
    sk_X509_push(chain, world.issuer.certificate);
    X509_up_ref(world.root.certificate);
    sk_X509_push(chain, world.root.certificate);
    post->userdata = NULL;
    post->done(SIGN_ISSUED, chain, 0, REASON_NONE, user);
    world_settle();
}

/* From an open request to an installed certificate. */
__attribute__((unused)) static void world_install(int64_t uid) {
    char id[37], serial[X509_SERIAL_HEX_SIZE];
    world_submit(uid, NULL);
    world_answer_issued(NULL);
    struct user *user = world_user(uid);
    assert(user->record.state == USER_DELIVERED);
    memcpy(id, user->record.request.id, sizeof(id));
    memcpy(serial, user->record.request.serial, sizeof(serial));
    assert(world_report_outcome(uid, OUTCOME_INSTALLED, id, serial) == 1);
    assert(world_user(uid)->record.state == USER_INSTALLED);
}
