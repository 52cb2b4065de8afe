/* The life of certificate records, and the one answer about what a certificate stands for. */
#include "records.h"

#define GRACE 3600

static int state_of(struct db *db, X509 *certificate) {
    return records_status(db, certificate, NOW, GRACE).state;
}

static void test_confirmation_supersedes_older_siblings(void **state) {
    struct db *db = ((struct records *)*state)->db;
    records_fill(db);
    X509 *first = records_issue(db, 1, DEVICE_A, "u1", REQUEST_1);
    X509 *lost = records_issue(db, 2, DEVICE_A, "u1", REQUEST_2);
    X509 *second = records_issue(db, 3, DEVICE_A, "u1", REQUEST_2);
    X509 *newer = records_issue(db, 4, DEVICE_A, "u1", REQUEST_2);
    X509 *device = records_issue(db, 5, DEVICE_A, "", "");
    X509 *other = records_issue(db, 6, DEVICE_B, "u1", REQUEST_1);

    assert_int_equal(certificate_confirm(db, records_id(db, first), true, NOW), 1);
    assert_int_equal(state_of(db, first), CERTIFICATE_INSTALLED);
    assert_int_equal(certificate_confirm(db, records_id(db, second), true, NOW), 1);
    assert_int_equal(state_of(db, first), CERTIFICATE_SUPERSEDED);
    assert_int_equal(state_of(db, lost), CERTIFICATE_REVOKED);
    assert_int_equal(state_of(db, second), CERTIFICATE_INSTALLED);
    /* one that is on its way already is not taken from the device by a report that comes late */
    assert_int_equal(state_of(db, newer), CERTIFICATE_ISSUED);
    assert_int_equal(state_of(db, device), CERTIFICATE_ISSUED);
    assert_int_equal(state_of(db, other), CERTIFICATE_ISSUED);

    /* repeated and late reports change nothing */
    assert_int_equal(certificate_confirm(db, records_id(db, second), true, NOW + 5), 0);
    assert_int_equal(certificate_confirm(db, records_id(db, first), true, NOW + 5), 0);
    assert_int_equal(certificate_confirm(db, records_id(db, lost), true, NOW + 5), 0);
    assert_int_equal(state_of(db, second), CERTIFICATE_INSTALLED);
    assert_int_equal(state_of(db, lost), CERTIFICATE_REVOKED);
    X509_free(first), X509_free(lost), X509_free(second), X509_free(newer), X509_free(device),
        X509_free(other);
}

static void test_device_confirmation_revokes_predecessor(void **state) {
    struct db *db = ((struct records *)*state)->db;
    records_fill(db);
    X509 *old = records_issue(db, 1, DEVICE_A, "", "");
    X509 *renewed = records_issue(db, 2, DEVICE_A, "", "");
    X509 *user = records_issue(db, 3, DEVICE_A, "u1", REQUEST_1);
    assert_int_equal(certificate_confirm(db, records_id(db, old), false, NOW), 1);
    assert_int_equal(state_of(db, old), CERTIFICATE_INSTALLED);
    assert_int_equal(certificate_confirm(db, records_id(db, renewed), false, NOW), 1);
    assert_int_equal(state_of(db, old), CERTIFICATE_REVOKED);
    assert_int_equal(state_of(db, user), CERTIFICATE_ISSUED);
    X509_free(old), X509_free(renewed), X509_free(user);
}

static void test_grace(void **state) {
    struct db *db = ((struct records *)*state)->db;
    records_fill(db);
    X509 *old = records_issue(db, 1, DEVICE_A, "u1", REQUEST_1);
    X509 *renewed = records_issue(db, 2, DEVICE_A, "u1", REQUEST_2);
    certificate_confirm(db, records_id(db, old), true, NOW);
    certificate_confirm(db, records_id(db, renewed), true, NOW + 10);

    struct certificate_status status = records_status(db, old, NOW + 10 + GRACE - 1, GRACE);
    assert_true(status.managed);
    assert_int_equal(status.state, CERTIFICATE_SUPERSEDED);
    status = records_status(db, old, NOW + 10 + GRACE, GRACE);
    assert_false(status.managed);
    assert_int_equal(status.state, CERTIFICATE_REVOKED);
    assert_int_equal(status.reason, REASON_REVOKED);
    assert_int_equal(status.revoked_at, NOW + 10 + GRACE);
    /* without a grace it is over at once */
    assert_false(records_status(db, old, NOW + 10, 0).managed);

    assert_int_equal(certificate_end_grace(db, NOW + 10 + GRACE - 1, GRACE), 0);
    assert_int_equal(certificate_end_grace(db, NOW + 10 + GRACE, GRACE), 1);
    status = records_status(db, old, NOW + 10 + GRACE, 86400);
    assert_int_equal(status.state, CERTIFICATE_REVOKED);
    assert_int_equal(status.revoked_at, NOW + 10 + GRACE);
    X509_free(old), X509_free(renewed);
}

static void expect(
    struct db *db, X509 *certificate, int64_t now_s, bool managed, enum reason reason) {
    struct certificate_status status = records_status(db, certificate, now_s, GRACE);
    assert_int_equal(status.reason, reason);
    assert_int_equal(status.managed, managed);
}

static void test_status_reasons(void **state) {
    struct db *db = ((struct records *)*state)->db;
    struct certificate_status status;
    int64_t revoked;
    records_fill(db);
    X509 *leaf = records_issue(db, 1, DEVICE_A, "u1", REQUEST_1);
    X509 *stranger = records_certificate(99, NOW + 86400);
    X509 *device = records_issue(db, 2, DEVICE_A, "", "");

    expect(db, leaf, NOW, true, REASON_NONE);
    expect(db, leaf, NOW + 86399, true, REASON_NONE);
    expect(db, leaf, NOW + 86400, false, REASON_EXPIRED);
    expect(db, device, NOW, false, REASON_NONE);
    expect(db, device, NOW + 86400, false, REASON_EXPIRED);

    status = records_status(db, stranger, NOW, GRACE);
    assert_false(status.known);
    assert_false(status.managed);
    assert_int_equal(status.reason, REASON_NOT_MANAGED);
    assert_int_equal(certificate_status_of(db, NULL, NOW, GRACE, &status), 0);
    assert_int_equal(status.reason, REASON_NO_CERTIFICATE);
    assert_false(status.managed);

    status = records_status(db, leaf, NOW, GRACE);
    assert_string_equal(status.serial, "1001");
    assert_string_equal(status.device, DEVICE_A);
    assert_string_equal(status.user_id, "u1");
    assert_string_equal(status.user_name, "Alice");
    assert_int_equal(status.kind, CERTIFICATE_USER);
    assert_int_equal(status.not_before, NOW - 300);
    assert_int_equal(status.not_after, NOW + 86400);

    settings_set_distribution(db, SWITCH_PAUSED);
    expect(db, leaf, NOW, false, REASON_DISTRIBUTION_PAUSED);
    settings_set_distribution(db, SWITCH_OFF);
    expect(db, leaf, NOW, false, REASON_DISTRIBUTION_OFF);
    settings_set_distribution(db, SWITCH_ON);
    expect(db, leaf, NOW, true, REASON_NONE);

    assert_int_equal(assignment_remove(db, NOW, "u1", DEVICE_A, &revoked), 0);
    assert_int_equal(revoked, 1);
    expect(db, leaf, NOW, false, REASON_NOT_MANAGED);
    /* assigned again: the old certificate stays revoked */
    assert_int_equal(assignment_add(db, NOW, "u1", DEVICE_A, "alice"), 0);
    expect(db, leaf, NOW, false, REASON_REVOKED);

    assert_int_equal(device_remove(db, NOW, DEVICE_A, &revoked), 0);
    assert_int_equal(revoked, 1); /* the device's own; the user's was revoked before */
    expect(db, leaf, NOW, false, REASON_DEVICE_REMOVED);
    status = records_status(db, device, NOW, GRACE);
    assert_true(status.device_removed);
    assert_true(status.revoked_with_device);
    assert_int_equal(status.device_removed_at, NOW);
    assert_false(records_status(db, leaf, NOW, GRACE).revoked_with_device);
    X509_free(leaf), X509_free(stranger), X509_free(device);
}

static void test_keys_are_certified_once(void **state) {
    struct db *db = ((struct records *)*state)->db;
    struct certificate_found found;
    uint8_t hash[SHA256_SIZE] = {1};
    records_fill(db);
    X509 *leaf = records_issue(db, 1, DEVICE_A, "u1", REQUEST_1);
    X509 *twin = records_certificate(2, NOW + 86400);
    const struct certificate_record record = {
        .kind = CERTIFICATE_USER,
        .device = DEVICE_A,
        .user_id = "u1",
        .request_id = REQUEST_2,
        .token = "",
        .csr_sha256 = hash,
        .spki_sha256 = hash,
        .now_s = NOW,
    };
    assert_int_equal(certificate_insert(db, &record, twin), -EEXIST);

    assert_int_equal(certificate_find_by_key(db, hash, &found), 0);
    assert_string_equal(found.request_id, REQUEST_1);
    assert_int_equal(X509_cmp(found.certificate, leaf), 0);
    certificate_found_deinit(&found);
    hash[0] = 7;
    assert_int_equal(certificate_find_by_key(db, hash, &found), -ENOENT);
    X509_free(leaf), X509_free(twin);
}

static void test_revocation_filters(void **state) {
    struct db *db = ((struct records *)*state)->db;
    records_fill(db);
    X509 *a1 = records_issue(db, 1, DEVICE_A, "u1", REQUEST_1);
    X509 *a2 = records_issue(db, 2, DEVICE_A, "u1", REQUEST_2);
    X509 *b1 = records_issue(db, 3, DEVICE_B, "u1", REQUEST_1);
    X509 *other = records_issue(db, 4, DEVICE_A, "u2", REQUEST_1);
    X509 *device = records_issue(db, 5, DEVICE_A, "", "");

    /* a late `removed` report names the request whose certificate was removed: the newer one stays
     */
    struct certificate_filter filter = {
        .device = DEVICE_A, .user_id = "u1", .up_to_request = REQUEST_1};
    assert_int_equal(certificate_revoke_all(db, &filter, CRL_REASON_CESSATION, NOW), 1);
    assert_int_equal(state_of(db, a1), CERTIFICATE_REVOKED);
    assert_int_equal(state_of(db, a2), CERTIFICATE_ISSUED);
    /* a request that is not known reaches all of the user on the device, and nobody else */
    filter.up_to_request = DEVICE_B;
    assert_int_equal(certificate_revoke_all(db, &filter, CRL_REASON_CESSATION, NOW), 1);
    assert_int_equal(state_of(db, a2), CERTIFICATE_REVOKED);
    assert_int_equal(state_of(db, b1), CERTIFICATE_ISSUED);
    assert_int_equal(state_of(db, other), CERTIFICATE_ISSUED);

    filter = (struct certificate_filter){.serial = "1004"};
    assert_int_equal(certificate_revoke_all(db, &filter, CRL_REASON_PRIVILEGE_WITHDRAWN, NOW), 1);
    assert_int_equal(certificate_revoke_all(db, &filter, CRL_REASON_PRIVILEGE_WITHDRAWN, NOW), 0);
    filter = (struct certificate_filter){.kind = CERTIFICATE_USER};
    assert_int_equal(certificate_revoke_all(db, &filter, CRL_REASON_CESSATION, NOW), 1);
    assert_int_equal(state_of(db, b1), CERTIFICATE_REVOKED);
    assert_int_equal(state_of(db, device), CERTIFICATE_ISSUED);
    X509_free(a1), X509_free(a2), X509_free(b1), X509_free(other), X509_free(device);
}

struct seen {
    int count;
    char serials[8][X509_SERIAL_HEX_SIZE];
    enum crl_reason reasons[8];
};

static int see(const struct crl_entry *entry, void *userdata) {
    struct seen *seen = userdata;
    strcpy(seen->serials[seen->count], entry->serial_hex);
    seen->reasons[seen->count++] = entry->reason;
    return 0;
}

static void test_crl_list(void **state) {
    struct db *db = ((struct records *)*state)->db;
    struct seen seen = {0};
    records_fill(db);
    X509 *old = records_issue(db, 1, DEVICE_A, "u1", REQUEST_1);
    X509 *good = records_issue(db, 2, DEVICE_A, "u1", REQUEST_2);
    X509 *expired = records_issue_until(db, 3, DEVICE_B, "u2", REQUEST_1, NOW - 7200);
    X509 *device = records_issue(db, 4, DEVICE_A, "", "");
    certificate_confirm(db, records_id(db, old), true, NOW);
    certificate_confirm(db, records_id(db, good), true, NOW);
    struct certificate_filter filter = {.serial = "1003"};
    certificate_revoke_all(db, &filter, CRL_REASON_CESSATION, NOW - 8000);
    filter.serial = "1004";
    certificate_revoke_all(db, &filter, CRL_REASON_PRIVILEGE_WITHDRAWN, NOW);

    assert_int_equal(certificate_each_revoked(db, CERTIFICATE_USER, NOW, GRACE, see, &seen), 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(
        certificate_each_revoked(db, CERTIFICATE_USER, NOW + GRACE, GRACE, see, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.serials[0], "1001");
    assert_int_equal(seen.reasons[0], CRL_REASON_SUPERSEDED);
    seen.count = 0;
    assert_int_equal(certificate_each_revoked(db, CERTIFICATE_DEVICE, NOW, GRACE, see, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.serials[0], "1004");
    assert_int_equal(seen.reasons[0], CRL_REASON_PRIVILEGE_WITHDRAWN);
    X509_free(old), X509_free(good), X509_free(expired), X509_free(device);
}

int main(void) {
#define READY(test) cmocka_unit_test_setup_teardown(test, records_setup, records_teardown)
    const struct CMUnitTest tests[] = {
        READY(test_confirmation_supersedes_older_siblings),
        READY(test_device_confirmation_revokes_predecessor),
        READY(test_grace),
        READY(test_status_reasons),
        READY(test_keys_are_certified_once),
        READY(test_revocation_filters),
        READY(test_crl_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
