/* `init`: an installation from nothing: CAs, the listeners' certificate, the database. The
 * database's identity is written last and says that the rest is there. */
#include "server/cli.h"

#include "common/atomic_file.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/random.h"
#include "common/secret.h"
#include "server/ca.h"
#include "server/command_table.h"
#include "server/installation.h"
#include "server/server_config.h"
#include "server/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_NAME 253        /* characters of a host name (RFC 1035) */
#define MAX_PASSPHRASE 1024 /* bytes */

const struct command init_command = {
    .words = "init",
    .name = "init",
    .help = "Make a new installation: CAs, certificates, database.",
    .arguments =
        {
            {.name = "organisation",
             .shown = "NAME",
             .minimum = 1,
             .maximum = 64,
             .help = "stands in every user's certificate (required)"},
            {.name = "url",
             .shown = "URL",
             .minimum = 9,
             .maximum = 300,
             .help = "https://HOST[:PORT] that devices use (required)"},
            {.name = "portal-url",
             .shown = "URL",
             .minimum = 9,
             .maximum = 300,
             .help = "https://HOST[:PORT] of the portal (required)"},
            {.name = "check-domain",
             .shown = "DOMAIN",
             .minimum = 1,
             .maximum = MAX_NAME,
             .help = "names below it resolve to the portal (wildcard DNS)"},
            {.name = "root-keys-dir",
             .shown = "DIR",
             .minimum = 1,
             .maximum = 4000,
             .help = "for the encrypted root keys, kept offline (required)"},
            {.name = "passphrase-file",
             .shown = "FILE|-",
             .minimum = 1,
             .maximum = 4000,
             .help = "of the root keys, 12 bytes or more (required)"},
        },
};

struct init {
    const char *organisation, *url, *portal_url, *check_domain, *root_keys_dir, *passphrase_file;
    char host[MAX_NAME + 3], portal_host[MAX_NAME + 3];
};

static int complain(int status, const char *what, const char *why) {
    fprintf(stderr, "devtrust-server: %s: %s\n", what, why);
    return status;
}

/* --- arguments --- */

static const char *argument(const struct cli_request *request, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(request->arguments, name, &value)
               ? json_object_get_string(value)
               : NULL;
}

static bool is_host_character(char c) {
    return isalnum((unsigned char)c) || c == '-' || c == '.';
}

static bool is_port(const char *text) {
    size_t length = strspn(text, "0123456789");
    return length > 0 && length <= 5 && text[length] == '\0' && strtol(text, NULL, 10) <= 65535 &&
           strtol(text, NULL, 10) > 0;
}

/* "https://HOST", "https://HOST:PORT", "https://[v6]:PORT"; the host without brackets. */
static int take_host(const char *url, char *ret, size_t size) {
    static const char scheme[] = "https://";
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return -EINVAL;
    const char *host = url + sizeof(scheme) - 1;
    const char *end;
    if (*host == '[') {
        host++;
        end = host + strspn(host, "0123456789abcdefABCDEF:.");
        if (*end != ']')
            return -EINVAL;
    } else
        for (end = host; is_host_character(*end);)
            end++;
    size_t length = (size_t)(end - host);
    if (length == 0 || length >= size)
        return -EINVAL;
    const char *rest = *end == ']' ? end + 1 : end;
    if (*rest && (*rest != ':' || !is_port(rest + 1)))
        return -EINVAL;
    memcpy(ret, host, length);
    ret[length] = '\0';
    return 0;
}

static bool is_domain(const char *domain) {
    size_t length = 0;
    while (is_host_character(domain[length]))
        length++;
    return length > 0 && domain[length] == '\0' && domain[0] != '.' && domain[length - 1] != '.';
}

static int read_arguments(const struct cli_request *request, struct init *ret) {
    static const char *const required[] = {
        "organisation", "url", "portal-url", "root-keys-dir", "passphrase-file"};
    for (size_t i = 0; i < ARRAY_LENGTH(required); i++)
        if (!argument(request, required[i])) {
            fprintf(
                stderr, "devtrust-server: init needs --%s; try: devtrust-server init --help\n",
                required[i]);
            return CLI_USAGE;
        }
    struct init init = {
        .organisation = argument(request, "organisation"),
        .url = argument(request, "url"),
        .portal_url = argument(request, "portal-url"),
        .check_domain = argument(request, "check-domain"),
        .root_keys_dir = argument(request, "root-keys-dir"),
        .passphrase_file = argument(request, "passphrase-file"),
    };
    if (take_host(init.url, init.host, sizeof(init.host)) < 0)
        return complain(CLI_USAGE, init.url, "write https://HOST or https://HOST:PORT, no path");
    if (take_host(init.portal_url, init.portal_host, sizeof(init.portal_host)) < 0)
        return complain(
            CLI_USAGE, init.portal_url, "write https://HOST or https://HOST:PORT, no path");
    if (init.check_domain && !is_domain(init.check_domain))
        return complain(
            CLI_USAGE, init.check_domain, "write a domain without *, such as check.example.com");
    *ret = init;
    return CLI_OK;
}

static int read_passphrase(const char *path, struct secret **ret) {
    int r = strcmp(path, "-") == 0 ? secret_read_fd(STDIN_FILENO, MAX_PASSPHRASE, ret)
                                   : secret_read_file(path, MAX_PASSPHRASE, ret);
    if (r == -ENODATA)
        return complain(CLI_NO, path, "is empty; write a passphrase of 12 bytes or more");
    return r < 0 ? complain(CLI_NO, path, strerror(-r)) : CLI_OK;
}

/* --- making --- */

static int make_ca(
    const struct server_config *config, const struct init *init, struct secret *passphrase) {
    char error[CA_ERROR_SIZE] = "";
    const char *hosts[] = {init->host, init->portal_host, NULL};
    if (strcmp(init->host, init->portal_host) == 0)
        hosts[1] = NULL;
    const struct ca_init_options options = {
        .dir = config->state_dir,
        .root_export_dir = init->root_keys_dir,
        .passphrase = passphrase,
        .organisation = init->organisation,
        .hosts = config->tls_certificate ? NULL : hosts,
        .check_domain = init->check_domain,
        .now_s = (int64_t)time(NULL),
    };
    int r = ca_init(&options, error, sizeof(error));
    return r < 0 ? complain(CLI_NO, "the CAs were not made", error[0] ? error : strerror(-r))
                 : CLI_OK;
}

static int write_identity(struct db *db, const struct init *init) {
    /* the strings are borrowed here, settings_identity_store() only reads them */
    struct settings_identity identity = {
        .organisation = (char *)init->organisation,
        .url = (char *)init->url,
        .portal_url = (char *)init->portal_url,
        .check_domain = (char *)init->check_domain,
    };
    int r = random_uuid(&random_system, identity.epoch);
    if (r >= 0)
        r = db_begin(db);
    if (r < 0)
        return r;
    r = settings_identity_store(db, &identity);
    if (r >= 0)
        r = settings_set_distribution(db, SWITCH_OFF);
    if (r >= 0)
        return db_commit(db);
    db_rollback(db);
    return r;
}

/* The database's file first: it is what a second init runs into. */
static int make_all(
    const struct server_config *config, const struct init *init, struct secret *passphrase) {
    CLEANUP_FREE char *path = installation_path(config, INSTALLATION_DATABASE);
    CLEANUP_DB struct db *db = NULL;
    if (!path)
        return complain(CLI_NO, "init", "memory is out");
    int r = atomic_file_make_dirs(config->state_dir, 0700);
    if (r < 0)
        return complain(CLI_NO, config->state_dir, strerror(-r));
    r = db_open(path, DB_CREATE, &db);
    if (r == -EEXIST)
        return complain(
            CLI_REFUSED, path,
            "there is an installation already; name another [paths] state_dir in server.conf");
    if (r < 0)
        return complain(CLI_NO, path, strerror(-r));
    int status = make_ca(config, init, passphrase);
    if (status == CLI_OK) {
        r = write_identity(db, init);
        if (r < 0)
            status = complain(CLI_NO, path, strerror(-r));
    }
    if (status != CLI_OK) {
        db = db_close(db);
        installation_remove_database(config);
    }
    return status;
}

static int show(
    const struct server_config *config, const struct init *init,
    const struct cli_request *request) {
    char pin[SHA256_HEX_SIZE] = "", error[CA_ERROR_SIZE] = "";
    CLEANUP_FREE char *tls_ca = installation_path(config, CA_FILE_TLS_CA);
    CLEANUP_JSON struct json_object *answer = json_object_new_object();
    int r = installation_pin(config, pin, error, sizeof(error));
    if (r < 0 || !tls_ca || !answer)
        return complain(CLI_NO, config->state_dir, error[0] ? error : "memory is out");
    if (!request->json) {
        printf(
            "url: %s\nca-pin: %s\ntls-ca: %s\nroot-keys: %s (keep them offline)\n", init->url, pin,
            tls_ca, init->root_keys_dir);
        return CLI_OK;
    }
    if (json_fields_add_string(answer, "url", init->url) < 0 ||
        json_fields_add_string(answer, "portal_url", init->portal_url) < 0 ||
        json_fields_add_string(answer, "ca_pin", pin) < 0 ||
        json_fields_add_string(answer, "tls_ca", tls_ca) < 0 ||
        json_fields_add_string(answer, "root_keys_dir", init->root_keys_dir) < 0)
        return complain(CLI_NO, "init", "memory is out");
    printf(
        "%s\n", json_object_to_json_string_ext(
                    answer, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    return CLI_OK;
}

int init_run(const struct server_config *config, const struct cli_request *request) {
    struct init init;
    struct secret *passphrase = NULL;
    int status = read_arguments(request, &init);
    if (status == CLI_OK)
        status = read_passphrase(init.passphrase_file, &passphrase);
    if (status == CLI_OK)
        status = make_all(config, &init, passphrase);
    secret_free(passphrase);
    if (status != CLI_OK)
        return status;
    /* last, for show() still reads the keys as the user who made them */
    status = show(config, &init, request);
    int r = installation_hand_over(config);
    return r < 0 ? complain(CLI_NO, config->state_dir, strerror(-r)) : status;
}
