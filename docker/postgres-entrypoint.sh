#!/bin/bash
# Make the database in an empty PGDATA, then run the server. A making that was cut short is begun again.
set -euo pipefail

: "${POSTGRES_PASSWORD:?POSTGRES_PASSWORD is not set: a database beyond this container needs a password}"
export POSTGRES_USER=${POSTGRES_USER:-postgres}
export POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}

make_database() {
    local fresh=$PGDATA.making
    rm -rf "$fresh"
    initdb --pgdata="$fresh" --username="$POSTGRES_USER" --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=trust --auth-host=scram-sha-256 --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") >/dev/null
    echo 'host all all all scram-sha-256' >>"$fresh/pg_hba.conf"
    if [ "$POSTGRES_DB" != postgres ]; then
        printf 'CREATE DATABASE "%s"\n' "${POSTGRES_DB//\"/\"\"}" | postgres --single -j -D "$fresh" postgres >/dev/null
    fi
    mv "$fresh" "$PGDATA"
}

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    make_database
fi
exec "$@" -c listen_addresses='*'
