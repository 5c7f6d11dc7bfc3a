"""A PostgreSQL of its own, for the block: a new cluster on a free port, with a password.

    python examples/postgres-url/server.py python examples/postgres-url/deploy.py

runs a command with PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE set, and removes the
server when the command ends. PostgreSQL does not run as root, so root becomes `postgres`.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path


class NoServer(Exception):
    """PostgreSQL's server is not installed."""


@contextmanager
def running():
    """Run a server for the block, and yield the variables that lead to it."""
    programs = folder_of_programs()
    password = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="lambdabox-postgres-") as directory:
        place = Path(directory)
        (place / "password").write_text(password)
        as_user = []
        if os.getuid() == 0:
            shutil.chown(place, "postgres", "postgres")
            shutil.chown(place / "password", "postgres", "postgres")
            as_user = ["runuser", "-u", "postgres", "--"]
        port = free_port()
        data = place / "data"
        run(
            *as_user, programs / "initdb", "--pgdata", data, "--username", "visits",
            "--pwfile", place / "password", "--auth", "scram-sha-256", "--no-sync",
        )  # fmt: skip
        options = f"-h 127.0.0.1 -p {port} -k {place} -F"
        control = [*as_user, programs / "pg_ctl", "--pgdata", data, "--wait", "--silent"]
        run(*control, "--log", place / "log", "--options", options, "start")
        try:
            yield {
                "PGHOST": "127.0.0.1",
                "PGPORT": str(port),
                "PGDATABASE": "postgres",
                "PGUSER": "visits",
                "PGPASSWORD": password,
            }
        finally:
            run(*control, "--mode", "immediate", "stop")


def folder_of_programs():
    """Debian keeps the server's programs away from PATH, by version; take the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=version)
    if not found and (program := shutil.which("initdb")):
        found = [Path(program).resolve()]
    if not found:
        raise NoServer("PostgreSQL's server is not installed; on Debian: apt install postgresql")
    return found[-1].parent


def version(program):
    return float(program.parts[-3]) if program.parts[-3].replace(".", "").isdigit() else 0.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command):
    done = subprocess.run(
        command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{Path(command[-1]).name}: {done.stderr.strip()}")


if __name__ == "__main__":
    with running() as variables:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, **variables}).returncode)
