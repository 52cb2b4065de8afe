/* The version of all programs; one number for the tree. */
#pragma once

#define DEVTRUST_VERSION "0.1.0"
