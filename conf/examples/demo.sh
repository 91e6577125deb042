#!/bin/sh
# demo.sh - watch aiorun serve, and end, in a few seconds.
#
#     conf/examples/demo.sh build/aiorun
#
# A web server is stopped while it answers a slow request.  The request must still be answered,
# a daemon that the server forgot must be gone, and the exit status must be 0.  The demonstration
# fails when one of these is not so.  It needs sh and python3, and listens on the loopback only.
set -eu

case ${1:?usage: demo.sh AIORUN} in
/*) aiorun=$1 ;;
*) aiorun=$PWD/$1 ;;
esac
directory=$(mktemp -d)
supervisor= reader= client=

clean_up() {
    # The supervisor ends everything below it; the other two end when it does.
    for pid in $supervisor $client $reader; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

say() {
    printf '\n# %s\n' "$*"
}

fail() {
    printf 'demo: NOT AS TOLD: %s\n' "$*" >&2
    exit 1
}

# A line that the server writes when something has happened: a wait for an event, not a sleep.
next_event() {
    timeout 10 sh -c 'read -r line <&3 && printf "%s\n" "$line"' || fail "nothing heard of $1"
}

get() {
    python3 - "$1" <<'PYTHON'
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode(), end="")
PYTHON
}

# Each log line with what it means beside it.
explain() {
    while IFS= read -r line; do
        case $line in
        *'Stopping the loop')        why='the stop request has arrived' ;;
        *'Entering shutdown phase')  why='nothing is started any more; the clock runs' ;;
        *'the shutdown callback')    why='your command, before anybody is asked to stop' ;;
        *'Cancelling pending tasks') why='the server gets its TERM' ;;
        *'till complete')            why='its requests may finish: no fixed sleep' ;;
        *'reaped adopted'*)          why='the forgotten daemon was asked, too, and is gone' ;;
        *'executor shutdown')        why='whoever else is left is waited for' ;;
        *'Closing the loop')         why='the kernel says that no child is left' ;;
        *'Leaving. Bye!')            why='exit' ;;
        *)                           why= ;;
        esac
        printf '%s\n' "$line" >>"$directory/log"
        printf '%-48s %s\n' "$line" "${why:+<- $why}"
    done
}

cat >"$directory/server.py" <<'PYTHON'
"""A server that answers what it has begun when it gets a TERM, and forgets its daemon."""
import http.server, signal, subprocess, sys, threading, time

def tell(line):
    with open(sys.argv[1], "w") as events:
        events.write(line + "\n")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            tell("slow request")
            time.sleep(2)
        text = f"server: answered {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for requests that were begun

def stop(*_):
    threading.Thread(target=server.shutdown).start()

server = Server(("127.0.0.1", 0), Handler)
signal.signal(signal.SIGTERM, stop)
daemon = subprocess.Popen(["sleep", "1000"], start_new_session=True)
tell(f"{server.server_port} {daemon.pid}")
server.serve_forever(poll_interval=0.05)
server.server_close()
PYTHON

mkfifo "$directory/events" "$directory/stderr"
exec 3<>"$directory/events"
explain <"$directory/stderr" &
reader=$!

say 'Start a server.  -v: tell the phases.  -w: tell of adopted processes that end.'
echo "\$ aiorun -v -w --timeout 8s --shutdown-callback 'touch leaving' -- python3 server.py"
"$aiorun" -v -w --timeout 8s --log-format text \
    --shutdown-callback "touch '$directory/leaving'" \
    -- python3 "$directory/server.py" "$directory/events" 2>"$directory/stderr" 3<&- &
supervisor=$!
started=$(next_event 'the server')
port=${started% *}
daemon=${started#* }
echo "The server listens on port $port, and has left a daemon in a session of its own: pid $daemon."

say 'It serves as if aiorun were not there.'
for path in / /again; do
    get "http://127.0.0.1:$port$path"
done

say 'A request that takes two seconds begins...'
get "http://127.0.0.1:$port/slow" >"$directory/answer" 3<&- &
client=$!
[ "$(next_event 'the slow request')" = 'slow request' ] || fail 'an unexpected event'

say "... and in the middle of it the stop request comes, as from 'docker stop' or systemd."
echo "\$ kill -TERM $supervisor"
[ ! -e "$directory/leaving" ] || fail 'the callback ran too early'
kill -TERM "$supervisor"

status=0
wait "$supervisor" || status=$?
supervisor=
wait "$reader" || true
reader=
wait "$client" || fail 'the slow request was cut off'
client=

say 'The slow request was answered in full:'
cat "$directory/answer"
[ "$(cat "$directory/answer")" = 'server: answered /slow' ] || fail 'another answer'

say 'What else was promised:'
[ -e "$directory/leaving" ] || fail 'the callback did not run'
echo 'The callback ran.'
if kill -0 "$daemon" 2>/dev/null; then
    kill "$daemon"
    fail "the daemon, pid $daemon, is still there"
fi
echo "The daemon, pid $daemon, is gone, although nobody but aiorun knew of it."
grep -q 'Leaving. Bye!' "$directory/log" || fail 'the log is not complete'
[ "$status" -eq 0 ] || fail "the exit status is $status"
echo 'The exit status is 0: the server had ended well, and so the stop was no failure.'
