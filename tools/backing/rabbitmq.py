"""RabbitMQ as the distribution installs it, on a node of its own with the management plugin."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from backing import process
from backing.place import CannotStart, Place, account

NAME = "rabbitmq"
STOP = signal.SIGTERM


def start(place: Place, *, fetch: bool) -> process.Running:
    """A node with the queues of the last run, if there was one; AMQP and management answer when this returns."""
    del fetch  # there is no server on Maven
    program = _program()
    owner = account("rabbitmq")
    home = place.make(place.of(NAME))
    ports = {purpose: place.port(f"{NAME}-{purpose}", in_use=False) for purpose in ("amqp", "management", "distribution")}
    # Erlang's port mapper outlives a node: asked for on its remembered port, whether ours still has it or not.
    mapper = place.port(f"{NAME}-mapper", in_use=_mapper_answers(place))
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{ports['amqp']}\n"
        "management.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {ports['management']}\n"
        "log.console = true\n"
        "log.file = false\n"
        # The defaults stop publishers on a laptop whose disk or memory is nearly full; these tests write megabytes.
        "disk_free_limit.absolute = 100MB\n"
        "vm_memory_high_watermark.absolute = 1GB\n"
    )
    (home / "enabled_plugins").write_text("[rabbitmq_management].\n")
    for folder in ("data", "empty"):
        (home / folder).mkdir(exist_ok=True)
    owner.give(home)
    log = home / "log"
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(home),  # the cookie
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"atrium-{ports['amqp']}@localhost",
        "RABBITMQ_DIST_PORT": str(ports["distribution"]),
        "RABBITMQ_MNESIA_DIR": str(home / "data" / "node"),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "empty" / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "empty" / "rabbitmq-env.conf"),  # not the machine's own
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        # Idle schedulers sleep instead of spinning: the machine is shared with the tests.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
    }
    running = process.launch(
        [str(program)], record=home / "process.json", log=log, environment=environment, owner=owner, folder=home
    )
    process.wait_until_ready(running, lambda: _answers(ports["amqp"], ports["management"]), seconds=120, log=log)
    return running


def exports(place: Place) -> dict[str, str]:
    return {
        "TEST_RABBITMQ_URL": f"amqp://guest:guest@127.0.0.1:{place.port(f'{NAME}-amqp', in_use=True)}/",
        "TEST_RABBITMQ_MANAGEMENT_URL": f"http://127.0.0.1:{place.port(f'{NAME}-management', in_use=True)}",
    }


def end_mapper(place: Place) -> None:
    """Ask our port mapper to end, once the node has; it refuses while one is registered."""
    if epmd := shutil.which("epmd"):
        subprocess.run([epmd, "-port", str(place.port(f"{NAME}-mapper", in_use=True)), "-kill"], capture_output=True, check=False)


def _mapper_answers(place: Place) -> bool:
    epmd = shutil.which("epmd")
    if epmd is None:
        return False
    names = [epmd, "-port", str(place.port(f"{NAME}-mapper", in_use=True)), "-names"]
    return subprocess.run(names, capture_output=True, check=False).returncode == 0


def _program() -> Path:
    # Debian's /usr/sbin/rabbitmq-server is a wrapper that fixes account, folder and log; the server's own script does not.
    found = shutil.which("rabbitmq-server")
    candidates = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), *([Path(found)] if found else [])]
    for path in candidates:
        if path.exists():
            return path
    raise CannotStart("no rabbitmq-server is installed")


def _answers(amqp: int, management: int) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{management}/api/health/checks/port-listener/{amqp}")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
            return bool(json.load(response)["status"] == "ok")
    except (OSError, urllib.error.HTTPError, ValueError):
        return False
