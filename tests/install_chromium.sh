#!/usr/bin/env bash
# Install Debian's chromium, in which tests/examples/space/test_page.py opens the page; needs root. Where it cannot be
# installed this says why and succeeds: the tests are then skipped.
set -uo pipefail
if command -v chromium >/dev/null; then
    exit 0
elif [ "$(id -u)" != 0 ] || ! grep -qs '^ID=debian' /etc/os-release; then
    echo "chromium is not installed here (not root, or not Debian): the tests of the page are skipped"
elif ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    chromium >/dev/null; }; then
    echo "chromium could not be installed: the tests of the page are skipped"
fi
