"""A private MariaDB server for tests of custom code, on a port of this machine, gone with the session.

The database `test` belongs to the user `legacy` with the password `pass`; `mydb` is what the published template of
scripts expects, with a user of its own.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import find_mariadb

_SETUP = """
create database if not exists test;
create user 'legacy'@'%' identified by 'pass';
grant all on test.* to 'legacy'@'%';
create database mydb;
create table mydb.users (id int auto_increment primary key, nickname text, email varchar(200) unique, password text,
    email_verified boolean default false);
create user 'me'@'%' identified by 'secret';
grant all on mydb.* to 'me'@'%';
flush privileges;
"""


@pytest.fixture(scope="session")
def mariadb_port() -> Iterator[int]:
    """The port of a running server."""
    program = find_mariadb()
    assert program is not None, "tests that need MariaDB carry the mark mariadb"
    folder = Path(tempfile.mkdtemp(prefix="freehold-mariadb-"))
    user = "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    setup = folder / "setup.sql"
    setup.write_text(_SETUP)
    setup.chmod(0o644)
    install = shutil.which("mariadb-install-db")
    assert install is not None
    subprocess.run(
        [install, "--no-defaults", f"--datadir={folder}/data", f"--user={user}", "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = subprocess.Popen(
        [program, "--no-defaults", f"--datadir={folder}/data", f"--user={user}", "--bind-address=127.0.0.1",
         f"--port={port}", f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--init-file={setup}",
         "--innodb-flush-log-at-trx-commit=0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
