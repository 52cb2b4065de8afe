/* devtrust-server: `init` and `serve` here, everything else a request to a running `serve`. */
#include "common/log.h"
#include "common/log_messages.h"
#include "common/secret.h"
#include "common/version.h"
#include "server/cli.h"
#include "server/command_table.h"
#include "server/serve.h"
#include "server/server_config.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Private keys and the handshakes' secrets: 64 bytes each and a few per handshake; past the end a
 * handshake fails, so it is made for thousands at once. */
#define SECURE_ARENA (1024 * 1024)

static const struct command serve_command = {
    .words = "serve",
    .name = "serve",
    .help = "Run the server in the foreground, until SIGTERM.",
};

static int client(const struct server_config *config, const struct cli_request *request) {
    struct json_object *answer = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return CLI_NO;
    int status = cli_send(config->socket, request, &answer);
    if (status == CLI_OK)
        cli_print(request, answer);
    json_object_put(answer);
    curl_global_cleanup();
    return status;
}

static int run(const struct cli_request *request) {
    struct server_config config;
    char error[256] = "";
    int status;
    bool serve = strcmp(request->command->name, "serve") == 0;
    int r = server_config_load(request->config_path, &config, error, sizeof(error));
    if (r < 0) {
        const char *text = error[0] ? error : strerror(-r);
        if (serve)
            log_event(LOG_LEVEL_ERROR, MSG_CONFIG, text, LOG_ERRNO(r));
        else
            fprintf(stderr, "devtrust-server: %s\n", text);
        status = CLI_USAGE;
    } else if (strcmp(request->command->name, "init") == 0)
        status = secret_harden_openssl(SECURE_ARENA) < 0 ? CLI_NO : init_run(&config, request);
    else if (serve) {
        log_init("devtrust-server", (enum log_level)((int)LOG_LEVEL_ERROR + config.log_level));
        status = secret_harden_openssl(SECURE_ARENA) < 0 ? CLI_NO : serve_run(&config);
    } else
        status = client(&config, request);
    server_config_deinit(&config);
    return status;
}

int main(int argc, char *argv[]) {
    struct cli_request request;
    umask(077);
    log_init("devtrust-server", LOG_LEVEL_INFO);
    if (secret_harden_process() < 0)
        return CLI_NO;
    const struct command local[] = {init_command, serve_command};
    int status = CLI_USAGE;
    if (cli_parse(argc, argv, local, 2, &request) >= 0) {
        if (request.help) {
            cli_help(local, 2, request.command);
            status = CLI_OK;
        } else if (request.version) {
            puts("devtrust-server " DEVTRUST_VERSION);
            status = CLI_OK;
        } else
            status = run(&request);
    }
    cli_request_deinit(&request);
    return status;
}
