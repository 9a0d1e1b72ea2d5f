"""Packages of Debian and Ubuntu that the servers need, for CI and for a developer with root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from backing import elasticsearch
from backing.place import CannotStart

_POLICY = Path("/usr/sbin/policy-rc.d")


def install(say: Callable[[str], None]) -> None:
    """Install what is missing, quietly. The packages' own services are not started: they would take memory and ports."""
    wanted = missing()
    if not wanted:
        say("install: nothing is missing")
        _install_zsh(say)
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise CannotStart(f"install these as root: {' '.join(wanted)}")
    say(f"install: {' '.join(wanted)}")
    with _no_services():
        _apt("update")
        _apt("install", "--no-install-recommends", *wanted)
    if left := missing():
        raise CannotStart(f"still missing after the install: {' '.join(left)}")
    _install_zsh(say)


def _install_zsh(say: Callable[[str], None]) -> None:
    """No server: a second shell in which the documents are tried, where it can be had."""
    if shutil.which("zsh") or shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    try:
        _apt("update")
        _apt("install", "--no-install-recommends", "zsh")
    except CannotStart as error:
        say(f"install: the documents are tried in bash alone, as there is no zsh: {error}")


def missing() -> list[str]:
    """Names of the packages that are not here, judged by the programs that they bring."""
    wanted = []
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        wanted.append("postgresql")
    if not Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        wanted.append("rabbitmq-server")
    if shutil.which("mvn") is None:
        wanted.append("maven")
    if shutil.which("go") is None:
        wanted.append("golang-go")
    try:
        elasticsearch.find_jdk()
    except CannotStart:
        wanted.append(_jdk_package())
    return wanted


def _jdk_package() -> str:
    for release in (21, 25):
        name = f"openjdk-{release}-jdk-headless"
        if shutil.which("apt-cache") and subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).stdout:
            return name
    return "openjdk-21-jdk-headless"


def _apt(*arguments: str) -> None:
    command = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=120", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise CannotStart(f"apt-get {arguments[0]}: {(done.stderr or done.stdout).strip()[-500:]}")


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Package scripts ask /usr/sbin/policy-rc.d whether to start a service: 101 says no. One that is there already stays."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
