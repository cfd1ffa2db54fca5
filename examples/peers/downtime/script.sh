#!/usr/bin/env bash
# The regulation as a careful administrator's script: users out, a backup of
# every database and of the application's directory, the installer, a check, users
# in. If the installer or the check fails: the databases and the directory are
# restored and the previous installer runs.
#
#   script.sh update NEW VERSION   # NEW: the installer
#   script.sh back                 # an operator's rollback of the last update
#
# APP, COPY, ENTRY, OLD, PREVIOUS, DATABASES, ROLE, FORMAT and libpq's PG* are set.
set -euo pipefail

sql() { psql -X -q -v ON_ERROR_STOP=1 -d postgres -c "$1" >/dev/null; }

users_out() {
  touch "$ENTRY"
  [ -n "$DATABASES" ] || return 0
  sql "ALTER ROLE $ROLE NOLOGIN"
  sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '$ROLE'"
}

users_in() {
  [ -z "$DATABASES" ] || sql "ALTER ROLE $ROLE LOGIN"
  rm -f "$ENTRY"
}

backup() {
  rm -rf "$COPY" && mkdir -p "$COPY"
  for db in $DATABASES; do
    case $FORMAT in
    custom) pg_dump -Fc -f "$COPY/$db.dump" "$db" ;;
    directory) pg_dump -Fd -j2 -f "$COPY/$db.dump" "$db" ;;
    esac
  done
  cp -a "$APP" "$COPY/app"
  sync -f "$COPY"
}

check() { [ "$(cat "$APP/version")" = "$1" ]; }

restore() {
  for db in $DATABASES; do
    dropdb --force "$db"
    createdb -T template0 -O "$ROLE" "$db"
    pg_restore -j2 -d "$db" "$COPY/$db.dump"
  done
  rm -rf "$APP"
  cp -a "$COPY/app" "$APP"
  sync -f "$APP"
  "$OLD" "$APP"
  check "$PREVIOUS"
}

case $1 in
update)
  users_out
  backup
  if ! "$2" "$APP" || ! check "$3"; then
    date +%s.%N >"$COPY/failed"
    restore
  fi
  ;;
back)
  users_out
  restore
  ;;
esac
users_in
