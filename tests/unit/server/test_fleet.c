/* Generations and splay, without a network. */
#include "records.h"

#include "server/fleet.h"

static void test_splay(void **state) {
    (void)state;
    assert_int_equal(fleet_splay_for(0, 1000), 0);
    assert_int_equal(fleet_splay_for(100, 1000), 0);
    assert_int_equal(fleet_splay_for(699, 1000), 0);
    assert_int_equal(fleet_splay_for(700, 1000), 1);
    /* facts: a million devices at 1,200 a second want 1,191 s */
    assert_int_equal(fleet_splay_for(1000000, 1200), 1190);
    assert_int_equal(fleet_splay_for(1000000, 1), FLEET_MAX_SPLAY_S);
}

static int64_t generation(struct server *server, const char *device, bool *ret_fleet_wide) {
    int64_t value;
    assert_int_equal(fleet_generation(server, device, &value, ret_fleet_wide), 0);
    return value;
}

static void test_generations_only_grow(void **state) {
    struct db *db = ((struct records *)*state)->db;
    struct server server = {.db = db};
    bool wide;
    records_fill(db);
    int64_t a = generation(&server, DEVICE_A, &wide), b = generation(&server, DEVICE_B, NULL);
    assert_false(wide);
    assert_true(a > b); /* an assignment came last */
    assert_int_equal(settings_bump_device(db, DEVICE_B), 0);
    assert_int_equal(generation(&server, DEVICE_A, NULL), a);
    assert_true(generation(&server, DEVICE_B, NULL) > a);
    b = generation(&server, DEVICE_B, NULL);
    assert_int_equal(settings_bump_fleet(db), 0);
    assert_true(generation(&server, DEVICE_A, &wide) > b);
    assert_true(wide);
    assert_int_equal(generation(&server, DEVICE_A, NULL), generation(&server, DEVICE_B, NULL));
    assert_int_equal(fleet_generation(&server, REQUEST_1, &a, NULL), -ENOENT);
}

static void test_last_generation(void **state) {
    struct db *db = ((struct records *)*state)->db;
    struct server server = {.db = db};
    records_fill(db);
    assert_int_equal(settings_set_int(db, "generation", INT64_MAX - 1), 0);
    assert_int_equal(settings_bump_fleet(db), 0);
    assert_true(generation(&server, DEVICE_A, NULL) == INT64_MAX);
    assert_int_equal(settings_bump_fleet(db), -EOVERFLOW);
    assert_int_equal(settings_bump_device(db, DEVICE_A), -EOVERFLOW);
    assert_true(generation(&server, DEVICE_A, NULL) == INT64_MAX);
}

static void test_broken_settings_are_said(void **state) {
    struct db *db = ((struct records *)*state)->db;
    int64_t value;
    enum distribution_switch distribution;
    assert_int_equal(settings_set(db, "generation", "many"), 0);
    assert_int_equal(settings_get_int(db, "generation", 0, &value), -EBADMSG);
    assert_int_equal(settings_set(db, "distribution", "maybe"), 0);
    assert_int_equal(settings_distribution(db, &distribution), -EBADMSG);
}

static void test_settings_are_noted_once(void **state) {
    struct db *db = ((struct records *)*state)->db;
    struct server_config config;
    int64_t first, second;
    assert_int_equal(server_config_init(&config), 0);
    assert_int_equal(fleet_note_settings(db, &config), 0);
    settings_fleet_generation(db, &first);
    assert_int_equal(fleet_note_settings(db, &config), 0);
    settings_fleet_generation(db, &second);
    assert_int_equal(first, second);
    config.user_lifetime_s = 3600;
    assert_int_equal(fleet_note_settings(db, &config), 0);
    settings_fleet_generation(db, &second);
    assert_true(second > first);
    server_config_deinit(&config);
}

int main(void) {
#define READY(test) cmocka_unit_test_setup_teardown(test, records_setup, records_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splay),        READY(test_generations_only_grow),
        READY(test_last_generation),         READY(test_broken_settings_are_said),
        READY(test_settings_are_noted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
