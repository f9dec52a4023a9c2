#!/usr/bin/env bash
# curl: comes back with the id of the last event.
set -u
address=$1 query=$2
last=
while :; do
    while IFS= read -r line; do
        case $line in
            id:*) last=${line#id: } ;;
            data:*) printf '%s\n' "${line#data: }" ;;
        esac
    done < <(curl --silent --no-buffer --compressed --fail ${last:+--header "Last-Event-ID: $last"} "$address/api/v1/live?$query")
    sleep 0.1
done
