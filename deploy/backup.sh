#!/bin/sh
# Dump the database to a folder, and keep the newest dumps.
#   backup.sh FOLDER KEEP
# In: what common.sh takes. Secrets: database_password. A dump is there whole or not at all.
set -eu
folder=$1 keep=$2
case $keep in
'' | *[!0-9]* | 0*) echo "KEEP is $keep: it is how many dumps stay, the new one among them, from 1" >&2 && exit 1 ;;
esac
. "$(dirname "$0")/common.sh"
trap 'rm -rf "$private"' EXIT
dump=$folder/mlflow-$(date -u +%Y%m%dT%H%M%SZ).dump
rm -f "$folder"/mlflow-*.dump.part # of a dump that was cut short
pg_dump --format=custom --no-owner --no-privileges --file="$dump.part"
pg_restore --list "$dump.part" >/dev/null
mv "$dump.part" "$dump"
echo "made $dump"
# Names are in the order of time.
find "$folder" -maxdepth 1 -name 'mlflow-*.dump' | sort -r | tail -n "+$((keep + 1))" | while IFS= read -r old; do
  rm -f "$old"
  echo "removed $old"
done
