"""The settings of items: each from `ITEMS_<NAME>`, else from `<NAME>`, else its default."""

from dataclasses import dataclass
from typing import ClassVar

from common.config import setting
from common.listings.config import ListingsConfig


@dataclass(frozen=True, kw_only=True)
class Config(ListingsConfig):
    """Raises WrongSetting through `common.config.load`."""

    SERVICE: ClassVar = "ITEMS"

    port: int = setting("{SERVICE}_PORT", default=8002, minimum=1, maximum=65535)
    rooms_port: int = setting("ROOMS_PORT", default=8001, minimum=1, maximum=65535)
    rooms_url: str = setting(
        "ROOMS_URL", schemes=("http", "https"), default=lambda so_far: f"http://127.0.0.1:{so_far['rooms_port']}"
    )
    rooms_timeout: float = setting("ITEMS_ROOMS_TIMEOUT", default=2.0, minimum=0.1, maximum=30)  # seconds, of one question
    rooms_calls: int = setting("ITEMS_ROOMS_CALLS", default=4, minimum=1, maximum=100)  # at a time; the API has 16 threads
