/* One issuance, from a checked request to a stored certificate: every check (switch, assignment,
 * device, token, key) and the insert are one transaction of the writer, so that nothing can be
 * switched off between the two. */
#pragma once

#include "server/certificate.h"
#include "server/token.h"

enum issuance_kind {
    ISSUANCE_ENROL, /* a device by token */
    ISSUANCE_RENEW, /* a device by its certificate */
    ISSUANCE_USER,  /* a user of a device, by the device's certificate */
};

struct issuance {
    const struct server *server;
    enum issuance_kind kind;
    char device[SERVER_UUID_SIZE];
    char user_id[SERVER_USER_ID_SIZE];  /* USER */
    char request_id[SERVER_UUID_SIZE];  /* USER */
    char token_id[TOKEN_ID_LENGTH + 1]; /* ENROL */
    char token_secret[TOKEN_TEXT_SIZE]; /* ENROL; wiped by issuance_deinit() */
    int64_t presented_id;               /* RENEW: the certificate that asks */
    X509_REQ *request;                  /* checked (x509_csr_check); owned */
    uint8_t csr_sha256[SHA256_SIZE];    /* over its DER */
    uint8_t spki_sha256[SHA256_SIZE];   /* of its key */
    int64_t now_s;

    bool token_spent; /* ENROL: the token is right, but used up or expired */

    /* results */
    int status;          /* 200, or the HTTP status of a refusal */
    enum reason refusal; /* REASON_NONE: issued */
    bool repeated;       /* the same request again: the same certificate */
    X509 *certificate;   /* owned */
};

/** In a transaction, on the writer's thread. A refusal is 0 with `refusal` set. */
int issuance_run(struct db *db, struct issuance *issuance);

void issuance_deinit(struct issuance *issuance);
