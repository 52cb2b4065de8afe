/* `report`: what a support ticket needs, in one file that its writer can read through first. */
#include "ipc/ctl/call.h"
#include "ipc/ctl/doctor.h"
#include "ipc/ctl/pseudonyms.h"
#include "ipc/ctl/system_info.h"
#include "ipc/ctl/text.h"

#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/paths.h"
#include "common/version.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT "devtrust-report"
#define FORMAT_VERSION 1
#define LABEL 12
#define MAX_LINE 2048

/* Accounts of people; below are the system's. */
#define FIRST_PERSON_UID 1000
#define LAST_PERSON_UID 59999
#define MAX_ACCOUNTS 2048

struct report {
    struct ctl *ctl;
    struct json_object *document;
    struct json_object *missing; /* in the document */
    struct pseudonyms *pseudonyms;
    struct findings findings;
    struct doctor_answer answer;
    char parts[MAX_LINE], absent[MAX_LINE]; /* for people */
};

static void report_deinit(struct report *report) {
    json_object_put(report->document);
    pseudonyms_free(report->pseudonyms);
    findings_deinit(&report->findings);
    doctor_answer_deinit(&report->answer);
}

static void note(char list[MAX_LINE], const char *name, const char *why) {
    size_t used = strlen(list);
    snprintf(
        list + used, MAX_LINE - used, "%s%s%s%s%s", used > 0 ? ", " : "", name, why ? " (" : "",
        why ? why : "", why ? ")" : "");
}

/* Owns `value`; NULL: memory is out. */
static int add_part(struct report *report, const char *name, struct json_object *value) {
    note(report->parts, name, NULL);
    return json_fields_add(report->document, name, value);
}

static int add_missing(struct report *report, const char *name, const char *why) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    note(report->absent, name, why);
    if (!object || json_fields_add_string(object, "part", name) < 0 ||
        json_fields_add_string(object, "why", why) < 0 ||
        json_object_array_add(report->missing, object) < 0)
        return -ENOMEM;
    object = NULL;
    return 0;
}

/* ---- what is asked of the daemon ---- */

static int add_doctor(struct report *report) {
    struct json_object CLEANUP_JSON *parameters = json_object_new_object();
    bool all = report->ctl->own_uid == 0;
    if (!parameters || (all && json_fields_add_bool(parameters, "all", true) < 0))
        return -ENOMEM;
    if (doctor_ask(report->ctl, TAKE_PTR(parameters), &report->findings, &report->answer) !=
        CTL_GOOD)
        return -EIO; /* said already */
    int r = add_part(report, "doctor", findings_to_json(&report->findings));
    if (r == 0 && report->answer.error)
        r = add_missing(report, "checks of devtrustd", report->answer.error);
    if (r < 0)
        return r;
    if (report->answer.status)
        return add_part(report, "status", json_object_get(report->answer.status));
    return add_missing(report, "status", reason_code(REASON_DAEMON_UNREACHABLE));
}

static char *why_not(const char *error) {
    if (strcmp(error, "org.varlink.service.PermissionDenied") == 0)
        return strdup(reason_code(REASON_NOT_PERMITTED));
    if (strcmp(error, "org.varlink.service.MethodNotFound") == 0 ||
        strcmp(error, "org.varlink.service.InterfaceNotFound") == 0)
        return strdup("not-known");
    return strdup(error);
}

/* One call whose failure is a fact like any other. *ret_why: NULL: it is there. */
static struct json_object *ask(struct varlink_stream *stream, const char *method, char **ret_why) {
    struct json_object *answer = NULL;
    char CLEANUP_FREE *error = NULL;
    bool continues = false;
    int r = varlink_stream_send(stream, method, NULL, false, false);
    if (r == 0)
        r = varlink_stream_receive(stream, &answer, &error, &continues);
    if (r == 0 && !error)
        return answer;
    json_object_put(answer);
    *ret_why = error ? why_not(error) : strdup(reason_code(REASON_DAEMON_UNREACHABLE));
    return NULL;
}

static int add_debug(struct report *report, struct varlink_stream *stream) {
    static const struct {
        const char *method, *part;
    } parts[] = {
        {"io.devtrust.Debug.GetLog", "log"},
        {"io.devtrust.Debug.ListConnections", "connections"},
        {"io.devtrust.Debug.GetStatistics", "statistics"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
        char CLEANUP_FREE *why = NULL;
        struct json_object *answer = stream ? ask(stream, parts[i].method, &why) : NULL;
        const char *code = why ? why : reason_code(REASON_DAEMON_UNREACHABLE);
        int r = answer ? add_part(report, parts[i].part, answer)
                       : add_missing(report, parts[i].part, code);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_answers(struct report *report) {
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    struct ctl *ctl = report->ctl;
    int r = add_doctor(report);
    if (r < 0)
        return r;
    if (report->findings.status == CTL_GOOD)
        (void)varlink_stream_open(ctl->socket_path, ctl->daemon_uid, ctl->timeout_ms, &stream);
    return add_debug(report, stream);
}

/* ---- what is known without it ---- */

static const char *daemon_version(const struct report *report) {
    struct json_object *version = NULL;
    if (!report->answer.status ||
        !json_object_object_get_ex(report->answer.status, "version", &version))
        return NULL;
    return json_object_get_string(version);
}

static struct json_object *versions(const struct report *report) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    if (!object || json_fields_add_string(object, "devtrustctl", DEVTRUST_VERSION) < 0 ||
        json_fields_add_string(object, "devtrustd", daemon_version(report)) < 0)
        return NULL;
    return TAKE_PTR(object);
}

static int begin_document(struct report *report) {
    report->document = json_object_new_object();
    struct json_object *missing = json_object_new_array();
    report->missing = missing;
    if (!report->document || json_fields_add_string(report->document, "format", FORMAT) < 0 ||
        json_fields_add_int(report->document, "version", FORMAT_VERSION) < 0 ||
        json_fields_add_int(report->document, "created", report->ctl->now()) < 0 ||
        json_fields_add_bool(report->document, "as_root", report->ctl->own_uid == 0) < 0) {
        json_object_put(missing);
        return -ENOMEM;
    }
    return json_fields_add(report->document, "missing", missing);
}

static int gather(struct report *report) {
    int r = begin_document(report);
    if (r == 0)
        r = add_part(report, "system", system_info(PATH_OS_RELEASE));
    if (r == 0)
        r = add_answers(report);
    return r == 0 ? add_part(report, "versions", versions(report)) : r;
}

/* ---- whose names are taken out ---- */

static int add_account(struct report *report, const struct passwd *entry) {
    int r = pseudonyms_add_user(report->pseudonyms, entry->pw_name, entry->pw_dir);
    return r == -ENOMEM ? r : 0;
}

static int add_accounts(struct report *report) {
    const struct passwd *entry = getpwuid(report->ctl->own_uid);
    int r = 0;
    if (entry && report->ctl->own_uid != 0)
        r = add_account(report, entry);
    setpwent();
    for (unsigned i = 0; r == 0 && i < MAX_ACCOUNTS && (entry = getpwent()); i++)
        if (entry->pw_uid >= FIRST_PERSON_UID && entry->pw_uid <= LAST_PERSON_UID)
            r = add_account(report, entry);
    endpwent();
    return r;
}

static int add_known(
    struct report *report, struct json_object *user, const char *member,
    int (*add)(struct pseudonyms *, const char *)) {
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(user, member, &value) ||
        !json_object_is_type(value, json_type_string))
        return 0;
    int r = add(report->pseudonyms, json_object_get_string(value));
    return r == -ENOMEM ? r : 0;
}

static int add_name(struct pseudonyms *pseudonyms, const char *name) {
    const struct passwd *entry = getpwnam(name);
    return pseudonyms_add_user(pseudonyms, name, entry ? entry->pw_dir : NULL);
}

/* Those that the daemon manages may be no accounts of this machine's, or below the uids of people.
 */
static int add_managed(struct report *report) {
    struct json_object *users = NULL;
    int r = 0;
    if (!report->answer.status ||
        !json_object_object_get_ex(report->answer.status, "users", &users) ||
        !json_object_is_type(users, json_type_array))
        return 0;
    for (size_t i = 0; r == 0 && i < json_object_array_length(users); i++) {
        struct json_object *user = json_object_array_get_idx(users, i);
        r = add_known(report, user, "name", add_name);
        if (r == 0)
            r = add_known(report, user, "id", pseudonyms_add_person);
    }
    return r;
}

static struct json_object *counts_to_json(const struct pseudonyms_counts *counts) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    if (!object || json_fields_add_int(object, "users", counts->users) < 0 ||
        json_fields_add_int(object, "homes", counts->homes) < 0 ||
        json_fields_add_int(object, "persons", counts->persons) < 0 ||
        json_fields_add_int(object, "mail_addresses", counts->mails) < 0)
        return NULL;
    return TAKE_PTR(object);
}

static int take_people_out(struct report *report) {
    int r = pseudonyms_new(&report->pseudonyms);
    if (r == 0)
        r = add_managed(report); /* first: their numbers are the lowest */
    if (r == 0)
        r = add_accounts(report);
    if (r == 0)
        r = pseudonyms_apply(report->pseudonyms, report->document);
    if (r < 0)
        return r;
    struct pseudonyms_counts counts = pseudonyms_count(report->pseudonyms);
    return json_fields_add(report->document, "replaced", counts_to_json(&counts));
}

/* ---- where it goes ---- */

/* What Ctrl-C would leave behind: empty, and in the way of the next try. */
static const char *unfinished;
static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};

static void take_back(int number) {
    if (unfinished)
        (void)unlink(unfinished);
    (void)raise(number); /* once more, and by now without this */
}

/* Returns the descriptor, or -1 with errno. No signal comes between the file and the note of it. */
static int open_unfinished(const char *path) {
    const struct sigaction action = {.sa_handler = take_back, .sa_flags = SA_RESETHAND};
    struct sigaction before;
    sigset_t ending, usual;
    sigemptyset(&ending);
    for (size_t i = 0; i < ARRAY_LENGTH(ending_signals); i++)
        sigaddset(&ending, ending_signals[i]);
    sigprocmask(SIG_BLOCK, &ending, &usual);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), error = errno;
    unfinished = fd >= 0 ? path : NULL;
    for (size_t i = 0; fd >= 0 && i < ARRAY_LENGTH(ending_signals); i++)
        if (sigaction(ending_signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            (void)sigaction(ending_signals[i], &action, NULL); /* nohup(1) has one ignored */
    sigprocmask(SIG_SETMASK, &usual, NULL);
    errno = error;
    return fd;
}

static int write_all(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            text += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

static int write_file(const char *path, int fd, const char *text, size_t size) {
    int r = write_all(fd, text, size);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r < 0)
        (void)unlink(path); /* half a report is none */
    unfinished = NULL;
    return r;
}

/* To be freed; NULL: memory is out. */
static char *document_text(const struct report *report, size_t *ret_size) {
    const char *text = json_object_to_json_string_ext(
        report->document,
        JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *lines = NULL;
    FILE *file = text ? open_memstream(&lines, ret_size) : NULL;
    if (!file)
        return NULL;
    text_json(file, text);
    if (fclose(file) == 0)
        return lines;
    free(lines);
    return NULL;
}

static int print_as_json(const struct report *report, const char *path) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    struct json_object *replaced = NULL;
    (void)json_object_object_get_ex(report->document, "replaced", &replaced);
    if (!object || json_fields_add_string(object, "file", path) < 0 ||
        json_fields_add(object, "missing", json_object_get(report->missing)) < 0 ||
        json_fields_add(object, "replaced", json_object_get(replaced)) < 0)
        return ctl_fail(report->ctl, REASON_NO_MEMORY);
    ctl_print_json(report->ctl, object);
    return CTL_GOOD;
}

static void print_summary(const struct report *report, FILE *file, const char *path) {
    const struct ctl *ctl = report->ctl;
    struct pseudonyms_counts counts = pseudonyms_count(report->pseudonyms);
    char line[MAX_LINE];
    text_paragraph(ctl, file, "Written", LABEL, path, TEXT_BOLD);
    text_paragraph(ctl, file, "In it", LABEL, report->parts, TEXT_PLAIN);
    if (report->absent[0])
        text_paragraph(ctl, file, "Not in it", LABEL, report->absent, TEXT_WARN);
    snprintf(
        line, sizeof line,
        "%u user name%s, %u home director%s, %u person%s at the server, %u mail address%s; keys "
        "and "
        "tokens were never in it.",
        counts.users, counts.users == 1 ? "" : "s", counts.homes, counts.homes == 1 ? "y" : "ies",
        counts.persons, counts.persons == 1 ? "" : "s", counts.mails,
        counts.mails == 1 ? "" : "es");
    text_paragraph(ctl, file, "Replaced", LABEL, line, TEXT_PLAIN);
    text_paragraph(
        ctl, file, "Next", LABEL, "Read it through, then add it to the ticket.", TEXT_PLAIN);
}

static int finish(const struct report *report, const char *path, int fd) {
    struct ctl *ctl = report->ctl;
    size_t size = 0;
    char CLEANUP_FREE *text = document_text(report, &size);
    if (!text)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    if (fd < 0) {
        fwrite(text, 1, size, ctl->out);
        if (!ctl->json)
            print_summary(report, ctl->err, "to standard output");
        return CTL_GOOD;
    }
    int r = write_file(path, fd, text, size);
    if (r < 0)
        return ctl_fail_with(
            ctl, CTL_NO, reason_code(REASON_STORAGE), "The report cannot be written:", strerror(-r),
            "Free space, or name another file.");
    if (ctl->json)
        return print_as_json(report, path);
    print_summary(report, ctl->out, path);
    return CTL_GOOD;
}

/* The file is made first: nothing is asked for in vain. */
static int open_file(struct ctl *ctl, const char *path, int *ret) {
    *ret = open_unfinished(path);
    if (*ret >= 0)
        return CTL_GOOD;
    if (errno == EEXIST || errno == ELOOP)
        return ctl_fail_with(
            ctl, reason_exit_status(REASON_FILE_EXISTS), reason_code(REASON_FILE_EXISTS),
            reason_text(REASON_FILE_EXISTS), path, reason_remedy(REASON_FILE_EXISTS));
    return ctl_fail_file(
        ctl, CTL_USAGE, "usage", "The file cannot be made:", path, errno,
        "Name a file in a directory of yours.");
}

int ctl_report(struct ctl *ctl, const struct ctl_arguments *arguments) {
    const char *path = arguments->operands[0];
    struct report report CLEANUP(report_deinit) = {.ctl = ctl};
    int fd CLEANUP_CLOSE = -1;
    int status = strcmp(path, "-") == 0 ? CTL_GOOD : open_file(ctl, path, &fd);
    if (status != CTL_GOOD)
        return status;
    int r = gather(&report);
    if (r == 0)
        r = take_people_out(&report);
    if (r == 0)
        return finish(&report, path, fd);
    if (fd >= 0)
        (void)unlink(path);
    unfinished = NULL;
    return r == -ENOMEM ? ctl_fail(ctl, REASON_NO_MEMORY) : CTL_NO;
}
