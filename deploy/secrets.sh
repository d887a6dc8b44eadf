#!/bin/sh
# Makes the secrets of deploy/compose.yaml in a directory, each where there is none yet; a second run changes nothing.
# Files are readable for the containers' users; the directory, for its owner alone, keeps everybody else out.
#   deploy/secrets.sh [DIRECTORY]     default: secrets, beside this file
set -eu
directory=${1:-$(dirname "$0")/secrets}
[ -d "$directory" ] || mkdir -p -m 700 "$directory"
cd "$directory"

random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
keep() { # NAME VALUE
    [ -e "$1" ] || { printf '%s\n' "$2" >".$1.new"; chmod 444 ".$1.new"; mv ".$1.new" "$1"; echo "made $directory/$1"; }
}

keep postgres-password "$(random)"
keep database-url "postgresql+psycopg://quarterdeck:$(cat postgres-password)@postgres:5432/quarterdeck"
keep nats-token "$(random)"
keep nats-auth.conf "authorization { token: \"$(cat nats-token)\" }"
keep operator-token "$(random)"
