"""How fast a generation of the index is rebuilt: `search rebuild` on Elasticsearch, beside `helpers.bulk` of the same documents.

    python benchmarks/rebuild.py --elasticsearch http://127.0.0.1:9200 [--rooms 50000]

A rooms API with a database of that many rooms serves the export in a process of its own; broker and database are embedded, so that only
the index is a server. `helpers.bulk` has its documents in memory, without a version to check and without an audit: what it needs is the
least that anyone could.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import elasticsearch
import httpx
from elasticsearch import helpers
from injector import Injector

from common.config import load
from common.testing.system import free_port
from search.adapters.elasticsearch_client import connect
from search.adapters.elasticsearch_mapping import source, template
from search.bootstrap import configure, open_generations
from search.config import Config
from search.kinds import KINDS, ROOMS
from search.ports import Corpora
from search.projection import Fields, project

PORTION = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast `search rebuild` is, beside helpers.bulk.")
    parser.add_argument(
        "--elasticsearch", required=True, metavar="URL", help="a server without security; what is made there is deleted"
    )
    parser.add_argument("--rooms", type=int, default=50_000)
    arguments = parser.parse_args()
    prefix = f"benchmark-{uuid4().hex[:8]}-"
    with TemporaryDirectory() as folder:
        environ = {
            **os.environ,
            "DATA_DIR": folder,
            "INDEX_URL": f"{arguments.elasticsearch.rstrip('/')}/?prefix={prefix}",
            "ROOMS_PORT": str(free_port()),
            "LOG_LEVEL": "WARNING",
        }
        for service in ("rooms", "search"):
            subprocess.run([sys.executable, "-m", service, "migrate"], env=environ, check=True, stdout=subprocess.DEVNULL)
        try:
            with served(environ):
                fill(f"http://127.0.0.1:{environ['ROOMS_PORT']}", arguments.rooms)
                began = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "search", "rebuild", "rooms"], env=environ, check=True, stderr=subprocess.DEVNULL
                )
                rebuilt = arguments.rooms / (time.perf_counter() - began)
                bulk = arguments.rooms / bulked(load(Config, environ), prefix)
        finally:
            swept(load(Config, environ))
    print(f"search rebuild    {rebuilt:9,.0f} docs/s, process start, audit and swap included")
    print(f"helpers.bulk      {bulk:9,.0f} docs/s, from memory, nothing else")
    print(f"ratio             {rebuilt / bulk:9.2f}")


@contextmanager
def served(environ: dict[str, str]) -> Iterator[None]:
    """The rooms API alone: nothing is published."""
    process = subprocess.Popen([sys.executable, "-m", "rooms", "api"], env=environ)
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{environ['ROOMS_PORT']}/readyz").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def fill(url: str, count: int) -> None:
    """Imports the samples over and over, each time at addresses of their own."""
    samples = [json.loads(line) for line in (Path(__file__).parents[1] / "samples/rooms.ndjson").read_text().splitlines()]
    for start in range(0, count, PORTION):
        lines = []
        for number in range(start, min(start + PORTION, count)):
            sample = samples[number % len(samples)]
            lines.append(json.dumps({**sample, "url": f"{sample['url']}/{number}"}))
        headers = {"Content-Type": "application/x-ndjson"}
        answer = httpx.post(f"{url}/v1.0/rooms/import", content="\n".join(lines), headers=headers, timeout=600)
        if answer.text.count('"created"') != len(lines):
            raise SystemExit(answer.text[-500:])


def bulked(config: Config, prefix: str) -> float:
    """Seconds for the same documents, which are read beforehand."""
    client, _ = connect(config.index_url, "")
    client.indices.put_index_template(name=f"{prefix}bulk", **template(ROOMS, f"{prefix}bulk"))
    client.indices.create(index=f"{prefix}bulk-g1")
    actions = []
    for document in Injector([configure(config)]).get(Corpora)["rooms"].exports():
        fields = project(ROOMS, document)
        written = source(ROOMS, document, fields if isinstance(fields, Fields) else None)
        actions.append({"_index": f"{prefix}bulk-g1", "_id": document.id, "_source": written})
    began = time.perf_counter()
    helpers.bulk(client, actions, chunk_size=1000)
    return time.perf_counter() - began


def swept(config: Config) -> None:
    client, prefix = connect(config.index_url, "")
    for kind in KINDS.values():
        for each in open_generations(config, kind).all():
            client.indices.delete(index=f"{prefix}{kind.generation(each.number)}")
    client.indices.delete(index=f"{prefix}bulk-g1", ignore_unavailable=True)
    for name in (*KINDS, "bulk"):
        try:
            client.indices.delete_index_template(name=f"{prefix}{name}")
        except elasticsearch.NotFoundError:
            continue


if __name__ == "__main__":
    main()
