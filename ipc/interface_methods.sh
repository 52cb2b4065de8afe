#!/bin/bash
# interface_methods.sh FILE.varlink…: a C header on standard output with what the tables of methods must be complete
# against. For each interface METHODS_OF_<interface>(EACH), which is EACH(<interface>, <Method>) once per method, and the
# names as they are called. SERVED_INTERFACES(EACH), EACH(<interface>, "<its name>"), and SERVED_METHODS(EACH) are of all
# of io.devtrust.* together.
set -euo pipefail

# the words that stand behind "method" outside of parentheses: a field may have that name, too
methods() {
    awk '{
        sub(/#.*/, "")
        gsub(/[()]/, " & ")
        for (i = 1; i <= NF; i++) {
            if (depth == 0 && previous == "method")
                print $i
            depth += ($i == "(") - ($i == ")")
            previous = $i
        }
    }' "$1"
}

printf '/* Made of the interfaces by ipc/interface_methods.sh. */\n#pragma once\n'
interfaces='' all=''
for file in "$@"; do
    name=$(basename "$file" .varlink)
    interface=${name//[.-]/_}
    list=''
    printf '\n'
    for method in $(methods "$file"); do
        printf '#define NAME_OF_%s_%s "%s.%s"\n' "$interface" "$method" "$name" "$method"
        list+=" \\"$'\n'"    EACH($interface, $method)"
    done
    printf '#define METHODS_OF_%s(EACH)%s\n' "$interface" "$list"
    if [[ $name == io.devtrust.* ]]; then
        interfaces+=" \\"$'\n'"    EACH($interface, \"$name\")"
        all+=" \\"$'\n'"    METHODS_OF_$interface(EACH)"
    fi
done
printf '\n#define SERVED_INTERFACES(EACH)%s\n#define SERVED_METHODS(EACH)%s\n' "$interfaces" "$all"
