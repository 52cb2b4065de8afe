/* The interface descriptions as they stand in ipc/ (*.varlink), embedded at build time by
 * common/embed.sh, so that what is served is what was reviewed. */
#pragma once

extern const char interface_io_devtrust_Agent[];
extern const char interface_io_devtrust_Debug[];
extern const char interface_io_devtrust_Device[];
extern const char interface_org_varlink_service[];
