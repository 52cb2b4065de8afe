/* See top_view.h. */
#include "ipc/ctl/top_view.h"

#include "ipc/ctl/event_line.h"
#include "ipc/ctl/text.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OUR_INTERFACES "io.devtrust."
#define NAME_COLUMNS 22
#define CELL_SIZE 32
#define NEARLY 0.8 /* of a limit */
#define HEAD_LINES 2
#define MINIMUM_ROWS 10

struct number {
    const char *name;
    int64_t value;
};

/* ---- cells ---- */

/* At most five columns: 99999, 100k, 12M. */
static const char *count_text(int64_t value, char ret[CELL_SIZE]) {
    if (value < 100000)
        snprintf(ret, CELL_SIZE, "%" PRId64, value);
    else if (value < 10000000)
        snprintf(ret, CELL_SIZE, "%" PRId64 "k", value / 1000);
    else
        snprintf(ret, CELL_SIZE, "%" PRId64 "M", value / 1000000);
    return ret;
}

static const char *rate_text(double rate, char ret[CELL_SIZE]) {
    if (rate < 0)
        snprintf(ret, CELL_SIZE, "-");
    else if (rate < 1000)
        snprintf(ret, CELL_SIZE, "%.1f", rate);
    else
        count_text((int64_t)rate, ret);
    return ret;
}

static const char *limit_text(int64_t used, int64_t limit, char ret[CELL_SIZE]) {
    char a[CELL_SIZE], b[CELL_SIZE];
    if (limit > 0)
        snprintf(ret, CELL_SIZE, "%.12s/%.12s", count_text(used, a), count_text(limit, b));
    else
        count_text(used, ret);
    return ret;
}

static const char *uptime_text(int64_t seconds, char ret[CELL_SIZE]) {
    if (seconds >= 86400)
        snprintf(
            ret, CELL_SIZE, "%" PRId64 " d %" PRId64 " h", seconds / 86400, seconds % 86400 / 3600);
    else if (seconds >= 3600)
        snprintf(
            ret, CELL_SIZE, "%" PRId64 " h %" PRId64 " min", seconds / 3600, seconds % 3600 / 60);
    else if (seconds >= 60)
        snprintf(ret, CELL_SIZE, "%" PRId64 " min %" PRId64 " s", seconds / 60, seconds % 60);
    else
        snprintf(ret, CELL_SIZE, "%" PRId64 " s", seconds);
    return ret;
}

static void print_right(FILE *file, const char *text, unsigned columns) {
    unsigned width = text_columns(text);
    fprintf(file, "%*s%s", width < columns ? (int)(columns - width) : 0, "", text);
}

static void print_left(const struct ctl *ctl, FILE *file, const char *text, unsigned columns) {
    char safe[TEXT_SAFE_SIZE];
    const char *mark = ctl->unicode ? "…" : "...";
    unsigned width = text_columns(text_safe(text, safe));
    if (width <= columns)
        fprintf(file, "%s%*s", safe, (int)(columns - width), "");
    else
        fprintf(file, "%.*s%s", (int)text_prefix(safe, columns - text_columns(mark)), safe, mark);
}

static void end_line(const struct top_screen *screen, FILE *file) {
    fputs(screen->in_place ? "\033[K\n" : "\n", file);
}

static void print_heading(const struct top_screen *screen, FILE *file, const char *text) {
    fprintf(
        file, "%s%s%s", text_begin(screen->ctl, TEXT_BOLD), text, text_end(screen->ctl, TEXT_BOLD));
    end_line(screen, file);
}

/* ---- the two tables ---- */

static void print_head(
    const struct top_screen *screen, FILE *file, const struct top_sample *sample) {
    char uptime[CELL_SIZE], rate[CELL_SIZE], clock[16] = "";
    time_t now = (time_t)(sample->time_us / 1000000);
    struct tm local;
    if (localtime_r(&now, &local))
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &local);
    fprintf(
        file, "%s  devtrustd up %s, %" PRId64 " connection%s, %s calls/s%s", clock,
        uptime_text(sample->uptime_s, uptime), sample->connection_count,
        sample->connection_count == 1 ? "" : "s", rate_text(sample->calls_per_s, rate),
        screen->in_place ? "; q ends" : "");
    end_line(screen, file);
    end_line(screen, file);
}

static void print_method(
    const struct top_screen *screen, FILE *file, const struct top_method *method) {
    char cell[CELL_SIZE], span[EVENT_LINE_SPAN_SIZE];
    const int64_t spans[] = {method->p50_us, method->p90_us, method->p99_us, method->max_us};
    bool ours = strncmp(method->name, OUR_INTERFACES, strlen(OUR_INTERFACES)) == 0;
    const char *last = strrchr(method->name, '.');
    const char *name = ours   ? method->name + strlen(OUR_INTERFACES)
                       : last ? last + 1
                              : method->name;
    print_left(screen->ctl, file, name, NAME_COLUMNS);
    print_right(file, rate_text(method->calls_per_s, cell), 8);
    print_right(file, count_text(method->calls, cell), 7);
    fputs(text_begin(screen->ctl, method->errors > 0 ? TEXT_WARN : TEXT_PLAIN), file);
    print_right(file, count_text(method->errors, cell), 6);
    fputs(text_end(screen->ctl, method->errors > 0 ? TEXT_WARN : TEXT_PLAIN), file);
    print_right(file, count_text(method->open, cell), 5);
    for (size_t i = 0; i < ARRAY_LENGTH(spans); i++)
        print_right(
            file, method->max_us > 0 ? event_line_span(screen->ctl, spans[i], span) : "-", 8);
    end_line(screen, file);
}

static enum text_colour pressure_colour(int64_t used, int64_t limit) {
    if (limit <= 0 || (double)used < NEARLY * (double)limit)
        return TEXT_PLAIN;
    return used >= limit ? TEXT_BAD : TEXT_WARN;
}

static void print_limited(
    const struct top_screen *screen, FILE *file, int64_t shown, int64_t used, int64_t limit,
    unsigned columns) {
    char cell[CELL_SIZE];
    enum text_colour colour = pressure_colour(used, limit);
    fputs(text_begin(screen->ctl, colour), file);
    print_right(file, limit_text(shown, limit, cell), columns);
    fputs(text_end(screen->ctl, colour), file);
}

static void print_user(
    const struct top_screen *screen, FILE *file, const struct top_user *user,
    const struct top_limits *limits) {
    char cell[CELL_SIZE];
    int64_t burst = limits->messages_burst;
    print_left(screen->ctl, file, user->name, 13);
    print_limited(screen, file, user->connections, user->connections, limits->connections, 12);
    print_limited(screen, file, user->outstanding, user->outstanding, limits->outstanding, 12);
    print_limited(screen, file, user->bytes, user->bytes, limits->bytes, 13);
    print_limited(screen, file, user->messages_left, burst - user->messages_left, burst, 14);
    print_right(file, count_text(user->refused, cell), 8);
    print_right(file, count_text(user->delayed, cell), 8);
    end_line(screen, file);
}

static void print_more(
    const struct top_screen *screen, FILE *file, size_t count, const char *what) {
    if (count == 0)
        return;
    fprintf(file, "%s %zu more %s", screen->ctl->unicode ? "…" : "...", count, what);
    end_line(screen, file);
}

/* How many lines of `count` fit into `room`, one of which says how many do not. */
static size_t lines_that_fit(size_t count, size_t room) {
    return count <= room ? count : room > 0 ? room - 1 : 0;
}

static size_t called_methods(const struct top_sample *sample) {
    size_t count = 0;
    while (count < sample->method_count &&
           (sample->methods[count].calls > 0 || sample->methods[count].open > 0))
        count++;
    return count;
}

void top_view_print(const struct top_screen *screen, FILE *file, const struct top_sample *sample) {
    size_t methods = called_methods(sample), users = sample->user_count;
    size_t shown_methods = methods, shown_users = users;
    if (screen->rows > 0) {
        size_t rows = screen->rows > MINIMUM_ROWS ? screen->rows : MINIMUM_ROWS;
        size_t room = rows - HEAD_LINES - 3 - 1; /* two headings, a line between, the cursor's */
        size_t half = room / 2;
        size_t for_users = users < half ? users : methods < half ? room - methods : half;
        shown_users = lines_that_fit(users, for_users);
        shown_methods = lines_that_fit(methods, room - (users < for_users ? users : for_users));
    }
    if (screen->in_place)
        fputs("\033[H", file);
    print_head(screen, file, sample);
    print_heading(
        screen, file,
        "METHOD                 CALLS/S  CALLS  ERRS OPEN     P50     P90     P99     MAX");
    for (size_t i = 0; i < shown_methods; i++)
        print_method(screen, file, &sample->methods[i]);
    print_more(screen, file, methods - shown_methods, "methods");
    end_line(screen, file);
    print_heading(
        screen, file,
        "USER          CONNECTIONS OUTSTANDING        BYTES MESSAGES LEFT REFUSED DELAYED");
    for (size_t i = 0; i < shown_users; i++)
        print_user(screen, file, &sample->users[i], &sample->limits);
    print_more(screen, file, users - shown_users, "users");
    if (screen->in_place)
        fputs("\033[J", file);
    fflush(file);
}

/* ---- JSON ---- */

/* One decimal, so that it is the same number that people see. */
static struct json_object *rate_to_json(double rate) {
    char text[CELL_SIZE];
    snprintf(text, sizeof text, "%.1f", rate);
    return json_object_new_double_s(rate, text);
}

static int add_numbers(struct json_object *object, const struct number *numbers, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (json_fields_add_int(object, numbers[i].name, numbers[i].value) < 0)
            return -ENOMEM;
    return 0;
}

static struct json_object *method_to_json(const struct top_method *method) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    const struct number numbers[] = {
        {"calls", method->calls},   {"errors", method->errors}, {"open", method->open},
        {"p50_us", method->p50_us}, {"p90_us", method->p90_us}, {"p99_us", method->p99_us},
        {"max_us", method->max_us},
    };
    if (json_fields_add_string(object, "method", method->name) < 0 ||
        add_numbers(object, numbers, ARRAY_LENGTH(numbers)) < 0)
        return NULL;
    if (method->calls_per_s >= 0 &&
        json_fields_add(object, "calls_per_s", rate_to_json(method->calls_per_s)) < 0)
        return NULL;
    return TAKE_PTR(object);
}

static struct json_object *user_to_json(const struct top_user *user) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    const struct number numbers[] = {
        {"uid", user->uid},
        {"connections", user->connections},
        {"outstanding", user->outstanding},
        {"bytes", user->bytes},
        {"messages_left", user->messages_left},
        {"refused", user->refused},
        {"delayed", user->delayed},
    };
    if (json_fields_add_string(object, "user", user->name) < 0 ||
        add_numbers(object, numbers, ARRAY_LENGTH(numbers)) < 0)
        return NULL;
    return TAKE_PTR(object);
}

static struct json_object *limits_to_json(const struct top_limits *limits) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    const struct number numbers[] = {
        {"connections", limits->connections},
        {"outstanding", limits->outstanding},
        {"bytes", limits->bytes},
        {"messages_per_s", limits->messages_per_s},
        {"messages_burst", limits->messages_burst},
    };
    return add_numbers(object, numbers, ARRAY_LENGTH(numbers)) < 0 ? NULL : TAKE_PTR(object);
}

static int add_element(struct json_object *array, struct json_object *element) {
    if (element && array && json_object_array_add(array, element) == 0)
        return 0;
    json_object_put(element);
    return -ENOMEM;
}

struct json_object *top_view_to_json(const struct top_sample *sample) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    struct json_object CLEANUP_JSON *methods = json_object_new_array();
    struct json_object CLEANUP_JSON *users = json_object_new_array();
    const struct number numbers[] = {
        {"time_us", sample->time_us},
        {"uptime_s", sample->uptime_s},
        {"connections", sample->connection_count},
    };
    int r = add_numbers(object, numbers, ARRAY_LENGTH(numbers));
    for (size_t i = 0; r == 0 && i < called_methods(sample); i++)
        r = add_element(methods, method_to_json(&sample->methods[i]));
    for (size_t i = 0; r == 0 && i < sample->user_count; i++)
        r = add_element(users, user_to_json(&sample->users[i]));
    if (r == 0 && sample->calls_per_s >= 0)
        r = json_fields_add(object, "calls_per_s", rate_to_json(sample->calls_per_s));
    if (r < 0 || json_fields_add(object, "methods", TAKE_PTR(methods)) < 0 ||
        json_fields_add(object, "users", TAKE_PTR(users)) < 0 ||
        json_fields_add(object, "limits", limits_to_json(&sample->limits)) < 0)
        return NULL;
    return TAKE_PTR(object);
}
