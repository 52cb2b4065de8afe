/* devtrustd: options, process hardening, signals, the loop. */
#include "daemon/daemon.h"
#include "daemon/daemon_service.h"
#include "daemon/user_lookup.h"
#include "daemon/watchdog.h"

#include "common/log.h"
#include "common/log_messages.h"
#include "common/paths.h"
#include "common/secret.h"
#include "common/version.h"

#include <getopt.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define EXIT_USAGE 2
#define SECURE_ARENA (64 * 1024)
#define LAST_RESORT_MS 3000

static const char usage[] =
    "Usage: devtrustd [--config FILE]\n"
    "Keeps device-trust certificates of this machine's managed users; runs as root.\n\n"
    "  --config FILE  read FILE instead of " PATH_DAEMON_CONFIG "\n"
    "  --version      print the version\n"
    "  --help         print this\n\n"
    "See devtrustd(8), devtrustd.conf(5).\n";

struct options {
    const char *config; /* NULL: the default place, which may be absent */
    int exit_status;    /* -1: go on */
};

static struct options parse_options(int argc, char **argv) {
    static const struct option table[] = {
        {"config", required_argument, NULL, 'c'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.exit_status = -1};
    for (;;) {
        int option = getopt_long(argc, argv, "", table, NULL);
        if (option == -1)
            break;
        switch (option) {
        case 'c':
            options.config = optarg;
            break;
        case 'v':
            puts("devtrustd " DEVTRUST_VERSION);
            options.exit_status = EXIT_SUCCESS;
            return options;
        case 'h':
            fputs(usage, stdout);
            options.exit_status = EXIT_SUCCESS;
            return options;
        default:
            fputs(usage, stderr);
            options.exit_status = EXIT_USAGE;
            return options;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "devtrustd: unexpected argument: %s\n%s", argv[optind], usage);
        options.exit_status = EXIT_USAGE;
    }
    return options;
}

/* Set before the first thread or large allocation: few arenas and threads keep the memory at rest
 * small. */
static int harden(void) {
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024);
    if (setenv("UV_THREADPOOL_SIZE", USER_LOOKUP_WORKERS, 1) < 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    if (secret_harden_process() < 0)
        return -1;
    return secret_harden_openssl(SECURE_ARENA);
}

/* A name service that hangs keeps a worker, and so the loop, for longer than anybody waits. All
 * state is on disk already. */
static void give_up(uv_timer_t *timer __attribute__((unused))) {
    _exit(EXIT_SUCCESS);
}

static void on_signal(uv_signal_t *signal, int number) {
    static uv_timer_t last_resort;
    struct daemon *daemon = signal->data;
    if (daemon->closing) /* the other of the two; its timer is running */
        give_up(&last_resort);
    if (uv_timer_init(signal->loop, &last_resort) == 0) {
        uv_timer_start(&last_resort, give_up, LAST_RESORT_MS, 0);
        uv_unref((uv_handle_t *)&last_resort);
    }
    log_event(LOG_LEVEL_NOTICE, MSG_STOP, "devtrustd stops", LOG_NUMBER("SIGNAL", number));
    sd_notify(0, "STOPPING=1");
    daemon_close(daemon);
    /* a second signal ends at once */
    uv_close((uv_handle_t *)signal, NULL);
}

static int catch_signal(uv_loop_t *loop, uv_signal_t *signal, int number, struct daemon *daemon) {
    int r = uv_signal_init(loop, signal);
    if (r < 0)
        return r;
    signal->data = daemon;
    r = uv_signal_start(signal, on_signal, number);
    uv_unref((uv_handle_t *)signal);
    return r;
}

static void close_rest(uv_handle_t *handle, void *unused __attribute__((unused))) {
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int run(const struct daemon_config *config) {
    uv_loop_t loop;
    uv_signal_t terminate, interrupt;
    uv_timer_t watchdog;
    struct daemon daemon;

    int r = uv_loop_init(&loop);
    if (r < 0)
        return r;
    r = daemon_open(&daemon, &loop, config, 0);
    if (r == 0)
        r = catch_signal(&loop, &terminate, SIGTERM, &daemon);
    if (r == 0)
        r = catch_signal(&loop, &interrupt, SIGINT, &daemon);
    if (r == 0)
        r = watchdog_start(&loop, &watchdog);
    if (r == 0) {
        sd_notify(0, "READY=1");
        log_event(
            LOG_LEVEL_NOTICE, MSG_START, "devtrustd serves", LOG_TEXT("VERSION", DEVTRUST_VERSION),
            LOG_TEXT("SOCKET", config->socket));
    } else {
        daemon_close(&daemon);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_walk(&loop, close_rest, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    daemon_free(&daemon);
    (void)uv_loop_close(&loop);
    return r;
}

int main(int argc, char **argv) {
    struct options options = parse_options(argc, argv);
    struct daemon_config config;
    char error[512];

    if (options.exit_status >= 0)
        return options.exit_status;
    log_init("devtrustd", LOG_LEVEL_INFO);
    if (harden() < 0) {
        log_event(
            LOG_LEVEL_ERROR, MSG_INTERNAL, "The process cannot be protected; memory is out",
            LOG_NUMBER("PID", getpid()));
        return EXIT_FAILURE;
    }
    if (daemon_service_is_exec())
        return daemon_service_exec() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    const char *path = options.config ? options.config : PATH_DAEMON_CONFIG;
    int r = daemon_config_read(
        path, options.config != NULL, PATH_LOGIN_DEFS, &config, error, sizeof(error));
    if (r < 0) {
        const char *text = error;
        log_event(LOG_LEVEL_ERROR, MSG_CONFIG, text, LOG_TEXT("FILE", path), LOG_ERRNO(r));
        daemon_config_deinit(&config);
        return EXIT_USAGE;
    }
    log_init("devtrustd", daemon_config_log_level(&config));
    r = run(&config);
    daemon_config_deinit(&config);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
