#!/bin/sh
# Bring a headless Chromium onto a Debian machine, for the tests of the viewer, as root. Nothing happens where one is.
# It is Debian's own package: Playwright's browsers come from elsewhere and are not needed.
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        echo "$name is there: nothing to do"
        exit 0
    fi
done
if [ "$(id -u)" != 0 ]; then
    echo "install_browser.sh must run as root: it installs a package" >&2
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core
chromium --version
