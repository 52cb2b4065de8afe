/* Parses what stands behind `devtrustctl enroll`: libcurl's own URL parser, so that what is checked
 * is what is connected to. */
#include "daemon/server_address.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <string.h>

static void url_free_ptr(CURLU **url) {
    curl_url_cleanup(*url);
}

static bool has_part(CURLU *url, CURLUPart part) {
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK && text;
    curl_free(text);
    return has;
}

/* Copies a part; false if there is none, or it is not what a host or port can be made of. */
static bool copy_part(CURLU *url, CURLUPart part, char *ret, size_t size) {
    char *text = NULL;
    if (curl_url_get(url, part, &text, 0) != CURLUE_OK || !text)
        return false;
    size_t length = strlen(text);
    bool good = length > 0 && length < size;
    for (size_t i = 0; good && i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        good = isalnum(c) || strchr(".-_:[]", c);
        ret[i] = (char)tolower(c);
    }
    if (good)
        ret[length] = '\0';
    curl_free(text);
    return good;
}

static bool path_is_root(CURLU *url) {
    char *path = NULL;
    bool root = curl_url_get(url, CURLUPART_PATH, &path, 0) != CURLUE_OK || strcmp(path, "/") == 0;
    curl_free(path);
    return root;
}

static int parse_url(const char *text, char ret[SERVER_ADDRESS_MAX_URL]) {
    CLEANUP(url_free_ptr) CURLU *url = curl_url();
    if (!url)
        return -ENOMEM;
    char host[256], port[8];
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) != CURLUE_OK ||
        strncasecmp(text, "https://", 8) != 0 || !path_is_root(url) ||
        has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT) ||
        has_part(url, CURLUPART_ZONEID) || !copy_part(url, CURLUPART_HOST, host, sizeof(host)))
        return -EINVAL;
    if (copy_part(url, CURLUPART_PORT, port, sizeof(port)))
        snprintf(ret, SERVER_ADDRESS_MAX_URL, "https://%s:%s", host, port);
    else
        snprintf(ret, SERVER_ADDRESS_MAX_URL, "https://%s", host);
    return 0;
}

static int parse_pin(const char *text, struct server_address *address) {
    static const char prefix[] = "sha256:";
    if (!text || text[0] == '\0')
        return 0;
    if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
        text += sizeof(prefix) - 1;
    int r = hex_decode(text, address->ca_pin, SHA256_SIZE);
    if (r == 0)
        address->has_pin = true;
    return r;
}

int server_address_parse(
    const char *url, const char *pin, struct server_address *ret, enum reason *ret_reason) {
    struct server_address address = {0};
    if (strlen(url) >= SERVER_ADDRESS_MAX_URL || parse_url(url, address.url) < 0) {
        *ret_reason = REASON_URL_INVALID;
        return -EINVAL;
    }
    if (parse_pin(pin, &address) < 0) {
        *ret_reason = REASON_PIN_INVALID;
        return -EINVAL;
    }
    *ret = address;
    return 0;
}
