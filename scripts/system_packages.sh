#!/bin/sh
# Installs the system packages that some tests need, where this user may; else those tests skip and say why.
set -eu

missing=""
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    missing="$missing chromium"
command -v Xvfb >/dev/null || missing="$missing xvfb"
command -v pulseaudio >/dev/null || missing="$missing pulseaudio"
command -v xeyes >/dev/null || missing="$missing x11-apps"
command -v dockerd >/dev/null || missing="$missing docker.io"
command -v iptables >/dev/null || missing="$missing iptables"
command -v busybox >/dev/null || missing="$missing busybox-static"
command -v docker-registry >/dev/null || missing="$missing docker-registry"
command -v debootstrap >/dev/null || missing="$missing debootstrap"
command -v promtool >/dev/null || missing="$missing prometheus"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Not installed, and this is no Debian:$missing. Tests that need them will skip."
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "Not installed, and not root:$missing. Tests that need them will skip."
    exit 0
fi
echo "Installing what some tests need:$missing …"
# The lists may be fresh enough; asking for them anew takes longer than trying.
# shellcheck disable=SC2086
{
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
        { $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null; }
} || echo "Could not install:$missing. Tests that need them will skip."
