/* The command line: one table of commands and one of options, from which dispatch and every --help
 * come. */
#include "ipc/ctl/ctl.h"

#include "ipc/ctl/text.h"

#include "common/cleanup.h"
#include "common/json_fields.h"
#include "common/json_gate.h"
#include "common/paths.h"
#include "common/version.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BIT(option_) (1u << CTL_OPTION_##option_)
#define COMMON_OPTIONS (BIT(HELP) | BIT(JSON) | BIT(SOCKET) | BIT(TIMEOUT))
#define MAX_TIMEOUT_S 86400

static const struct option_row {
    const char *name;
    const char *argument; /* NULL: takes none */
    const char *help;
} options[] = {
    [CTL_OPTION_HELP] = {"help", NULL, "Say what a command does and takes."},
    [CTL_OPTION_VERSION] = {"version", NULL, "Print the version."},
    [CTL_OPTION_JSON] = {"json", NULL, "Print JSON, errors too."},
    [CTL_OPTION_SOCKET] = {"socket", "PATH", "Where devtrustd listens (" PATH_DAEMON_SOCKET ")."},
    [CTL_OPTION_TIMEOUT] = {"timeout", "SECONDS", "How long to wait for an answer; 0: for ever."},
    [CTL_OPTION_USER] = {"user", "NAME", "Another managed user than yourself (root)."},
    [CTL_OPTION_CONSOLE_USER] = {"console-user", NULL, "The user active at seat0 (root)."},
    [CTL_OPTION_ALL_USERS] = {"all-users", NULL, "Every managed user (root)."},
    [CTL_OPTION_PEM] = {"pem", NULL, "Print the certificates in PEM form only."},
    [CTL_OPTION_TOKEN_FILE] =
        {"token-file", "FILE|-", "File with the enrolment token; -: standard input."},
    [CTL_OPTION_CA_PIN] =
        {"ca-pin", "HEX",
         "SHA-256 of the public key of the CA behind the server's TLS certificate; without it, "
         "the system's CAs decide."},
    [CTL_OPTION_MORE] = {"more", NULL, "Ask for a stream; each reply is printed as it comes."},
    [CTL_OPTION_ONEWAY] = {"oneway", NULL, "Do not wait for an answer."},
};

static const struct command {
    const char *name;
    const char *operands;
    unsigned min_operands, max_operands;
    unsigned options, required;
    int timeout_s;
    int (*run)(struct ctl *, const struct ctl_arguments *);
    const char *help;   /* one line */
    const char *detail; /* for its own --help */
} commands[] = {
    {
        .name = "status",
        .timeout_s = 15,
        .run = ctl_status,
        .help = "Show the device, its server and its managed users",
        .detail =
            "As root: every managed user; otherwise yourself. Exits with 0 if all is well, with 1 "
            "if the device is not enrolled, distribution is not on, or a user has no valid "
            "certificate, with 5 if the server has refused.",
    },
    {
        .name = "cert show",
        .options = BIT(USER) | BIT(CONSOLE_USER) | BIT(ALL_USERS) | BIT(PEM),
        .timeout_s = 45,
        .run = ctl_cert_show,
        .help = "Show the certificates that are in the stores now",
        .detail = "Asks the user's agent, which reads the stores and tries the key. Yours, unless "
                  "root asks "
                  "for another user. Exits with 1 if there is none, it has expired, or an agent "
                  "did not answer.",
    },
    {
        .name = "enroll",
        .operands = "URL",
        .min_operands = 1,
        .max_operands = 1,
        .options = BIT(TOKEN_FILE) | BIT(CA_PIN),
        .required = BIT(TOKEN_FILE),
        .timeout_s = 90,
        .run = ctl_enroll,
        .help = "Enrol this device (root)",
        .detail = "URL is that of the server's device listener, https://HOST[:PORT]. The token "
                  "comes from "
                  "the administrator (devtrust-server token create). It is never an argument, "
                  "since every "
                  "user of the machine could read it there.",
    },
    {
        .name = "renew",
        .options = BIT(USER),
        .timeout_s = 30,
        .run = ctl_renew,
        .help = "Ask for a new certificate now",
        .detail = "Yours; as root: of every managed user, or of one with --user. As root it also "
                  "ends a local "
                  "hold that `remove` has made.",
    },
    {
        .name = "remove",
        .options = BIT(USER),
        .timeout_s = 90,
        .run = ctl_remove,
        .help = "Remove everything of ours from this device (root)",
        .detail = "Certificates, keys and browser policy of every managed user, or of one with "
                  "--user. It stays "
                  "so until `devtrustctl renew` as root, or an enrolment.",
    },
    {
        .name = "ipc call",
        .operands = "METHOD [JSON]",
        .min_operands = 1,
        .max_operands = 2,
        .options = BIT(MORE) | BIT(ONEWAY),
        .timeout_s = 30,
        .run = ctl_ipc_call,
        .help = "Call a method of devtrustd's Varlink interfaces",
        .detail =
            "METHOD is a full name, io.devtrust.Device.GetStatus; JSON its parameters, an object.",
    },
    {
        .name = "ipc info",
        .timeout_s = 15,
        .run = ctl_ipc_info,
        .help = "Say what answers on the socket, and its interfaces",
        .detail = "Calls org.varlink.service.GetInfo.",
    },
    {
        .name = "ipc introspect",
        .operands = "[INTERFACE]",
        .max_operands = 1,
        .timeout_s = 15,
        .run = ctl_ipc_introspect,
        .help = "Print an interface's description, or all of them",
        .detail = "Calls org.varlink.service.GetInterfaceDescription.",
    },
};

/* ---- help ---- */

static void help_options(const struct ctl *ctl, unsigned set) {
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        char label[64];
        if (!(set & (1u << i)))
            continue;
        snprintf(
            label, sizeof label, "  --%s%s%s", options[i].name, options[i].argument ? " " : "",
            options[i].argument ? options[i].argument : "");
        text_paragraph(ctl, ctl->out, label, 24, options[i].help, TEXT_PLAIN);
    }
}

static void help_program(const struct ctl *ctl) {
    fprintf(
        ctl->out,
        "Usage: devtrustctl COMMAND [OPTIONS]\n"
        "See and steer devtrust on this device: certificates that prove it is managed.\n\n"
        "Commands:\n");
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        fprintf(ctl->out, "  %-22s%s\n", commands[i].name, commands[i].help);
    fprintf(ctl->out, "\nOptions of every command:\n");
    help_options(ctl, COMMON_OPTIONS | BIT(VERSION));
    fputc('\n', ctl->out);
    text_paragraph(
        ctl, ctl->out, "Exit status:", 14,
        "0 good, 1 the answer is no, 2 usage, 3 devtrustd cannot be reached, 4 not permitted, "
        "5 refused by the server. `devtrustctl COMMAND --help` says more.",
        TEXT_PLAIN);
}

static void help_command(const struct ctl *ctl, const struct command *command) {
    fprintf(
        ctl->out, "Usage: devtrustctl %s%s%s [OPTIONS]\n%s.\n\n", command->name,
        command->operands ? " " : "", command->operands ? command->operands : "", command->help);
    text_paragraph(ctl, ctl->out, "", 0, command->detail, TEXT_PLAIN);
    if (command->options) {
        fprintf(ctl->out, "\nOptions:\n");
        help_options(ctl, command->options);
    }
    fprintf(ctl->out, "\nOptions of every command:\n");
    help_options(ctl, COMMON_OPTIONS);
}

/* ---- failures ---- */

static int add_member(struct json_object *object, const char *name, const char *value) {
    char safe[TEXT_SAFE_SIZE];
    return value ? json_fields_add_string(object, name, text_safe(value, safe)) : 0;
}

/* {"error": {code, text, detail, remedy}} */
static int fail_as_json(
    struct ctl *ctl, const char *code, const char *text, const char *detail, const char *remedy) {
    struct json_object CLEANUP_JSON *object = json_object_new_object();
    struct json_object *inner = json_object_new_object();
    if (!object || json_fields_add(object, "error", inner) < 0)
        return -1;
    if (add_member(inner, "code", code) < 0 || add_member(inner, "text", text) < 0 ||
        add_member(inner, "detail", detail) < 0 || add_member(inner, "remedy", remedy) < 0)
        return -1;
    ctl_print_json(ctl, object);
    return 0;
}

int ctl_fail_with(
    struct ctl *ctl, int status, const char *code, const char *text, const char *detail,
    const char *remedy) {
    if (ctl->json && fail_as_json(ctl, code, text, detail, remedy) == 0)
        return status;
    char safe_text[TEXT_SAFE_SIZE], safe_detail[TEXT_SAFE_SIZE], safe_remedy[TEXT_SAFE_SIZE];
    fprintf(
        ctl->err, "devtrustctl%s%s: %s%s%s\n", ctl->command ? " " : "",
        ctl->command ? ctl->command : "", text_safe(text, safe_text), detail && *detail ? " " : "",
        text_safe(detail, safe_detail));
    if (remedy && *remedy)
        fprintf(ctl->err, "%s\n", text_safe(remedy, safe_remedy));
    return status;
}

int ctl_fail(struct ctl *ctl, enum reason reason) {
    return ctl_fail_with(
        ctl, reason_exit_status(reason), reason_code(reason), reason_text(reason), NULL,
        reason_remedy(reason));
}

int ctl_usage(struct ctl *ctl, const char *text, const char *argument) {
    char remedy[96];
    snprintf(
        remedy, sizeof remedy, "Try: devtrustctl%s%s --help", ctl->command ? " " : "",
        ctl->command ? ctl->command : "");
    return ctl_fail_with(ctl, CTL_USAGE, "usage", text, argument, remedy);
}

void ctl_print_json(struct ctl *ctl, struct json_object *value) {
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE;
    flags |= ctl->json ? JSON_C_TO_STRING_PLAIN : JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
    const char *text = json_object_to_json_string_ext(value, flags);
    if (text)
        fprintf(ctl->out, "%s\n", text);
}

int64_t ctl_system_now(void) {
    return (int64_t)time(NULL);
}

/* ---- parsing ---- */

static int parse_option(
    struct ctl *ctl, const struct command *command, int argc, char *const *argv, int *at,
    struct ctl_arguments *arguments) {
    const char *text = argv[*at] + 2;
    size_t length = strcspn(text, "=");
    unsigned allowed = COMMON_OPTIONS | (command ? command->options : BIT(VERSION));
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        if (!(allowed & (1u << i)) || strlen(options[i].name) != length ||
            memcmp(options[i].name, text, length) != 0)
            continue;
        if (arguments->options[i] && options[i].argument)
            return ctl_usage(ctl, "This option is given twice:", argv[*at]);
        if (text[length] == '=' && !options[i].argument)
            return ctl_usage(ctl, "This option takes no argument:", argv[*at]);
        if (text[length] == '=')
            arguments->options[i] = text + length + 1;
        else if (!options[i].argument)
            arguments->options[i] = "";
        else if (*at + 1 < argc)
            arguments->options[i] = argv[++*at];
        else
            return ctl_usage(ctl, "This option needs an argument:", argv[*at]);
        return CTL_GOOD;
    }
    return ctl_usage(ctl, "There is no such option here:", argv[*at]);
}

static int parse_arguments(
    struct ctl *ctl, const struct command *command, int argc, char *const *argv,
    struct ctl_arguments *ret) {
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
            int status = parse_option(ctl, command, argc, argv, &i, ret);
            if (status != CTL_GOOD)
                return status;
        } else if (!only_operands && strcmp(argv[i], "-h") == 0) {
            ret->options[CTL_OPTION_HELP] = "";
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1]) {
            return ctl_usage(ctl, "There is no such option here:", argv[i]);
        } else if (command && ret->operand_count < command->max_operands) {
            ret->operands[ret->operand_count++] = argv[i];
        } else {
            return ctl_usage(
                ctl, command ? "Too many arguments:" : "There is no such command:", argv[i]);
        }
    }
    return CTL_GOOD;
}

static int apply_timeout(struct ctl *ctl, const char *text, const struct command *command) {
    if (!text) {
        ctl->timeout_ms = command->timeout_s * 1000;
        return CTL_GOOD;
    }
    char *end = NULL;
    long seconds = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || seconds > MAX_TIMEOUT_S)
        return ctl_usage(ctl, "--timeout takes whole seconds, 0 to 86400; not", text);
    ctl->timeout_ms = seconds == 0 ? -1 : (int)seconds * 1000;
    return CTL_GOOD;
}

static int check_required(
    struct ctl *ctl, const struct command *command, const struct ctl_arguments *arguments) {
    char missing[64];
    if (arguments->operand_count < command->min_operands)
        return ctl_usage(ctl, "This is missing:", command->operands);
    for (size_t i = 0; i < CTL_OPTION_COUNT_; i++) {
        if (!(command->required & (1u << i)) || arguments->options[i])
            continue;
        snprintf(missing, sizeof missing, "--%s %s", options[i].name, options[i].argument);
        return ctl_usage(ctl, "This is missing:", missing);
    }
    return CTL_GOOD;
}

static int run_command(
    struct ctl *ctl, const struct command *command, int argc, char *const *argv) {
    struct ctl_arguments arguments = {0};
    ctl->command = command->name;
    int status = parse_arguments(ctl, command, argc, argv, &arguments);
    if (status != CTL_GOOD)
        return status;
    if (arguments.options[CTL_OPTION_HELP]) {
        help_command(ctl, command);
        return CTL_GOOD;
    }
    status = check_required(ctl, command, &arguments);
    if (status == CTL_GOOD)
        status = apply_timeout(ctl, arguments.options[CTL_OPTION_TIMEOUT], command);
    if (status != CTL_GOOD)
        return status;
    ctl->json = arguments.options[CTL_OPTION_JSON] != NULL;
    const char *path = arguments.options[CTL_OPTION_SOCKET];
    ctl->socket_path = path ? path : PATH_DAEMON_SOCKET;
    return command->run(ctl, &arguments);
}

/* How many words of argv are this command's name; 0: it is another one. */
static int command_words(const struct command *command, int argc, char *const *argv) {
    const char *at = command->name;
    for (int words = 0; words < argc; words++) {
        size_t length = strlen(argv[words]);
        if (length == 0 || strncmp(at, argv[words], length) != 0)
            return 0;
        if (at[length] == '\0')
            return words + 1;
        if (at[length] != ' ')
            return 0;
        at += length + 1;
    }
    return 0;
}

static int run_without_command(struct ctl *ctl, int argc, char *const *argv) {
    struct ctl_arguments arguments = {0};
    if (argc == 0)
        return ctl_usage(ctl, "Which command?", NULL);
    int status = parse_arguments(ctl, NULL, argc, argv, &arguments);
    if (status != CTL_GOOD)
        return status;
    if (arguments.options[CTL_OPTION_VERSION])
        fprintf(ctl->out, "devtrustctl %s\n", DEVTRUST_VERSION);
    else if (arguments.options[CTL_OPTION_HELP])
        help_program(ctl);
    else
        return ctl_usage(ctl, "Which command?", NULL);
    return CTL_GOOD;
}

/* --json before anything else is looked at, so that even a usage error is JSON where it is wanted
 */
static bool wants_json(int argc, char *const *argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

int ctl_main(struct ctl *ctl, int argc, char *const *argv) {
    ctl->json = wants_json(argc, argv);
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        int words = command_words(&commands[i], argc - 1, argv + 1);
        if (words > 0)
            return run_command(ctl, &commands[i], argc - 1 - words, argv + 1 + words);
    }
    return run_without_command(ctl, argc > 0 ? argc - 1 : 0, argv + 1);
}
