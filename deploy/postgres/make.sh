#!/bin/sh
# Makes what a new primary needs: a role and a database for maepyo, and a role for who follows. Commits wait
# for a standby from the next start on, which is the first one that anybody can connect to.
set -eu

psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" <<'SQL'
\getenv password DATABASE_PASSWORD
CREATE ROLE following LOGIN REPLICATION PASSWORD :'password';
CREATE ROLE maepyo LOGIN PASSWORD :'password';
CREATE DATABASE maepyo;
\connect maepyo
CREATE SCHEMA maepyo AUTHORIZATION maepyo;
CREATE SCHEMA ledger AUTHORIZATION maepyo;
ALTER SYSTEM SET synchronous_standby_names = 'standby';
SQL
echo 'host replication following all scram-sha-256' >>"$PGDATA/pg_hba.conf"
