/* A request that devtrustd gives up, while the worker is at something else. The agent runs in this
 * process, as root, beside the devtrustd of the test. */
#include "play.h"

#include "useragent/agent_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct agent *agent;

static bool has_submitted(struct play *play) {
    return play->held && agent->jobs == 0;
}

static bool has_answer(struct play *play) {
    (void)play;
    return agent->submits == 0;
}

static void never_ends(int result, void *userdata) {
    (void)userdata;
    fail_msg("the agent ended: %d", result);
}

/* The key is what an inspection looks at. */
static void test_key_stays_while_a_job_runs(void **state) {
    struct play *play = *state;
    const struct agent_options options = {
        .loop = &play->loop,
        .socket_path = play->socket,
        .dirs = play->dirs,
        .clock = &clock_system,
        .random = &random_system,
        .ended = never_ends,
    };
    bool has_been_told, has_key;

    play->submit = PLAY_HOLD;
    play->request_id = "request-1";
    assert_int_equal(agent_new(&options, &agent), 0);
    assert_true(play_until(play, has_submitted));
    agent->jobs++; /* as if one were running */
    varlink_call_error(play->held, "io.devtrust.Agent.StaleRequest", NULL);
    play->held = NULL;
    has_been_told = play_until(play, has_answer);
    has_key = agent->work.key != NULL;
    agent->jobs--; /* and it has ended */
    agent_settle(agent);
    assert_true(has_been_told);
    assert_true(has_key);
    assert_int_equal(agent->state, AGENT_IDLE);
    assert_null(agent->work.key);
    /* the daemon still shows the request: it is not taken up again */
    play_notify(play);
    for (unsigned i = 0; i < 3; i++)
        uv_run(&play->loop, UV_RUN_NOWAIT);
    assert_int_equal(play->submits, 1);
}

static int setup(void **state) {
    static struct play play;

    *state = &play;
    play_init(&play);
    return 0;
}

static int teardown(void **state) {
    struct play *play = *state;

    if (agent) {
        agent_stop(agent);
        while (agent->jobs > 0)
            uv_run(&play->loop, UV_RUN_ONCE);
        for (unsigned i = 0; i < 100; i++)
            uv_run(&play->loop, UV_RUN_NOWAIT);
        agent = agent_free(agent);
    }
    play_deinit(play);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_key_stays_while_a_job_runs, setup, teardown),
    };

    if (getuid() != 0) {
        printf("needs root: the agent obeys nobody but a daemon of uid 0\n");
        return 0;
    }
    if (credential_key_harden() < 0 || setenv("UV_THREADPOOL_SIZE", "1", 1) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    uv_library_shutdown(); /* ends the worker, and with it what OpenSSL keeps for a thread */
    return failed;
}
