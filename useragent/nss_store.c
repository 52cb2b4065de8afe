/* Puts a bundle into an NSS database and proves that it works there. */
#include "useragent/nss_store.h"

#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "useragent/nss_object.h"
#include "useragent/nss_sweep.h"

#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#define NICKNAME_MAX 256

struct store {
    struct nss_session *session;
};

struct nss_session *nss_store_session(struct store *store) {
    return store->session;
}

static int nss_store_open(
    const struct store_location *location, bool create, struct store **ret,
    enum reason *ret_reason) {
    CLEANUP_FREE struct store *store = calloc(1, sizeof *store);
    int r;

    if (!store) {
        *ret_reason = REASON_NO_MEMORY;
        return -ENOMEM;
    }
    r = nss_session_open(location->path, create, &store->session, ret_reason);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(store);
    return 0;
}

static void nss_store_close(struct store *store) {
    if (!store)
        return;
    nss_session_close(store->session);
    free(store);
}

static int encode(X509 *certificate, unsigned char **ret, SECItem *ret_item) {
    int size = i2d_X509(certificate, ret);

    if (size <= 0)
        return -ENOMEM;
    *ret_item = (SECItem){.type = siDERCertBuffer, .data = *ret, .len = (unsigned)size};
    return 0;
}

static void free_openssl(unsigned char **data) {
    OPENSSL_free(*data);
}

/* The nickname is the common name: unique per serial by its form, and never what tells ours from
 * others'. */
static int import_certificate(
    struct store *store, X509 *certificate, bool *ret_found, enum reason *ret_reason) {
    CLEANUP(free_openssl) unsigned char *der = NULL;
    CLEANUP_FREE char *name = NULL;
    char nickname[NICKNAME_MAX] = "";
    CERTCertificate *there;
    SECItem item;
    int r;

    r = encode(certificate, &der, &item);
    if (r < 0) {
        *ret_reason = REASON_NO_MEMORY;
        return r;
    }
    there = PK11_FindCertFromDERCertItem(nss_session_slot(store->session), &item, NULL);
    if (there) {
        CERT_DestroyCertificate(there);
        *ret_found = true;
        return 0;
    }
    if (x509_subject_text(certificate, NID_commonName, &name) >= 0)
        strncpy(nickname, name, sizeof nickname - 1);
    if (PK11_ImportDERCert(
            nss_session_slot(store->session), &item, CK_INVALID_HANDLE, nickname, PR_FALSE) !=
        SECSuccess) {
        *ret_reason = nss_session_failure(store->session, "import a certificate");
        return -EIO;
    }
    *ret_found = false;
    return 0;
}

/* What NSS derives CKA_ID from: the EC point or the RSA modulus. Private keys and certificates meet
 * by it. */
static SECItem *public_value(SECKEYPublicKey *key) {
    switch (key->keyType) {
    case ecKey:
        return &key->u.ec.publicValue;
    case rsaKey:
        return &key->u.rsa.modulus;
    default:
        return NULL;
    }
}

static SECKEYPublicKey *leaf_public_key(SECItem *der) {
    SECKEYPublicKey *key;
    CERTCertificate *certificate =
        CERT_NewTempCertificate(CERT_GetDefaultCertDB(), der, NULL, PR_FALSE, PR_TRUE);

    if (!certificate)
        return NULL;
    key = CERT_ExtractPublicKey(certificate);
    CERT_DestroyCertificate(certificate);
    return key;
}

static int import_key(
    struct store *store, const struct store_material *material, enum reason *ret_reason) {
    CLEANUP(free_openssl) unsigned char *der = NULL;
    SECItem certificate;
    SECItem key = {
        .type = siBuffer,
        .data = secret_data(material->key),
        .len = (unsigned)secret_size(material->key)};
    SECItem label = {
        .type = siUTF8String,
        .data = (unsigned char *)material->key_label,
        .len = (unsigned)strlen(material->key_label)};
    SECKEYPublicKey *public_key;
    SECKEYPrivateKey *private_key = NULL;
    SECStatus status;

    if (encode(material->leaf, &der, &certificate) < 0) {
        *ret_reason = REASON_NO_MEMORY;
        return -ENOMEM;
    }
    public_key = leaf_public_key(&certificate);
    if (!public_key) {
        *ret_reason = nss_session_failure(store->session, "read the leaf's key");
        return -EIO;
    }
    status = PK11_ImportDERPrivateKeyInfoAndReturnKey(
        nss_session_slot(store->session), &key, &label, public_value(public_key), PR_TRUE, PR_TRUE,
        KU_DIGITAL_SIGNATURE, &private_key, NULL);
    SECKEY_DestroyPublicKey(public_key);
    if (status != SECSuccess) {
        *ret_reason = nss_session_failure(store->session, "import the key");
        return -EIO;
    }
    SECKEY_DestroyPrivateKey(private_key);
    return 0;
}

static int nss_store_install(
    struct store *store, const struct store_material *material, bool *ret_issuer_found,
    enum reason *ret_reason) {
    bool issuer_found = false;
    bool leaf_found = false;
    int r;

    r = import_certificate(store, material->intermediate, &issuer_found, ret_reason);
    if (r < 0)
        return r;
    /* leaf before key: no crash in between leaves a key that nothing names */
    r = import_certificate(store, material->leaf, &leaf_found, ret_reason);
    if (r < 0)
        return r;
    r = import_key(store, material, ret_reason);
    if (r < 0)
        return r;
    *ret_issuer_found = issuer_found;
    return 0;
}

static bool signature_is_good(
    X509 *leaf, const SECItem *signature, const uint8_t *message, size_t size) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good =
        context &&
        EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, X509_get0_pubkey(leaf)) == 1 &&
        EVP_DigestVerify(context, signature->data, signature->len, message, size) == 1;

    EVP_MD_CTX_free(context);
    return good;
}

/* NSS signs with the stored key, OpenSSL verifies with the leaf: two libraries must agree that they
 * belong together. */
static bool key_signs(SECKEYPrivateKey *key, X509 *leaf) {
    uint8_t message[SHA256_SIZE];
    SECItem signature = {0};
    SECOidTag algorithm = SECKEY_GetPrivateKeyType(key) == ecKey
                              ? SEC_OID_ANSIX962_ECDSA_SHA256_SIGNATURE
                              : SEC_OID_PKCS1_SHA256_WITH_RSA_ENCRYPTION;
    bool good = RAND_bytes(message, sizeof message) == 1 &&
                SEC_SignData(&signature, message, sizeof message, key, algorithm) == SECSuccess &&
                signature_is_good(leaf, &signature, message, sizeof message);

    SECITEM_FreeItem(&signature, PR_FALSE);
    return good;
}

static bool works(struct store *store, X509 *leaf) {
    CLEANUP(free_openssl) unsigned char *der = NULL;
    CERTCertificate *certificate;
    SECKEYPrivateKey *key;
    SECItem item;
    bool good;

    if (encode(leaf, &der, &item) < 0)
        return false;
    certificate = PK11_FindCertFromDERCertItem(nss_session_slot(store->session), &item, NULL);
    if (!certificate)
        return false;
    key = PK11_FindPrivateKeyFromCert(nss_session_slot(store->session), certificate, NULL);
    CERT_DestroyCertificate(certificate);
    if (!key)
        return false;
    good = key_signs(key, leaf);
    SECKEY_DestroyPrivateKey(key);
    return good;
}

static int nss_store_verify(struct store *store, X509 *leaf, enum reason *ret_reason) {
    if (works(store, leaf))
        return 0;
    (void)nss_session_failure(store->session, "read back and sign");
    *ret_reason = REASON_STORE_VERIFY;
    return -EBADMSG;
}

static int nss_store_discard(
    struct store *store, const struct ours *ours, const uint8_t spki[SHA256_SIZE], bool keep_issuer,
    enum reason *ret_reason) {
    return nss_sweep_key(store->session, ours, spki, keep_issuer, ret_reason);
}

static void describe(
    struct store *store, const struct ours *ours, struct nss_keys *keys,
    const struct nss_certificate *from, struct store_certificate *ret) {
    const struct nss_key *key = nss_keys_find(keys, from);
    const char *request_id;

    X509_up_ref(from->x509);
    ret->leaf = from->x509;
    if (from->issuer) {
        X509_up_ref(from->issuer);
        ret->issuer = from->issuer;
    }
    ret->verified = key && works(store, from->x509);
    if (key && ours_key_label_matches(ours, key->label, &request_id))
        strncpy(ret->request_id, request_id, sizeof ret->request_id - 1);
}

static int nss_store_list(
    struct store *store, const struct ours *ours, struct store_certificates *ret,
    enum reason *ret_reason) {
    CLEANUP_NSS_CERTIFICATES struct nss_certificates certificates = {0};
    CLEANUP_NSS_KEYS struct nss_keys keys = {0};
    int r;

    *ret = (struct store_certificates){0};
    r = nss_certificates_read(store->session, ours, &certificates);
    if (r >= 0)
        r = nss_keys_read(store->session, &keys);
    if (r < 0) {
        *ret_reason = r == -ENOMEM ? REASON_NO_MEMORY : nss_session_failure(store->session, "list");
        return r;
    }
    for (size_t i = 0; i < certificates.count && ret->count < STORE_MAX_CERTIFICATES; i++)
        if (certificates.items[i].ours)
            describe(store, ours, &keys, &certificates.items[i], &ret->items[ret->count++]);
    return 0;
}

static int nss_store_count(
    struct store *store, const struct ours *ours, struct store_counts *ret,
    enum reason *ret_reason) {
    return nss_sweep_count(store->session, ours, ret, ret_reason);
}

static int nss_store_sweep(
    struct store *store, const struct ours *ours, const uint8_t *keep, bool keep_issuer,
    enum reason *ret_reason) {
    return nss_sweep_all_but(store->session, ours, keep, keep_issuer, ret_reason);
}

#define NSS_STORE(kind_)                                                                           \
    {                                                                                              \
        .kind = (kind_), .open = nss_store_open, .close = nss_store_close,                         \
        .install = nss_store_install, .verify = nss_store_verify, .discard = nss_store_discard,    \
        .list = nss_store_list, .count = nss_store_count, .sweep = nss_store_sweep,                \
    }

const struct store_ops nss_store_chromium = NSS_STORE(STORE_NSS_CHROMIUM);
const struct store_ops nss_store_firefox = NSS_STORE(STORE_NSS_FIREFOX);
