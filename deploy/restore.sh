#!/bin/sh
# Fill an empty database from a dump of backup.sh, all of it or nothing.
#   restore.sh DUMP
# In: what common.sh takes. Secrets: database_password.
set -eu
dump=$1
. "$(dirname "$0")/common.sh"
trap 'rm -rf "$private"' EXIT
tables=$(psql -XAtqc "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
if [ "$tables" -ne 0 ]; then
  echo "error: the database $PGDATABASE holds $tables tables, and only an empty one is restored to" >&2
  exit 1
fi
pg_restore --exit-on-error --single-transaction --no-owner --no-privileges --dbname="$PGDATABASE" "$dump"
echo "restored $dump"
