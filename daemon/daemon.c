/* Makes the parts, connects them, and takes them down again. */
#include "daemon/daemon.h"

#include "daemon/daemon_events.h"
#include "daemon/daemon_service.h"
#include "daemon/portal_pattern.h"
#include "daemon/user_view.h"

#include "common/atomic_file.h"
#include "common/cleanup.h"
#include "common/json_gate.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/x509_profile.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define QUIET_MS 1000 /* a burst is over */

/* ---- what users need ---- */

static bool service_agent_attached(int64_t uid, void *userdata) {
    const struct daemon *daemon = userdata;
    return agents_is_attached(daemon->agents, uid);
}

static void service_changed(int64_t uid, void *userdata) {
    struct daemon *daemon = userdata;
    agents_changed(daemon->agents, uid);
}

/* The rules as the server and the verified chain have them; while there is no word of the server,
 * those that stand. */
static void want_policy(struct daemon *daemon) {
    const struct desired_state *state = daemon->link ? server_link_state(daemon->link) : NULL;
    X509 *issuer = state ? server_link_trust_issuer(daemon->link) : NULL;
    const char *url = state ? server_link_url(daemon->link) : NULL;
    char home[256];
    char *name CLEANUP_FREE = NULL;

    if (!issuer || !url || !state->enrolled || state->distribution != DISTRIBUTION_ON ||
        portal_pattern_url_host(url, home, sizeof(home)) < 0 ||
        x509_subject_text(issuer, NID_commonName, &name) < 0) {
        (void)policy_keep(daemon->policy);
        return;
    }
    (void)policy_want(
        daemon->policy, name, home, state->portal_patterns, state->portal_pattern_count);
}

static bool service_policy_ready(int64_t *ret_since, void *userdata) {
    struct daemon *daemon = userdata;
    want_policy(daemon);
    return policy_ready(daemon->policy, ret_since);
}

static int64_t service_firefox_since(void *userdata) {
    const struct daemon *daemon = userdata;
    return policy_firefox_since(daemon->policy);
}

static int service_sign(
    const uint8_t *csr, size_t size, server_link_signed done, void *done_userdata, void *userdata) {
    struct daemon *daemon = userdata;
    return daemon->link ? server_link_sign(daemon->link, csr, size, done, done_userdata)
                        : -ENOTCONN;
}

static void service_sign_cancel(void *done_userdata, void *userdata) {
    struct daemon *daemon = userdata;
    if (daemon->link)
        server_link_cancel(daemon->link, done_userdata);
}

static int service_report(struct json_object *report, void *userdata) {
    struct daemon *daemon = userdata;
    if (daemon->link)
        return server_link_report(daemon->link, report);
    json_object_put(report);
    return -EAGAIN;
}

static bool service_trust(
    X509 **ret_root, X509 **ret_issuer, const char **ret_device_uuid, void *userdata) {
    struct daemon *daemon = userdata;
    if (!daemon->link)
        return false;
    *ret_root = server_link_trust_root(daemon->link);
    *ret_issuer = server_link_trust_issuer(daemon->link);
    *ret_device_uuid = server_link_device_uuid(daemon->link);
    return *ret_root && *ret_issuer && *ret_device_uuid;
}

static enum login service_login(int64_t uid, void *userdata) {
    const struct daemon *daemon = userdata;
    return machine_events_login(daemon->events, uid);
}

static int64_t service_unreachable_since(void *userdata) {
    const struct daemon *daemon = userdata;
    return daemon->unreachable_since;
}

static bool service_clock_agrees(void *userdata) {
    const struct daemon *daemon = userdata;
    return !daemon->clock_differs;
}

/* ---- quiet ---- */

static void quiet(uv_timer_t *timer __attribute__((unused))) {
    malloc_trim(0);
}

static void stir(struct daemon *daemon) {
    if (daemon->quiet_open && !daemon->closing)
        uv_timer_start(&daemon->quiet, quiet, QUIET_MS, 0);
}

static void policy_needed(bool needed, void *userdata) {
    struct daemon *daemon = userdata;
    if (needed)
        want_policy(daemon);
    else
        policy_release(daemon->policy);
    stir(daemon);
}

/* ---- what happens ---- */

static void policy_changed(void *userdata) {
    struct daemon *daemon = userdata;
    users_advance(daemon->users);
}

static struct json_object *agent_snapshot(int64_t uid, void *userdata) {
    struct daemon *daemon = userdata;
    return user_view_snapshot(users_find_by_uid(daemon->users, uid));
}

static void agent_attached(int64_t uid, void *userdata) {
    struct daemon *daemon = userdata;
    users_agent_attached(daemon->users, uid);
}

static void agent_detached(int64_t uid, void *userdata) {
    struct daemon *daemon = userdata;
    if (daemon->closing)
        return;
    users_agent_detached(daemon->users, uid);
    inspections_agent_gone(daemon->inspections, uid);
}

static void state_changed(const struct desired_state *state, void *userdata) {
    struct daemon *daemon = userdata;
    if (!daemon->closing)
        users_set_state(daemon->users, state);
    stir(daemon);
}

/* Firefox reads its policy only when it starts: so it stands from the enrolment on, not only while
 * certificates are distributed. It goes on the server's or root's word, never for want of one. */
static void settle_firefox(struct daemon *daemon) {
    const struct desired_state *state = server_link_state(daemon->link);

    if (server_link_is_held(daemon->link) || (state && !state->enrolled))
        policy_release_firefox(daemon->policy);
    else if (server_link_device_uuid(daemon->link))
        policy_want_firefox(daemon->policy);
}

void daemon_refresh_hold(struct daemon *daemon) {
    users_set_held(daemon->users, server_link_is_held(daemon->link));
    settle_firefox(daemon);
}

static bool member_is(struct json_object *object, const char *name, const char *value) {
    struct json_object *member = NULL;
    return json_object_object_get_ex(object, name, &member) &&
           json_object_is_type(member, json_type_string) &&
           strcmp(json_object_get_string(member), value) == 0;
}

static void note_reach(struct daemon *daemon) {
    bool away = !daemon->connected && server_link_device_uuid(daemon->link);
    if (away == (daemon->unreachable_since != 0))
        return;
    daemon->unreachable_since = away ? clock_wall_s(&clock_system) : 0;
    users_reach_changed(daemon->users);
}

static bool is_enrolled_anew(struct daemon *daemon) {
    const char *uuid = server_link_device_uuid(daemon->link);
    if (!uuid || strcmp(uuid, daemon->enrolled_as) == 0)
        return false;
    snprintf(daemon->enrolled_as, sizeof(daemon->enrolled_as), "%s", uuid);
    return true;
}

/* An enrolment ends the holds, whoever asked for it, and be it that nobody waits any more. */
static void end_holds(struct daemon *daemon) {
    for (size_t i = 0; i < users_count(daemon->users); i++)
        (void)user_hold(users_get(daemon->users, i), false);
}

static void status_changed(void *userdata) {
    struct daemon *daemon = userdata;
    struct json_object *enrolment CLEANUP_JSON = NULL;
    struct json_object *push CLEANUP_JSON = NULL;

    /* it is told of things while it is being made, too */
    if (daemon->closing || !daemon->link || server_link_status(daemon->link, &enrolment, &push) < 0)
        return;
    daemon->clock_differs = member_is(enrolment, "code", reason_code(REASON_CLOCK));
    bool connected = json_object_get_boolean(json_object_object_get(push, "connected"));
    bool back = connected && !daemon->connected;
    daemon->connected = connected;
    note_reach(daemon);
    daemon_refresh_hold(daemon);
    if (is_enrolled_anew(daemon))
        end_holds(daemon);
    if (back)
        users_server_back(daemon->users);
    stir(daemon);
}

/* ---- what is shown of it ---- */

/* A worker's event goes to the log only: ring and monitor are the loop's. */
static void log_happened(
    enum log_level level, const char *message_id, const char *text, const struct log_field *fields,
    size_t count, void *userdata) {
    struct daemon *daemon = userdata;
    const struct event_log log = {level, message_id, text, fields, count};
    uv_thread_t thread = uv_thread_self();
    if (!uv_thread_equal(&thread, &daemon->thread))
        return;
    log_ring_add(daemon->log_ring, &log, monitor_system_now_us());
    if (daemon->monitor)
        monitor_log(daemon->monitor, &log);
}

static void watch_connections(bool watching, void *userdata) {
    struct daemon *daemon = userdata;
    if (daemon->server)
        varlink_server_set_observer(
            daemon->server, watching ? monitor_observe : NULL, daemon->monitor);
}

static int open_monitor(struct daemon *daemon) {
    const struct monitor_options options = {
        .loop = daemon->loop,
        .now_us = monitor_system_now_us,
        .watching = watch_connections,
        .userdata = daemon,
    };
    daemon->started_ms = clock_monotonic_ms(&clock_system);
    daemon->thread = uv_thread_self();
    daemon->log_ring = log_ring_new();
    if (!daemon->log_ring)
        return -ENOMEM;
    log_set_hook(log_happened, daemon);
    return monitor_new(&options, &daemon->monitor);
}

/* ---- opening ---- */

static int open_state(struct daemon *daemon) {
    const char *path = daemon->config->state_dir;
    int r = atomic_file_make_dirs(path, 0700);
    if (r == 0)
        r = daemon->state_dir_fd = atomic_file_open_dir(path);
    if (r < 0) {
        log_event(
            LOG_LEVEL_ERROR, MSG_STORAGE,
            "The state directory cannot be opened; make it root-owned, mode 0700",
            LOG_TEXT("PATH", path), LOG_ERRNO(r));
        return r;
    }
    /* the directory itself is the lock: that works on a read-only file system, too */
    daemon->lock_fd = atomic_file_open_dir(path);
    r = daemon->lock_fd;
    if (r >= 0 && flock(daemon->lock_fd, LOCK_EX | LOCK_NB) < 0)
        r = -errno;
    if (r < 0) {
        log_event(
            LOG_LEVEL_ERROR, MSG_STORAGE,
            r == -EWOULDBLOCK ? "Another devtrustd runs with this state directory; stop it first"
                              : "The lock on the state directory cannot be taken",
            LOG_TEXT("PATH", path), LOG_ERRNO(r));
        return r;
    }
    return 0;
}

static int open_policy(struct daemon *daemon, uid_t directory_owner) {
    const struct policy_options options = {
        .loop = daemon->loop,
        .clock = &clock_system,
        .state_dir_fd = daemon->state_dir_fd,
        .owner = (enum policy_owner)daemon->config->policy_owner,
        .directories = daemon->config->chromium_directories,
        .allowed_patterns = daemon->config->allowed_patterns,
        .firefox_auto_select = daemon->config->firefox_auto_select,
        .firefox_directories = daemon->config->firefox_directories,
        .directory_owner = directory_owner,
        .changed = policy_changed,
        .userdata = daemon,
    };
    return policy_new(&options, &daemon->policy);
}

static int open_users(struct daemon *daemon) {
    const struct agents_options agents = {
        .clock = &clock_system,
        .random = &random_system,
        .snapshot = agent_snapshot,
        .attached = agent_attached,
        .detached = agent_detached,
        .userdata = daemon,
    };
    int r = user_store_open(daemon->state_dir_fd, &daemon->store);
    if (r == 0)
        r = agents_new(&agents, &daemon->agents);
    if (r == 0)
        r = inspections_new(daemon->loop, &clock_system, daemon->agents, &daemon->inspections);
    if (r < 0)
        return r;
    const struct users_options users = {
        .loop = daemon->loop,
        .services =
            {
                .clock = &clock_system,
                .random = &random_system,
                .store = daemon->store,
                .requests_per_hour = daemon->config->requests_per_hour,
                .request_deadline_s = daemon->config->request_deadline_s,
                .agent_attached = service_agent_attached,
                .login = service_login,
                .changed = service_changed,
                .policy_ready = service_policy_ready,
                .firefox_since = service_firefox_since,
                .sign = service_sign,
                .sign_cancel = service_sign_cancel,
                .report = service_report,
                .trust = service_trust,
                .unreachable_since = service_unreachable_since,
                .clock_agrees = service_clock_agrees,
                .userdata = daemon,
            },
        .database = &user_database_system,
        .min_uid = daemon->config->min_uid,
        .lookup_deadline_ms = USER_LOOKUP_DEADLINE_MS,
        .policy_needed = policy_needed,
        .userdata = daemon,
    };
    return users_new(&users, &daemon->users);
}

static bool service_is_managed(uid_t uid, void *userdata) {
    struct daemon *daemon = userdata;
    return users_find_by_uid(daemon->users, (int64_t)uid) != NULL;
}

static int open_server(struct daemon *daemon) {
    struct varlink_server_options options = daemon_service_options();
    options.is_managed = service_is_managed;
    options.userdata = daemon;
    int r = varlink_server_new(daemon->loop, &options, &daemon->server);
    if (r < 0)
        return r;
    int fd = daemon_service_listen(daemon->config->socket);
    return fd < 0 ? fd : varlink_server_listen_fd(daemon->server, fd);
}

static int open_link(struct daemon *daemon) {
    const struct server_link_options options = {
        .loop = daemon->loop,
        .clock = &clock_system,
        .random = &random_system,
        .state_dir = daemon->config->state_dir,
        .enroll_config_path = daemon->config->enroll_config,
        .machine_id_path = daemon->config->machine_id,
        .state_poll_s = daemon->config->state_poll_s,
        .state_changed = state_changed,
        .status_changed = status_changed,
        .userdata = daemon,
    };
    return server_link_new(&options, &daemon->link);
}

static int open_parts(struct daemon *daemon, uid_t directory_owner) {
    int r = uv_timer_init(daemon->loop, &daemon->quiet);
    if (r < 0)
        return r;
    daemon->quiet_open = true;
    r = open_policy(daemon, directory_owner);
    if (r == 0)
        r = open_users(daemon);
    if (r == 0)
        r = open_server(daemon);
    if (r == 0)
        r = open_link(daemon);
    if (r == 0)
        daemon_events_open(daemon);
    return r;
}

int daemon_open(
    struct daemon *daemon, uv_loop_t *loop, const struct daemon_config *config,
    uid_t directory_owner) {
    *daemon = (struct daemon){.config = config, .loop = loop, .state_dir_fd = -1, .lock_fd = -1};
    int r = open_monitor(daemon);
    if (r == 0)
        r = open_state(daemon);
    if (r < 0)
        return r;
    r = open_parts(daemon, directory_owner);
    if (r < 0) {
        log_event(
            LOG_LEVEL_ERROR, MSG_START_FAILED, "devtrustd cannot start", LOG_ERRNO(r),
            LOG_TEXT("ERROR", strerror(-r)));
        return r;
    }
    (void)is_enrolled_anew(daemon); /* that was before */
    status_changed(daemon);
    if (server_link_state(daemon->link))
        users_set_state(daemon->users, server_link_state(daemon->link));
    else
        users_advance(daemon->users);
    return 0;
}

/* ---- closing ---- */

static void server_closed(void *userdata) {
    struct daemon *daemon = userdata;
    daemon->server = NULL;
    if (daemon->users)
        users_close(daemon->users);
    daemon->users = NULL;
    if (daemon->policy)
        policy_close(daemon->policy);
    daemon->policy = NULL;
    if (daemon->link)
        server_link_close(daemon->link, NULL, NULL);
    daemon->link = NULL;
    monitor_close(daemon->monitor);
    daemon->monitor = NULL;
    if (daemon->quiet_open)
        uv_close((uv_handle_t *)&daemon->quiet, NULL);
    daemon->quiet_open = false;
}

void daemon_close(struct daemon *daemon) {
    if (daemon->closing)
        return;
    daemon->closing = true;
    machine_events_close(daemon->events);
    daemon->events = NULL;
    if (daemon->server)
        varlink_server_close(daemon->server, server_closed, daemon);
    else
        server_closed(daemon);
}

void daemon_free(struct daemon *daemon) {
    log_set_hook(NULL, NULL);
    daemon->log_ring = log_ring_free(daemon->log_ring);
    daemon->agents = agents_free(daemon->agents);
    daemon->inspections = inspections_free(daemon->inspections);
    daemon->store = user_store_free(daemon->store);
    if (daemon->lock_fd >= 0)
        close(daemon->lock_fd);
    if (daemon->state_dir_fd >= 0)
        close(daemon->state_dir_fd);
}
