/* Who may call what, how long it may take and how large it may be. */
#include "daemon/daemon_methods.h"

#include "daemon/diagnosis.h"
#include "daemon/repair.h"

#include "common/cleanup.h"
#include "ipc/interface_methods.h"
#include "ipc/interfaces.h"

#define KIB 1024

#define AGENT_CALL(...) METHOD_CALL(io_devtrust_Agent, __VA_ARGS__)
#define AGENT_STREAM(...) METHOD_STREAM(io_devtrust_Agent, __VA_ARGS__)
#define DEVICE_CALL(...) METHOD_CALL(io_devtrust_Device, __VA_ARGS__)
#define DEBUG_STREAM(...) METHOD_STREAM(io_devtrust_Debug, __VA_ARGS__)
#define DEBUG_CALL(...) METHOD_CALL(io_devtrust_Debug, __VA_ARGS__)

static const char *const enroll_secrets[] = {"token", NULL};

/* The agent's methods are open to any user: who is not managed watches idly until he is, and is
 * told NotManaged by the others. What the caller may see or do beyond himself is decided in the
 * handlers by his uid. */
/* clang-format off: one row, one line */
AGENT_STREAM(Watch, ANYONE, 4 * KIB, daemon_agent_watch, .deadline_ms = 10000);
AGENT_CALL(Submit, ANYONE, 40000, 16 * KIB, daemon_agent_submit);
AGENT_CALL(Report, ANYONE, 10000, 32 * KIB, daemon_agent_report);
AGENT_CALL(Renew, ANYONE, 10000, 4 * KIB, daemon_agent_renew);
AGENT_CALL(Inspected, ANYONE, 10000, 64 * KIB, daemon_agent_inspected);

DEVICE_CALL(GetStatus, ANYONE, 10000, 4 * KIB, daemon_device_get_status);
DEVICE_CALL(GetCertificates, ANYONE, 15000, 4 * KIB, daemon_device_get_certificates);
DEVICE_CALL(Enroll, ROOT, 60000, 8 * KIB, daemon_device_enroll, .secrets = enroll_secrets);
DEVICE_CALL(Renew, ANYONE, 10000, 4 * KIB, daemon_device_renew);
DEVICE_CALL(Remove, ROOT, 10000, 4 * KIB, daemon_device_remove);
DEVICE_CALL(
    Diagnose, ANYONE, DIAGNOSIS_DEADLINE_MS, 4 * KIB, daemon_device_diagnose, .messages = 40);
DEVICE_CALL(Repair, ANYONE, REPAIR_DEADLINE_MS, 4 * KIB, daemon_device_repair, .messages = 100);

DEBUG_CALL(ListConnections, ROOT, 10000, 4 * KIB, daemon_debug_list_connections);
DEBUG_CALL(GetStatistics, ROOT, 10000, 4 * KIB, daemon_debug_get_statistics);
DEBUG_STREAM(Monitor, ROOT, 4 * KIB, daemon_debug_monitor);
DEBUG_CALL(GetLog, ROOT, 10000, 4 * KIB, daemon_debug_get_log);
DEBUG_CALL(GetUserMachine, ROOT, 10000, 4 * KIB, daemon_debug_get_user_machine);
/* clang-format on */

const struct method *const daemon_methods[] = {SERVED_METHODS(METHOD_ROW_OF)};
const size_t daemon_method_count = ARRAY_LENGTH(daemon_methods);

#define INTERFACE_OF(face_, name_) {name_, interface_##face_},

const struct varlink_interface daemon_interfaces[] = {SERVED_INTERFACES(INTERFACE_OF)};
const size_t daemon_interface_count = ARRAY_LENGTH(daemon_interfaces);
