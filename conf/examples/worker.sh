#!/bin/sh
# worker.sh - a worker in plain sh that speaks to aiorun by itself.
#
#     aiorun -- conf/examples/worker.sh [SECONDS]
#
# It works on one item after the other, each for a second, or as many SECONDS as are given.  A stop
# request that comes in the middle of an item comes through when the item is finished: it is shielded.

# Says a line to aiorun, if this runs below one and the descriptor is still its control pipe.  The
# subshell is what dies of SIGPIPE when aiorun is gone.
tell() {
    identity=$(stat -L -c %d:%i "/proc/self/fd/${AIORUN_CONTROL_FD:-none}" 2>/dev/null)
    if [ -n "$identity" ] && [ "$identity" = "${AIORUN_CONTROL_ID:-}" ]; then
        (printf '%s\n' "$*" >&"$AIORUN_CONTROL_FD")
    fi
}

asked=
trap 'asked=yes' TERM INT

tell ready
item=0
while [ -z "$asked" ]; do
    item=$((item + 1))
    tell shield item 20
    tell status "item $item"
    echo "item $item begun"
    sleep "${1:-1}"
    echo "item $item finished"
    tell unshield item
done
echo "asked to stop after $item items"
