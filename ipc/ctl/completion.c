/* `completion`: the script for a shell, or the words that only the daemon knows and that the script
 * asks for while somebody types. */
#include "ipc/ctl/completion.h"

#include "ipc/ctl/service_info.h"

#include "ipc/varlink_idl.h"
#include "ipc/varlink_message.h"

#include "common/json_fields.h"
#include "common/json_gate.h"

#include <json-c/json.h>
#include <string.h>

/* A shell inserts such a word into its line as it stands: whatever a shell could take for more than
 * a name is not offered. */
static void print_word(struct ctl *ctl, const char *word) {
    static const char harmless[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@+";
    if (*word && *word != '-' && !word[strspn(word, harmless)])
        fprintf(ctl->out, "%s\n", word);
}

static int print_users(struct ctl *ctl) {
    struct json_object CLEANUP_JSON *answer = NULL;
    struct json_object *users = NULL, *name = NULL;
    int status = ctl_call(ctl, "io.devtrust.Device.GetStatus", NULL, &answer);
    if (status != CTL_GOOD)
        return status;
    if (!json_object_object_get_ex(answer, "users", &users) ||
        !json_object_is_type(users, json_type_array))
        return ctl_fail(ctl, REASON_OTHER);
    for (size_t i = 0; i < json_object_array_length(users); i++)
        if (json_object_object_get_ex(json_object_array_get_idx(users, i), "name", &name) &&
            json_object_is_type(name, json_type_string))
            print_word(ctl, json_object_get_string(name));
    return CTL_GOOD;
}

struct method_printer {
    struct ctl *ctl;
    const char *interface;
};

static int print_method(
    enum varlink_idl_kind kind, const char *name, size_t length, void *userdata) {
    const struct method_printer *printer = userdata;
    char word[2 * VARLINK_IDL_NAME_MAX + 2];
    if (kind != VARLINK_IDL_METHOD)
        return 0;
    snprintf(word, sizeof word, "%s.%.*s", printer->interface, (int)length, name);
    print_word(printer->ctl, word);
    return 0;
}

static int print_interfaces(struct ctl *ctl, bool with_methods) {
    struct json_object CLEANUP_JSON *answer = NULL;
    struct service_info info = {0};
    struct varlink_stream CLEANUP_STREAM *stream = NULL;
    int status = ctl_connect(ctl, &stream);
    if (status == CTL_GOOD)
        status = service_info_get(ctl, stream, &answer, &info);
    for (size_t i = 0; status == CTL_GOOD && i < service_info_interface_count(&info); i++) {
        struct json_object CLEANUP_JSON *description = NULL;
        struct method_printer printer = {ctl, service_info_interface(&info, i)};
        if (!with_methods)
            print_word(ctl, printer.interface);
        else
            status = service_info_describe(ctl, stream, printer.interface, &description);
        if (description &&
            varlink_idl_read(
                json_object_get_string(description), printer.interface, print_method, &printer) < 0)
            status = ctl_fail(ctl, REASON_OTHER);
    }
    return status;
}

int ctl_completion(struct ctl *ctl, const struct ctl_arguments *arguments) {
    const char *what = arguments->operands[0];
    if (strcmp(what, "bash") == 0)
        completion_print_bash(ctl->out);
    else if (strcmp(what, "zsh") == 0)
        completion_print_zsh(ctl->out);
    else if (strcmp(what, "users") == 0)
        return print_users(ctl);
    else if (strcmp(what, "interfaces") == 0)
        return print_interfaces(ctl, false);
    else if (strcmp(what, "methods") == 0)
        return print_interfaces(ctl, true);
    else
        return ctl_usage(ctl, "It is bash, zsh, users, interfaces or methods; not", what);
    return CTL_GOOD;
}
