# Sourced by the other scripts: secrets from files, and the database's password where libpq looks for it.
# In: PGHOST, PGPORT, PGUSER, PGDATABASE; SECRETS, the folder of the secrets; PRIVATE, a folder that nobody else reads.
# Out: PGPASSFILE, so that no password stands in a command line or in the environment; `private`, a folder in PRIVATE.
umask 077
: "${PGHOST:?}" "${PGPORT:=5432}" "${PGUSER:?}" "${PGDATABASE:?}"
export PGHOST PGPORT PGUSER PGDATABASE

secret() { # NAME: its first line
  if ! [ -s "${SECRETS:=/run/secrets}/$1" ]; then
    echo "error: $SECRETS/$1 is missing or empty: sh deploy/secrets.sh makes it" >&2
    exit 1
  fi
  head -n 1 "$SECRETS/$1"
}

password=$(secret database_password)
private=$(mktemp -d "${PRIVATE:-/tmp}/ganpipe.XXXXXX")
export PGPASSFILE="$private/pgpass"
printf '*:*:*:*:%s\n' "$(printf '%s' "$password" | sed 's/[\\:]/\\&/g')" >"$PGPASSFILE"
unset password
