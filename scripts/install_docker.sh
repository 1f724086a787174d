#!/bin/sh
# Bring a Docker engine with compose v2 and buildx onto a bare Debian machine and start it, as root.
# Nothing happens where an engine already answers. The mirror is the one in the machine's own apt sources.
#
# Debian 12's own engine has neither BuildKit nor compose v2, so Debian 13's suite is added at a priority
# low enough that nothing else is ever taken from it.
set -eu

suite=trixie
docker_log=${DOCKERD_LOG:-/var/log/dockerd.log}

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if answers; then
    echo "a Docker engine answers: nothing to do"
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "install_docker.sh must run as root: it installs packages and starts dockerd" >&2
    exit 1
fi

debian_mirror() {
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }'
}

install_engine() {
    [ -n "$(debian_mirror)" ] || apt-get update -qq
    mirror=$(debian_mirror)
    if [ -z "$mirror" ]; then
        echo "no Debian mirror among the apt sources: install Docker by hand" >&2
        exit 1
    fi
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    cat >"/etc/apt/sources.list.d/contextrl-$suite.sources" <<SOURCES
Types: deb
URIs: $mirror
Suites: $suite
Components: main
Signed-By: $keyring
SOURCES
    cat >"/etc/apt/preferences.d/contextrl-$suite" <<PIN
Package: *
Pin: release n=$suite
Pin-Priority: 50
PIN
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends -t "$suite" \
        docker.io docker-cli docker-compose docker-buildx iptables debootstrap
}

command -v dockerd >/dev/null 2>&1 || install_engine
command -v debootstrap >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get install -qq -y debootstrap

if ! answers; then
    setsid nohup dockerd >"$docker_log" 2>&1 </dev/null &
    for _ in $(seq 60); do
        answers && break
        sleep 0.5
    done
fi
if ! answers; then
    echo "dockerd did not come up; the end of $docker_log says why:" >&2
    tail -n 5 "$docker_log" >&2
    exit 1
fi
docker version --format 'Docker engine {{.Server.Version}}'
