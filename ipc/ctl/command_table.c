/* See command_table.h. */
#include "ipc/ctl/command_table.h"

#include "ipc/ctl/ctl.h"

#include "common/cleanup.h"
#include "common/paths.h"

#include <string.h>

#define BIT(option_) CTL_BIT(CTL_OPTION_##option_)

const uint64_t command_common_options = BIT(HELP) | BIT(JSON) | BIT(SOCKET) | BIT(TIMEOUT);
const uint64_t command_no_command_options =
    BIT(HELP) | BIT(JSON) | BIT(SOCKET) | BIT(TIMEOUT) | BIT(VERSION);

const struct option_row option_table[CTL_OPTION_COUNT_] = {
    [CTL_OPTION_HELP] = {"help", .help = "Say what a command does and takes."},
    [CTL_OPTION_VERSION] = {"version", .help = "Print the version."},
    [CTL_OPTION_JSON] = {"json", .help = "Print JSON, errors too."},
    [CTL_OPTION_SOCKET] =
        {"socket", "PATH", ARGUMENT_FILE,
         .help = "Where devtrustd listens (" PATH_DAEMON_SOCKET ")."},
    [CTL_OPTION_TIMEOUT] =
        {"timeout", "SECONDS", ARGUMENT_SECONDS, .help = "How long to wait; 0: for ever."},
    [CTL_OPTION_USER] = {"user", "NAME", ARGUMENT_USER, true, "This managed user only."},
    [CTL_OPTION_CONSOLE_USER] = {"console-user", .root = true, .help = "The user active at seat0."},
    [CTL_OPTION_ALL_USERS] = {"all-users", .root = true, .help = "Every managed user."},
    [CTL_OPTION_PEM] = {"pem", .help = "Print the certificates in PEM form only."},
    [CTL_OPTION_PKCS11_URI] =
        {"pkcs11-uri", .help = "Print only the name by which other programs find certificate and "
                               "key (RFC 7512)."},
    [CTL_OPTION_TOKEN_FILE] =
        {"token-file", "FILE|-", ARGUMENT_FILE,
         .help = "File with the enrolment token; -: standard input."},
    [CTL_OPTION_CA_PIN] =
        {"ca-pin", "HEX", ARGUMENT_TEXT,
         .help = "SHA-256 of the public key of the CA behind the server's TLS certificate; without "
                 "it, the system's CAs decide."},
    [CTL_OPTION_MORE] = {"more", .help = "Ask for a stream; each reply is printed as it comes."},
    [CTL_OPTION_ONEWAY] = {"oneway", .help = "Do not wait for an answer."},
    [CTL_OPTION_EVERYWHERE] =
        {"everywhere", .help = "Wait until it is done, and for users who are not signed in run "
                               "their agent as them."},
    [CTL_OPTION_BRIDGE] =
        {"bridge", "COMMAND", ARGUMENT_TEXT,
         .help = "Reach the daemon through this program instead of the socket, such as \"ssh HOST "
                 "devtrustctl ipc bridge\". Its words are separated by blanks; no shell reads "
                 "them. That what answers runs as root is not checked here: only the far end can "
                 "know, and `ipc bridge` looks."},
    [CTL_OPTION_ONLY_USER] =
        {"user", "NAME", ARGUMENT_USER, .help = "What concerns this local user only."},
    [CTL_OPTION_METHOD] =
        {"method", "NAME", ARGUMENT_METHOD,
         .help = "Calls of this method only, or of all that begin so if it ends in a dot: "
                 "Agent.Submit, Agent., org.varlink.service."},
    [CTL_OPTION_VERBOSE] =
        {"verbose", .help = "Show what does not fit on lines of its own instead of cutting it."},
    [CTL_OPTION_RECORD] =
        {"record", "FILE", ARGUMENT_FILE, .help = "Write it to a new file, for ipc replay."},
    [CTL_OPTION_PACED] = {"paced", .help = "Let as much time pass in between as there was."},
    [CTL_OPTION_INTERVAL] =
        {"interval", "SECONDS", ARGUMENT_SECONDS, .help = "How often to look; 1 by default."},
    [CTL_OPTION_SAMPLES] =
        {"count", "NUMBER", ARGUMENT_TEXT,
         .help = "End after so many looks; on a terminal never by default, otherwise after 1."},
    [CTL_OPTION_PAGE] =
        {"page", .help = "Show it as a page in the browser of the person who is signed in."},
};

const char *const command_group_names[COMMAND_GROUP_COUNT_] = {
    [COMMAND_GROUP_DEVICE] = "Device",   [COMMAND_GROUP_PEOPLE] = "People's certificates",
    [COMMAND_GROUP_TROUBLE] = "Trouble", [COMMAND_GROUP_IPC] = "Local interface",
    [COMMAND_GROUP_OTHER] = "Other",
};

const struct command command_table[] = {
    /* ---- device ---- */
    {
        .name = "status",
        .group = COMMAND_GROUP_DEVICE,
        .options = BIT(PAGE),
        .timeout_s = 15,
        .run = ctl_status,
        .help = "Show the device, its server and its managed users",
        .detail =
            "As root: every managed user; otherwise whether you are trusted, until when, in which "
            "browsers, and what to do. Exits with 0 if all is well, with 1 "
            "if the device is not enrolled, distribution is not on, or a user has no valid "
            "certificate, with 5 if the server has refused.",
    },
    {
        .name = "enroll",
        .group = COMMAND_GROUP_DEVICE,
        .root = true,
        .operands = {{"URL", ARGUMENT_TEXT, false}},
        .options = BIT(TOKEN_FILE) | BIT(CA_PIN),
        .required = BIT(TOKEN_FILE),
        .timeout_s = 90,
        .run = ctl_enroll,
        .help = "Enrol this device",
        .detail = "URL is that of the server's device listener, https://HOST[:PORT]. The token "
                  "comes from the administrator (devtrust-server token create). It is never an "
                  "argument, since every user of the machine could read it there.",
        .examples = "enroll https://trust.example:8443 --token-file token\n"
                    "enroll https://trust.example --token-file - --ca-pin PIN <token",
    },
    {
        .name = "remove",
        .group = COMMAND_GROUP_DEVICE,
        .root = true,
        .options = BIT(USER) | BIT(EVERYWHERE),
        .timeout_s = 90,
        .run = ctl_remove,
        .help = "Remove everything of ours from this device",
        .detail =
            "Certificates, keys and browser policy of every managed user, or of one with "
            "--user. It stays so until `devtrustctl renew` as root, or an enrolment. Who is not "
            "signed in is cleaned at the next sign-in, or now with --everywhere, which exits "
            "with 1 and names those whose certificate could not be removed.",
        .examples = "remove --user ada\n"
                    "remove --everywhere",
    },
    /* ---- people's certificates ---- */
    {
        .name = "cert show",
        .group = COMMAND_GROUP_PEOPLE,
        .options = BIT(USER) | BIT(CONSOLE_USER) | BIT(ALL_USERS) | BIT(PEM) | BIT(PKCS11_URI),
        .timeout_s = 45,
        .run = ctl_cert_show,
        .help = "Show the certificates that are in the stores now",
        .detail = "Asks the user's agent, which reads the stores and tries the key. Yours, unless "
                  "root asks for another user. Exits with 1 if there is none, it has expired, or "
                  "an agent did not answer.",
        .examples = "cert show\n"
                    "cert show --all-users --json\n"
                    "cert show --pem | openssl x509 -noout -text\n"
                    "cert show --pkcs11-uri",
    },
    {
        .name = "renew",
        .group = COMMAND_GROUP_PEOPLE,
        .options = BIT(USER),
        .timeout_s = 30,
        .run = ctl_renew,
        .help = "Ask for a new certificate now",
        .detail = "Yours; as root: of every managed user, or of one with --user. As root it also "
                  "ends a local hold that `remove` has made.",
    },
    /* ---- trouble ---- */
    {
        .name = "doctor",
        .group = COMMAND_GROUP_TROUBLE,
        .options = BIT(USER) | BIT(CONSOLE_USER) | BIT(ALL_USERS),
        .timeout_s = 45,
        .run = ctl_doctor,
        .help = "Say whether all is well, and if not, what to do",
        .detail =
            "Looks now at the device, its server, its browsers, and at your certificate stores "
            "through your agent; as root at those of the users that are named. Exits with 1 if a "
            "check fails (a warning is no failure), with 3 if devtrustd cannot be reached, with 4 "
            "if what listens is not root's; then it says what it can see from outside.",
        .examples = "doctor\n"
                    "doctor --user ada\n"
                    "doctor --all-users --json",
    },
    {
        .name = "repair",
        .group = COMMAND_GROUP_TROUBLE,
        .options = BIT(USER),
        .timeout_s = 45,
        .run = ctl_repair,
        .help = "Do what the doctor says, where that is safe",
        .detail =
            "Fetches the desired state, opens the push channel, puts your certificate stores in "
            "order, and asks for a certificate where none is good; as root for every managed user "
            "or for one, and the browser policy and the modes of files, too. Waits until it has "
            "taken effect, half a minute at most. Takes nothing away that works. Exits as the "
            "doctor does for what is left.",
    },
    {
        .name = "report",
        .group = COMMAND_GROUP_TROUBLE,
        .operands = {{"FILE", ARGUMENT_FILE, false}},
        .timeout_s = 45,
        .run = ctl_report,
        .help = "Write a report for a support ticket",
        .detail =
            "One JSON document: versions, the doctor, the status; as root also log, connections "
            "and statistics of devtrustd. FILE must not exist; -: standard output. User names, "
            "home directories and mail addresses are replaced, always the same by the same; keys "
            "and tokens are never in it. Says what it put in and what it took out.",
        .examples = "report ticket.json",
    },
    {
        .name = "explain",
        .group = COMMAND_GROUP_TROUBLE,
        .operands = {{"CODE", ARGUMENT_CODE, true}},
        .timeout_s = 1,
        .run = ctl_explain,
        .help = "Say what a code means and what to do",
        .detail = "CODE is what other commands show in brackets, and in JSON as `code`, or the "
                  "reference that a portal's page shows. Without it: all codes. Exits with 1 where "
                  "this version knows no such code. Asks no daemon.",
        .examples = "explain no-agent\n"
                    "explain DT-01-7K3QX9F\n"
                    "explain --json",
    },
    /* ---- local interface ---- */
    {
        .name = "ipc info",
        .group = COMMAND_GROUP_IPC,
        .options = BIT(BRIDGE),
        .timeout_s = 15,
        .run = ctl_ipc_info,
        .help = "Say what answers on the socket, and its interfaces",
        .detail = "Calls org.varlink.service.GetInfo.",
    },
    {
        .name = "ipc introspect",
        .group = COMMAND_GROUP_IPC,
        .operands = {{"INTERFACE", ARGUMENT_INTERFACE, true}},
        .options = BIT(BRIDGE),
        .timeout_s = 15,
        .run = ctl_ipc_introspect,
        .help = "Print an interface's description, or all of them",
        .detail = "Calls org.varlink.service.GetInterfaceDescription.",
        .examples = "ipc introspect io.devtrust.Device",
    },
    {
        .name = "ipc call",
        .group = COMMAND_GROUP_IPC,
        .operands = {{"METHOD", ARGUMENT_METHOD, false}, {"JSON", ARGUMENT_TEXT, true}},
        .options = BIT(MORE) | BIT(ONEWAY) | BIT(BRIDGE),
        .timeout_s = 30,
        .run = ctl_ipc_call,
        .help = "Call a method of devtrustd's Varlink interfaces",
        .detail =
            "METHOD is a full name, io.devtrust.Device.GetStatus; JSON its parameters, an object.",
        .examples = "ipc call io.devtrust.Device.GetStatus\n"
                    "ipc call io.devtrust.Device.GetCertificates '{\"user\": \"ada\"}'\n"
                    "ipc call io.devtrust.Agent.Watch '{\"version\": \"1\"}' --more",
    },
    {
        .name = "ipc bridge",
        .group = COMMAND_GROUP_IPC,
        .timeout_s = 15,
        .run = ctl_ipc_bridge,
        .help = "Relay standard input and output to the socket",
        .detail = "So that ssh, systemd-run and the like carry the interface, to another "
                  "devtrustctl with --bridge. It looks into nothing that it carries, and ends when "
                  "either side ends. The far end's rules hold: "
                  "what its user may, and a socket that is root's. --timeout bounds only the "
                  "connecting.",
        .examples = "ipc info --bridge \"ssh root@laptop devtrustctl ipc bridge\"",
    },
    {
        .name = "ipc monitor",
        .group = COMMAND_GROUP_IPC,
        .root = true,
        .options = BIT(ONLY_USER) | BIT(METHOD) | BIT(VERBOSE) | BIT(RECORD) | BIT(BRIDGE),
        .timeout_s = 15,
        .run = ctl_ipc_monitor,
        .help = "Show every message and state change as it happens",
        .detail = "Of all connections, and devtrustd's log, until Ctrl-C; secrets are not shown, "
                  "long texts only by their beginning. With --json one object per line. Exits "
                  "with 3 when devtrustd goes away.",
        .examples = "ipc monitor --user ada --verbose\n"
                    "ipc monitor --method Agent. --record ada.jsonl",
    },
    {
        .name = "ipc replay",
        .group = COMMAND_GROUP_IPC,
        .operands = {{"FILE", ARGUMENT_FILE, false}},
        .options = BIT(ONLY_USER) | BIT(METHOD) | BIT(VERBOSE) | BIT(PACED),
        .timeout_s = 15,
        .run = ctl_ipc_replay,
        .help = "Show a recording of ipc monitor",
        .detail = "As ipc monitor has shown it, on any machine; -: from standard input. Exits "
                  "with 1 where the recording is damaged.",
        .examples = "ipc replay ada.jsonl --method Agent.Submit",
    },
    {
        .name = "ipc top",
        .group = COMMAND_GROUP_IPC,
        .root = true,
        .options = BIT(INTERVAL) | BIT(SAMPLES) | BIT(BRIDGE),
        .timeout_s = 15,
        .run = ctl_ipc_top,
        .help = "Show calls, latencies, users against their limits",
        .detail = "On a terminal in place, until q or Ctrl-C. Latencies are of the last one to "
                  "two minutes. With --json one object per line and look.",
        .examples = "ipc top --interval 5",
    },
    /* ---- other ---- */
    {
        .name = "completion",
        .group = COMMAND_GROUP_OTHER,
        .operands = {{"bash|zsh|users|interfaces|methods", ARGUMENT_WORDS, false}},
        .timeout_s = 1,
        .run = ctl_completion,
        .help = "Print a shell's completion script, or words for it",
        .detail = "bash, zsh: the script; an installation has it in place already, otherwise: "
                  "source <(devtrustctl completion bash). users, interfaces, methods: what the "
                  "script asks while you type, one word per line.",
    },
};

const size_t command_count = ARRAY_LENGTH(command_table);

size_t command_max_operands(const struct command *command) {
    size_t count = 0;
    while (count < COMMAND_MAX_OPERANDS && command->operands[count].name)
        count++;
    return count;
}

size_t command_min_operands(const struct command *command) {
    size_t count = 0;
    while (count < COMMAND_MAX_OPERANDS && command->operands[count].name &&
           !command->operands[count].optional)
        count++;
    return count;
}

bool command_is_of_family(const struct command *command, const char *word) {
    size_t length = strlen(word);
    return strncmp(command->name, word, length) == 0 && command->name[length] == ' ';
}

bool command_begins_family(size_t i) {
    const char *name = command_table[i].name, *space = strchr(name, ' ');
    size_t length = space ? (size_t)(space - name) + 1 : 0;
    for (size_t j = 0; space && j < i; j++)
        if (strncmp(command_table[j].name, name, length) == 0)
            return false;
    return space != NULL;
}
