"""Real servers under aiorun: they serve, stop cleanly, and the status is theirs."""
import http.client
import os
import socket
import sys
from pathlib import Path

from harness import aiorun, cases, check, equal, free_port, needs, pid1, shell, sig, until, wrapped

NGINX = """
daemon {daemon};
worker_processes 2;
user root;
pid {here}/nginx.pid;
error_log {here}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {here}/www;
    }}
}}
"""


def nginx(port, daemon="off"):
    here = os.getcwd()
    os.makedirs("www", exist_ok=True)
    Path("www/index.html").write_text("hello from nginx")
    Path("nginx.conf").write_text(NGINX.format(here=here, port=port, daemon=daemon))
    return ["nginx", "-p", here, "-c", f"{here}/nginx.conf"]


def redis(port):
    return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
            os.getcwd(), "--appendonly", "no"]


def python_server(port):
    os.makedirs("www", exist_ok=True)
    Path("www/index.html").write_text("hello from python")
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", "www",
            str(port)]


def get(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    except OSError:
        return None
    finally:
        connection.close()


def ping(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
    except OSError:
        return None


# name: (argv of a port, how to ask it, what it says, its own status after TERM)
SERVERS = {
    "nginx": (nginx, get, b"hello from nginx", 0),
    "redis": (redis, ping, b"+PONG\r\n", 0),
    "python": (python_server, get, b"hello from python", "TERM"),
}


def serve(name, start):
    """Start it, ask it once, stop it; returns the run and the status a shell would see."""
    command, ask, answer, status = SERVERS[name]
    port = free_port()
    run = start(command(port))
    until(lambda: run.ended() or ask(port) == answer, f"{name} answers")
    check(not run.ended(), f"{name} ended by itself")
    run.send("TERM")
    return run, status


@needs("nginx", "redis-server")
@cases(*SERVERS)
def test_server_serves_and_stops(name):
    run, status = serve(name, lambda command: aiorun("--", *command))
    run.end(status)


@needs("nginx", "redis-server")
@cases(*SERVERS)
def test_server_in_a_script(name):
    run, status = serve(name, lambda command: shell('"$AIORUN" -- "$@"; echo status $?', *command))
    run.end(0)
    run.line(f"^status {128 + sig(status) if isinstance(status, str) else status}$")


@needs("nginx", "redis-server")
@cases(*SERVERS)
def test_server_under_nohup(name):
    def start(command):
        run = wrapped(["nohup"], "--", *command)
        if name == "python":  # the others handle HUP themselves
            run.send("HUP")
        return run
    run, status = serve(name, start)
    run.end(status)


@needs("root", "unshare", "nginx", "redis-server")
@cases(*SERVERS)
def test_server_under_pid_1(name):
    run, status = serve(name, lambda command: pid1("--", *command))
    run.end(128 + sig(status) if isinstance(status, str) else status)


@needs("nginx", "redis-server")
@cases(*SERVERS)
def test_requested_stop_of_a_server_is_a_success(name):
    run, _ = serve(name, lambda command: aiorun("-e", "requested", "--", *command))
    run.end(0)


@needs("nginx")
def test_nginx_reloads_on_hup_and_quits_gracefully():
    port = free_port()
    run = aiorun("--stop-signal", "QUIT", "--", *nginx(port))
    until(lambda: get(port) == b"hello from nginx", "nginx answers")
    Path("www2").mkdir()
    Path("www2/index.html").write_text("reloaded")
    Path("nginx.conf").write_text(Path("nginx.conf").read_text().replace("/www;", "/www2;"))
    run.send("HUP")
    until(lambda: get(port) == b"reloaded", "nginx reloads")
    run.send("TERM")
    run.end(0)


@needs("nginx")
def test_nginx_that_daemonises_is_stopped_with_orphans_stop():
    port = free_port()
    run = aiorun("--forever", "--", *nginx(port, daemon="on"))
    until(lambda: get(port) == b"hello from nginx", "nginx answers")
    run.send("TERM")
    run.end(0)
    equal(get(port), None, "what the port says")
