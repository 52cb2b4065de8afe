/* Reads enroll.conf; who calls wipes it (file_wipe.h) once the enrolment is on disk. */
#include "daemon/enroll_config.h"

#include "common/cleanup.h"
#include "common/config.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct texts {
    char *url, *ca_pin, *token;
};

static const struct config_key table[] = {
    {.section = "enroll",
     .key = "url",
     .type = CONFIG_STRING,
     .offset = offsetof(struct texts, url),
     .help = "the server's address, https://HOST[:PORT]"},
    {.section = "enroll",
     .key = "token",
     .type = CONFIG_STRING,
     .offset = offsetof(struct texts, token),
     .help = "the token as devtrust-server token create prints it"},
    {.section = "enroll",
     .key = "ca_pin",
     .type = CONFIG_STRING,
     .offset = offsetof(struct texts, ca_pin),
     .help = "64 hex digits, as devtrust-server status prints them"},
};

static int take_token(char *text, struct secret **ret) {
    size_t size = strlen(text);
    int r = secret_new(size, ret);
    if (r == 0)
        memcpy(secret_data(*ret), text, size);
    return r;
}

int enroll_config_read(
    const char *path, struct enroll_config *ret, char *ret_error, size_t error_size) {
    struct texts texts = {0};
    struct enroll_config config = {0};
    int r = config_read(path, table, ARRAY_LENGTH(table), &texts, ret_error, error_size);
    if (r == 0 && (!texts.url || !texts.token || texts.token[0] == '\0')) {
        snprintf(ret_error, error_size, "%s: [enroll] needs url and token; add them.", path);
        r = -EINVAL;
    }
    if (r == 0)
        r = take_token(texts.token, &config.token);
    if (texts.token)
        OPENSSL_cleanse(texts.token, strlen(texts.token));
    if (r == 0) {
        config.url = TAKE_PTR(texts.url);
        config.ca_pin = TAKE_PTR(texts.ca_pin);
        *ret = config;
    }
    config_free(table, ARRAY_LENGTH(table), &texts);
    return r;
}

void enroll_config_deinit(struct enroll_config *config) {
    free(config->url);
    free(config->ca_pin);
    secret_free(config->token);
    *config = (struct enroll_config){0};
}
