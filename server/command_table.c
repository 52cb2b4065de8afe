/* The table of commands. */
#include "server/command_table.h"

#include "server/assignment.h"
#include "server/certificate.h"
#include "server/token.h"
#include "server/user.h"

#include <string.h>

#define TEXT(name_, shown_, maximum_, help_)                                                       \
    { .name = (name_), .shown = (shown_), .minimum = 1, .maximum = (maximum_), .help = (help_) }
#define POSITIONAL(name_, shown_, maximum_, help_)                                                 \
    {                                                                                              \
        .name = (name_), .shown = (shown_), .positional = true, .minimum = 1,                      \
        .maximum = (maximum_), .help = (help_)                                                     \
    }

#define USER POSITIONAL("user", "USER", SERVER_USER_ID_SIZE - 1, "the server's id of the user")
#define DEVICE POSITIONAL("device", "DEVICE", SERVER_UUID_SIZE - 1, "the device's UUID")

const struct command command_table[] = {
    {
        .words = "token create",
        .name = "token-create",
        .help = "Make an enrolment token; it is shown once.",
        .arguments =
            {
                {.name = "uses",
                 .shown = "N",
                 .type = COMMAND_INT,
                 .minimum = 1,
                 .maximum = TOKEN_MAX_USES,
                 .help = "how many devices may enrol with it (1)"},
                {.name = "expires",
                 .shown = "DURATION",
                 .type = COMMAND_DURATION,
                 .minimum = 1,
                 .maximum = TOKEN_MAX_EXPIRES_S,
                 .help = "how long it is good (24h)"},
            },
        .value = "token",
    },
    {
        .words = "token list",
        .name = "token-list",
        .help = "Enrolment tokens, without their secrets.",
        .rows = "tokens",
        .columns =
            {
                {"ID", "id", COMMAND_PLAIN},
                {"STATE", "state", COMMAND_PLAIN},
                {"USED", "used", COMMAND_PLAIN},
                {"USES", "uses", COMMAND_PLAIN},
                {"EXPIRES", "expires_at", COMMAND_TIME},
            },
    },
    {
        .words = "token revoke",
        .name = "token-revoke",
        .help = "Make a token useless.",
        .arguments = {POSITIONAL("id", "ID", TOKEN_ID_LENGTH, "the part before the dot")},
    },
    {
        .words = "user add",
        .name = "user-add",
        .help = "Add a managed user.",
        .arguments =
            {
                POSITIONAL(
                    "id", "ID", SERVER_USER_ID_SIZE - 1, "1 to 64 letters, digits and . _ @ -"),
                TEXT("name", "NAME", SERVER_USER_NAME_SIZE - 1, "the name that people read"),
                TEXT("mail", "MAIL", USER_MAX_MAIL - 1, "goes into the certificate"),
                TEXT(
                    "upn", "UPN", USER_MAX_MAIL - 1,
                    "user principal name, goes into the certificate"),
            },
    },
    {
        .words = "user list",
        .name = "user-list",
        .help = "Managed users.",
        .rows = "users",
        .columns =
            {
                {"ID", "id", COMMAND_PLAIN},
                {"NAME", "name", COMMAND_PLAIN},
                {"MAIL", "mail", COMMAND_PLAIN},
                {"DEVICES", "devices", COMMAND_PLAIN},
            },
    },
    {
        .words = "user remove",
        .name = "user-remove",
        .help = "End a user's assignments and certificates.",
        .arguments = {POSITIONAL("id", "ID", SERVER_USER_ID_SIZE - 1, "the user's id")},
    },
    {
        .words = "device list",
        .name = "device-list",
        .help = "Enrolled and removed devices.",
        .rows = "devices",
        .columns =
            {
                {"DEVICE", "uuid", COMMAND_PLAIN},
                {"STATE", "state", COMMAND_PLAIN},
                {"USERS", "users", COMMAND_PLAIN},
                {"ENROLLED", "enrolled_at", COMMAND_TIME},
            },
    },
    {
        .words = "device remove",
        .name = "device-remove",
        .help = "End a device's assignments and certificates; it is told.",
        .arguments = {DEVICE},
    },
    {
        .words = "device resume",
        .name = "device-resume",
        .help = "Let a suspended device enrol once more with a new key.",
        .arguments = {DEVICE},
    },
    {
        .words = "assign",
        .name = "assign",
        .help = "Manage a user on a device, as the account of a name.",
        .arguments =
            {
                USER,
                DEVICE,
                POSITIONAL(
                    "local_name", "LOCALNAME", ASSIGNMENT_MAX_LOCAL_NAME,
                    "the account's name on the device"),
            },
    },
    {
        .words = "unassign",
        .name = "unassign",
        .help = "End that; the user's certificates there are revoked.",
        .arguments = {USER, DEVICE},
    },
    {
        .words = "assignment list",
        .name = "assignment-list",
        .help = "Who is managed where.",
        .arguments =
            {
                TEXT("user", "USER", SERVER_USER_ID_SIZE - 1, "of this user only"),
                TEXT("device", "DEVICE", SERVER_UUID_SIZE - 1, "on this device only"),
            },
        .rows = "assignments",
        .columns =
            {
                {"USER", "user", COMMAND_PLAIN},
                {"DEVICE", "device", COMMAND_PLAIN},
                {"LOCAL NAME", "local_name", COMMAND_PLAIN},
            },
    },
    {
        .words = "distribution status",
        .name = "distribution-status",
        .help = "Where the switch stands.",
        .value = "distribution",
    },
    {
        .words = "distribution",
        .name = "distribution",
        .help = "The switch. `off` revokes all users' certificates.",
        .arguments = {POSITIONAL("value", "on|paused|off", 6, "paused touches nothing on devices")},
        .value = "distribution",
    },
    {
        .words = "certificate list",
        .name = "certificate-list",
        .help = "Certificates, the newest first.",
        .arguments =
            {
                TEXT("user", "USER", SERVER_USER_ID_SIZE - 1, "of this user only"),
                TEXT("device", "DEVICE", SERVER_UUID_SIZE - 1, "on this device only"),
            },
        .rows = "certificates",
        .columns =
            {
                {"SERIAL", "serial", COMMAND_PLAIN},
                {"KIND", "kind", COMMAND_PLAIN},
                {"STATE", "state", COMMAND_PLAIN},
                {"USER", "user", COMMAND_PLAIN},
                {"EXPIRES", "not_after", COMMAND_TIME},
            },
    },
    {
        .words = "certificate revoke",
        .name = "certificate-revoke",
        .help = "Revoke one certificate.",
        .arguments = {POSITIONAL("serial", "SERIAL", X509_SERIAL_HEX_SIZE - 1, "hex digits")},
    },
    {
        .words = "explain",
        .name = "explain",
        .help = "What the portal told the visitor with this reference.",
        .arguments = {POSITIONAL("reference", "REFERENCE", 64, "such as DT-01-7K3QX9F")},
        .columns =
            {
                {"reference", "reference", COMMAND_PLAIN},
                {"code", "code", COMMAND_PLAIN},
                {"meaning", "text", COMMAND_PLAIN},
                {"what to do", "remedy", COMMAND_PLAIN},
                {"shown", "first_at", COMMAND_TIME},
                {"last", "last_at", COMMAND_TIME},
                {"browser", "browser", COMMAND_PLAIN},
                {"user", "user", COMMAND_PLAIN},
                {"device", "device", COMMAND_PLAIN},
                {"certificate", "serial", COMMAND_PLAIN},
                {"now", "now", COMMAND_PLAIN},
            },
    },
    {
        .words = "status",
        .name = "status",
        .help = "What the server is and holds.",
        .columns =
            {
                {"organisation", "organisation", COMMAND_PLAIN},
                {"devices enrol at", "url", COMMAND_PLAIN},
                {"ca pin", "ca_pin", COMMAND_PLAIN},
                {"portal", "portal_url", COMMAND_PLAIN},
                {"distribution", "distribution", COMMAND_PLAIN},
                {"users", "users", COMMAND_PLAIN},
                {"devices", "devices", COMMAND_PLAIN},
                {"connected", "connected", COMMAND_PLAIN},
            },
    },
};
const size_t command_count = sizeof(command_table) / sizeof(command_table[0]);

const struct command *command_find(const char *name) {
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(command_table[i].name, name) == 0)
            return &command_table[i];
    return NULL;
}
