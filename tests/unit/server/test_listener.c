/* Listening sockets and TLS contexts: what is refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/x509_key.h"
#include "server/listener.h"
#include "server/tls.h"

#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/devtrust-listener-XXXXXX";

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk) {
    (void)st, (void)type, (void)walk;
    return remove(path);
}

static int setup(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void in_dir(char ret[128], const char *name) {
    snprintf(ret, 128, "%s/%s", dir, name);
}

static void test_tcp(void **state) {
    (void)state;
    char name[64];
    int fd = listener_open_tcp("127.0.0.1:0"), on = 0;
    socklen_t size = sizeof(on);
    assert_true(fd >= 0);
    assert_int_equal(listener_name(fd, name, sizeof(name)), 0);
    assert_int_equal(strncmp(name, "127.0.0.1:", 10), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    assert_int_not_equal(on, 0);
    assert_int_equal(listener_open_tcp(name), -EADDRINUSE);
    close(fd);
    fd = listener_open_tcp("[::1]:0");
    if (fd >= 0) {
        assert_int_equal(listener_name(fd, name, sizeof(name)), 0);
        assert_int_equal(strncmp(name, "[::1]:", 6), 0);
        close(fd);
    }
}

static void test_bad_addresses(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "localhost:1",
        "::1:1",
        "[::1]",
        "[::1:1",
        "127.0.0.1:99999x",
        "a:b:c",
        "[127.0.0.1",
        "0123456789012345678901234567890123456789012345678901234567890123:1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(listener_open_tcp(bad[i]), -EINVAL);
}

static void test_unix(void **state) {
    (void)state;
    char path[128], other[128], too_long[256];
    struct stat info;
    in_dir(path, "socket");
    int fd = listener_open_unix(path);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    /* somebody answers there; afterwards only the file is left, as after a kill */
    assert_int_equal(listener_open_unix(path), -EADDRINUSE);
    close(fd);
    fd = listener_open_unix(path);
    assert_true(fd >= 0);
    close(fd);
    in_dir(other, "file");
    FILE *file = fopen(other, "we");
    fclose(file);
    assert_int_equal(listener_open_unix(other), -EADDRINUSE);
    assert_int_equal(stat(other, &info), 0);
    memset(too_long, 'a', sizeof(too_long));
    too_long[0] = '/';
    too_long[sizeof(too_long) - 1] = '\0';
    assert_int_equal(listener_open_unix(too_long), -ENAMETOOLONG);
    in_dir(other, "missing/socket");
    assert_int_equal(listener_open_unix(other), -ENOENT);
}

/* --- TLS --- */

static void write_pair(const char *certificate_name, const char *key_name) {
    char path[128];
    EVP_PKEY *key;
    X509 *certificate = X509_new();
    assert_int_equal(x509_key_generate(KEY_TYPE_P256, &key), 0);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 60);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    in_dir(path, certificate_name);
    FILE *file = fopen(path, "we");
    PEM_write_X509(file, certificate);
    fclose(file);
    in_dir(path, key_name);
    file = fopen(path, "we");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int open_context(const char *certificate, const char *key, SSL_CTX **ret, char error[256]) {
    char certificate_path[128], key_path[128];
    in_dir(certificate_path, certificate);
    in_dir(key_path, key);
    const struct tls_options options = {
        .certificate_path = certificate_path, .key_path = key_path, .session_context = "test"};
    error[0] = '\0';
    return tls_context_new(&options, ret, error, 256);
}

static void test_tls_identity(void **state) {
    (void)state;
    char error[256], path[128], key_path[128];
    SSL_CTX *context = NULL;
    write_pair("a.pem", "a.key");
    write_pair("b.pem", "b.key");
    assert_int_equal(open_context("missing.pem", "a.key", &context, error), -EINVAL);
    assert_non_null(strstr(error, "missing.pem: no PEM certificate chain"));
    assert_int_equal(open_context("a.pem", "missing.key", &context, error), -EINVAL);
    assert_non_null(strstr(error, "missing.key: no unencrypted PEM key"));
    assert_int_equal(open_context("a.pem", "b.key", &context, error), -EINVAL);
    assert_non_null(strstr(error, "b.key"));
    assert_null(context);
    assert_int_equal(open_context("a.pem", "a.key", &context, error), 0);
    assert_int_equal(SSL_CTX_get_min_proto_version(context), TLS1_2_VERSION);

    /* a renewed pair is taken, a wrong one changes nothing */
    in_dir(path, "a.pem");
    in_dir(key_path, "b.key");
    X509 *before = SSL_CTX_get0_certificate(context);
    assert_int_equal(tls_context_reload(context, path, key_path), -EINVAL);
    assert_ptr_equal(SSL_CTX_get0_certificate(context), before);
    in_dir(path, "b.pem");
    assert_int_equal(tls_context_reload(context, path, key_path), 0);
    assert_ptr_not_equal(SSL_CTX_get0_certificate(context), before);
    SSL_CTX_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_tls_identity),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
