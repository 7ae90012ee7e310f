"""The distribution's Chromium: where it is, and how it is started in a closed network."""

from __future__ import annotations

import os
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome")
ENABLE = "nox -s browser installs it on Debian or Ubuntu, as root; elsewhere put Chromium on PATH"
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # a request elsewhere fails at once, and is noticed
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),  # Chromium refuses to sandbox what root starts
)


def executable() -> str | None:
    """The first Chromium on PATH that answers, or None: on Ubuntu the name may be a stub that asks for a snap."""
    for path in filter(None, map(shutil.which, NAMES)):
        if subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return None
