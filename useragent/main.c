/* devtrust-agent: the program that runs as the logged-in user. */
#include "common/cleanup.h"
#include "common/log.h"
#include "common/log_messages.h"
#include "common/paths.h"
#include "common/secret.h"
#include "common/version.h"
#include "ipc/bus.h"
#include "useragent/agent.h"
#include "useragent/agent_lock.h"
#include "useragent/credential_key.h"
#include "useragent/local_removal.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>

#define EXIT_USAGE 2
#define EXIT_NEWER_RECORD 78 /* EX_CONFIG: a restart does not help (sysexits.h) */

struct program {
    uv_loop_t loop;
    uv_signal_t terminate, interrupt;
    struct agent *agent;
    int status;
};

static void stop(struct program *program) {
    agent_stop(program->agent);
    if (!uv_is_closing((uv_handle_t *)&program->terminate)) {
        uv_close((uv_handle_t *)&program->terminate, NULL);
        uv_close((uv_handle_t *)&program->interrupt, NULL);
    }
}

static void signalled(uv_signal_t *handle, int number) {
    log_event(LOG_LEVEL_INFO, MSG_STOP, "Ends on request.", LOG_NUMBER("SIGNAL", number));
    stop(handle->data);
}

static void ended(int result, void *userdata) {
    struct program *program = userdata;

    if (result == -EPROTO)
        program->status = EXIT_NEWER_RECORD;
    else if (result < 0)
        program->status = EXIT_FAILURE;
    stop(program);
}

static int fail(const char *what, int error) {
    log_event(LOG_LEVEL_ERROR, MSG_START_FAILED, what, LOG_ERRNO(error));
    return EXIT_FAILURE;
}

static int run(const char *socket_path, const struct user_dirs *dirs) {
    struct program program = {0};
    char user_bus[BUS_ADDRESS_SIZE];
    struct agent_options options = {
        .loop = &program.loop,
        .socket_path = socket_path,
        .dirs = *dirs,
        .system_bus = bus_system_address,
        .user_bus = bus_user_address(user_bus) == 0 ? user_bus : NULL,
        .clock = &clock_system,
        .random = &random_system,
        .ended = ended,
        .userdata = &program,
    };
    int r;

    r = uv_loop_init(&program.loop);
    if (r >= 0)
        r = uv_signal_init(&program.loop, &program.terminate);
    if (r >= 0)
        r = uv_signal_init(&program.loop, &program.interrupt);
    if (r < 0)
        return fail("The event loop could not be set up.", r);
    program.terminate.data = program.interrupt.data = &program;
    (void)uv_signal_start(&program.terminate, signalled, SIGTERM);
    (void)uv_signal_start(&program.interrupt, signalled, SIGINT);
    r = agent_new(&options, &program.agent);
    if (r < 0)
        return fail("The agent could not be started.", r);
    log_event(
        LOG_LEVEL_INFO, MSG_START, "The agent has started.", LOG_TEXT("VERSION", DEVTRUST_VERSION),
        LOG_NUMBER("UID", getuid()));
    (void)uv_run(&program.loop, UV_RUN_DEFAULT);
    agent_free(program.agent);
    (void)uv_loop_close(&program.loop);
    uv_library_shutdown(); /* ends the worker, so that OpenSSL wipes and frees what is the thread's
                            */
    return program.status;
}

static int remove_all(const char *socket_path, const struct user_dirs *dirs) {
    struct agent_report report;
    enum reason reason = REASON_NONE;
    int r = local_removal_run(socket_path, dirs, &clock_system, &random_system, &report, &reason);

    if (r < 0) {
        (void)fprintf(
            stderr, "devtrust-agent: %s [%s]\n%s\n", reason_text(reason), reason_code(reason),
            reason_remedy(reason));
        return r == -EPROTO ? EXIT_NEWER_RECORD : EXIT_FAILURE;
    }
    r = local_removal_tell(socket_path, &report);
    if (r < 0)
        log_event(
            LOG_LEVEL_NOTICE, MSG_AGENT, "It is removed; devtrustd could not be told.",
            LOG_ERRNO(r));
    return EXIT_SUCCESS;
}

static int run_locked(const char *socket_path, bool remove_only, bool thunderbird) {
    struct user_dirs dirs;
    int lock;
    int status;
    int r;

    r = user_dirs_read(&dirs);
    if (r < 0)
        return fail("This user's home directory is not known; set HOME.", r);
    dirs.thunderbird = thunderbird;
    lock = agent_lock_take(&dirs);
    if (lock == -EWOULDBLOCK) {
        log_event(
            LOG_LEVEL_NOTICE, MSG_STOP, "An agent of this user is running already; this one ends.",
            LOG_NUMBER("UID", getuid()));
        return remove_only ? EXIT_FAILURE : EXIT_SUCCESS; /* that one has not removed anything */
    }
    if (lock < 0)
        return fail(
            "The lock file of this user's agent cannot be made; check XDG_RUNTIME_DIR and the "
            "home directory.",
            lock);
    status = remove_only ? remove_all(socket_path, &dirs) : run(socket_path, &dirs);
    agent_lock_release(&dirs, lock);
    return status;
}

/* Before any thread and any use of OpenSSL: no dumps, wiped memory, one worker, one arena. */
static int harden(void) {
    int r;

    r = secret_harden_process();
    if (r >= 0)
        r = credential_key_harden();
    if (r < 0)
        return r;
    (void)mallopt(M_ARENA_MAX, 1);
    /* NSS is used by one thread, and jobs follow each other (uv_queue_work) */
    if (setenv("UV_THREADPOOL_SIZE", "1", 1) < 0)
        return -errno;
    /* NSS's cache for slow file systems is a copy of the database elsewhere; ours is used for one
     * job only */
    if (setenv("NSS_SDB_USE_CACHE", "no", 1) < 0)
        return -errno;
    return 0;
}

static void usage(FILE *out) {
    (void)fputs(
        "Usage: devtrust-agent [--socket PATH] [--thunderbird] [--verbose]\n"
        "       devtrust-agent --remove\n"
        "       devtrust-agent --version | --help\n"
        "Keeps this user's device-trust certificate; started by systemd for each session.\n"
        "  --socket PATH  devtrustd's socket (default " PATH_DAEMON_SOCKET ")\n"
        "  --thunderbird  serve the profiles of Thunderbird, too\n"
        "  --verbose      log each step\n"
        "  --remove       delete what is on record now, and end; for who is not signed in\n",
        out);
}

int main(int argc, char *argv[]) {
    static const struct option options[] = {
        {"socket", required_argument, NULL, 's'},
        {"thunderbird", no_argument, NULL, 't'},
        {"verbose", no_argument, NULL, 'v'},
        {"remove", no_argument, NULL, 'r'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *socket_path = PATH_DAEMON_SOCKET;
    enum log_level level = LOG_LEVEL_INFO;
    bool remove_only = false, thunderbird = false;
    int option;
    int r;

    r = harden();
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            socket_path = optarg;
            break;
        case 't':
            thunderbird = true;
            break;
        case 'v':
            level = LOG_LEVEL_DEBUG;
            break;
        case 'r':
            remove_only = true;
            break;
        case 'V':
            (void)puts("devtrust-agent " DEVTRUST_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            usage(stdout);
            return EXIT_SUCCESS;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        usage(stderr);
        return EXIT_USAGE;
    }
    log_init("devtrust-agent", level);
    if (r < 0)
        return fail("The process could not be protected against dumps and swapping.", r);
    if (getuid() == 0 || geteuid() == 0) {
        (void)fputs(
            "devtrust-agent: runs as the logged-in user, never as root: a user's certificate store "
            "can "
            "name code to load. Start it as that user.\n",
            stderr);
        return EXIT_USAGE;
    }
    return run_locked(socket_path, remove_only, thunderbird);
}
