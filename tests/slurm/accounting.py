"""Accounting in a cluster's folder: SLURM's own daemon, slurmdbd, and the MariaDB that it writes to."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

PACKAGES = ("mariadb-client-core", "mariadb-server-core", "slurmdbd")
PROGRAMS = ("mariadb-install-db", "mariadbd", "my_print_defaults", "sacct", "slurmdbd")
DAEMON = ("slurmdbd", "-D")

_OF_SLURM = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={root}/munge.sock
"""
_OF_DAEMON = """\
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
{listen}
SlurmUser=root
LogFile={root}/slurmdbd.log
PidFile={root}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounting
"""
_OF_DATABASE = """\
[mariadbd]
user=root
datadir={root}/database
socket={root}/database.sock
pid-file={root}/database.pid
log-error={root}/database.log
tmpdir={root}
skip-networking
skip-log-bin
performance_schema=OFF
innodb_buffer_pool_size=64M
innodb_log_file_size=8M
innodb_lock_wait_timeout=900
innodb_flush_log_at_trx_commit=0
innodb_flush_method=nosync
max_allowed_packet=16M
"""


def configure(root: Path, port: int, listen: str) -> str:
    """Write the configurations of both daemons; the lines for that of SLURM. ``listen``: as in slurm.conf."""
    (root / "database.cnf").write_text(_OF_DATABASE.format(root=root), encoding="utf-8")
    path = root / "slurmdbd.conf"
    path.touch(mode=0o600)  # slurmdbd refuses one that others can read
    path.write_text(_OF_DAEMON.format(root=root, port=port, listen=listen), encoding="utf-8")
    return _OF_SLURM.format(root=root, port=port)


def database(root: Path) -> tuple[str, ...]:
    """The command that starts the database of a folder."""
    return ("mariadbd", f"--defaults-file={root}/database.cnf")


def make_database(root: Path, environment: Mapping[str, str]) -> None:
    """Make the database's own tables."""
    command = ["mariadb-install-db", f"--defaults-file={root}/database.cnf", "--user=root"]
    options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
    done = subprocess.run(
        [*command, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def variables(root: Path) -> dict[str, str]:
    """What the daemons need in their environment: ``localhost`` is a socket, and this one."""
    return {"MYSQL_UNIX_PORT": f"{root}/database.sock"}
