#!/bin/bash
# renew.sh: makes the pictures of docs/PROMPTS.md anew, from those of the test that looks at the questions, and says of which browsers they are.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/packages.sh build demo check
make -s --no-print-directory -j2 all
tests/harness/sandbox -- /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/integration/test_prompts.py
mkdir -p docs/screenshots
for picture in chromium firefox firefox-password; do
    cp "build/screenshots/$picture.png" "docs/screenshots/$picture.png"
    (($(stat -c %s "docs/screenshots/$picture.png") < 60000)) || { echo "$picture.png has grown past 60 kB" >&2; exit 1; }
done
chromium --version
firefox-esr --version
