/* Reads tests/unit/common/json_corpus/ (its README says how the lines are written) and hands each
 * case to a test. Runs from the root of the repository. */
#pragma once

#include "common/buffer.h"
#include "common/cleanup.h"

#include "unit.h"

#define JSON_CORPUS "tests/unit/common/json_corpus/"
#define JSON_CORPUS_MAX ((size_t)1 << 20)

/** One case: "reject/numbers.txt: plus", and its bytes in memory of exactly that size, so that a
 * read behind them is seen by the sanitizer. */
typedef void (*json_corpus_visit)(const char *name, const char *text, size_t size);

static void json_corpus_decode(const char *at, const char *end, struct buffer *ret);

/* %*N(text), from behind the star; one level only. Returns what is behind it. */
static const char *json_corpus_repeat(const char *at, struct buffer *ret) {
    size_t times = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        times = times * 10 + (size_t)(*at - '0');
    const char *close = strchr(at, ')');
    assert_true(times > 0 && *at == '(' && close);
    struct buffer CLEANUP_BUFFER once = BUFFER_INIT(JSON_CORPUS_MAX);
    json_corpus_decode(at + 1, close, &once);
    for (size_t i = 0; i < times; i++)
        assert_int_equal(buffer_append(ret, once.data, once.size), 0);
    return close + 1;
}

/* What is up to `end`. */
static void json_corpus_decode(const char *at, const char *end, struct buffer *ret) {
    while (at < end) {
        unsigned byte = (unsigned char)*at;
        if (byte == '%' && at[1] == '*') {
            at = json_corpus_repeat(at + 2, ret);
            continue;
        }
        if (byte == '%')
            assert_int_equal(sscanf(at + 1, "%2x", &byte), 1);
        at += *at == '%' ? 3 : 1;
        char c = (char)byte;
        assert_int_equal(buffer_append(ret, &c, 1), 0);
    }
}

/* A name, spaces, the text. */
static void json_corpus_line(const char *file, char *line, json_corpus_visit visit) {
    size_t length = strcspn(line, " \n");
    char name[1024];
    snprintf(name, sizeof name, "%s: %.*s", file, (int)(length < 256 ? length : 256), line);
    const char *text = line + length + strspn(line + length, " ");
    const char *end = text + strlen(text);
    while (end > text && strchr(" \n", end[-1]))
        end--;
    struct buffer CLEANUP_BUFFER decoded = BUFFER_INIT(JSON_CORPUS_MAX);
    json_corpus_decode(text, end, &decoded);
    char CLEANUP_FREE *exact = malloc(decoded.size ? decoded.size : 1);
    if (decoded.size > 0)
        memcpy(exact, decoded.data, decoded.size);
    visit(name, exact, decoded.size);
}

static int json_corpus_file(const char *file, json_corpus_visit visit) {
    char path[1024];
    snprintf(path, sizeof path, JSON_CORPUS "%s", file);
    FILE CLEANUP_FCLOSE *lines = fopen(path, "re");
    assert_non_null(lines);
    char CLEANUP_FREE *line = NULL;
    size_t capacity = 0;
    int count = 0;
    while (getline(&line, &capacity, lines) > 0) {
        if (*line == '#' || *line == '\n')
            continue;
        json_corpus_line(file, line, visit);
        count++;
    }
    return count;
}

/** Visits all cases of "accept", "reject" or "either". Returns their number. */
static int json_corpus_each(const char *folder, json_corpus_visit visit) {
    char path[512];
    snprintf(path, sizeof path, JSON_CORPUS "%s", folder);
    DIR CLEANUP_CLOSEDIR *dir = opendir(path);
    assert_non_null(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        count += json_corpus_file(path, visit);
    }
    return count;
}
