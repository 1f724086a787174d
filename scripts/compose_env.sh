#!/usr/bin/env bash
# Make ready for `docker compose up`: a .env with fresh secrets where there is none, and where no registry answers images
# from Debian packages. Says nothing when all is there already. Another file can be named: scripts/compose_env.sh FILE
# With --show it says instead where the services are.
set -euo pipefail
show=
if [ "${1:-}" = --show ]; then
    show=1
    shift
fi
env_file=$(realpath -m "${1:-$(dirname "${BASH_SOURCE[0]}")/../.env}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
own_postgres=contextrl-postgres:17

say() { echo "compose: $*" >&2; }
secret() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
setting() { sed -n "s/^$1=//p" "$env_file" | tail -n 1; }
or() { [ -n "$1" ] && echo "$1" || echo "$2"; }
engine_gets() { docker image inspect "$1" >/dev/null 2>&1 || docker pull --quiet "$1" >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" .venv/bin/python python3 python3.13 python3.12 python3.11; do
        if "${candidate:-false}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    say "found no Python 3.11 or newer; say where it is: PYTHON=/path/to/python3"
    return 1
}

write_env() {
    local base certificates
    base=$("$python" -m sandbox.base_image)
    certificates=$("$python" -c 'import ssl; print(ssl.get_default_verify_paths().cafile or "")')
    umask 077
    {
        echo "# Written by scripts/compose_env.sh; .env.example explains each line and names some more."
        echo "CONTEXTRL_SANDBOX_TOKEN=$(secret)"
        echo "CONTEXTRL_VIEWER_TOKEN=$(secret)"
        echo "POSTGRES_PASSWORD=$(secret)"
        echo "BASE_IMAGE=$base"
        echo "CONTEXTRL_DOCKER_BASE=$base"
        engine_gets postgres:17 || echo "POSTGRES_IMAGE=$own_postgres"
        [ -z "$certificates" ] || echo "CA_BUNDLE=$certificates"
    } >"$env_file.new"
    mv "$env_file.new" "$env_file"
    say "wrote $env_file with fresh secrets"
}

build_postgres() {
    say "making $own_postgres from Debian packages"
    docker build --quiet --network host --build-arg "BASE_IMAGE=$(setting BASE_IMAGE)" \
        --build-arg HTTP_PROXY --build-arg HTTPS_PROXY --build-arg NO_PROXY \
        --tag "$own_postgres" --file docker/postgres.Dockerfile docker >/dev/null
}

show_services() {
    local host user
    host=$(or "$(setting BIND_ADDRESS)" 127.0.0.1)
    user=$(or "$(setting POSTGRES_USER)" contextrl)
    echo "sandboxes   http://$host:$(or "$(setting SANDBOX_PORT)" 8700), token: CONTEXTRL_SANDBOX_TOKEN in $env_file"
    echo "PostgreSQL  postgresql://$user@$host:$(or "$(setting POSTGRES_PORT)" 5432)/$(or "$(setting POSTGRES_DB)" contextrl)," \
        "password: POSTGRES_PASSWORD in $env_file"
    echo "viewer      http://$host:$(or "$(setting VIEWER_PORT)" 8600)/?token=$(setting CONTEXTRL_VIEWER_TOKEN)"
}

if [ -n "$show" ]; then
    show_services
    exit
fi
docker version >/dev/null 2>&1 || { say "no Docker engine answers: start one (scripts/install_docker.sh installs it)"; exit 1; }
python=$(find_python)
[ -e "$env_file" ] || write_env
base=$(setting BASE_IMAGE)
[ -z "$base" ] || engine_gets "$base" || "$python" -m sandbox.base_image >/dev/null
if [ "$(setting POSTGRES_IMAGE)" = "$own_postgres" ] && ! docker image inspect "$own_postgres" >/dev/null 2>&1; then
    build_postgres
fi
