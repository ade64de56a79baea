"""A PostgreSQL server of this test run alone."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def server_programs():
    """initdb and pg_ctl: on the path, or where Debian keeps them."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in [None, *map(str, reversed(debian))]:
        found = [shutil.which(name, path=folder) for name in ("initdb", "pg_ctl")]
        if all(found):
            return found
    return None


@pytest.fixture
def postgresql():
    """The URL of an empty database, on a socket in a folder that goes away with it."""
    pytest.importorskip("psycopg", reason="psycopg, of the extra dev, is not installed")
    programs = server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: postgresql)")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    as_user = {"user": user, "extra_groups": []} if os.geteuid() == 0 else {}
    initdb, pg_ctl = programs
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:  # short: a socket's path must be
        if as_user:
            shutil.chown(folder, user)

        def call(*command):
            subprocess.run(
                command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60, **as_user
            )

        call(initdb, "--pgdata", f"{folder}/data", "--auth", "trust", "--username", "ohgw")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        control = (pg_ctl, "--pgdata", f"{folder}/data", "--log", f"{folder}/log", "-w")
        call(*control, "-o", options, "start")
        try:
            yield f"postgresql+psycopg://ohgw@/postgres?host={folder}"
        finally:
            call(*control, "-m", "immediate", "stop")
