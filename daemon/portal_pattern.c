/* Judges the server's portal patterns by the public suffix list and by local root's word. */
#include "daemon/portal_pattern.h"

#include "common/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libpsl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SCHEME "https://"
#define WILDCARD "[*.]"

static bool is_address(const char *host) {
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* RFC 1123 labels; no leading, trailing or double dots. */
static bool is_host_name(const char *host) {
    size_t label = 0;
    for (const char *c = host; *c; c++) {
        if (*c == '.') {
            if (label == 0 || c[-1] == '-')
                return false;
            label = 0;
        } else if (
            islower((unsigned char)*c) || isdigit((unsigned char)*c) || (*c == '-' && label > 0)) {
            if (++label > 63)
                return false;
        } else {
            return false;
        }
    }
    return label > 0 && host[strlen(host) - 1] != '-' && strlen(host) <= 253;
}

static int parse_port(const char *text, size_t length, unsigned *ret) {
    unsigned port = 0;
    if (length == 0 || length > 5)
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -EINVAL;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port == 0 || port > 65535)
        return -EINVAL;
    *ret = port;
    return 0;
}

static bool is_path(const char *text) {
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("/._~-", *c))
            return false;
    return true;
}

/* host[:port] or [v6][:port], `length` bytes */
static int parse_authority(const char *text, size_t length, struct portal_pattern *ret) {
    const char *host = text;
    size_t host_length;
    const char *rest;

    if (length > 0 && text[0] == '[') {
        const char *end = memchr(text, ']', length);
        if (!end || ret->wildcard)
            return -EINVAL;
        host = text + 1;
        host_length = (size_t)(end - host);
        rest = end + 1;
    } else {
        const char *colon = memchr(text, ':', length);
        host_length = colon ? (size_t)(colon - text) : length;
        rest = text + host_length;
    }
    if (host_length == 0 || host_length >= sizeof(ret->host))
        return -EINVAL;
    for (size_t i = 0; i < host_length; i++)
        ret->host[i] = (char)tolower((unsigned char)host[i]);
    ret->host[host_length] = '\0';
    if (host == text ? !is_host_name(ret->host) : !is_address(ret->host))
        return -EINVAL;
    size_t rest_length = length - (size_t)(rest - text);
    if (rest_length == 0)
        return 0;
    if (rest[0] != ':')
        return -EINVAL;
    return parse_port(rest + 1, rest_length - 1, &ret->port);
}

int portal_pattern_parse(const char *text, struct portal_pattern *ret) {
    struct portal_pattern pattern = {0};

    if (strlen(text) > PORTAL_PATTERN_MAX || strncmp(text, SCHEME, strlen(SCHEME)) != 0)
        return -EINVAL;
    text += strlen(SCHEME);
    if (strncmp(text, WILDCARD, strlen(WILDCARD)) == 0) {
        pattern.wildcard = true;
        text += strlen(WILDCARD);
    }
    size_t length = strcspn(text, "/");
    int r = parse_authority(text, length, &pattern);
    if (r < 0)
        return r;
    if (!is_path(text + length) || (pattern.wildcard && is_address(pattern.host)))
        return -EINVAL;
    *ret = pattern;
    return 0;
}

int portal_pattern_url_host(const char *url, char *ret, size_t size) {
    struct portal_pattern pattern = {0};
    if (strncasecmp(url, SCHEME, strlen(SCHEME)) != 0)
        return -EINVAL;
    url += strlen(SCHEME);
    int r = parse_authority(url, strcspn(url, "/?#"), &pattern);
    if (r < 0)
        return r;
    if (strlen(pattern.host) >= size)
        return -EINVAL;
    memcpy(ret, pattern.host, strlen(pattern.host) + 1);
    return 0;
}

static bool is_below(const char *host, const char *domain) {
    size_t host_length = strlen(host), domain_length = strlen(domain);
    return host_length > domain_length + 1 && host[host_length - domain_length - 1] == '.' &&
           strcmp(host + host_length - domain_length, domain) == 0;
}

/* The registrable domain of a host; the host itself where it has none (a single label, a public
 * suffix, an address). */
static const char *domain_of(const char *host) {
    if (is_address(host) || !strchr(host, '.'))
        return host;
    const psl_ctx_t *list = psl_builtin();
    const char *domain = list ? psl_registrable_domain(list, host) : NULL;
    return domain ? domain : host;
}

/* Below a public suffix (github.io) are other people's hosts; a single label (localhost) is our
 * own. */
static bool is_others(const char *domain) {
    const psl_ctx_t *list = psl_builtin();
    return is_address(domain) ||
           (strchr(domain, '.') && (!list || psl_is_public_suffix(list, domain)));
}

static bool is_at_home(const struct portal_pattern *pattern, const char *home) {
    const char *domain = domain_of(home);
    if (is_below(pattern->host, domain))
        return !is_others(domain);
    return !pattern->wildcard && strcmp(pattern->host, domain) == 0;
}

/* root wrote the entry: it covers its own host, with [*.] all below it too, and every port if it
 * names none */
static bool covers(const struct portal_pattern *entry, const struct portal_pattern *pattern) {
    if (entry->port != 0 && entry->port != pattern->port)
        return false;
    if (pattern->wildcard && !entry->wildcard)
        return false;
    return strcmp(entry->host, pattern->host) == 0 ||
           (entry->wildcard && is_below(pattern->host, entry->host));
}

bool portal_pattern_is_allowed(const char *pattern, const char *home, char *const *allowed) {
    struct portal_pattern parsed;

    if (portal_pattern_parse(pattern, &parsed) < 0)
        return false;
    if (home && is_at_home(&parsed, home))
        return true;
    for (; allowed && *allowed; allowed++) {
        struct portal_pattern entry;
        if (portal_pattern_parse(*allowed, &entry) == 0 && covers(&entry, &parsed))
            return true;
    }
    return false;
}

size_t portal_pattern_filter(
    char *const *patterns, size_t count, const char *home, char *const *allowed, bool *ret_good) {
    char check_domain[256] = "";
    size_t refused = 0;

    for (size_t i = 0; i < count; i++) {
        struct portal_pattern parsed;
        ret_good[i] = portal_pattern_is_allowed(patterns[i], home, allowed) &&
                      portal_pattern_parse(patterns[i], &parsed) == 0;
        if (ret_good[i] && parsed.wildcard) {
            if (check_domain[0] == '\0')
                memcpy(check_domain, parsed.host, sizeof(check_domain));
            else
                ret_good[i] = strcmp(check_domain, parsed.host) == 0;
        }
        if (!ret_good[i])
            refused++;
    }
    return refused;
}
