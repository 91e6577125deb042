#!/bin/sh
# shield-demo.sh - what a shield is for.
#
#     aiorun -- conf/examples/shield-demo.sh [SECONDS]
#
# It counts to ten, a number each second, or as many SECONDS as are given.  Press Ctrl-C before it is
# done: it prints `oh noes!` at once, and yet the count goes on to `done!`; only then aiorun ends.

count='i=0
while [ $i -lt 10 ]; do
    echo $i
    sleep "$1"
    i=$((i + 1))
done
echo "done!"'

trap 'echo "oh noes!"; exit 0' INT TERM

# sh runs no trap while it waits for a command in the foreground, but does so in `wait`.
aiorun shield --name count -- sh -c "$count" count "${1:-1}" &
wait $!
