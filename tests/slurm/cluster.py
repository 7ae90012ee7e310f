"""SLURM on one machine, as a folder: a controller, some nodes, accounting. For root on Debian or Ubuntu.

Every process that belongs to it, a daemon's or a job's, has the folder's ``SLURM_CONF`` in its environment, which is
how all of them are found at the end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from slurm import accounting

PACKAGES = ("munge", "slurm-client", "slurm-wlm-basic-plugins", "slurmctld", "slurmd", *accounting.PACKAGES)
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "setpriv", *accounting.PROGRAMS)
NODES = ("n1", "n2", "n3")
CPUS = 4
GPUS = 2
"""On each node, of type ``a100``: jobs are given them by SLURM, and there is no driver behind them."""

MAX_ARRAY_SIZE = 1001
REMEMBERED_S = 900
"""For so long the controller knows a job that has ended."""

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={root}/munge.sock,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/%n.log
{listen}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MailProg=/bin/true
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1,default_queue_depth=1000
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=64
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
GresTypes=gpu
SlurmdTimeout=10
SlurmctldTimeout=30
MessageTimeout=10
InactiveLimit=0
KillWait=5
CompleteWait=0
MinJobAge={remembered_s}
MaxArraySize={max_array_size}
{accounting}JobCompType=jobcomp/none
PartitionName=main Nodes=ALL DefaultTime=60 State=UP Default=YES PriorityTier=1 PreemptMode=OFF
PartitionName=low Nodes=ALL DefaultTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=ALL DefaultTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""
_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Boards=1 SocketsPerBoard=1"
    " CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory=65536 Gres=gpu:a100:{gpus} State=UNKNOWN\n"
)


def obstacle() -> str:
    """Why there can be no cluster here; "" if there can."""
    if os.geteuid() != 0:
        return "SLURM's daemons need root"
    missing = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    return f"no {', '.join(missing)}: apt-get install {' '.join(PACKAGES)}" if missing else ""


class Cluster:
    """A running cluster in ``root``, whose path must be short: sockets lie below it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf = root / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._configure()
        self._start("munged", "--foreground", "--force", *self._munge())
        until((root / "munge.sock").exists, 10, "munged answers")
        accounting.make_database(root, self.environment)
        self._start(*accounting.database(root))
        until((root / "database.sock").exists, 30, "MariaDB answers")
        self.start_accounting()
        self.start_controller()
        for name in NODES:
            self.start_node(name)
        until(lambda: self.nodes("idle") == set(NODES), 30, "all nodes are idle")

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        ports = _free_ports(2 + len(NODES))
        self._accounting_port = ports[1]
        try:
            loopback = socket.gethostbyname(socket.gethostname()).startswith("127.")
        except OSError:
            loopback = False
        # both listen where the host's name leads, which need not be this machine's inside
        listen = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if loopback else ""
        text = _CONF.format(
            root=self.root,
            host=host,
            ports=ports,
            listen=listen,
            max_array_size=MAX_ARRAY_SIZE,
            remembered_s=REMEMBERED_S,
            accounting=accounting.configure(self.root, ports[1], listen.replace("NoCtldInAddrAny,", "")),
        )
        nodes = [
            _NODE.format(name=name, host=host, port=port, cpus=CPUS, gpus=GPUS)
            for name, port in zip(NODES, ports[2:], strict=True)
        ]
        lines = text.splitlines(keepends=True)
        first_partition = next(i for i, line in enumerate(lines) if line.startswith("PartitionName"))
        self.conf.write_text("".join([*lines[:first_partition], *nodes, *lines[first_partition:]]), encoding="utf-8")
        (self.root / "cgroup.conf").write_text("CgroupAutomount=no\n", encoding="utf-8")
        gpus = [self.root / f"nvidia{number}" for number in range(GPUS)]
        for gpu in gpus:
            gpu.symlink_to("/dev/null")  # SLURM asks for a device, and takes its number from its name
        lines = [f"Name=gpu Type=a100 File={gpu} Flags=nvidia_gpu_env\n" for gpu in gpus]
        (self.root / "gres.conf").write_text("AutoDetect=off\n" + "".join(lines), encoding="utf-8")
        (self.root / "munge.key").write_bytes(os.urandom(128))
        (self.root / "munge.key").chmod(0o400)
        for folder in ("state", *NODES):
            (self.root / folder).mkdir()

    def _munge(self) -> list[str]:
        names = {"key-file": "key", "socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        return [f"--{option}={self.root}/munge.{ending}" for option, ending in names.items()]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a shell on this cluster."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM", "SBATCH_", "SRUN_"))}
        return kept | {"SLURM_CONF": str(self.conf), "PATH": _PATH} | accounting.variables(self.root)

    def _start(self, *command: str) -> None:
        with (self.root / "daemons.log").open("ab") as log:
            # a daemon does not outlive these tests, even where they are killed
            self._daemons[" ".join(command)] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],  # noqa: S607 - wherever it is installed
                env=self.environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_controller(self) -> None:
        """Start slurmctld, which reads the state that an earlier one left."""
        self._start("slurmctld", "-D", "-f", str(self.conf))
        until(lambda: " UP" in self.tell("scontrol", "ping"), 30, "slurmctld answers")

    def stop_controller(self) -> None:
        """End slurmctld in order; jobs go on."""
        self._end("slurmctld", signal.SIGTERM)

    def start_accounting(self) -> None:
        """Start slurmdbd, whose database goes on in any case."""
        self._start(*accounting.DAEMON)
        until(lambda: _listens(self._accounting_port), 30, "slurmdbd answers")

    def stop_accounting(self) -> None:
        """End slurmdbd in order; the controller keeps what it has to say for its return."""
        self._end("slurmdbd", signal.SIGTERM)

    def remember(self, seconds: int) -> None:
        """Let the controller forget jobs so long after their end."""
        text = self.conf.read_text(encoding="utf-8")
        self.conf.write_text(re.sub(r"(?m)^MinJobAge=.*$", f"MinJobAge={seconds}", text), encoding="utf-8")
        self.tell("scontrol", "reconfigure")

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        self._start("slurmd", "-D", "-N", name, "-f", str(self.conf))

    def crash(self, name: str) -> None:
        """A node loses power: its slurmd and all its jobs' processes are gone at once, and the controller learns it."""
        self._end(f"slurmd -D -N {name}", signal.SIGKILL)
        self._kill_step_daemons(name)  # before the processes, whose end they would tell
        self._kill(lambda variables: f"SLURMD_NODENAME={name}".encode() in variables)
        self.tell("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=crash")

    def heal(self) -> None:
        """Start what a test has stopped, and wait until all nodes are idle."""
        self._start_again()
        until(lambda: self.nodes("idle") == set(NODES), 60, "all nodes are idle")

    def _start_again(self) -> None:
        for command, process in list(self._daemons.items()):
            if process.poll() is not None:
                words = command.split()
                starts = {"slurmctld": self.start_controller, "slurmdbd": self.start_accounting}
                starts[words[0]]() if words[0] in starts else self.start_node(words[3])

    def clean(self) -> None:
        """Cancel all jobs and wait for the end of the last, with every node up."""
        self._start_again()
        self.tell("scancel", "--user", "root")
        until(lambda: not self.tell("squeue", "-h"), 60, "the queue is empty")
        self.heal()

    def tell(self, *command: str) -> str:
        """What a client of SLURM prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout.strip()

    def nodes(self, state: str) -> set[str]:
        """The names of the nodes in a state."""
        return set(self.tell("sinfo", "-h", "-N", "-p", "main", "-t", state, "-o", "%N").split())

    def jobs(self) -> dict[str, str]:
        """The state of every job and element that the controller remembers, by ``120`` or ``120_5``."""
        lines = self.tell("squeue", "-h", "-r", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def stop(self) -> None:
        """End everything."""
        for name in ("slurmctld", "slurmd", "mariadbd", "munged"):
            self._end(name, signal.SIGKILL)
        for name in NODES:
            self._kill_step_daemons(name)
        self._kill(lambda _: True)

    def _end(self, beginning: str, number: signal.Signals) -> None:
        for command, process in self._daemons.items():
            if command.startswith(beginning) and process.poll() is None:
                process.send_signal(number)
                process.wait(30)

    def _kill_step_daemons(self, name: str) -> None:
        """A step's daemon has its node's folder as working directory, or holds the node's log open."""
        log = str(self.root / f"{name}.log")
        for pid in _pids():
            if _name(pid).startswith("slurmstepd") and log in _open_files(pid):
                _kill(pid)

    def _kill(self, chosen: Callable[[list[bytes]], bool]) -> None:
        ours = f"SLURM_CONF={self.conf}".encode()
        deadline = time.monotonic() + 10
        while found := [pid for pid in _pids() if ours in (of_it := _variables(pid)) and chosen(of_it)]:
            assert time.monotonic() < deadline, f"processes that cannot be killed: {found}"
            for pid in found:
                _kill(pid)
            time.sleep(0.05)


def until(holds: Callable[[], object], seconds: float, what: str, details: Callable[[], object] = lambda: "") -> None:
    """Wait for something; fails with ``what`` and what ``details`` gives if it takes longer."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what} {details()}"
        time.sleep(0.1)


def _free_ports(number: int) -> Sequence[int]:
    """Ports below those that connections take for themselves."""
    free: list[int] = []
    for port in range(10_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        free.append(port)
        if len(free) == number:
            return free
    raise AssertionError("no free ports")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]  # noqa: PTH208


def _variables(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
    except OSError:
        return ""


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            found.add(str(handle.readlink()))
    return found


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
