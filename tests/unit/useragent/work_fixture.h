/* The worker's part of an agent in a home of its own, with certificates of a test PKI: what
 * devtrustd and the loop would do is done by the test. */
#pragma once

#include "useragent/agent_work.h"

#include "common/base64.h"
#include "common/x509_csr.h"

#include "home.h"
#include "pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct fixture {
    struct pki pki;
    struct agent_work work;
};

static inline void begin(struct fixture *fixture, const struct user_dirs *dirs) {
    struct agent_work *work = &fixture->work;

    agent_work_init(work);
    work->dirs = *dirs;
    work->clock = &clock_system;
    work->random = &random_system;
    work->settings.present = true;
    work->settings.renew_after_s = 14 * 86400;
    memcpy(work->settings.issuer_spki, fixture->pki.issuer_spki, SHA256_SIZE);
    memcpy(work->settings.root_spki, fixture->pki.root_spki, SHA256_SIZE);
    memcpy(work->settings.device_uuid, PKI_DEVICE, sizeof work->settings.device_uuid);
}

/* The process dies; its successor starts in the same home. */
static inline enum agent_event restart(struct fixture *fixture) {
    struct user_dirs dirs = fixture->work.dirs;
    enum agent_event event;

    agent_work_deinit(&fixture->work);
    begin(fixture, &dirs);
    fixture->work.settings.present = false; /* devtrustd is not there yet */
    assert_int_equal(agent_work_recover(&fixture->work, &event), 0);
    return event;
}

static inline int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct user_dirs dirs;
    enum agent_event event;

    home_make(&dirs);
    pki_init(&fixture->pki, "Example");
    begin(fixture, &dirs);
    assert_int_equal(agent_work_recover(&fixture->work, &event), 0);
    assert_int_equal(event, AGENT_EVENT_RECOVERED);
    *state = fixture;
    return 0;
}

static inline int teardown(void **state) {
    struct fixture *fixture = *state;

    agent_work_deinit(&fixture->work);
    home_remove(&fixture->work.dirs);
    pki_deinit(&fixture->pki);
    free(fixture);
    return 0;
}

static inline void prepare(struct fixture *fixture, const char *request_id) {
    struct agent_work *work = &fixture->work;
    uint8_t der[X509_CSR_MAX_SIZE * 2];
    const unsigned char *at = der;
    size_t size;
    STACK_OF(X509) *certificates = sk_X509_new_null();
    X509_REQ *request;
    X509 *leaf;

    work->request =
        (struct agent_request){.present = true, .key_type = KEY_TYPE_P256, .key_type_known = true};
    strcpy(work->request.id, request_id);
    strcpy(work->request.subject_uid, PKI_USER);
    assert_int_equal(agent_work_prepare(work), AGENT_EVENT_PREPARED);
    agent_work_open(work);
    assert_int_equal(
        base64_decode(
            credential_key_csr(work->key), strlen(credential_key_csr(work->key)), false, der,
            &size),
        0);
    request = d2i_X509_REQ(NULL, &at, (long)size);
    leaf = pki_leaf(
        &fixture->pki, X509_REQ_get0_pubkey(request), PKI_DEVICE, PKI_USER, time(NULL) - 300,
        30 * 86400);
    sk_X509_push(certificates, leaf);
    sk_X509_push(certificates, fixture->pki.issuer);
    sk_X509_push(certificates, fixture->pki.root);
    assert_int_equal(agent_work_take_bundle(work, certificates), 0);
    sk_X509_free(certificates);
    X509_free(leaf);
    X509_REQ_free(request);
}

static inline void install(struct fixture *fixture, const char *request_id) {
    prepare(fixture, request_id);
    assert_int_equal(agent_work_import(&fixture->work), AGENT_EVENT_VERIFIED);
}

static inline void complete(struct fixture *fixture, const char *request_id) {
    install(fixture, request_id);
    assert_int_equal(agent_work_supersede(&fixture->work), AGENT_EVENT_SUPERSEDED);
    agent_work_finish(&fixture->work);
}

static inline void expect_in_store(struct fixture *fixture, unsigned certificates, unsigned keys) {
    char path[USER_DIRS_PATH_MAX], text[8192];

    agent_work_close(&fixture->work);
    user_dirs_join(fixture->work.dirs.data, "pki/nssdb", path);
    home_certutil("-L", path, text, sizeof text);
    assert_int_equal(home_count(text, "Device Trust Certificate"), certificates);
    home_certutil("-K", path, text, sizeof text);
    assert_int_equal(home_count(text, "devtrust " PKI_DEVICE), keys);
}
