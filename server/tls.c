/* TLS contexts: strict about versions, silent about client certificates. */
#include "server/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#define MAX_PEER_CHAIN (16 * 1024) /* bytes; a leaf and two CAs are 3 KiB */

/* The handshake has proved that the peer holds the key; which certificate it is, is looked up by
 * fingerprint in our own records, per request. Ending the handshake here would leave a browser with
 * an error page and an expired device without a way to renew. */
static int accept_any(X509_STORE_CTX *context, void *userdata) {
    (void)userdata;
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
}

static int complain(char *ret_error, size_t size, const char *path, const char *what) {
    char detail[128];
    ERR_error_string_n(ERR_peek_last_error(), detail, sizeof(detail));
    ERR_clear_error();
    snprintf(ret_error, size, "%s: %s (%s)", path, what, detail);
    return -EINVAL;
}

static int load_identity(
    SSL_CTX *context, const struct tls_options *options, char *ret_error, size_t size) {
    if (SSL_CTX_use_certificate_chain_file(context, options->certificate_path) != 1)
        return complain(
            ret_error, size, options->certificate_path,
            "no PEM certificate chain; name one in [tls] certificate, leaf first");
    if (SSL_CTX_use_PrivateKey_file(context, options->key_path, SSL_FILETYPE_PEM) != 1)
        return complain(
            ret_error, size, options->key_path,
            "no unencrypted PEM key for the certificate; name it in [tls] key");
    if (SSL_CTX_check_private_key(context) != 1)
        return complain(
            ret_error, size, options->key_path, "the key does not belong to the certificate");
    return 0;
}

static void set_protocol(SSL_CTX *context) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(
        context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_PRIORITIZE_CHACHA |
                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* an idle event stream should not hold 32 KiB of record buffers */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(context, MAX_PEER_CHAIN);
}

static int set_sessions(SSL_CTX *context, const struct tls_options *options) {
    if (options->session_s <= 0) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
    } else {
        SSL_CTX_set_timeout(context, options->session_s);
        SSL_CTX_set_num_tickets(context, 1);
    }
    /* required with client certificates, also where sessions are off */
    return SSL_CTX_set_session_id_context(
               context, (const unsigned char *)options->session_context,
               (unsigned)strlen(options->session_context)) == 1
               ? 0
               : -EINVAL;
}

static int set_client_certificates(SSL_CTX *context, const struct tls_options *options) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, accept_any, NULL);
    for (size_t i = 0; i < options->client_ca_count; i++)
        if (SSL_CTX_add_client_CA(context, options->client_cas[i]) != 1)
            return -ENOMEM;
    return 0;
}

int tls_context_new(
    const struct tls_options *options, SSL_CTX **ret, char *ret_error, size_t error_size) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return -ENOMEM;
    set_protocol(context);
    int r = load_identity(context, options, ret_error, error_size);
    if (r >= 0)
        r = set_sessions(context, options);
    if (r >= 0)
        r = set_client_certificates(context, options);
    if (r < 0) {
        SSL_CTX_free(context);
        return r;
    }
    *ret = context;
    return 0;
}

int tls_context_reload(SSL_CTX *context, const char *certificate_path, const char *key_path) {
    const struct tls_options options = {.certificate_path = certificate_path, .key_path = key_path};
    char error[256];
    SSL_CTX *trial = SSL_CTX_new(TLS_server_method());
    int r = trial ? load_identity(trial, &options, error, sizeof(error)) : -ENOMEM;
    SSL_CTX_free(trial);
    return r < 0 ? r : load_identity(context, &options, error, sizeof(error));
}
