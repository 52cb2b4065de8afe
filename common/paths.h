/* Every path that the programs use, in one place. [paths] in the configuration files overrides
 * them; the environment does not (but for the XDG directories of the user whom an agent serves). */
#pragma once

#define PATH_CONFIG_DIR "/etc/devtrust"
#define PATH_DAEMON_CONFIG PATH_CONFIG_DIR "/devtrustd.conf"
#define PATH_SERVER_CONFIG PATH_CONFIG_DIR "/server.conf"
#define PATH_ENROLL_CONFIG PATH_CONFIG_DIR "/enroll.conf"

#define PATH_DAEMON_STATE_DIR "/var/lib/devtrust"
#define PATH_DAEMON_RUN_DIR "/run/devtrust"
#define PATH_DAEMON_SOCKET PATH_DAEMON_RUN_DIR "/io.devtrust"

#define PATH_SERVER_STATE_DIR "/var/lib/devtrust-server"
#define PATH_SERVER_RUN_DIR "/run/devtrust-server"
#define PATH_SERVER_SOCKET PATH_SERVER_RUN_DIR "/admin.sock"

#define PATH_LOGIN_DEFS "/etc/login.defs"
#define PATH_MACHINE_ID "/etc/machine-id"
#define PATH_ACCOUNTS_DIR "/etc" /* of passwd */
#define PATH_SYSTEM_BUS "/run/dbus/system_bus_socket"
#define PATH_OS_RELEASE "/etc/os-release"

/* below the home or the XDG directory of the user */
#define PATH_AGENT_STATE_DIR "devtrust"
#define PATH_AGENT_RECORD "agent.json"
#define PATH_AGENT_LOCK "devtrust-agent.lock"
