#!/bin/sh
# Make what compose.yaml reads from files: random secrets, once. What is there already stays as it is.
#   sh deploy/secrets.sh
# The folder is closed to other users; the files in it can be read, because containers read them under other numbers.
set -eu
umask 077
folder=$(dirname "$0")/secrets
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'; }

make() { # FILE CONTENT
  [ -s "$folder/$1" ] && return
  printf '%s\n' "$2" >"$folder/$1.part"
  chmod 444 "$folder/$1.part"
  mv "$folder/$1.part" "$folder/$1"
  echo "made $folder/$1"
}

make database_password "$(random)"
make admin_password "$(random)"
make csrf_key "$(random)"

# One key of the object store, in the forms of its two readers. Both are made, or neither.
if [ ! -s "$folder/s3_credentials" ] || [ ! -s "$folder/s3_identities.json" ]; then
  id=$(random) key=$(random)
  rm -f "$folder/s3_credentials" "$folder/s3_identities.json"
  make s3_credentials "[default]
aws_access_key_id = $id
aws_secret_access_key = $key"
  make s3_identities.json "{\"identities\": [{\"name\": \"mlflow\", \
\"credentials\": [{\"accessKey\": \"$id\", \"secretKey\": \"$key\"}], \"actions\": [\"Admin\"]}]}"
fi
