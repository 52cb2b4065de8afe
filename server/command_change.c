/* The commands that change something; each is one transaction. */
#include "server/commands.h"

#include "common/json_fields.h"
#include "common/random.h"
#include "server/assignment.h"
#include "server/token.h"
#include "server/user.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <string.h>

#define DEFAULT_EXPIRES_S 86400

static int check_device(struct command_call *call, const char *uuid) {
    if (random_uuid_is_valid(uuid))
        return 0;
    return command_refuse(
        call, 400, "\"%s\" is no device UUID; devtrust-server device list prints them.", uuid);
}

/* --- tokens --- */

static int token_create_run(struct command_call *call) {
    char text[TOKEN_TEXT_SIZE];
    int64_t uses = command_int(call, "uses", 1);
    int64_t expires_at = call->now_s + command_int(call, "expires", DEFAULT_EXPIRES_S);
    int r = token_create(call->db, call->server->random, call->now_s, uses, expires_at, text);
    if (r >= 0)
        r = json_fields_add_string(call->answer, "token", text);
    if (r >= 0)
        r = json_fields_add_int(call->answer, "uses", uses);
    if (r >= 0)
        r = json_fields_add_int(call->answer, "expires_at", expires_at);
    OPENSSL_cleanse(text, sizeof(text));
    return r;
}

static int token_revoke_run(struct command_call *call) {
    const char *id = command_text(call, "id");
    int r = token_revoke(call->db, call->now_s, id);
    if (r == -ENOENT)
        return command_refuse(
            call, 404, "There is no token %s that could be revoked; see: token list.", id);
    return r < 0 ? r : command_say(call, "Token %s is revoked.", id);
}

/* --- users --- */

static int user_add_run(struct command_call *call) {
    const char *id = command_text(call, "id");
    const char *name = command_text(call, "name");
    const char *mail = command_text(call, "mail");
    const char *upn = command_text(call, "upn");
    if (!user_id_is_valid(id))
        return command_refuse(
            call, 400, "A user's id is 1 to 64 letters, digits and . _ @ -, not \"%s\".", id);
    if (name && !user_name_is_valid(name))
        return command_refuse(call, 400, "The name has control characters; leave them out.");
    if (mail && !user_mail_is_valid(mail))
        return command_refuse(call, 400, "\"%s\" is no mail address; write user@domain.", mail);
    if (upn && !user_mail_is_valid(upn))
        return command_refuse(
            call, 400, "\"%s\" is no user principal name; write user@domain.", upn);
    int r = user_add(call->db, call->now_s, id, name, mail, upn);
    if (r == -EEXIST)
        return command_refuse(call, 409, "There is a user %s already.", id);
    return r < 0 ? r : command_say(call, "User %s is added.", id);
}

static int collect_devices(struct command_call *call, const char *user) {
    CLEANUP_DB_STATEMENT struct db_statement *rows = NULL;
    int r = db_query(
        call->db, "SELECT device FROM assignments WHERE user_id = ?", DB_VALUES(DB_TEXT(user)),
        &rows);
    while (r >= 0 && (r = db_step(rows)) > 0)
        r = command_notify(call, db_column_text(rows, 0));
    return r;
}

static int user_remove_run(struct command_call *call) {
    const char *id = command_text(call, "id");
    int64_t revoked;
    int r = collect_devices(call, id);
    if (r >= 0)
        r = user_remove(call->db, call->now_s, id, &revoked);
    if (r == -ENOENT)
        return command_refuse(call, 404, "There is no user %s; see: user list.", id);
    return r < 0 ? r
                 : command_say(
                       call, "User %s is removed; %" PRId64 " certificates are revoked.", id,
                       revoked);
}

/* --- devices --- */

static int device_remove_run(struct command_call *call) {
    const char *uuid = command_text(call, "device");
    int64_t revoked;
    int r = check_device(call, uuid);
    if (r >= 0)
        r = device_remove(call->db, call->now_s, uuid, &revoked);
    if (r == -ENOENT)
        return command_refuse(call, 404, "There is no enrolled device %s; see: device list.", uuid);
    if (r >= 0)
        r = command_notify(call, uuid);
    call->drop = true;
    return r < 0 ? r
                 : command_say(
                       call, "Device %s is removed; %" PRId64 " certificates are revoked.", uuid,
                       revoked);
}

static int device_resume_run(struct command_call *call) {
    const char *uuid = command_text(call, "device");
    struct device device;
    int r = check_device(call, uuid);
    if (r >= 0)
        r = device_find(call->db, uuid, &device);
    if (r == -ENOENT)
        return command_refuse(call, 404, "There is no device %s; see: device list.", uuid);
    if (r < 0)
        return r;
    if (device.state != DEVICE_ACTIVE)
        return command_refuse(call, 409, "Device %s was removed; enrol it with a new token.", uuid);
    if (device.reenrolment == REENROLMENT_NONE)
        return command_refuse(call, 409, "Device %s is not suspended.", uuid);
    r = device_set_reenrolment(call->db, uuid, REENROLMENT_ALLOWED);
    return r < 0
               ? r
               : command_say(
                     call, "Device %s may enrol once more; its present certificates end with that.",
                     uuid);
}

/* --- assignments --- */

static int assign_run(struct command_call *call) {
    const char *user = command_text(call, "user");
    const char *device = command_text(call, "device");
    const char *local_name = command_text(call, "local_name");
    if (!assignment_local_name_is_valid(local_name))
        return command_refuse(
            call, 400, "\"%s\" cannot be an account's name; write it as it stands in passwd.",
            local_name);
    int r = check_device(call, device);
    if (r >= 0)
        r = assignment_add(call->db, call->now_s, user, device, local_name);
    switch (r) {
    case -ENOENT:
        return command_refuse(
            call, 404, "There is no user %s; add it first: user add %s.", user, user);
    case -ENODEV:
        return command_refuse(
            call, 404, "There is no enrolled device %s; see: device list.", device);
    case -EEXIST:
        return command_refuse(
            call, 409,
            "%s or the account %s is assigned on this device already; see: assignment list.", user,
            local_name);
    case -E2BIG:
        return command_refuse(
            call, 409, "This device has %d users already; that is the most.",
            ASSIGNMENT_MAX_PER_DEVICE);
    default:
        break;
    }
    if (r >= 0)
        r = command_notify(call, device);
    return r < 0 ? r : command_say(call, "%s is managed on %s as %s.", user, device, local_name);
}

static int unassign_run(struct command_call *call) {
    const char *user = command_text(call, "user");
    const char *device = command_text(call, "device");
    int64_t revoked;
    int r = assignment_remove(call->db, call->now_s, user, device, &revoked);
    if (r == -ENOENT)
        return command_refuse(
            call, 404, "%s is not assigned on %s; see: assignment list.", user, device);
    if (r >= 0)
        r = command_notify(call, device);
    return r < 0 ? r
                 : command_say(
                       call, "%s is no longer managed on %s; %" PRId64 " certificates are revoked.",
                       user, device, revoked);
}

/* --- the switch --- */

static int distribution_run(struct command_call *call) {
    const char *name = command_text(call, "value");
    enum distribution_switch before, value;
    int64_t revoked = 0;
    if (distribution_switch_from_name(name, &value) < 0)
        return command_refuse(call, 400, "Write on, paused or off, not \"%s\".", name);
    int r = settings_distribution(call->db, &before);
    if (r >= 0 && before != value) {
        r = settings_set_distribution(call->db, value);
        if (r >= 0)
            r = settings_bump_fleet(call->db);
        call->notify_all = true;
    }
    if (r >= 0 && value == SWITCH_OFF) {
        r = certificate_revoke_all(
            call->db, &(struct certificate_filter){.kind = CERTIFICATE_USER}, CRL_REASON_CESSATION,
            call->now_s);
        revoked = r;
    }
    if (r >= 0)
        r = json_fields_add_string(call->answer, "distribution", name);
    return r < 0 ? r : json_fields_add_int(call->answer, "revoked", revoked);
}

/* --- certificates --- */

/* A device whose certificate is revoked loses its open stream with it. */
static int end_stream_of(struct command_call *call, const char *serial) {
    CLEANUP_DB_STATEMENT struct db_statement *row = NULL;
    int r = db_query(
        call->db, "SELECT device FROM certificates WHERE serial = ? AND kind = 1",
        DB_VALUES(DB_TEXT(serial)), &row);
    if (r >= 0)
        r = db_step(row);
    if (r <= 0)
        return r;
    call->drop = true;
    return command_notify(call, db_column_text(row, 0));
}

static int certificate_revoke_run(struct command_call *call) {
    const char *serial = command_text(call, "serial");
    int r = certificate_revoke_all(
        call->db, &(struct certificate_filter){.serial = serial}, CRL_REASON_PRIVILEGE_WITHDRAWN,
        call->now_s);
    if (r == 0)
        return command_refuse(
            call, 404, "There is no certificate %s that could be revoked; see: certificate list.",
            serial);
    if (r >= 0)
        r = end_stream_of(call, serial);
    return r < 0 ? r : command_say(call, "Certificate %s is revoked.", serial);
}

const struct command_entry command_changes[] = {
    {"token-create", true, token_create_run},
    {"token-revoke", true, token_revoke_run},
    {"user-add", true, user_add_run},
    {"user-remove", true, user_remove_run},
    {"device-remove", true, device_remove_run},
    {"device-resume", true, device_resume_run},
    {"assign", true, assign_run},
    {"unassign", true, unassign_run},
    {"distribution", true, distribution_run},
    {"certificate-revoke", true, certificate_revoke_run},
    {.name = NULL},
};
