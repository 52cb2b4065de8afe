/* CRLs are built when somebody asks and the database has changed, at most for a twentieth of the
 * loop's time, and are valid for a day: who cannot ask the status endpoint lives with their age
 * anyway. */
#include "server/crl_handlers.h"

#include "common/clock.h"
#include "server/ca.h"
#include "server/certificate.h"
#include "server/crl.h"
#include "server/server.h"

#include <errno.h>
#include <string.h>

#define VALIDITY_S (24 * 3600)
#define MAX_AGE_MS                                                                                 \
    (5 * 60 * 1000)     /* certificates leave their grace without a change in the database */
#define PAUSE_FACTOR 20 /* after a build that took t, the next one no sooner than 20 t later */

struct cached {
    uint8_t *der;
    size_t size;
    int64_t version; /* PRAGMA data_version: changes with every commit of another connection */
    int64_t built_ms, took_ms;
    int64_t number;
};

struct crl_cache {
    struct cached lists[CA_KIND_COUNT_];
};

int crl_cache_new(struct crl_cache **ret) {
    struct crl_cache *cache = calloc(1, sizeof(*cache));

    if (!cache)
        return -ENOMEM;
    *ret = cache;
    return 0;
}

struct crl_cache *crl_cache_free(struct crl_cache *cache) {
    if (!cache)
        return NULL;
    for (int kind = 0; kind < CA_KIND_COUNT_; kind++)
        free(cache->lists[kind].der);
    free(cache);
    return NULL;
}

/* Entries with room for their serials, since rows are gone when the next one is read. */
struct entries {
    struct crl_entry *list;
    char (*serials)[X509_SERIAL_HEX_SIZE];
    size_t count, capacity;
};

static void entries_deinit(struct entries *entries) {
    free(entries->list);
    free(entries->serials);
}

static int grow(struct entries *entries) {
    size_t capacity = entries->capacity > 0 ? 2 * entries->capacity : 64;
    struct crl_entry *list;
    char(*serials)[X509_SERIAL_HEX_SIZE];

    if (entries->count >= CRL_MAX_ENTRIES)
        return -EMSGSIZE;
    list = reallocarray(entries->list, capacity, sizeof(*list));
    if (!list)
        return -ENOMEM;
    entries->list = list;
    serials = reallocarray(entries->serials, capacity, sizeof(*serials));
    if (!serials)
        return -ENOMEM;
    entries->serials = serials;
    entries->capacity = capacity;
    return 0;
}

static int collect(const struct crl_entry *entry, void *userdata) {
    struct entries *entries = userdata;
    size_t length = strlen(entry->serial_hex);

    if (length >= X509_SERIAL_HEX_SIZE)
        return -EBADMSG;
    if (entries->count == entries->capacity) {
        int r = grow(entries);

        if (r < 0)
            return r;
    }
    memcpy(entries->serials[entries->count], entry->serial_hex, length + 1);
    entries->list[entries->count++] = *entry;
    return 0;
}

static int build(struct server *server, enum ca_kind kind, struct cached *list) {
    static const enum certificate_kind certificates[] = {
        [CA_TRUST] = CERTIFICATE_USER, [CA_DEVICE] = CERTIFICATE_DEVICE};
    CLEANUP(entries_deinit) struct entries entries = {0};
    int64_t now_s = clock_wall_s(server->clock), number;
    uint8_t *der;
    size_t size;
    int r = certificate_each_revoked(
        server->db, certificates[kind], now_s, server->config.superseded_grace_s, collect,
        &entries);

    if (r < 0)
        return r;
    for (size_t i = 0; i < entries.count; i++)
        entries.list[i].serial_hex = entries.serials[i];
    /* the time of building grows by itself, across restarts too, as RFC 5280 5.2.3 wants it of the
     * number */
    number = now_s > list->number ? now_s : list->number + 1;
    r = crl_build(
        server->ca, kind, entries.list, entries.count, number, now_s, VALIDITY_S, &der, &size);
    if (r < 0)
        return r;
    free(list->der);
    list->der = der;
    list->size = size;
    list->number = number;
    return 0;
}

static int refresh(struct server *server, enum ca_kind kind) {
    struct cached *list = &server->crl_cache->lists[kind];
    int64_t now_ms = clock_monotonic_ms(server->clock), version;
    int r = db_query_int(server->db, "PRAGMA data_version", DB_NO_VALUES, &version);

    if (r < 0)
        return r;
    if (list->der && now_ms - list->built_ms < MAX_AGE_MS &&
        (version == list->version || now_ms - list->built_ms < PAUSE_FACTOR * list->took_ms))
        return 0;
    r = build(server, kind, list);
    if (r < 0)
        return r;
    list->version = version;
    list->built_ms = clock_monotonic_ms(server->clock);
    list->took_ms = list->built_ms - now_ms;
    return 0;
}

static void send_crl(struct http_request *request, struct server *server, enum ca_kind kind) {
    int r = refresh(server, kind);

    if (r < 0) {
        http_send_error(request, r);
        return;
    }
    http_add_header(request, "Cache-Control", "max-age=60");
    http_send(
        request, 200, "application/pkix-crl", server->crl_cache->lists[kind].der,
        server->crl_cache->lists[kind].size);
}

static void handle_trust(struct http_request *request, struct server *server) {
    send_crl(request, server, CA_TRUST);
}

static void handle_device(struct http_request *request, struct server *server) {
    send_crl(request, server, CA_DEVICE);
}

const struct http_route crl_routes[] = {
    {"GET", "/crl/trust.crl", HTTP_LISTENER_PORTAL | HTTP_LISTENER_ADMIN, HTTP_IDENTITY_NONE,
     handle_trust},
    {"GET", "/crl/device.crl", HTTP_LISTENER_PORTAL | HTTP_LISTENER_ADMIN, HTTP_IDENTITY_NONE,
     handle_device},
    {NULL, NULL, 0, HTTP_IDENTITY_NONE, NULL},
};
