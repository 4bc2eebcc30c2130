#!/bin/sh
# MLflow's tracking server, on PostgreSQL and a bucket, as compose.yaml and the tests run it.
# In: what common.sh takes; BUCKET; boto3's AWS_ENDPOINT_URL_S3 and AWS_DEFAULT_REGION; and, of MLflow's own, MLFLOW_HOST,
# MLFLOW_PORT, MLFLOW_WORKERS, MLFLOW_SERVER_ALLOWED_HOSTS, MLFLOW_SERVER_CORS_ALLOWED_ORIGINS.
# Secrets: database_password, admin_password, csrf_key, s3_credentials.
set -eu
here=$(dirname "$0")
. "$here/common.sh"
database="postgresql+psycopg2://$PGUSER@$PGHOST:$PGPORT/$PGDATABASE"

# Users. The admin's password counts when the admin is first made, and is changed on the server after that.
# EDIT: everybody who may log in may add to everybody's experiments, for all of a team's runs are in one.
# A password is checked slowly on purpose: a worker takes one that was right for 60 seconds without checking it again.
admin=$(secret admin_password)
cat >"$private/auth.ini" <<END
[mlflow]
database_uri = $database
default_permission = EDIT
admin_username = admin
admin_password = $(printf '%s' "$admin" | sed 's/%/%%/g')
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END
unset admin
export MLFLOW_AUTH_CONFIG_PATH="$private/auth.ini"
MLFLOW_FLASK_SERVER_SECRET_KEY=$(secret csrf_key)
export MLFLOW_FLASK_SERVER_SECRET_KEY

# Artefacts go through the server, which alone has the key of the bucket.
secret s3_credentials >/dev/null
export AWS_SHARED_CREDENTIALS_FILE="$SECRETS/s3_credentials"
python "$here/bucket.py" make

export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false # for language models, and a second server beside this one
exec mlflow server \
  --backend-store-uri "$database" \
  --artifacts-destination "s3://$BUCKET" \
  --app-name basic-auth \
  --allowed-hosts "${MLFLOW_SERVER_ALLOWED_HOSTS:?}"
