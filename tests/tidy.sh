#!/bin/bash
# tidy.sh FILE…: clang-tidy with the flags that the Makefile compiles with; any finding fails.
set -euo pipefail
make -s --no-print-directory VARIANT=clang "$(make -s --no-print-directory print-INTERFACE_METHODS VARIANT=clang)"
read -ra flags < <(make -s --no-print-directory print-TIDY_CFLAGS VARIANT=clang)
clang-tidy --quiet "$@" -- "${flags[@]}"
