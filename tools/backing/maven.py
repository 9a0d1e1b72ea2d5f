"""Artifacts from Maven Central, through the ordinary client and into its own cache."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from backing.place import CannotStart


def artifact(group: str, name: str, version: str, kind: str, *, fetch: bool) -> Path:
    """The cached file of `group:name:version:kind`; downloaded first when `fetch`, else `CannotStart`."""
    path = Path.home() / ".m2/repository" / group.replace(".", "/") / name / version / f"{name}-{version}.{kind}"
    if path.exists():
        return path
    if not fetch:
        raise CannotStart(f"{name} {version} is not in Maven's cache")
    if shutil.which("mvn") is None:
        raise CannotStart(f"{name} {version} comes from Maven, and there is no mvn")
    command = ["mvn", "-q", "-B", "dependency:get", "-Dtransitive=false", f"-Dartifact={group}:{name}:{version}:{kind}"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
    if result.returncode != 0 or not path.exists():
        reason = next((line for line in result.stdout.splitlines() if "ERROR" in line), f"mvn exited {result.returncode}")
        raise CannotStart(f"{name} {version} cannot be had from Maven: {reason[:300]}")
    return path
