/* Round trips between two processes, one side after the other in short turns, so that whatever else
 * the machine does meets all of them alike. Where the scheduler puts the two makes more of a
 * difference than what they do, and it would do so at random: so in each other round both share a
 * processor, and else each has its own. Prints JSON: per size of text, placement and side the
 * least, the median and the 99th percentile of all trips, and the median of each round; how the
 * medians relate to the raw socket's and to sd-bus's; calls per second with some in flight.
 * ipc_bench [ROUNDS [TRIPS]]
 * With a socket's path, it measures the round trips of one method of whatever listens there.
 * ipc_bench SOCKET METHOD TRIPS */
#include "ipc_bench.h"

#include "ipc/varlink_client.h"

#include "common/cleanup.h"
#include "common/json_fields.h"

#include <json-c/json_object.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_ROUNDS 1000
#define MAX_TRIPS 10000
#define WARM_UP 20 /* trips at the begin of a turn that do not count: the caches are another's */
#define PIPELINED_TEXT 64

static const size_t sizes[] = {64, 1500, 8192};
static const struct ipc_bench_side *const sides[] = {
    &ipc_bench_raw, &ipc_bench_sdbus, &ipc_bench_varlink, &ipc_bench_varlink_uv, &ipc_bench_bare};

/* How the service lies to its client. */
enum placement {
    APART,    /* each on a processor of its own; on a machine with one: as below */
    TOGETHER, /* on the same */
    PLACEMENTS,
};

static const char *const placement_names[] = {[APART] = "apart", [TOGETHER] = "together"};

struct samples {
    int64_t *ns; /* all rounds one behind the other */
    size_t count;
};

/* One side at one size: its child, its peer, and what was measured. */
struct lane {
    const struct ipc_bench_side *side;
    size_t size;
    char *text;
    pid_t child;
    void *peer;
    struct samples samples[PLACEMENTS];
    double *rates; /* calls per second, one per round */
    size_t rate_count;
};

static unsigned rounds = 40, trips = 200; /* rounds: of each placement */
static int processors[PLACEMENTS];        /* of the service; the client's is TOGETHER's */

void ipc_bench_open_pair(struct ipc_bench_link *link) {
    int fds[2];
    IPC_BENCH_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    link->client_fd = fds[0];
    link->server_fd = fds[1];
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Such text as a certificate is on the wire. */
static char *base64_like(size_t size) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc(size + 1);
    IPC_BENCH_CHECK(text);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        text[i] = alphabet[state >> 26];
    }
    text[size] = '\0';
    return text;
}

/* ---- processors ---- */

static void find_processors(void) {
    cpu_set_t mine;
    IPC_BENCH_CHECK(sched_getaffinity(0, sizeof mine, &mine) == 0);
    int found[2], count = 0;
    for (int i = 0; i < CPU_SETSIZE && count < 2; i++)
        if (CPU_ISSET(i, &mine))
            found[count++] = i;
    processors[TOGETHER] = found[0];
    processors[APART] = count > 1 ? found[1] : found[0];
}

static void put_on_processor(pid_t process, int processor) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    IPC_BENCH_CHECK(sched_setaffinity(process, sizeof one, &one) == 0);
}

/* ---- lanes ---- */

static void lane_open(struct lane *lane, const struct ipc_bench_side *side, size_t size) {
    struct ipc_bench_link link = {.client_fd = -1, .server_fd = -1};
    *lane = (struct lane){.side = side, .size = size, .text = base64_like(size)};
    for (size_t i = 0; i < PLACEMENTS; i++) {
        lane->samples[i].ns = calloc((size_t)rounds * trips, sizeof(int64_t));
        IPC_BENCH_CHECK(lane->samples[i].ns);
    }
    lane->rates = calloc(rounds, sizeof *lane->rates);
    IPC_BENCH_CHECK(lane->rates);
    side->open(&link);
    lane->child = fork();
    IPC_BENCH_CHECK(lane->child >= 0);
    if (lane->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (link.client_fd >= 0)
            close(link.client_fd);
        side->serve(&link, size);
        _exit(1);
    }
    close(link.server_fd);
    lane->peer = side->connect(&link);
}

static void lane_close(struct lane *lane) {
    kill(lane->child, SIGKILL);
    waitpid(lane->child, NULL, 0);
}

static void lane_round(struct lane *lane, enum placement placement) {
    struct samples *samples = &lane->samples[placement];
    put_on_processor(lane->child, processors[placement]);
    for (unsigned i = 0; i < WARM_UP; i++)
        lane->side->call(lane->peer, lane->text);
    for (unsigned i = 0; i < trips; i++) {
        int64_t begin = now_ns();
        lane->side->call(lane->peer, lane->text);
        samples->ns[samples->count++] = now_ns() - begin;
    }
}

static void lane_pipeline(struct lane *lane) {
    if (!lane->side->pipeline || lane->size != PIPELINED_TEXT)
        return;
    put_on_processor(lane->child, processors[APART]);
    lane->side->pipeline(lane->peer, lane->text, IPC_BENCH_WINDOW);
    int64_t begin = now_ns();
    lane->side->pipeline(lane->peer, lane->text, trips);
    lane->rates[lane->rate_count++] = trips * 1e9 / (double)(now_ns() - begin);
}

/* ---- figures ---- */

static int compare_ns(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static double quantile_us(const int64_t *ordered, size_t count, double quantile) {
    return (double)ordered[(size_t)(quantile * (double)(count - 1))] / 1000;
}

static void add(struct json_object *object, const char *name, struct json_object *value) {
    IPC_BENCH_CHECK(json_fields_add(object, name, value) == 0);
}

static struct json_object *number(double value) {
    char text[32];
    snprintf(text, sizeof text, "%.3f", value);
    return json_object_new_double_s(value, text);
}

static struct json_object *numbers(const double *values, size_t count) {
    struct json_object *array = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        IPC_BENCH_CHECK(json_object_array_add(array, number(values[i])) == 0);
    return array;
}

/* Orders the samples. Returns the median of all. */
static double samples_report(struct samples *samples, struct json_object *figures) {
    static double medians[MAX_ROUNDS];
    for (unsigned i = 0; i < rounds; i++) {
        int64_t *round = samples->ns + (size_t)i * trips;
        qsort(round, trips, sizeof *round, compare_ns);
        medians[i] = quantile_us(round, trips, 0.5);
    }
    qsort(samples->ns, samples->count, sizeof *samples->ns, compare_ns);
    double median = quantile_us(samples->ns, samples->count, 0.5);
    add(figures, "min_us", number(quantile_us(samples->ns, samples->count, 0)));
    add(figures, "median_us", number(median));
    add(figures, "p99_us", number(quantile_us(samples->ns, samples->count, 0.99)));
    add(figures, "round_medians_us", numbers(medians, rounds));
    return median;
}

static struct json_object *placement_report(struct lane *lanes, enum placement placement) {
    struct json_object *object = json_object_new_object();
    double medians[ARRAY_LENGTH(sides)];
    for (size_t i = 0; i < ARRAY_LENGTH(sides); i++) {
        struct json_object *figures = json_object_new_object();
        medians[i] = samples_report(&lanes[i].samples[placement], figures);
        add(object, lanes[i].side->name, figures);
    }
    add(object, "varlink_to_raw", number(medians[2] / medians[0]));
    add(object, "varlink_to_sdbus", number(medians[2] / medians[1]));
    add(object, "varlink_to_bare", number(medians[2] / medians[4]));
    add(object, "bare_to_raw", number(medians[4] / medians[0]));
    add(object, "varlink_uv_to_raw", number(medians[3] / medians[0]));
    add(object, "varlink_uv_to_sdbus", number(medians[3] / medians[1]));
    return object;
}

static struct json_object *size_report(struct lane *lanes) {
    struct json_object *object = json_object_new_object();
    struct json_object *rates = json_object_new_object();
    add(object, "bytes", json_object_new_int64((int64_t)lanes[0].size));
    for (size_t i = 0; i < PLACEMENTS; i++)
        add(object, placement_names[i], placement_report(lanes, (enum placement)i));
    for (size_t i = 0; i < ARRAY_LENGTH(sides); i++)
        if (lanes[i].rate_count > 0)
            add(rates, lanes[i].side->name, numbers(lanes[i].rates, lanes[i].rate_count));
    add(object, "calls_per_s", rates);
    return object;
}

/* ---- another's service ---- */

static void foreign_call(struct varlink_stream *stream, const char *method) {
    struct json_object *parameters;
    char *error;
    bool continues;
    IPC_BENCH_CHECK(varlink_stream_send(stream, method, NULL, false, false) == 0);
    IPC_BENCH_CHECK(varlink_stream_receive(stream, &parameters, &error, &continues) == 0);
    IPC_BENCH_CHECK(!error);
    json_object_put(parameters);
}

static void measure_foreign(const char *path, const char *method) {
    struct samples samples = {.ns = calloc(trips, sizeof(int64_t))};
    struct varlink_stream *stream;
    IPC_BENCH_CHECK(samples.ns && varlink_stream_open(path, geteuid(), 30000, &stream) == 0);
    for (unsigned i = 0; i < WARM_UP; i++)
        foreign_call(stream, method);
    while (samples.count < trips) {
        int64_t begin = now_ns();
        foreign_call(stream, method);
        samples.ns[samples.count++] = now_ns() - begin;
    }
    struct json_object *figures = json_object_new_object();
    rounds = 1;
    samples_report(&samples, figures);
    puts(json_object_to_json_string(figures));
    json_object_put(figures);
    varlink_stream_free(stream);
}

static unsigned argument(const char *text, unsigned maximum) {
    unsigned long value = strtoul(text, NULL, 10);
    IPC_BENCH_CHECK(value > 0 && value <= maximum);
    return (unsigned)value;
}

static struct lane lanes[ARRAY_LENGTH(sizes)][ARRAY_LENGTH(sides)];

static void run_rounds(void) {
    for (unsigned round = 0; round < rounds * PLACEMENTS; round++)
        for (size_t s = 0; s < ARRAY_LENGTH(sizes); s++) {
            for (size_t i = 0; i < ARRAY_LENGTH(sides); i++)
                lane_round(&lanes[s][i], (enum placement)(round % PLACEMENTS));
            for (size_t i = 0; i < ARRAY_LENGTH(sides) && round % PLACEMENTS == APART; i++)
                lane_pipeline(&lanes[s][i]);
        }
}

int main(int argc, char **argv) {
    if (argc == 4 && argv[1][0] == '/') {
        trips = argument(argv[3], MAX_TRIPS);
        measure_foreign(argv[1], argv[2]);
        return 0;
    }
    if (argc > 1)
        rounds = argument(argv[1], MAX_ROUNDS);
    if (argc > 2)
        trips = argument(argv[2], MAX_TRIPS);
    for (size_t s = 0; s < ARRAY_LENGTH(sizes); s++)
        for (size_t i = 0; i < ARRAY_LENGTH(sides); i++)
            lane_open(&lanes[s][i], sides[i], sizes[s]);
    find_processors();
    put_on_processor(0, processors[TOGETHER]);
    run_rounds();

    struct json_object *report = json_object_new_array();
    for (size_t s = 0; s < ARRAY_LENGTH(sizes); s++)
        IPC_BENCH_CHECK(json_object_array_add(report, size_report(lanes[s])) == 0);
    puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY));
    json_object_put(report);
    for (size_t s = 0; s < ARRAY_LENGTH(sizes); s++)
        for (size_t i = 0; i < ARRAY_LENGTH(sides); i++)
            lane_close(&lanes[s][i]);
    return 0;
}
