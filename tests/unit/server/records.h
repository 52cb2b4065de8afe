/* What the tests of the records share: a database in a directory of its own, a few users and
 * devices, and certificates that need no CA. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/assignment.h"
#include "server/certificate.h"
#include "server/device.h"
#include "server/settings.h"
#include "server/user.h"

#include <errno.h>
#include <ftw.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NOW 1800000000LL
#define DEVICE_A "0b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a11"
#define DEVICE_B "1b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a12"
#define REQUEST_1 "2b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a13"
#define REQUEST_2 "3b7e15c4-9c3c-4c50-8a3b-0d7a2f1f6a14"

struct records {
    char dir[64], path[80];
    struct db *db;
};

__attribute__((unused)) static int records_remove_entry(
    const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st, (void)type, (void)walk;
    return remove(path);
}

/** A directory and nothing in it. */
__attribute__((unused)) static int records_setup_empty(void **state) {
    struct records *records = calloc(1, sizeof(*records));
    strcpy(records->dir, "/tmp/devtrust-records-XXXXXX");
    if (!mkdtemp(records->dir))
        return -1;
    snprintf(records->path, sizeof(records->path), "%s/server.db", records->dir);
    *state = records;
    return 0;
}

__attribute__((unused)) static int records_setup(void **state) {
    if (records_setup_empty(state) < 0)
        return -1;
    struct records *records = *state;
    return db_open(records->path, DB_CREATE, &records->db);
}

__attribute__((unused)) static int records_teardown(void **state) {
    struct records *records = *state;
    db_close(records->db);
    nftw(records->dir, records_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(records);
    return 0;
}

/** u1 and u2, devices A and B, u1 assigned on A as alice, the switch on. */
__attribute__((unused)) static void records_fill(struct db *db) {
    assert_int_equal(user_add(db, NOW, "u1", "Alice", "alice@example.com", NULL), 0);
    assert_int_equal(user_add(db, NOW, "u2", NULL, NULL, NULL), 0);
    assert_int_equal(device_enrol(db, NOW, DEVICE_A), 0);
    assert_int_equal(device_enrol(db, NOW, DEVICE_B), 0);
    assert_int_equal(assignment_add(db, NOW, "u1", DEVICE_A, "alice"), 0);
    assert_int_equal(settings_set_distribution(db, SWITCH_ON), 0);
}

/** A certificate that is one in form only; `number` makes its serial, key hash and CSR hash. */
__attribute__((unused)) static X509 *records_certificate(int number, int64_t not_after) {
    static EVP_PKEY *key;
    if (!key)
        assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    assert_int_equal(X509_set_version(certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 0x1000 + number), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(certificate), NOW - 300));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(certificate), not_after));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

/** Stores one; returns it (X509_free). `user` "": a device leaf. */
__attribute__((unused)) static X509 *records_issue_until(
    struct db *db, int number, const char *device, const char *user, const char *request,
    int64_t not_after) {
    uint8_t hash[SHA256_SIZE] = {0};
    memcpy(hash, &number, sizeof(number));
    const struct certificate_record record = {
        .kind = *user ? CERTIFICATE_USER : CERTIFICATE_DEVICE,
        .device = device,
        .user_id = user,
        .request_id = request,
        .token = "",
        .csr_sha256 = hash,
        .spki_sha256 = hash,
        .now_s = NOW,
    };
    X509 *certificate = records_certificate(number, not_after);
    assert_int_equal(certificate_insert(db, &record, certificate), 0);
    return certificate;
}

__attribute__((unused)) static X509 *records_issue(
    struct db *db, int number, const char *device, const char *user, const char *request) {
    return records_issue_until(db, number, device, user, request, NOW + 86400);
}

__attribute__((unused)) static int64_t records_id(struct db *db, X509 *certificate) {
    struct certificate_status status;
    assert_int_equal(certificate_status_of(db, certificate, NOW, 86400, &status), 0);
    assert_true(status.known);
    return status.id;
}

__attribute__((unused)) static struct certificate_status records_status(
    struct db *db, X509 *certificate, int64_t now_s, int64_t grace_s) {
    struct certificate_status status;
    assert_int_equal(certificate_status_of(db, certificate, now_s, grace_s, &status), 0);
    return status;
}
