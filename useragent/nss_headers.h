/* NSS's headers. One of them defines CLEANUP for itself; the house's macro is put back afterwards.
 */
#pragma once

#include "common/cleanup.h"

#pragma push_macro("CLEANUP")
#undef CLEANUP
#include <cert.h>
#include <certdb.h>
#include <cryptohi.h>
#include <keyhi.h>
#include <nss.h>
#include <pk11pub.h>
#include <prerror.h>
#include <secerr.h>
#include <secmod.h>
#include <secoid.h>
#undef CLEANUP
#pragma pop_macro("CLEANUP")
