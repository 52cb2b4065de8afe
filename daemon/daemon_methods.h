/* Every method that devtrustd serves: the rows, and the handlers behind them by interface. */
#pragma once

#include "ipc/method_table.h"
#include "ipc/varlink_server.h"

extern const struct varlink_interface daemon_interfaces[];
extern const size_t daemon_interface_count;
extern const struct method *const daemon_methods[];
extern const size_t daemon_method_count;

/* daemon_agent_ipc.c; userdata: struct daemon */
void daemon_agent_watch(struct varlink_call *call, void *userdata);
void daemon_agent_submit(struct varlink_call *call, void *userdata);
void daemon_agent_report(struct varlink_call *call, void *userdata);
void daemon_agent_renew(struct varlink_call *call, void *userdata);
void daemon_agent_inspected(struct varlink_call *call, void *userdata);

/* daemon_device_ipc.c */
void daemon_device_get_status(struct varlink_call *call, void *userdata);
void daemon_device_get_certificates(struct varlink_call *call, void *userdata);
void daemon_device_enroll(struct varlink_call *call, void *userdata);
void daemon_device_renew(struct varlink_call *call, void *userdata);
void daemon_device_remove(struct varlink_call *call, void *userdata);

/* daemon_diagnosis_ipc.c */
void daemon_device_diagnose(struct varlink_call *call, void *userdata);
void daemon_device_repair(struct varlink_call *call, void *userdata);

/* daemon_debug_ipc.c */
void daemon_debug_list_connections(struct varlink_call *call, void *userdata);
void daemon_debug_get_statistics(struct varlink_call *call, void *userdata);
void daemon_debug_monitor(struct varlink_call *call, void *userdata);
void daemon_debug_get_log(struct varlink_call *call, void *userdata);
void daemon_debug_get_user_machine(struct varlink_call *call, void *userdata);
