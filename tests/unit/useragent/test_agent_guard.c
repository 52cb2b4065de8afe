/* What keeps an agent to its place: one per user, an obedient ear for uid 0 only, the right
 * directories, and an eye for browsers. */
#include "useragent/agent_link.h"
#include "useragent/agent_lock.h"
#include "useragent/browser_check.h"
#include "useragent/ours.h"
#include "useragent/user_dirs.h"

#include "common/log.h"
#include "ipc/transport.h"

#include "home.h"
#include "pki.h"

#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

static void test_one_agent_per_user(void **state) {
    struct user_dirs dirs;
    char path[USER_DIRS_PATH_MAX];
    int first, second;

    (void)state;
    home_make(&dirs);
    first = agent_lock_take(&dirs);
    assert_true(first >= 0);
    second = agent_lock_take(&dirs);
    assert_int_equal(second, -EWOULDBLOCK);
    agent_lock_release(&dirs, first);
    /* nothing of it is left in the home */
    user_dirs_join(dirs.state, "devtrust", path);
    assert_int_equal(access(path, F_OK), -1);
    second = agent_lock_take(&dirs);
    assert_true(second >= 0);
    agent_lock_release(&dirs, second);
    /* with a runtime directory the home is not touched at all */
    memcpy(dirs.runtime, dirs.home, sizeof dirs.runtime);
    first = agent_lock_take(&dirs);
    assert_true(first >= 0);
    assert_int_equal(access(path, F_OK), -1);
    agent_lock_release(&dirs, first);
    home_remove(&dirs);
}

static void test_directories(void **state) {
    struct user_dirs dirs;
    static char overlong[USER_DIRS_PATH_MAX + 8];

    (void)state;
    setenv("HOME", "/home/alice/", 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("XDG_DATA_HOME");
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    assert_int_equal(user_dirs_read(&dirs), 0);
    assert_string_equal(dirs.home, "/home/alice");
    assert_string_equal(dirs.config, "/home/alice/.config");
    assert_string_equal(dirs.data, "/home/alice/.local/share");
    assert_string_equal(dirs.state, "/home/alice/.local/state");
    assert_string_equal(dirs.runtime, "");
    setenv("XDG_CONFIG_HOME", "/config", 1);
    setenv("XDG_DATA_HOME", "/data", 1);
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    assert_int_equal(user_dirs_read(&dirs), 0);
    assert_string_equal(dirs.config, "/config");
    assert_string_equal(dirs.data, "/data");
    assert_string_equal(dirs.state, "/home/alice/.local/state");
    assert_string_equal(dirs.runtime, "/run/user/7");
    memset(overlong, 'x', sizeof overlong - 1);
    overlong[0] = '/';
    setenv("XDG_DATA_HOME", overlong, 1);
    assert_int_equal(user_dirs_read(&dirs), 0);
    assert_string_equal(dirs.data, "/home/alice/.local/share");
    setenv("HOME", overlong, 1);
    assert_int_equal(user_dirs_read(&dirs), -ENAMETOOLONG);
}

static void test_places(void **state) {
    const struct user_dirs dirs = {.home = "/h", .config = "/c", .data = "/d"};
    const struct browser_place home = {BROWSER_HOME, ".pki/nssdb"},
                               config = {BROWSER_CONFIG, "chromium"},
                               data = {BROWSER_DATA, "pki/nssdb"};
    char path[USER_DIRS_PATH_MAX];

    (void)state;
    assert_int_equal(user_dirs_place(&dirs, &home, path), 0);
    assert_string_equal(path, "/h/.pki/nssdb");
    assert_int_equal(user_dirs_place(&dirs, &config, path), 0);
    assert_string_equal(path, "/c/chromium");
    assert_int_equal(user_dirs_place(&dirs, &data, path), 0);
    assert_string_equal(path, "/d/pki/nssdb");
}

static void test_browser_names(void **state) {
    (void)state;
    assert_true(browser_check_name("/usr/lib/chromium/chromium"));
    assert_true(browser_check_name("/opt/google/chrome/chrome (deleted)"));
    assert_true(browser_check_name("brave"));
    assert_true(browser_check_name("/snap/chromium/1/usr/lib/chromium-browser/chrome"));
    assert_false(
        browser_check_name("/usr/lib/firefox-esr/firefox-esr")); /* reads policy at start */
    assert_false(browser_check_name("/usr/bin/chromium-notes"));
    assert_false(browser_check_name("/home/chrome/bin/vi"));
    assert_false(browser_check_name(""));
}

/* A process by the name of a browser, of this user: the check looks at what /proc says. */
static void test_browser_is_seen(void **state) {
    int ready[2];
    char byte;
    pid_t pid;

    (void)state;
    if (getuid() == 0) {
        /* as a user who runs nothing else */
        pid = fork();
        if (pid == 0) {
            if (setgroups(0, NULL) < 0 || setresuid(65531, 65531, 65531) < 0)
                _exit(1);
            _exit(browser_check_running() ? 2 : 0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        char path[] = "/tmp/devtrust-test-XXXXXX", program[64];
        char text[256];

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!mkdtemp(path))
            _exit(1);
        snprintf(program, sizeof program, "%s/chromium", path);
        const char *argv[] = {"cp", "/bin/sleep", program, NULL};
        if (home_run(argv, text, sizeof text) != 0)
            _exit(1);
        pid_t browser = fork();
        if (browser == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            execl(program, "sleep", "60", NULL);
            _exit(1);
        }
        /* exec has happened when the link names the copy */
        char link[64];
        snprintf(link, sizeof link, "/proc/%d/exe", (int)browser);
        for (;;) {
            char target[256] = "";
            if (readlink(link, target, sizeof target - 1) > 0 && strstr(target, "chromium"))
                break;
            usleep(1000);
        }
        bool seen = browser_check_running();
        kill(browser, SIGKILL);
        waitpid(browser, NULL, 0);
        unlink(program);
        rmdir(path);
        byte = seen ? 'y' : 'n';
        _exit(write(ready[1], &byte, 1) == 1 ? 0 : 1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(ready[0]);
    waitpid(pid, NULL, 0);
}

static void test_ours(void **state) {
    struct pki pki, other;
    struct ours ours = {0}, copy;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *leaf, *foreign, *elsewhere, *issuer = NULL;
    const char *request_id = NULL;

    (void)state;
    pki_init(&pki, "Example");
    pki_init(&other, "Example");
    leaf = pki_leaf(&pki, key, PKI_DEVICE, PKI_USER, time(NULL), 1000);
    foreign = pki_leaf(&other, key, PKI_DEVICE, PKI_USER, time(NULL), 1000);
    elsewhere = pki_leaf(&pki, key, PKI_OTHER_DEVICE, PKI_USER, time(NULL), 1000);
    assert_false(ours_matches(&ours, leaf, NULL, NULL));
    assert_int_equal(ours_add_device(&ours, PKI_DEVICE), 0);
    assert_int_equal(ours_add_device(&ours, "nonsense"), -EINVAL);
    assert_int_equal(ours_add_issuer(&ours, pki.issuer), 0);
    assert_int_equal(ours_add_issuer(&ours, pki.issuer), 0);
    assert_int_equal(ours.issuer_count, 1);
    assert_true(ours_matches(&ours, leaf, NULL, &issuer));
    assert_ptr_equal(issuer, pki.issuer);
    assert_false(ours_matches(&ours, foreign, NULL, NULL));
    assert_false(ours_matches(&ours, elsewhere, NULL, NULL));
    assert_false(ours_matches(&ours, pki.issuer, NULL, NULL));
    assert_true(ours_is_issuer(&ours, pki.issuer));
    assert_false(ours_is_issuer(&ours, other.issuer));
    assert_true(ours_key_label_matches(&ours, "devtrust " PKI_DEVICE " r1", &request_id));
    assert_string_equal(request_id, "r1");
    assert_false(ours_key_label_matches(&ours, "devtrust " PKI_OTHER_DEVICE " r1", NULL));
    assert_false(ours_key_label_matches(&ours, "devtrust " PKI_DEVICE " ", NULL));
    assert_false(ours_key_label_matches(&ours, "devtrust " PKI_DEVICE, NULL));
    assert_false(ours_key_label_matches(&ours, "devtrust", NULL));
    assert_false(ours_key_label_matches(&ours, "", NULL));
    ours_copy(&ours, &copy);
    ours_deinit(&ours);
    assert_true(ours_matches(&copy, leaf, NULL, NULL));
    ours_deinit(&copy);
    X509_free(leaf);
    X509_free(foreign);
    X509_free(elsewhere);
    EVP_PKEY_free(key);
    pki_deinit(&pki);
    pki_deinit(&other);
}

/* ---- who may order ---- */

static bool got_snapshot;

static void on_snapshot(const struct agent_snapshot *snapshot, bool attached_now, void *userdata) {
    (void)snapshot;
    (void)attached_now;
    (void)userdata;
    got_snapshot = true;
}

static void on_end(void *userdata) {
    (void)userdata;
}

/* An impostor who listens where devtrustd should be, and keeps the socket open for as long as this
 * process asks. */
static pid_t start_impostor(const char *socket) {
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        if (getuid() == 0 && (setgroups(0, NULL) < 0 || setresuid(65534, 65534, 65534) < 0))
            _exit(1);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (transport_listen(socket) < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void stop_loop(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

static void test_impostor_is_not_obeyed(void **state) {
    struct user_dirs dirs;
    char socket[USER_DIRS_PATH_MAX], directory[USER_DIRS_PATH_MAX], text[256];
    const char *argv[] = {"chown", "65534", dirs.home, NULL};
    struct agent_link *link = NULL;
    uv_loop_t loop;
    uv_timer_t timer;
    pid_t impostor;

    (void)state;
    home_make(&dirs);
    if (getuid() == 0)
        assert_int_equal(home_run(argv, text, sizeof text), 0);
    user_dirs_join(dirs.home, "run", directory);
    user_dirs_join(directory, "io", socket);
    impostor = start_impostor(socket);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(
        agent_link_new(
            &(struct agent_link_options){
                .loop = &loop,
                .socket_path = socket,
                .random = &random_system,
                .snapshot = on_snapshot,
                .detached = on_end,
                .replaced = on_end,
            },
            &link),
        0);
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, stop_loop, 300, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_false(got_snapshot);
    assert_false(agent_link_is_attached(link));
    assert_int_equal(
        agent_link_call(link, "Renew", agent_message_renew("due"), NULL, NULL), -ENOTCONN);
    agent_link_close(link);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    kill(impostor, SIGKILL);
    waitpid(impostor, NULL, 0);
    home_remove(&dirs);
}

/* A daemon whose backlog is full is there all the same, and is asked again soon. */
static void test_a_besieged_daemon_is_asked_again_soon(void **state) {
    enum { TRIES = 6, BASE_MS = 100 };
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct user_dirs dirs;
    struct agent_link *link = NULL;
    char path[USER_DIRS_PATH_MAX];
    int waiting[8];
    size_t count = 0;
    uv_loop_t loop;

    (void)state;
    home_make(&dirs);
    user_dirs_join(dirs.home, "io", path);
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    while (count < 8 && (waiting[count] = transport_connect(path)) >= 0)
        count++;
    assert_int_equal(waiting[count], -EAGAIN);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(
        agent_link_new(
            &(struct agent_link_options){
                .loop = &loop,
                .socket_path = path,
                .random = &random_system,
                .snapshot = on_snapshot,
                .detached = on_end,
                .replaced = on_end,
            },
            &link),
        0);
    for (int i = 0; i < TRIES; i++) {
        assert_in_range(uv_backend_timeout(&loop), 0, BASE_MS);
        uv_run(&loop, UV_RUN_ONCE);
    }
    agent_link_close(link);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    while (count > 0)
        close(waiting[--count]);
    close(listener);
    home_remove(&dirs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_agent_per_user),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_browser_names),
        cmocka_unit_test(test_browser_is_seen),
        cmocka_unit_test(test_ours),
        cmocka_unit_test(test_impostor_is_not_obeyed),
        cmocka_unit_test(test_a_besieged_daemon_is_asked_again_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
