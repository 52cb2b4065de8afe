/* Findings for people: read out on the phone, the last lines say how it stands, which codes to tell
 * a help desk, and what to do next. */
#include "ipc/ctl/findings.h"

#include "ipc/ctl/text.h"

#include "common/cleanup.h"

#include <string.h>

#define ID_COLUMN 9    /* after the longest word and two blanks */
#define TEXT_COLUMN 29 /* after the longest id and two blanks */
#define MAX_CODES 8    /* in the closing lines; more are counted */
#define MAX_LINE 8192

static const struct {
    const char *word;
    enum text_colour colour;
} words[] = {
    [FINDING_OK] = {"ok", TEXT_GOOD},
    [FINDING_WARNING] = {"warning", TEXT_WARN},
    [FINDING_FAILURE] = {"FAILURE", TEXT_BAD},
    [FINDING_NOT_APPLICABLE] = {"n/a", TEXT_PLAIN},
};

/* ---- themes ---- */

enum theme { THEME_DEVICE, THEME_SERVER, THEME_BROWSERS, THEME_USERS, THEME_COUNT_ };

static const char *const theme_names[] = {"Device", "Server", "Browsers", "You"};

/* Of the device, in the order in which a help desk asks. What is not named is of the device. */
static enum theme theme_of(const struct finding *finding) {
    static const struct {
        const char *id;
        enum theme theme;
    } themes[] = {
        {"server", THEME_SERVER}, {"clock", THEME_SERVER},    {"push", THEME_SERVER},
        {"state", THEME_SERVER},  {"policy", THEME_BROWSERS}, {"browser", THEME_BROWSERS},
        {"user", THEME_USERS},    {"agent", THEME_USERS},
    };
    if (finding->user)
        return THEME_USERS;
    for (size_t i = 0; i < ARRAY_LENGTH(themes); i++)
        if (strcmp(themes[i].id, finding->id) == 0)
            return themes[i].theme;
    return THEME_DEVICE;
}

static void print_heading(const struct ctl *ctl, const char *text) {
    char safe[TEXT_SAFE_SIZE];
    fprintf(
        ctl->out, "%s%s%s\n", text_begin(ctl, TEXT_BOLD), text_safe(text, safe),
        text_end(ctl, TEXT_BOLD));
}

/* ---- one ---- */

static bool is_bad(const struct finding *finding) {
    return finding->result == FINDING_WARNING || finding->result == FINDING_FAILURE;
}

static void print_finding(const struct ctl *ctl, const struct finding *finding) {
    char line[MAX_LINE], id[TEXT_SAFE_SIZE];
    const char *word = words[finding->result].word;
    enum text_colour colour = words[finding->result].colour;
    fprintf(
        ctl->out, "%s%s%s%*s%s", text_begin(ctl, colour), word, text_end(ctl, colour),
        (int)(ID_COLUMN - text_columns(word)), "", text_safe(finding->id, id));
    snprintf(
        line, sizeof line, "%s%s%s%s%s%s", finding->subject ? finding->subject : "",
        finding->subject ? ": " : "", finding->text, finding->code ? " [" : "",
        finding->code ? finding->code : "", finding->code ? "]" : "");
    text_column(ctl, ctl->out, ID_COLUMN + text_columns(id), TEXT_COLUMN, line, TEXT_PLAIN);
    if (is_bad(finding) && finding->remedy && *finding->remedy)
        text_column(ctl, ctl->out, 0, TEXT_COLUMN, finding->remedy, TEXT_BOLD);
}

/* ---- all ---- */

static bool same_user(const struct finding *finding, const char *user) {
    return user && finding->user ? strcmp(finding->user, user) == 0 : finding->user == user;
}

static void begin_group(const struct ctl *ctl, bool *any, const char *heading) {
    if (*any)
        fputc('\n', ctl->out);
    *any = true;
    print_heading(ctl, heading);
}

static void print_theme(
    const struct ctl *ctl, const struct findings *findings, bool only_bad, enum theme theme,
    bool *any) {
    bool begun = false;
    for (size_t i = 0; i < findings_length(findings); i++) {
        struct finding finding = findings_get(findings, i);
        if (theme_of(&finding) != theme || (only_bad && !is_bad(&finding)))
            continue;
        if (!begun)
            begin_group(ctl, any, theme_names[theme]);
        begun = true;
        print_finding(ctl, &finding);
    }
}

/* The daemon gives a user's checks one after the other. */
static void print_users(
    const struct ctl *ctl, const struct findings *findings, bool only_bad, bool *any) {
    const char *user = NULL;
    bool begun = false;
    for (size_t i = 0; i < findings_length(findings); i++) {
        char heading[TEXT_SAFE_SIZE];
        struct finding finding = findings_get(findings, i);
        if (theme_of(&finding) != THEME_USERS || (only_bad && !is_bad(&finding)))
            continue;
        if (!begun || !same_user(&finding, user)) {
            snprintf(
                heading, sizeof heading, "%s%s", finding.user ? "User " : "",
                finding.user ? finding.user : theme_names[THEME_USERS]);
            begin_group(ctl, any, heading);
        }
        begun = true;
        user = finding.user;
        print_finding(ctl, &finding);
    }
}

void findings_print(const struct ctl *ctl, const struct findings *findings, bool only_bad) {
    bool any = false;
    for (enum theme theme = THEME_DEVICE; theme < THEME_USERS; theme++)
        print_theme(ctl, findings, only_bad, theme, &any);
    print_users(ctl, findings, only_bad, &any);
}

/* ---- the closing lines ---- */

static void print_counts(const struct ctl *ctl, const struct findings *findings) {
    enum text_colour colour = findings->failures > 0   ? TEXT_BAD
                              : findings->warnings > 0 ? TEXT_WARN
                                                       : TEXT_GOOD;
    fprintf(
        ctl->out, "\n%s%u ok, %u warning%s, %u failure%s%s", text_begin(ctl, colour), findings->ok,
        findings->warnings, findings->warnings == 1 ? "" : "s", findings->failures,
        findings->failures == 1 ? "" : "s", text_end(ctl, colour));
    if (findings->not_applicable > 0)
        fprintf(ctl->out, ", %u not applicable", findings->not_applicable);
    fputs(".\n", ctl->out);
}

struct codes {
    const char *code[MAX_CODES];
    size_t count, more;
};

static void add_code(struct codes *codes, const char *code) {
    for (size_t i = 0; i < codes->count; i++)
        if (strcmp(codes->code[i], code) == 0)
            return;
    if (codes->count < MAX_CODES)
        codes->code[codes->count++] = code;
    else
        codes->more++;
}

static void collect(
    const struct findings *findings, enum finding_result result, struct codes *codes) {
    for (size_t i = 0; i < findings_length(findings); i++) {
        struct finding finding = findings_get(findings, i);
        if (finding.result == result && finding.code)
            add_code(codes, finding.code);
    }
}

static void print_codes(const struct ctl *ctl, const struct findings *findings) {
    struct codes codes = {0};
    char line[MAX_LINE] = "";
    size_t used = 0;
    collect(findings, FINDING_FAILURE, &codes);
    collect(findings, FINDING_WARNING, &codes);
    for (size_t i = 0; i < codes.count && used < sizeof line - 128; i++)
        used += (size_t)snprintf(
            line + used, sizeof line - used, "%s%.64s", i > 0 ? ", " : "", codes.code[i]);
    if (codes.more > 0)
        snprintf(line + used, sizeof line - used, " and %zu more", codes.more);
    if (codes.count > 0)
        text_paragraph(ctl, ctl->out, "Codes:", 9, line, TEXT_PLAIN);
}

/* A remedy that names the command is the one place that says whether it helps. */
static void print_next(const struct ctl *ctl, const struct findings *findings) {
    bool helps = false, needs_root = false;
    for (size_t i = 0; i < findings_length(findings); i++) {
        struct finding finding = findings_get(findings, i);
        if (!is_bad(&finding) || !finding.remedy || !strstr(finding.remedy, "devtrustctl repair"))
            continue;
        helps = true;
        needs_root = needs_root || strstr(finding.remedy, "devtrustctl repair (as root)");
    }
    if (helps)
        text_paragraph(
            ctl, ctl->out, "Next:", 9,
            needs_root && ctl->own_uid != 0 ? "sudo devtrustctl repair" : "devtrustctl repair",
            TEXT_BOLD);
    else if (findings->failures + findings->warnings > 0)
        text_paragraph(
            ctl, ctl->out, "Next:", 9,
            "Do what stands under each, then run this again. What a code means, anywhere: "
            "devtrustctl explain CODE.",
            TEXT_PLAIN);
}

void findings_print_summary(const struct ctl *ctl, const struct findings *findings) {
    print_counts(ctl, findings);
    print_codes(ctl, findings);
    print_next(ctl, findings);
}
