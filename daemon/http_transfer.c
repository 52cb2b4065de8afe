/* One HTTP request: set up, bounded while it runs, judged when it ends. */
#include "daemon/http_transfer.h"

#include "common/base64.h"
#include "common/http_date.h"
#include "common/version.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_DEADLINE_MS 30000L
#define STREAM_BUFFER 2048L /* bytes; events are small, and the buffer stays for days */
#define STREAM_MAX_ERROR_BODY (16 * 1024) /* of an answer that is no stream */
#define MAX_BASIC 1024                    /* bytes of user and password */

static int stream_status(struct http_transfer *transfer) {
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* CURLOPT_WRITEFUNCTION: anything but the size ends the transfer. */
static size_t on_write(char *data, size_t one, size_t size, void *userdata) {
    (void)one;
    struct http_transfer *transfer = userdata;
    if (!transfer->data || stream_status(transfer) / 100 != 2)
        return buffer_append(&transfer->body, data, size) == 0 ? size : 0;
    transfer->stirred = true;
    return transfer->data(data, size, transfer->userdata) == 0 ? size : 0;
}

/* CURLOPT_HEADERFUNCTION, for streams: the empty line says that all headers have come. */
static size_t on_header(char *line, size_t one, size_t size, void *userdata) {
    (void)one;
    struct http_transfer *transfer = userdata;
    if (size <= 2 && (line[0] == '\r' || line[0] == '\n') && stream_status(transfer) >= 200)
        transfer->stirred = true;
    return size;
}

static int add_header(struct http_transfer *transfer, const char *name, const char *value) {
    if (!value)
        return 0;
    char line[2 * HTTP_MAX_HEADER];
    int size = snprintf(line, sizeof(line), "%s: %s", name, value);
    if (size < 0 || (size_t)size >= sizeof(line))
        return -EINVAL;
    struct curl_slist *list = curl_slist_append(transfer->headers, line);
    if (!list)
        return -ENOMEM;
    transfer->headers = list;
    return 0;
}

/* Not CURLOPT_USERPWD, whose copies stay in the handle: the header's line is wiped with the list.
 */
static int add_basic(struct http_transfer *transfer, struct secret *basic) {
    if (!basic)
        return 0;
    if (secret_size(basic) > MAX_BASIC)
        return -EINVAL;
    static const char prefix[] = "Authorization: Basic ";
    char line[sizeof(prefix) + BASE64_TEXT_SIZE(MAX_BASIC)];
    memcpy(line, prefix, sizeof(prefix));
    base64_encode(secret_data(basic), secret_size(basic), line + sizeof(prefix) - 1);
    struct curl_slist *list = curl_slist_append(transfer->headers, line);
    OPENSSL_cleanse(line, sizeof(line));
    if (!list)
        return -ENOMEM;
    transfer->headers = list;
    return 0;
}

static int set_headers(struct http_transfer *transfer, const struct http_request *request) {
    int r = add_header(transfer, "User-Agent", "devtrustd/" DEVTRUST_VERSION);
    r = r < 0 ? r : add_header(transfer, "Accept", request->accept);
    r = r < 0 ? r : add_header(transfer, "Content-Type", request->content_type);
    r = r < 0 ? r : add_header(transfer, "If-None-Match", request->if_none_match);
    r = r < 0 ? r : add_basic(transfer, request->basic);
    if (r < 0)
        return r;
    struct curl_slist *list = curl_slist_append(transfer->headers, "Expect:");
    if (!list)
        return -ENOMEM;
    transfer->headers = list;
    return 0;
}

static int set_options(struct http_transfer *transfer, const struct http_request *request) {
    CURL *easy = transfer->easy;
    CURLcode c = CURLE_OK;
#define SET(option, value) c = c ? c : curl_easy_setopt(easy, (option), (value))
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->error);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, transfer->headers);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_DEADLINE_MS);
    SET(CURLOPT_TIMEOUT_MS, (long)request->deadline_ms);
    if (request->data) {
        SET(CURLOPT_HEADERFUNCTION, on_header);
        SET(CURLOPT_HEADERDATA, transfer);
        SET(CURLOPT_BUFFERSIZE, STREAM_BUFFER);
    } else {
        SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->maximum);
    }
    if (request->method != HTTP_GET) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        SET(CURLOPT_COPYPOSTFIELDS, request->body);
    }
    if (request->method == HTTP_PUT)
        SET(CURLOPT_CUSTOMREQUEST, "PUT");
#undef SET
    return c == CURLE_OK ? http_client_prepare(transfer->client, easy) : -EIO;
}

static void release(struct http_transfer *transfer) {
    if (transfer->easy)
        curl_easy_cleanup(transfer->easy);
    for (struct curl_slist *line = transfer->headers; line; line = line->next)
        OPENSSL_cleanse(line->data, strlen(line->data));
    curl_slist_free_all(transfer->headers);
    buffer_deinit(&transfer->body);
    free(transfer);
}

static void unlink_transfer(struct http_transfer *transfer) {
    if (transfer->previous)
        transfer->previous->next = transfer->next;
    else
        transfer->client->transfers = transfer->next;
    if (transfer->next)
        transfer->next->previous = transfer->previous;
    curl_multi_remove_handle(transfer->client->multi, transfer->easy);
}

int http_client_send(
    struct http_client *client, const struct http_request *request, struct http_transfer **ret) {
    struct http_transfer *transfer = calloc(1, sizeof(*transfer));
    if (!transfer)
        return -ENOMEM;
    transfer->client = client;
    transfer->body.maximum = request->data ? STREAM_MAX_ERROR_BODY : request->maximum;
    transfer->data = request->data;
    transfer->progress = request->progress;
    transfer->done = request->done;
    transfer->userdata = request->userdata;
    transfer->easy = curl_easy_init();
    int r = transfer->easy ? set_headers(transfer, request) : -ENOMEM;
    if (r == 0)
        r = set_options(transfer, request);
    if (r == 0 && curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK)
        r = -EIO;
    if (r < 0) {
        release(transfer);
        return r;
    }
    transfer->next = client->transfers;
    if (client->transfers)
        client->transfers->previous = transfer;
    client->transfers = transfer;
    if (ret)
        *ret = transfer;
    return 0;
}

void http_transfer_cancel(struct http_transfer *transfer) {
    if (!transfer)
        return;
    struct http_client *client = transfer->client;
    unlink_transfer(transfer);
    release(transfer);
    http_client_transfer_gone(client);
}

/* Values that would not fit, or that could not be sent back, count as absent. */
static void copy_header(struct http_transfer *transfer, const char *name, char *ret) {
    struct curl_header *header;
    ret[0] = '\0';
    if (curl_easy_header(transfer->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return;
    size_t size = strlen(header->value);
    if (size >= HTTP_MAX_HEADER)
        return;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)header->value[i] < ' ' || header->value[i] == 0x7f)
            return;
    memcpy(ret, header->value, size + 1);
}

/* 0: no Date that can be read. */
static int64_t read_date(struct http_transfer *transfer) {
    char date[HTTP_MAX_HEADER];
    int64_t server_s;
    copy_header(transfer, "Date", date);
    return http_date_parse(date, &server_s) == 0 ? server_s : 0;
}

static void tell_date(struct http_client *client, int64_t server_s) {
    if (server_s != 0 && client->date_seen && !client->closing)
        client->date_seen(server_s, client->userdata);
}

void http_transfer_progress(struct http_transfer *transfer) {
    struct http_client *client = transfer->client;
    transfer->stirred = false;
    if (!transfer->date_told) {
        transfer->date_told = true;
        tell_date(client, read_date(transfer));
        if (client->closing)
            return;
    }
    if (transfer->progress)
        transfer->progress(transfer, transfer->userdata);
}

int http_transfer_status(struct http_transfer *transfer) {
    return stream_status(transfer);
}

const char *http_transfer_content_type(struct http_transfer *transfer) {
    char *type = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
    return type;
}

/* CURLE_SSL_CONNECT_ERROR is also what a server that goes away in the handshake, or one without
 * TLS, gives: not trust's fault. */
static enum reason judge_result(CURLcode result) {
    switch (result) {
    case CURLE_OK:
        return REASON_NONE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
        return REASON_SERVER_TLS;
    case CURLE_WRITE_ERROR:
    case CURLE_FILESIZE_EXCEEDED:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
        return REASON_SERVER_ANSWER;
    case CURLE_OUT_OF_MEMORY:
        return REASON_NO_MEMORY;
    default:
        return REASON_SERVER_UNREACHABLE;
    }
}

void http_transfer_complete(struct http_transfer *transfer, CURLcode result) {
    struct http_client *client = transfer->client;
    struct http_answer answer = {
        .reason = judge_result(result),
        .detail = transfer->error,
        .status = stream_status(transfer),
        .body = transfer->body.data ? (const char *)transfer->body.data : "",
        .size = transfer->body.size,
    };
    if (result == CURLE_OK && answer.status / 100 == 3 && answer.status != 304)
        answer.reason = REASON_REDIRECT;
    copy_header(transfer, "Content-Type", answer.content_type);
    copy_header(transfer, "ETag", answer.etag);
    copy_header(transfer, "Retry-After", answer.retry_after);
    answer.date_s = read_date(transfer);
    bool date_told = transfer->date_told;
    unlink_transfer(transfer);
    transfer->done(&answer, transfer->userdata);
    release(transfer);
    if (!date_told)
        tell_date(client, answer.date_s); /* last: whoever is told may close the client */
    http_client_transfer_gone(client);
}
