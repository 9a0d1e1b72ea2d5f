"""Atrium's Avro contracts, as data: `<service>/<Event>.v<N>.avsc` and `RELEASED`, the fingerprints of what was released."""

from pathlib import Path

#: Where the contracts lie.
DIRECTORY = Path(__file__).parent
