/* See service_info.h. */
#include "ipc/ctl/service_info.h"

#include "common/json_fields.h"
#include "common/json_gate.h"

#include <json-c/json.h>

static const struct json_field info_table[] = {
    JSON_FIELD(struct service_info, vendor, "vendor", JSON_FIELD_STRING, true, 0, 0),
    JSON_FIELD(struct service_info, product, "product", JSON_FIELD_STRING, true, 0, 0),
    JSON_FIELD(struct service_info, version, "version", JSON_FIELD_STRING, true, 0, 0),
    JSON_FIELD(struct service_info, url, "url", JSON_FIELD_STRING, true, 0, 0),
    JSON_FIELD(struct service_info, interfaces, "interfaces", JSON_FIELD_ARRAY, true, 0, 64),
};

static int read_info(struct json_object *answer, struct service_info *ret) {
    int r = json_fields_read(answer, info_table, ARRAY_LENGTH(info_table), ret, NULL);
    for (size_t i = 0; r == 0 && i < json_object_array_length(ret->interfaces); i++)
        if (!json_object_is_type(json_object_array_get_idx(ret->interfaces, i), json_type_string))
            r = -1;
    return r;
}

int service_info_get(
    struct ctl *ctl, struct varlink_stream *stream, struct json_object **ret_answer,
    struct service_info *ret) {
    struct json_object CLEANUP_JSON *answer = NULL;
    struct service_info info = {0};
    int status = ctl_call_on(ctl, stream, "org.varlink.service.GetInfo", NULL, &answer);
    if (status != CTL_GOOD)
        return status;
    if (read_info(answer, &info) < 0)
        return ctl_fail(ctl, REASON_OTHER);
    *ret = info;
    *ret_answer = TAKE_PTR(answer);
    return CTL_GOOD;
}

size_t service_info_interface_count(const struct service_info *info) {
    return json_object_array_length(info->interfaces);
}

const char *service_info_interface(const struct service_info *info, size_t i) {
    return json_object_get_string(json_object_array_get_idx(info->interfaces, i));
}

int service_info_describe(
    struct ctl *ctl, struct varlink_stream *stream, const char *interface,
    struct json_object **ret) {
    struct json_object CLEANUP_JSON *parameters = json_object_new_object();
    if (!parameters || json_fields_add_string(parameters, "interface", interface) < 0)
        return ctl_fail(ctl, REASON_NO_MEMORY);
    struct json_object CLEANUP_JSON *answer = NULL;
    int status = ctl_call_on(
        ctl, stream, "org.varlink.service.GetInterfaceDescription", TAKE_PTR(parameters), &answer);
    if (status != CTL_GOOD)
        return status;
    struct json_object *description = NULL;
    if (!json_object_object_get_ex(answer, "description", &description) ||
        !json_object_is_type(description, json_type_string))
        return ctl_fail(ctl, REASON_OTHER);
    *ret = json_object_get(description);
    return CTL_GOOD;
}
