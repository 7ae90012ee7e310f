"""The project's chores: `nox -l` lists them, plain `nox` runs every check.

All sessions share the virtual environment that nox itself was installed into, so that torch is installed once, in the
versions of constraints.txt. The benchmarks' peers, `oldest` and `latest` have environments of their own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "none"

ROOT = Path(__file__).parent
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
OF_THE_PLATFORM = ("torch", "torchvision")  # pip chooses them, and what torch alone needs, for the machine
TESTS_ON_PATH = {"PYTHONPATH": os.pathsep.join(str(ROOT / "tests" / room) for room in ("", "support", "studies"))}
PEERS = ("kornia==0.9.0", "lightly==1.6.0")  # of the benchmarks
DEMO_GRIDS = ("simclr_fig5_augmentation_pairs", "simsiam_fig2_stop_gradient")


def install(session: nox.Session, *groups: str, project: bool = False) -> None:
    """Install dependency groups, and the project, each unless done since pyproject.toml or constraints.txt changed."""
    if sys.prefix == sys.base_prefix:
        session.error("nox installs into its own environment: run it from a virtual one, as the README shows")
    pyproject = nox.project.load_toml(PYPROJECT)
    requirements = {name: nox.project.dependency_groups(pyproject, name) for name in groups}
    if project:
        requirements["project"] = ("--editable", str(ROOT))
    contents = [path.read_text(encoding="utf-8") for path in (PYPROJECT, CONSTRAINTS)]
    state = hashlib.sha256("\n".join([str(ROOT), *contents]).encode()).hexdigest()
    stamps = {name: Path(sys.prefix) / "nox-installed" / name for name in requirements}
    missing = [name for name, stamp in stamps.items() if not stamp.is_file() or stamp.read_text("utf-8") != state]
    if not missing:
        return
    wanted = [argument for name in missing for argument in requirements[name]]
    options = ("--disable-pip-version-check", "--constraint", str(CONSTRAINTS))
    python(session, "pip", "install", *options, *wanted)
    for name in missing:
        stamps[name].parent.mkdir(exist_ok=True)
        stamps[name].write_text(state, encoding="utf-8")


def python(session: nox.Session, module: str, *args: str, env: dict[str, str] | None = None) -> None:
    """Run a module with the interpreter that runs nox, whatever else PATH offers."""
    session.run(sys.executable, "-m", module, *args, env=env)


def apt_install(session: nox.Session, what: str, *packages: str) -> None:
    """Install packages of Debian or Ubuntu; where that cannot be done, skip the session, or fail it where CI is set."""
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        reason = f"there is no {what} here; on Debian or Ubuntu, as root: {command}"
        session.error(reason) if os.environ.get("CI") else session.skip(reason)
    session.run("apt-get", "update", "-qq", external=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    session.run(*command.split(), "--yes", "-qq", external=True, env=environment)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff; `-- --fix` repairs what it can."""
    install(session, "lint")
    python(session, "ruff", "check", *session.posargs)
    python(session, "ruff", "format", *([] if "--fix" in session.posargs else ["--check", "--diff"]))


@nox.session
def types(session: nox.Session) -> None:
    """Check the three packages' types with mypy, strictly."""
    install(session, "types", project=True)
    python(session, "mypy", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Check which layer may import which (import-linter)."""
    install(session, "imports", project=True)
    session.run(str(Path(sys.executable).with_name("lint-imports")), *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, two at a time; arguments after `--` go to pytest."""
    install(session, "test", project=True)
    python(session, "pytest", "--numprocesses=2", *session.posargs, env={"OMP_NUM_THREADS": "1"})


def tests_with_versions(session: nox.Session, *options: str, interpreter: str) -> None:
    """Run the tests in an environment of the session's own, whose versions uv chooses; nothing constrains them."""
    install(session, "versions")
    folder = ROOT / ".nox" / session.name
    own = folder / "bin" / "python"
    python(session, "uv", "venv", "--clear", "--quiet", "--no-python-downloads", "--python", interpreter, str(folder))
    project = ("--group", "test", "--editable", str(ROOT))
    python(session, "uv", "pip", "install", "--python", str(own), *options, *project)
    session.run(str(own), "-m", "pytest", "--numprocesses=2", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(default=False)
def latest(session: nox.Session) -> None:
    """Run the tests with the latest versions that pyproject.toml allows, torch's too."""
    tests_with_versions(session, interpreter=sys.executable)


@nox.session(default=False)
def oldest(session: nox.Session) -> None:
    """Run the tests with the oldest Python and the oldest versions that pyproject.toml allows, torch's too."""
    tests_with_versions(session, "--resolution=lowest-direct", interpreter="3.11")


@nox.session(default=False)
def constraints(session: nox.Session) -> None:
    """Write constraints.txt anew: the latest versions that pyproject.toml allows, for every Python from 3.11 on."""
    install(session, "versions")
    excludes = Path(session.create_tmp(), "excludes.txt")
    excludes.write_text("\n".join(OF_THE_PLATFORM), encoding="utf-8")
    groups = [f"--group={name}" for name in nox.project.load_toml(PYPROJECT)["dependency-groups"]]
    how = ("--universal", "--python-version=3.11", "--upgrade", "--all-extras", f"--excludes={excludes}", *groups)
    shown = ("--quiet", "--no-annotate", "--custom-compile-command=nox -s constraints")
    python(session, "uv", "pip", "compile", str(PYPROJECT), *how, *shown, f"--output-file={CONSTRAINTS}")


@nox.session(default=False)
def slurm(session: nox.Session) -> None:
    """Run the tests on a SLURM cluster that they start on this machine; needs root and Debian or Ubuntu."""
    install(session, "test", project=True)
    packages = ("munge", "slurm-client", "slurm-wlm-basic-plugins", "slurmctld", "slurmd", "slurmdbd")
    packages += ("mariadb-client-core", "mariadb-server-core")  # slurmdbd's database, without a service of its own
    programs = ("munged", "sbatch", "setpriv", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "my_print_defaults")
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    if any(shutil.which(name, path=path) is None for name in programs):
        apt_install(session, "SLURM", *packages)
    python(session, "pytest", "-m", "slurm", "tests/slurm", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Test the report in headless Chromium, installed as root on Debian or Ubuntu; BROWSER_SCREENSHOTS: a folder."""
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        apt_install(session, "Chromium", "chromium", "fonts-dejavu-core")
    install(session, "test", "browser", project=True)
    python(session, "pytest", "-m", "browser", "tests/browser", *session.posargs)


@nox.session(default=False)
def parity(session: nox.Session) -> None:
    """Compare with the original code's numbers, in tests/golden or in the folder after `--`; 1: beyond, 2: cannot."""
    install(session, "test", project=True)
    folders = [str(Path(session.invoked_from, folder)) for folder in session.posargs]
    # not session.run, which turns every exit code into 1
    command = [sys.executable, "-m", "parity", *folders]
    if code := subprocess.run(command, cwd=ROOT, env=os.environ | TESTS_ON_PATH, check=False).returncode:
        sys.exit(code)


@nox.session(default=False)
def fidelity(session: nox.Session) -> None:
    """Write the tables of docs/fidelity.md: every golden case, killed and resumed runs, two processes against one."""
    install(session, "test", project=True)
    session.run(sys.executable, "tests/studies/fidelity.py", env={"OMP_NUM_THREADS": "1"} | TESTS_ON_PATH)


@nox.session(default=False)
def grids_readme(session: nox.Session) -> None:
    """Write the table of grids in grids/README.md anew."""
    install(session, project=True)
    python(session, "ablations.readme.grids_readme", str(ROOT / "grids" / "README.md"))


@nox.session(default=False)
def imports_picture(session: nox.Session) -> None:
    """Draw the rooms of the packages and their imports, from the code: docs/imports.svg; a file after `--`: another."""
    install(session, "test", project=True)
    session.run(sys.executable, "tests/studies/imports_picture.py", *session.posargs, env=TESTS_ON_PATH)


@nox.session(default=False)
def simulation(session: nox.Session) -> None:
    """Print how often the verdicts' rule errs, with its looks, and what it can resolve, from simulated seeds."""
    install(session, "test", project=True)
    session.run(sys.executable, "tests/studies/simulation.py", env={"OMP_NUM_THREADS": "1"} | TESTS_ON_PATH)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure beside peers, in an own environment; writes docs/performance.md and docs/scaling.md; `-- step`: one."""
    install(session, project=True)
    folder = ROOT / ".nox" / "bench"
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        python(session, "venv", str(folder))
        shared = "import site; print(site.getsitepackages()[0])"
        packages = Path(subprocess.check_output([str(interpreter), "-c", shared], text=True).strip())
        (packages / "shared.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")  # torch, once
    session.run(str(interpreter), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *PEERS)
    session.run(str(interpreter), "-m", "benchmarks", *session.posargs, env={"OMP_NUM_THREADS": str(os.cpu_count())})


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Run both grids at the smallest scale and write site/index.html; arguments after `--` go to `ablate run`."""
    install(session, project=True)
    ablate = str(Path(sys.executable).with_name("ablate"))
    start = time.monotonic()
    session.run(ablate, "run", *DEMO_GRIDS, "--scale", "demo", *session.posargs)
    session.run(ablate, "report", *DEMO_GRIDS, "--scale", "demo", "--out", "site")
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    page = ROOT / "site" / "index.html"
    session.log(f"{minutes} min {seconds} s after the installation, on {os.cpu_count()} cores.")
    session.log(f"Open {page.as_uri()}")
