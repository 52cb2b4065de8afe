/* A fleet in virtual time. Each device is the product's own planning and nothing else: the agent's
 * renewal (useragent/renewal.h), the daemon's machine of one user with its limit of requests
 * (daemon/user_machine.h), and the push stream's back-off. What agent and daemon would say to each
 * other is passed on at once. The server is so many requests a second, and may be away. */
#pragma once

#include "daemon/push_stream.h"
#include "daemon/user_machine.h"
#include "daemon/users.h"
#include "useragent/renewal.h"

#include "common/cleanup.h"
#include "tests/unit/daemon/virtual_time.h"

#include <assert.h>
#include <stdlib.h>

#define FLEET_SIZE 10000
#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)
#define FLEET_LIFE_S (30 * DAY)
#define FLEET_RENEW_AFTER_S (14 * DAY)
#define FLEET_REQUESTS_PER_HOUR 6
#define FLEET_COUNT_S (4 * HOUR) /* so long loads are counted per second */

/* what a full server says (server/http.h) */
#define FLEET_BUSY_MIN_S 2
#define FLEET_BUSY_MAX_S 30

struct fleet_device {
    struct renewal renewal;
    struct user_record record;
    struct backoff push;
    bool connected;
    int64_t connected_ms, push_due_ms;
    int64_t installed_s, not_before_s, not_after_s;
    int64_t asked_s;                             /* the agent's last request */
    int64_t requests_s[FLEET_REQUESTS_PER_HOUR]; /* new requests, the newest first */
    int64_t issued_s;                            /* the last certificate; 0: none */
    unsigned issued;
    int64_t due_ms; /* when something is to be done next */
};

struct fleet {
    struct fleet_device devices[FLEET_SIZE];
    size_t size;
    size_t heap[FLEET_SIZE]; /* the earliest device first */
    int64_t now_ms;          /* true time; the devices' clocks are so far ahead of it: */
    int64_t ahead_s;
    int64_t splay_s, event_splay_s; /* in the desired state; in the last event */
    bool server_up, installation_fails;
    unsigned rate, served; /* requests a second; in the second `served_s` */
    int64_t served_s;

    /* what it came to, in true time */
    int64_t count_begin_s;
    unsigned posts[FLEET_COUNT_S], connects[FLEET_COUNT_S]; /* per second, refused ones included */
    unsigned issued, refused;
    int64_t shortest_ask_s;        /* between two requests of one agent */
    int64_t shortest_hour_s;       /* in which one device made more than the allowed requests */
    int64_t shortest_s, longest_s; /* between two certificates of one device */
    void (*on_issued)(struct fleet *fleet, const struct fleet_device *device);
};

static struct fleet fleet;

static int64_t true_s(void) {
    return fleet.now_ms / 1000;
}

/* ---- the heap ---- */

static bool heap_before(size_t a, size_t b) {
    return fleet.devices[fleet.heap[a]].due_ms < fleet.devices[fleet.heap[b]].due_ms;
}

static void heap_sink(size_t at) {
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < fleet.size; child++)
            if (heap_before(child, least))
                least = child;
        if (least == at)
            return;
        size_t swap = fleet.heap[at];
        fleet.heap[at] = fleet.heap[least];
        fleet.heap[least] = swap;
        at = least;
    }
}

/* ---- one device ---- */

static struct user_input input_of(void) {
    static const uint8_t spki[SHA256_SIZE] = {1};
    return (struct user_input){
        .clock = &virtual_clock,
        .random = &virtual_random,
        .requests_per_hour = FLEET_REQUESTS_PER_HOUR,
        .request_deadline_s = 60,
        .splay_s = fleet.splay_s,
        .request_reason = REQUEST_DUE,
        .uid_name = "alice",
        .uid = 1000,
        .csr = "Q1NS",
        .spki = spki,
        .root = "Uk9PVA==",
        .intermediate = "SU5U",
        .leaf = "TEVBRg==",
        .serial = "abcd",
        .reason = REASON_SERVER_UNREACHABLE};
}

static int step(struct fleet_device *device, enum user_event event) {
    struct user_input input = input_of();
    input.request_id = device->record.request.id;
    int r = user_machine_step(&device->record, event, &input);
    assert(r >= 0);
    return r;
}

/* A new request: the agent answers it with a CSR at once. */
static void note_request(struct fleet_device *device) {
    int64_t *requests = device->requests_s, now = true_s();
    const int64_t oldest = requests[FLEET_REQUESTS_PER_HOUR - 1];
    if (oldest > 0 && now - oldest < fleet.shortest_hour_s)
        fleet.shortest_hour_s = now - oldest;
    memmove(requests + 1, requests, (FLEET_REQUESTS_PER_HOUR - 1) * sizeof(*requests));
    requests[0] = now;
    assert(step(device, USER_EVENT_SUBMIT) == 1);
}

static void give(struct fleet_device *device) {
    const int64_t wall_s = virtual_now;
    device->installed_s = wall_s;
    device->not_before_s = true_s() - 300;
    device->not_after_s = true_s() + FLEET_LIFE_S;
    renewal_succeeded(
        &device->renewal, wall_s,
        renewal_draw(
            wall_s, FLEET_RENEW_AFTER_S, device->not_before_s, device->not_after_s,
            &virtual_random));
    device->issued_s = true_s();
    device->issued++;
}

static void issue(struct fleet_device *device) {
    const int64_t gap_s = true_s() - device->issued_s;
    assert(step(device, USER_EVENT_ISSUED) == 1);
    if (fleet.installation_fails) {
        assert(step(device, USER_EVENT_REPORT_FAILED) == 1);
        return;
    }
    assert(step(device, USER_EVENT_REPORT_INSTALLED) == 1);
    if (device->issued_s > 0 && gap_s < fleet.shortest_s)
        fleet.shortest_s = gap_s;
    if (device->issued_s > 0 && gap_s > fleet.longest_s)
        fleet.longest_s = gap_s;
    give(device);
    fleet.issued++;
    if (fleet.on_issued)
        fleet.on_issued(&fleet, device);
}

static void count(unsigned loads[FLEET_COUNT_S]) {
    const int64_t at = true_s() - fleet.count_begin_s;
    if (at < FLEET_COUNT_S)
        loads[at]++;
}

static void post(struct fleet_device *device) {
    struct user_input input = input_of();
    count(fleet.posts);
    if (fleet.served_s != true_s()) {
        fleet.served_s = true_s();
        fleet.served = 0;
    }
    if (fleet.server_up && fleet.served < fleet.rate) {
        fleet.served++;
        issue(device);
        return;
    }
    if (fleet.server_up) {
        fleet.refused++;
        input.retry_after_s =
            FLEET_BUSY_MIN_S +
            (int64_t)random_below(&virtual_random, FLEET_BUSY_MAX_S - FLEET_BUSY_MIN_S + 1);
    }
    assert(user_machine_step(&device->record, USER_EVENT_RETRY, &input) == 1);
}

static void connect_stream(struct fleet_device *device) {
    struct user_record *record = &device->record;
    count(fleet.connects);
    if (!fleet.server_up) {
        device->push_due_ms = fleet.now_ms + backoff_next(&device->push, &virtual_random, 0);
        return;
    }
    device->connected = true;
    device->connected_ms = fleet.now_ms;
    if (record->state == USER_SIGNING && !record->due_ordered) /* users_server_back() */
        record->due =
            virtual_now + (int64_t)random_below(&virtual_random, USERS_SERVER_BACK_JITTER_S + 1);
}

static void ask(struct fleet_device *device) {
    const int64_t wall_s = virtual_now;
    if (device->asked_s > 0 && true_s() - device->asked_s < fleet.shortest_ask_s)
        fleet.shortest_ask_s = true_s() - device->asked_s;
    device->asked_s = true_s();
    int64_t wait_s = rate_limit_wait(&device->record.rate, FLEET_REQUESTS_PER_HOUR, wall_s);
    const bool taken = step(device, USER_EVENT_RENEW) == 1;
    renewal_asked(&device->renewal, wall_s, taken ? 0 : wait_s, &virtual_random);
    if (taken)
        note_request(device);
}

static int64_t possible_s(const struct fleet_device *device) {
    const struct user_record *record = &device->record;
    int64_t wait_s = record->state == USER_WAITING
                         ? rate_limit_wait(&record->rate, FLEET_REQUESTS_PER_HOUR, virtual_now)
                         : 0;
    int64_t due_s = user_effective_due(record->due, virtual_now, DESIRED_STATE_MAX_SPLAY_S);
    return due_s > virtual_now + wait_s ? due_s : virtual_now + wait_s;
}

static bool may_ask(const struct fleet_device *device) {
    return device->record.state == USER_WAITING || device->record.state == USER_INSTALLED;
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t true_ms_of(int64_t wall_s) {
    return (wall_s - fleet.ahead_s) * 1000;
}

static int64_t next_ms(const struct fleet_device *device) {
    const enum user_state state = device->record.state;
    const int64_t wake_s = renewal_wake_at(&device->renewal, virtual_now, false);
    int64_t next = device->connected ? INT64_MAX : device->push_due_ms;
    if (state == USER_WAITING || state == USER_SIGNING)
        next = earlier(next, true_ms_of(possible_s(device)));
    if (may_ask(device) && wake_s > 0)
        next = earlier(next, true_ms_of(wake_s));
    return next > fleet.now_ms ? next : fleet.now_ms + 1000;
}

static void look(struct fleet_device *device) {
    struct user_record *record = &device->record;
    virtual_now = true_s() + fleet.ahead_s;
    (void)rate_limit_settle(&record->rate, virtual_now);
    if (!device->connected && device->push_due_ms <= fleet.now_ms)
        connect_stream(device);
    if (may_ask(device) && renewal_is_due(&device->renewal, virtual_now) &&
        renewal_may_ask(&device->renewal, virtual_now))
        ask(device);
    if (record->state == USER_WAITING && possible_s(device) <= virtual_now &&
        step(device, USER_EVENT_DUE) == 1)
        note_request(device);
    if (record->state == USER_SIGNING && possible_s(device) <= virtual_now)
        post(device);
    device->due_ms = next_ms(device);
}

/* ---- all of them ---- */

static void look_at_all(void) {
    for (size_t i = 0; i < fleet.size; i++)
        look(&fleet.devices[i]);
    for (size_t i = fleet.size / 2; i-- > 0;)
        heap_sink(i);
}

static void fleet_free(void) {
    for (size_t i = 0; i < fleet.size; i++)
        user_record_deinit(&fleet.devices[i].record);
}

/* Nobody is managed yet; the server is up. */
static void fleet_make(size_t size, unsigned rate) {
    memset(&fleet, 0, sizeof(fleet));
    fleet.size = size;
    virtual_seed = 88172645463325252ULL;
    fleet.now_ms = VIRTUAL_START_S * INT64_C(1000);
    fleet.server_up = true;
    fleet.rate = rate;
    fleet.shortest_ask_s = fleet.shortest_hour_s = fleet.shortest_s = INT64_MAX;
    fleet.count_begin_s = true_s();
    for (size_t i = 0; i < fleet.size; i++) {
        struct fleet_device *device = &fleet.devices[i];
        fleet.heap[i] = i;
        renewal_init(&device->renewal);
        user_record_init(&device->record, "u1");
        device->push = (struct backoff){
            .base_ms = PUSH_STREAM_RETRY_BASE_MS, .cap_ms = PUSH_STREAM_RETRY_CAP_MS};
        device->connected = true;
    }
    look_at_all();
}

/* Everybody is managed from now on. */
static void fleet_switch_on(int64_t splay_s) {
    fleet.splay_s = splay_s;
    for (size_t i = 0; i < fleet.size; i++)
        assert(step(&fleet.devices[i], USER_EVENT_MANAGED) == 1);
    look_at_all();
}

/* Everybody has a certificate since this moment: a fleet from one image, on one morning. */
static void fleet_give_all(void) {
    for (size_t i = 0; i < fleet.size; i++) {
        struct fleet_device *device = &fleet.devices[i];
        assert(step(device, USER_EVENT_MANAGED) == 1 && step(device, USER_EVENT_DUE) == 1);
        note_request(device);
        issue(device);
    }
    look_at_all();
}

static void fleet_server(bool up) {
    fleet.server_up = up;
    for (size_t i = 0; i < fleet.size && !up; i++) {
        struct fleet_device *device = &fleet.devices[i];
        if (device->connected && fleet.now_ms - device->connected_ms >= PUSH_STREAM_SETTLED_MS)
            backoff_reset(&device->push);
        device->push.base_ms = push_stream_first_wait_ms(
            fleet.event_splay_s, PUSH_STREAM_RETRY_BASE_MS, PUSH_STREAM_RETRY_CAP_MS);
        device->connected = false;
        device->push_due_ms = fleet.now_ms + backoff_next(&device->push, &virtual_random, 0);
    }
    look_at_all();
}

/* Everybody's clock jumps, and everybody looks again, as at the end of a suspend. */
static void fleet_set_clocks(int64_t ahead_s) {
    fleet.ahead_s = ahead_s;
    for (size_t i = 0; i < fleet.size; i++) {
        struct fleet_device *device = &fleet.devices[i];
        if (renewal_correct_installed(
                true_s() + ahead_s, device->not_before_s, &device->installed_s))
            renewal_plan(
                &device->renewal, renewal_draw(
                                      device->installed_s, FLEET_RENEW_AFTER_S,
                                      device->not_before_s, device->not_after_s, &virtual_random));
    }
    look_at_all();
}

/* Daemons and agents start anew: what is not on disk is forgotten. */
static void fleet_restart(void) {
    for (size_t i = 0; i < fleet.size; i++) {
        struct fleet_device *device = &fleet.devices[i];
        const int64_t due_s = device->renewal.due_s; /* of the agent's record */
        renewal_init(&device->renewal);
        renewal_plan(&device->renewal, due_s);
        (void)step(device, USER_EVENT_RESTART);
        backoff_reset(&device->push);
        device->connected = false;
        device->push_due_ms = fleet.now_ms;
    }
    look_at_all();
}

static void fleet_count(void) {
    fleet.count_begin_s = true_s();
    memset(fleet.posts, 0, sizeof(fleet.posts));
    memset(fleet.connects, 0, sizeof(fleet.connects));
    fleet.issued = fleet.refused = 0;
}

static void fleet_run(int64_t seconds) {
    const int64_t end_ms = fleet.now_ms + seconds * 1000;
    for (;;) {
        struct fleet_device *device = &fleet.devices[fleet.heap[0]];
        if (device->due_ms > end_ms)
            break;
        fleet.now_ms = device->due_ms;
        look(device);
        heap_sink(0);
    }
    fleet.now_ms = end_ms;
    virtual_now = true_s() + fleet.ahead_s;
}

static unsigned fleet_in_state(enum user_state state) {
    unsigned n = 0;
    for (size_t i = 0; i < fleet.size; i++)
        n += fleet.devices[i].record.state == state;
    return n;
}

static unsigned fleet_peak(const unsigned loads[FLEET_COUNT_S], int64_t begin_s, int64_t end_s) {
    unsigned peak = 0;
    for (int64_t i = begin_s; i < end_s; i++)
        peak = loads[i] > peak ? loads[i] : peak;
    return peak;
}

static unsigned fleet_sum(const unsigned loads[FLEET_COUNT_S], int64_t begin_s, int64_t end_s) {
    unsigned sum = 0;
    for (int64_t i = begin_s; i < end_s; i++)
        sum += loads[i];
    return sum;
}
