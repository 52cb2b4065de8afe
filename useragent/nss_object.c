/* Reads the objects of an NSS database and judges each certificate by the rule of *ours*. */
#include "useragent/nss_object.h"

#include "common/cleanup.h"

#include <errno.h>
#include <string.h>

void nss_certificates_deinit(struct nss_certificates *certificates) {
    for (size_t i = 0; i < certificates->count; i++)
        nss_free_item(&certificates->items[i].id);
    if (certificates->list)
        CERT_DestroyCertList(certificates->list);
    sk_X509_pop_free(certificates->stack, X509_free);
    free(certificates->items);
    *certificates = (struct nss_certificates){0};
}

/* What OpenSSL cannot decode is none of ours and is left out. */
static int add_certificate(struct nss_certificates *certificates, CERTCertificate *nss) {
    const unsigned char *der = nss->derCert.data;
    X509 *x509;

    if (nss->derCert.len > X509_MAX_DER_SIZE)
        return 0;
    x509 = d2i_X509(NULL, &der, (long)nss->derCert.len);
    if (!x509)
        return 0;
    if (sk_X509_push(certificates->stack, x509) <= 0) {
        X509_free(x509);
        return -ENOMEM;
    }
    certificates->items[certificates->count++] = (struct nss_certificate){
        .nss = nss,
        .x509 = x509,
        .id = PK11_GetLowLevelKeyIDForCert(NULL, nss, NULL),
    };
    return 0;
}

static size_t count_certificates(CERTCertList *list) {
    size_t count = 0;

    for (CERTCertListNode *node = CERT_LIST_HEAD(list); !CERT_LIST_END(node, list);
         node = CERT_LIST_NEXT(node))
        count++;
    return count;
}

int nss_certificates_read(
    struct nss_session *session, const struct ours *ours, struct nss_certificates *ret) {
    CLEANUP_NSS_CERTIFICATES struct nss_certificates read = {0};
    size_t count;
    int r;

    read.list = PK11_ListCertsInSlot(nss_session_slot(session));
    if (!read.list)
        return -EIO;
    count = count_certificates(read.list);
    if (count > NSS_OBJECT_MAX)
        return -E2BIG;
    read.stack = sk_X509_new_null();
    read.items = calloc(count + 1, sizeof *read.items);
    if (!read.stack || !read.items)
        return -ENOMEM;
    for (CERTCertListNode *node = CERT_LIST_HEAD(read.list); !CERT_LIST_END(node, read.list);
         node = CERT_LIST_NEXT(node)) {
        r = add_certificate(&read, node->cert);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < read.count; i++)
        read.items[i].ours =
            ours_matches(ours, read.items[i].x509, read.stack, &read.items[i].issuer);
    *ret = read;
    read = (struct nss_certificates){0};
    return 0;
}

void nss_keys_deinit(struct nss_keys *keys) {
    for (size_t i = 0; i < keys->count; i++)
        nss_free_item(&keys->items[i].id);
    free(keys->items);
    if (keys->list)
        SECKEY_DestroyPrivateKeyList(keys->list);
    *keys = (struct nss_keys){0};
}

static void read_label(struct nss_key *key) {
    char *label = PK11_GetPrivateKeyNickname(key->key);

    if (!label)
        return;
    /* a longer one is cut, and so is none of ours: those fit */
    strncpy(key->label, label, sizeof key->label - 1);
    PORT_Free(label);
}

int nss_keys_read(struct nss_session *session, struct nss_keys *ret) {
    CLEANUP_NSS_KEYS struct nss_keys read = {0};
    size_t count = 0;

    PORT_SetError(0);
    read.list = PK11_ListPrivKeysInSlot(nss_session_slot(session), NULL, NULL);
    if (!read.list) {
        /* an empty slot gives no list, a database that cannot be read gives none either: a sweep
         * that took the one for the other would leave a key behind */
        if (PORT_GetError() != 0)
            return -EIO;
        *ret = read;
        return 0;
    }
    for (SECKEYPrivateKeyListNode *node = PRIVKEY_LIST_HEAD(read.list);
         !PRIVKEY_LIST_END(node, read.list); node = PRIVKEY_LIST_NEXT(node))
        count++;
    if (count > NSS_OBJECT_MAX)
        return -E2BIG;
    read.items = calloc(count + 1, sizeof *read.items);
    if (!read.items)
        return -ENOMEM;
    for (SECKEYPrivateKeyListNode *node = PRIVKEY_LIST_HEAD(read.list);
         !PRIVKEY_LIST_END(node, read.list); node = PRIVKEY_LIST_NEXT(node)) {
        struct nss_key *key = &read.items[read.count];

        key->key = node->key;
        key->id = PK11_GetLowLevelKeyIDForPrivateKey(node->key);
        read_label(key);
        read.count++;
    }
    *ret = read;
    read = (struct nss_keys){0};
    return 0;
}

bool nss_key_belongs_to(const struct nss_key *key, const struct nss_certificate *certificate) {
    return key->id && certificate->id && SECITEM_ItemsAreEqual(key->id, certificate->id);
}

struct nss_key *nss_keys_find(
    const struct nss_keys *keys, const struct nss_certificate *certificate) {
    for (size_t i = 0; i < keys->count; i++)
        if (nss_key_belongs_to(&keys->items[i], certificate))
            return &keys->items[i];
    return NULL;
}
