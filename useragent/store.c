/* What all kinds of stores share. */
#include "useragent/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[STORE_KIND_COUNT_] = {
    [STORE_NSS_CHROMIUM] = "nss_chromium",
    [STORE_NSS_FIREFOX] = "nss_firefox",
    [STORE_KEYCHAIN] = "keychain",
    [STORE_WINDOWS] = "windows",
};

const char *store_kind_name(enum store_kind kind) {
    return kind_names[kind];
}

int store_kind_from_name(const char *name, enum store_kind *ret) {
    for (unsigned i = 0; i < STORE_KIND_COUNT_; i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *ret = (enum store_kind)i;
            return 0;
        }
    }
    return -EINVAL;
}

int store_key_label(
    const char *device_uuid, const char *request_id, char ret[STORE_KEY_LABEL_SIZE]) {
    char label[STORE_KEY_LABEL_SIZE];
    int length = snprintf(label, sizeof label, "devtrust %s %s", device_uuid, request_id);

    if (length < 0 || (size_t)length >= sizeof label)
        return -ENAMETOOLONG;
    memcpy(ret, label, (size_t)length + 1);
    return 0;
}

void store_certificates_deinit(struct store_certificates *certificates) {
    for (size_t i = 0; i < certificates->count; i++) {
        X509_free(certificates->items[i].leaf);
        X509_free(certificates->items[i].issuer);
    }
    *certificates = (struct store_certificates){0};
}
