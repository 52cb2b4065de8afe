/* Who may call what, how long it may take and how large it may be. */
#include "daemon/daemon_methods.h"

#include "common/cleanup.h"
#include "ipc/interfaces.h"

#define AGENT "io.devtrust.Agent."
#define DEVICE "io.devtrust.Device."
#define DEBUG "io.devtrust.Debug."
#define KIB 1024

const struct varlink_interface daemon_interfaces[] = {
    {"io.devtrust.Agent", interface_io_devtrust_Agent},
    {"io.devtrust.Device", interface_io_devtrust_Device},
    {"io.devtrust.Debug", interface_io_devtrust_Debug},
};
const size_t daemon_interface_count = ARRAY_LENGTH(daemon_interfaces);

/* The agent's methods are open to any user: who is not managed watches idly until he is, and is
 * told NotManaged by the others. What the caller may see or do beyond himself is decided in the
 * handlers by his uid. */
const struct method daemon_methods[] = {
    {AGENT "Watch", METHOD_ANYONE, true, 0, 4 * KIB, daemon_agent_watch},
    {AGENT "Submit", METHOD_ANYONE, false, 40000, 16 * KIB, daemon_agent_submit},
    {AGENT "Report", METHOD_ANYONE, false, 10000, 32 * KIB, daemon_agent_report},
    {AGENT "Renew", METHOD_ANYONE, false, 10000, 4 * KIB, daemon_agent_renew},
    {AGENT "Inspected", METHOD_ANYONE, false, 10000, 64 * KIB, daemon_agent_inspected},
    {DEVICE "GetStatus", METHOD_ANYONE, false, 10000, 4 * KIB, daemon_device_get_status},
    {DEVICE "GetCertificates", METHOD_ANYONE, false, 15000, 4 * KIB,
     daemon_device_get_certificates},
    {DEVICE "Enroll", METHOD_ROOT, false, 60000, 8 * KIB, daemon_device_enroll},
    {DEVICE "Renew", METHOD_ANYONE, false, 10000, 4 * KIB, daemon_device_renew},
    {DEVICE "Remove", METHOD_ROOT, false, 10000, 4 * KIB, daemon_device_remove},
    {DEBUG "ListConnections", METHOD_ROOT, false, 10000, 4 * KIB, daemon_debug_list_connections},
    {DEBUG "GetUserMachine", METHOD_ROOT, false, 10000, 4 * KIB, daemon_debug_get_user_machine},
};
const size_t daemon_method_count = ARRAY_LENGTH(daemon_methods);
