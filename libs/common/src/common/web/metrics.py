"""/metrics: what has been counted, and the gauges, asked for when the page is."""

import asyncio
import logging
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from common.asking import Asking
from common.observability.logs import Trouble
from common.observability.metrics import CONTENT_TYPE, Gauges, Metrics, Reading

log = logging.getLogger(__name__)

#: Seconds for all gauges: Prometheus itself waits for ten.
ASK_SECONDS = 2.0


class MetricsPage:
    """A gauge whose neighbour does not answer is missing from the page, which comes all the same."""

    def __init__(self, metrics: Metrics, gauges: Sequence[Gauges]) -> None:
        self._metrics = metrics
        self._gauges = [(Asking(f"gauges-{number}", each), Trouble(log)) for number, each in enumerate(gauges)]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        answers = await asyncio.gather(*(_asked(asking, trouble) for asking, trouble in self._gauges))
        readings = [reading for answer in answers for reading in answer]
        body = await asyncio.to_thread(self._metrics.exposed, readings)
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _asked(asking: Asking[Sequence[Reading]], trouble: Trouble) -> Sequence[Reading]:
    try:
        readings = await asking.answer(ASK_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other numbers are wanted now more than ever
        trouble.warn(f"a gauge is missing from /metrics: {error}")
        return ()
    trouble.over()
    return readings
