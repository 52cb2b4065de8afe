/* The request over the Unix socket (libcurl). */
#include "server/cli.h"

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/json_gate.h"
#include "server/command_table.h"

#include <curl/curl.h>
#include <errno.h>
#include <json-c/json_tokener.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_S 120L /* a switch-off of a large fleet revokes every certificate */

DEFINE_CLEANUP(CURL *, curl_easy_cleanup);

static void slist_free(struct curl_slist **list) {
    curl_slist_free_all(*list);
}

static size_t take(char *data, size_t size, size_t count, void *userdata) {
    return buffer_append(userdata, data, size * count) < 0 ? 0 : size * count;
}

static int unreachable(CURL *curl, CURLcode code, const char *socket_path) {
    long error = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
    if (error == EACCES || error == EPERM) {
        fprintf(
            stderr,
            "devtrust-server: %s: not permitted; run it as root or as the server's account\n",
            socket_path);
        return CLI_NOT_PERMITTED;
    }
    fprintf(
        stderr,
        "devtrust-server: %s: the server cannot be reached (%s); start it:"
        " systemctl start devtrust-server\n",
        socket_path, error ? strerror((int)error) : curl_easy_strerror(code));
    return CLI_UNREACHABLE;
}

static int exit_of(long status) {
    switch (status) {
    case 400:
        return CLI_USAGE;
    case 403:
        return CLI_NOT_PERMITTED;
    case 409:
        return CLI_REFUSED;
    default:
        return CLI_NO;
    }
}

static int refused(long status, struct json_object *problem) {
    struct json_object *detail;
    const char *text = "it gave no reason; look at its log";
    if (problem && json_object_object_get_ex(problem, "detail", &detail))
        text = json_object_get_string(detail);
    fprintf(stderr, "devtrust-server: %s\n", text);
    return exit_of(status);
}

static int set_options(
    CURL *curl, const char *socket_path, const struct cli_request *request, const char *body,
    struct buffer *answer, struct curl_slist *headers) {
    char url[128];
    snprintf(url, sizeof(url), "http://localhost/v1/command/%s", request->command->name);
    if (curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_PROXY, "") != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) != CURLE_OK)
        return -ENOMEM;
    return 0;
}

int cli_send(
    const char *socket_path, const struct cli_request *request, struct json_object **ret_answer) {
    CLEANUP(curl_easy_cleanup_ptr) CURL *curl = curl_easy_init();
    CLEANUP(slist_free)
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CLEANUP_BUFFER struct buffer body = BUFFER_INIT(CLI_MAX_ANSWER);
    const char *text = json_object_to_json_string_ext(request->arguments, JSON_C_TO_STRING_PLAIN);
    if (!curl || !headers || !text ||
        set_options(curl, socket_path, request, text, &body, headers) < 0) {
        fputs("devtrust-server: memory is out\n", stderr);
        return CLI_NO;
    }
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        return unreachable(curl, code, socket_path);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    CLEANUP_JSON struct json_object *answer = NULL;
    /* our own server over a socket of mode 0600, and longer than the gate is made for */
    if (body.size > 0)
        answer = json_tokener_parse((const char *)body.data);
    if (status != 200 || !answer)
        return refused(status, answer);
    *ret_answer = TAKE_PTR(answer);
    return CLI_OK;
}
