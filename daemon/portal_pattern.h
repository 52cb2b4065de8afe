/* Which portal patterns of the server a browser policy may carry. The server is trusted for its own
 * domain only: a pattern outside would let it make every site of the web see the certificate
 * silently. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PORTAL_PATTERN_MAX 512 /* bytes */

/** A pattern taken apart. */
struct portal_pattern {
    bool wildcard;  /* "[*.]" */
    char host[256]; /* lower case, without brackets around an IPv6 address */
    unsigned port;  /* 0: none named */
};

/** https:// + optional [*.] + host + optional port + optional path. Returns 0 or -EINVAL. */
int portal_pattern_parse(const char *text, struct portal_pattern *ret);

/** The host of an https URL, lower case. Returns 0 or -EINVAL. */
int portal_pattern_url_host(const char *url, char *ret, size_t size);

/** Whether one pattern is allowed: within the registrable domain of `home` (libpsl); where `home`
 * has none (localhost, a single label, an address): `home` or below it; [*.] only strictly below
 * that. Or covered by an entry of `allowed` (NULL-terminated or NULL). */
bool portal_pattern_is_allowed(const char *pattern, const char *home, char *const *allowed);

/** Sorts out the patterns of a desired state, order kept: ret_good[i] tells whether patterns[i] is
 * taken. A second wildcard host is refused: there is one check domain. Returns how many were
 * refused. */
size_t portal_pattern_filter(
    char *const *patterns, size_t count, const char *home, char *const *allowed, bool *ret_good);
