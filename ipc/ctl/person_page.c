/* The page is written by code, not from a template: it has three lists of rows and nothing else. */
#include "ipc/ctl/person_page.h"

#include "common/base64.h"
#include "common/html.h"

#include <openssl/sha.h>

#include <ctype.h>
#include <string.h>

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"referrer\" content=\"no-referrer\">\n";

static const char policy[] = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
                             "'none'; style-src 'sha256-";
static const char after_policy[] = "'; base-uri 'none'; form-action 'none'\">\n<title>";
static const char after_title[] = "</title>\n<style>";

static const char sign[] = "<svg class=\"sign\" viewBox=\"0 0 64 64\" aria-hidden=\"true\">"
                           "<circle cx=\"32\" cy=\"32\" r=\"29\"/><path d=\"";

static const char *const strokes[] = {
    [TEXT_GOOD] = "M18 33l10 10 19-21",
    [TEXT_WARN] = "M32 15v18l11 8",
    [TEXT_BAD] = "M22 22l20 20M42 22L22 42",
};

static const char *class_of(enum text_colour colour) {
    static const char *const names[] = {
        [TEXT_PLAIN] = "plain", [TEXT_GOOD] = "good",  [TEXT_WARN] = "warn",
        [TEXT_BAD] = "bad",     [TEXT_BOLD] = "plain", [TEXT_FAINT] = "plain",
    };
    return names[colour];
}

/* The parts in turn, NULL ends: markup as it is, every second one a text. */
static int append(struct buffer *ret, const char *const *parts) {
    char safe[TEXT_SAFE_SIZE];
    int r = 0;
    for (size_t i = 0; parts[i] && r == 0; i++)
        r = i % 2 == 0 ? buffer_append_string(ret, parts[i])
                       : html_append_escaped(ret, text_safe(parts[i], safe));
    return r;
}
#define APPEND(ret_, ...) append((ret_), (const char *const[]){__VA_ARGS__, NULL})

#define WHOLE_MAX 24 /* what fits into the narrowest window */

/* A date, a code or a command with a hyphen in it is read as one. */
static bool is_whole(const char *word) {
    if (strlen(word) > WHOLE_MAX)
        return false;
    for (const char *hyphen = strchr(word, '-'); hyphen; hyphen = strchr(hyphen + 1, '-'))
        if (hyphen > word && isalnum((unsigned char)hyphen[-1]) &&
            isalnum((unsigned char)hyphen[1]))
            return true;
    return false;
}

static int append_word(const char *word, struct buffer *ret) {
    bool whole = is_whole(word);
    int r = whole ? buffer_append_string(ret, "<span>") : 0;
    if (r == 0)
        r = html_append_escaped(ret, word);
    return r == 0 && whole ? buffer_append_string(ret, "</span>") : r;
}

/* A text that is wrapped: browsers would break it at hyphens, too. */
static int append_prose(
    const char *before, const char *text, const char *after, struct buffer *ret) {
    char safe[TEXT_SAFE_SIZE], *rest = safe, *word;
    int r = buffer_append_string(ret, before);
    text_safe(text, safe);
    while (r == 0 && (word = strsep(&rest, " "))) {
        r = append_word(word, ret);
        if (r == 0 && rest)
            r = buffer_append_string(ret, " ");
    }
    return r < 0 ? r : buffer_append_string(ret, after);
}

/* Nothing may be fetched or run; the one style sheet is known by its hash. */
static int append_head(const struct person *person, struct buffer *ret) {
    uint8_t hash[SHA256_DIGEST_LENGTH];
    char base64[BASE64_TEXT_SIZE(SHA256_DIGEST_LENGTH)];
    SHA256((const uint8_t *)asset_person_page, strlen(asset_person_page), hash);
    base64_encode(hash, sizeof hash, base64);
    int r = APPEND(ret, head, "", policy, base64, after_policy, person->headline, after_title);
    if (r == 0)
        r = buffer_append_string(ret, asset_person_page);
    return r < 0 ? r : buffer_append_string(ret, "</style>\n</head>\n<body>\n");
}

static int append_verdict(const struct person *person, struct buffer *ret) {
    int r =
        APPEND(ret, "<main class=\"", class_of(person->tone), "\">\n<section class=\"verdict\">\n");
    if (r == 0)
        r = APPEND(ret, sign, strokes[person->tone], "\"/></svg>\n");
    if (r == 0)
        r = append_prose("<h1>", person->headline, "</h1>\n", ret);
    if (r == 0 && *person->reason)
        r = append_prose("<p>", person->reason, "</p>\n", ret);
    return r < 0 ? r : buffer_append_string(ret, "</section>\n");
}

static bool has_rows(const struct person *person, enum person_section section) {
    for (size_t i = 0; i < person->count; i++)
        if (person->rows[i].section == section)
            return true;
    return false;
}

static int append_facts(const struct person *person, struct buffer *ret) {
    if (!has_rows(person, PERSON_FACTS))
        return 0;
    int r = buffer_append_string(ret, "<dl>\n");
    for (size_t i = 0; i < person->count && r == 0; i++) {
        const struct person_row *row = &person->rows[i];
        if (row->section != PERSON_FACTS)
            continue;
        r = APPEND(ret, "<div><dt>", row->label, "</dt><dd class=\"", class_of(row->colour));
        if (r == 0)
            r = append_prose("\">", row->text, "</dd></div>\n", ret);
    }
    return r < 0 ? r : buffer_append_string(ret, "</dl>\n");
}

static int append_list(
    const struct person *person, enum person_section section, const char *title,
    struct buffer *ret) {
    if (!has_rows(person, section))
        return 0;
    int r = APPEND(ret, "<section>\n<h2>", title, "</h2>\n<ul>\n");
    for (size_t i = 0; i < person->count && r == 0; i++) {
        const struct person_row *row = &person->rows[i];
        if (row->section != section)
            continue;
        r = APPEND(ret, "<li class=\"", class_of(row->colour));
        if (r == 0)
            r = append_prose("\">", row->text, "</li>\n", ret);
    }
    return r < 0 ? r : buffer_append_string(ret, "</ul>\n</section>\n");
}

int person_page_render(const struct person *person, const char *when, struct buffer *ret) {
    int r = append_head(person, ret);
    if (r == 0)
        r = append_verdict(person, ret);
    if (r == 0)
        r = append_list(person, PERSON_TO_DO, "What to do", ret);
    if (r == 0)
        r = append_list(person, PERSON_BROWSERS, "Browsers", ret);
    if (r == 0)
        r = append_facts(person, ret);
    if (r == 0)
        r = append_prose(
            "</main>\n<footer><p>As of ", when,
            "; this page does not renew itself.</p></footer>\n</body>\n</html>\n", ret);
    return r;
}
