"""What a process says of itself when it starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

from common.testing.system import free_port


def test_it_says_where_it_listens_and_what_it_uses_but_no_password(tmp_path: Path):
    port = str(free_port())
    settings = {"DATA_DIR": str(tmp_path), "SEARCH_PORT": port, "BROKER_URL": "amqp://guest:secret@127.0.0.1:1/"}
    environ = {"PATH": os.environ["PATH"], "LOG_LEVEL": "info", "LOG_FORMAT": "json"} | settings
    with subprocess.Popen([sys.executable, "-m", "search", "all"], env=environ, stderr=subprocess.PIPE, text=True) as process:
        lines = [process.stderr.readline() for _ in range(4)]  # the first two: a new index each
        process.terminate()
        _, rest = process.communicate(timeout=30)
    index = f"tantivy:///{tmp_path}/index"
    assert [json.loads(line)["message"] for line in lines[2:]] == [
        f"listening on http://127.0.0.1:{port}; index {index}, broker amqp://127.0.0.1:1/",
        f"consuming from amqp://127.0.0.1:1/ into {index}",
    ]
    assert process.returncode == 0
    assert "Traceback" not in rest and "secret" not in rest
