#!/bin/sh
# Runs Logmill on a cluster, with the settings of .env (or the file that ENV_FILE names): scripts/submit.sh --input logs
#
# The driver runs here, and Spark's executors on the cluster; they get the program from here. Ends with the exit code of
# the run. Variables that are set already win over those of the file.
set -eu
here=$(dirname -- "$0")/..
file=${ENV_FILE:-$here/.env}
if [ ! -f "$file" ]; then
    echo "error: there is no $file. Copy .env.example to .env, and name your cluster and folders there." >&2
    exit 2
fi
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
        '' | '#'*) continue ;;
        *=*) ;;
        *) echo "error: $file has a line that is neither NAME=value nor a comment." >&2; exit 2 ;;
    esac
    name=${line%%=*} value=${line#*=}
    case $name in
        '' | *[!A-Za-z0-9_]* | [0-9]*) echo "error: $file has a line that begins with no name of a variable." >&2; exit 2 ;;
    esac
    # Nothing in the file is run: values are taken as they are, without quotes around them.
    case $value in "'"*"'" | '"'*'"') value=${value#?} value=${value%?} ;; esac
    if [ -n "$value" ] && [ -z "$(printenv "$name" || true)" ]; then export "$name=$value"; fi
done < "$file"
if [ -z "${LOGMILL_SPARK_MASTER:-}" ]; then
    echo "error: no cluster is named. Set LOGMILL_SPARK_MASTER in $file, such as spark://host:7077." >&2
    exit 2
fi
exec "$here/logmill" "$@"
