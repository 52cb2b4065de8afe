/* The table itself: no row twice, every state left again, the ways of the document walked. */
#include "useragent/agent_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_no_row_twice(void **state) {
    unsigned count;
    const struct agent_transition *table = agent_machine_table(&count);

    (void)state;
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = i + 1; j < count; j++)
            assert_false(table[i].state == table[j].state && table[i].event == table[j].event);
}

static void test_names(void **state) {
    (void)state;
    for (unsigned i = 0; i < AGENT_STATE_COUNT_; i++)
        assert_non_null(agent_state_name((enum agent_state)i));
    for (unsigned i = 0; i < AGENT_EVENT_COUNT_; i++)
        assert_non_null(agent_event_name((enum agent_event)i));
}

/* From every state there is a way back to idle. */
static void test_every_state_leads_to_idle(void **state) {
    bool leads[AGENT_STATE_COUNT_] = {[AGENT_IDLE] = true};
    unsigned count;
    const struct agent_transition *table = agent_machine_table(&count);

    (void)state;
    for (unsigned round = 0; round < AGENT_STATE_COUNT_; round++)
        for (unsigned i = 0; i < count; i++)
            leads[table[i].state] = leads[table[i].state] || leads[table[i].next];
    for (unsigned i = 0; i < AGENT_STATE_COUNT_; i++)
        assert_true(leads[i]);
}

static enum agent_state walk(
    enum agent_state state, const enum agent_event *events, size_t count,
    enum agent_action *ret_actions) {
    for (size_t i = 0; i < count; i++) {
        const struct agent_transition *row = agent_machine_find(state, events[i]);

        assert_non_null(row);
        ret_actions[i] = row->action;
        state = row->next;
    }
    return state;
}

#define WALK(from, to, events_, actions_)                                                          \
    do {                                                                                           \
        enum agent_action done[16];                                                                \
        assert_int_equal(walk(from, events_, sizeof events_ / sizeof events_[0], done), to);       \
        assert_memory_equal(done, actions_, sizeof actions_);                                      \
    } while (0)

static void test_the_way_of_a_request(void **state) {
    static const enum agent_event events[] = {AGENT_EVENT_RECOVERED, AGENT_EVENT_REQUEST,
                                              AGENT_EVENT_PREPARED,  AGENT_EVENT_RETRY,
                                              AGENT_EVENT_BUNDLE,    AGENT_EVENT_READY,
                                              AGENT_EVENT_VERIFIED,  AGENT_EVENT_SUPERSEDED,
                                              AGENT_EVENT_RETRY,     AGENT_EVENT_ACKNOWLEDGED};
    static const enum agent_action actions[] = {
        AGENT_ACTION_NONE,   AGENT_ACTION_PREPARE, AGENT_ACTION_SUBMIT,    AGENT_ACTION_SUBMIT,
        AGENT_ACTION_WAIT,   AGENT_ACTION_IMPORT,  AGENT_ACTION_SUPERSEDE, AGENT_ACTION_REPORT,
        AGENT_ACTION_REPORT, AGENT_ACTION_FINISH};

    (void)state;
    WALK(AGENT_STARTING, AGENT_IDLE, events, actions);
}

static void test_the_way_of_a_removal(void **state) {
    static const enum agent_event events[] = {
        AGENT_EVENT_REMOVE, AGENT_EVENT_FAILED, AGENT_EVENT_RETRY, AGENT_EVENT_GONE,
        AGENT_EVENT_ACKNOWLEDGED};
    static const enum agent_action actions[] = {
        AGENT_ACTION_REMOVE, AGENT_ACTION_BLOCK, AGENT_ACTION_REMOVE, AGENT_ACTION_REPORT,
        AGENT_ACTION_UNLINK};

    (void)state;
    WALK(AGENT_IDLE, AGENT_IDLE, events, actions);
}

/* While a store is being written nothing from outside interferes; what came meanwhile is looked at
 * afterwards. */
static void test_jobs_are_not_interrupted(void **state) {
    static const enum agent_state busy[] = {AGENT_PREPARING, AGENT_IMPORTING, AGENT_SUPERSEDING,
                                            AGENT_REMOVING,  AGENT_CHECKING,  AGENT_STARTING};

    (void)state;
    for (unsigned i = 0; i < sizeof busy / sizeof busy[0]; i++) {
        assert_null(agent_machine_find(busy[i], AGENT_EVENT_REQUEST));
        assert_null(agent_machine_find(busy[i], AGENT_EVENT_CANCELLED));
        assert_null(agent_machine_find(busy[i], AGENT_EVENT_REMOVE));
        assert_null(agent_machine_find(busy[i], AGENT_EVENT_RETRY));
    }
}

/* Nothing is superseded but after a verification, and the record goes last. */
static void test_what_must_come_first(void **state) {
    unsigned count;
    const struct agent_transition *table = agent_machine_table(&count);

    (void)state;
    for (unsigned i = 0; i < count; i++) {
        if (table[i].action == AGENT_ACTION_SUPERSEDE)
            assert_true(
                table[i].event == AGENT_EVENT_VERIFIED ||
                table[i].event == AGENT_EVENT_RESUME_SUPERSEDE);
        if (table[i].action == AGENT_ACTION_UNLINK)
            assert_true(table[i].state == AGENT_REMOVED);
        if (table[i].next == AGENT_REMOVED && table[i].state != AGENT_REMOVED)
            assert_true(table[i].event == AGENT_EVENT_GONE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_row_twice),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_state_leads_to_idle),
        cmocka_unit_test(test_the_way_of_a_request),
        cmocka_unit_test(test_the_way_of_a_removal),
        cmocka_unit_test(test_jobs_are_not_interrupted),
        cmocka_unit_test(test_what_must_come_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
