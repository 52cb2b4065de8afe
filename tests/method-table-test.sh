#!/bin/bash
# The table of methods and the interfaces must match, or daemon/daemon_methods.c does not compile: tried on a copy of
# what it is made of, with each compiler.
set -euo pipefail
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

fresh() {
    rm -rf "${copy:?}"/*
    mkdir "$copy/tests"
    cp -r Makefile common ipc daemon "$copy"
    cp tests/tests.mk "$copy/tests"
}

compile() {
    make -s --no-print-directory -C "$copy" VARIANT="$variant" "$object" >"$copy/log" 2>&1
}

# refused WHAT TEXT: the copy as it stands does not compile, and the compiler says TEXT
refused() {
    if compile; then
        echo "$variant: $1 compiles" >&2
        exit 1
    fi
    grep -q -e "$2" "$copy/log" || { cat "$copy/log" >&2; echo "$variant: $1 is not refused with $2" >&2; exit 1; }
    fresh
}

for variant in gcc clang; do
    object=build/obj/daemon/daemon_methods.o
    [[ $variant == gcc ]] || object=build/$variant/obj/daemon/daemon_methods.o
    fresh
    compile || { cat "$copy/log" >&2; exit 1; }

    # after a build that was good: the table depends on the interfaces
    printf 'method Added(method: ?string)\n  -> ()\n' >>"$copy/ipc/io.devtrust.Device.varlink"
    refused "a method without a row" "io_devtrust_Device_Added.*undeclared\|undeclared.*io_devtrust_Device_Added"

    printf 'interface io.devtrust.More\nmethod Added() -> ()\n' >"$copy/ipc/io.devtrust.More.varlink"
    refused "an interface without rows" "io_devtrust_More_Added"

    sed -i '/^method Renew/,/^$/d' "$copy/ipc/io.devtrust.Device.varlink"
    refused "a row without a method" "io_devtrust_Device_Renew"

    sed -i 's/^DEVICE_CALL(Renew, ANYONE, /DEVICE_CALL(Renew, /' "$copy/daemon/daemon_methods.c"
    refused "a row without a permission" "METHOD_10000\|METHOD_CALL"

    sed -i 's/^DEVICE_CALL(Renew, ANYONE, /DEVICE_CALL(Renew, , /' "$copy/daemon/daemon_methods.c"
    refused "a row with an empty permission" "METHOD_"

    sed -i 's/daemon_device_renew)/NULL)/' "$copy/daemon/daemon_methods.c"
    refused "a row without a handler" "lvalue\|rvalue"

    sed -i 's/^DEVICE_CALL(Renew, ANYONE, 10000/DEVICE_CALL(Renew, ANYONE, 0/' "$copy/daemon/daemon_methods.c"
    refused "a row without a deadline" "Renew needs a deadline"

    sed -i '/^METHOD_CALL(org_varlink_service, GetInfo/d' "$copy/ipc/varlink_service.c"
    object=${object/daemon\/daemon_methods/ipc\/varlink_service}
    refused "org.varlink.service without a row" "org_varlink_service_GetInfo"
done
