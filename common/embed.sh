#!/bin/bash
# embed.sh PREFIX FILE…: a C source on standard output with `const char PREFIX<name>[]` for each text file; dots and
# dashes of the name become underscores, the last ending is left out.
set -euo pipefail
prefix=$1
shift
for file in "$@"; do
    name=$(basename "${file%.*}" | tr '.-' '__')
    printf 'extern const char %s%s[];\nconst char %s%s[] =\n' "$prefix" "$name" "$prefix" "$name"
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$file"
    printf '    ;\n'
done
