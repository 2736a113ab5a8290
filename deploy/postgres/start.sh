#!/bin/sh
# Starts a server of PostgreSQL in its official image. One that has no data and follows another one is made
# as a copy of that; then everybody may read it, and it can take over.
set -eu

if [ -n "${FOLLOWS:-}" ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    install --directory --owner=postgres --group=postgres --mode=0700 "$PGDATA"
    export PGPASSWORD="$DATABASE_PASSWORD"
    # A copy that was broken off is begun anew: without the file that is put there last these are no data.
    until
        find "$PGDATA" -mindepth 1 -delete
        gosu postgres pg_basebackup --pgdata="$PGDATA/copy" --checkpoint=fast --wal-method=stream \
            --write-recovery-conf --dbname="host=$FOLLOWS user=following application_name=standby"
    do
        echo "$FOLLOWS cannot be copied yet" >&2
        sleep 1
    done
    unset PGPASSWORD
    find "$PGDATA/copy" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv --target-directory="$PGDATA" {} +
    sync
    mv "$PGDATA/copy/PG_VERSION" "$PGDATA"
    rmdir "$PGDATA/copy"
fi
exec docker-entrypoint.sh postgres
