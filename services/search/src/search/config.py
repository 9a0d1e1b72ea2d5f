"""The settings of search: each from `SEARCH_<NAME>`, else from `<NAME>`, else its default."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from common.config import setting
from common.messaging.topology import SUBSCRIBERS, check_subscribers
from common.security.config import SecurityConfig


@dataclass(frozen=True, kw_only=True)
class Config(SecurityConfig):
    """Raises WrongSetting through `common.config.load`."""

    SERVICE: ClassVar = "SEARCH"
    WRITES: ClassVar = False

    data_dir: Path = setting("SEARCH_DATA_DIR", "DATA_DIR", default=Path(".data"))
    port: int = setting("SEARCH_PORT", default=8003, minimum=1, maximum=65535)
    rooms_port: int = setting("ROOMS_PORT", default=8001, minimum=1, maximum=65535)
    rooms_url: str = setting(
        "ROOMS_URL", schemes=("http", "https"), default=lambda so_far: f"http://127.0.0.1:{so_far['rooms_port']}"
    )
    items_port: int = setting("ITEMS_PORT", default=8002, minimum=1, maximum=65535)
    items_url: str = setting(
        "ITEMS_URL", schemes=("http", "https"), default=lambda so_far: f"http://127.0.0.1:{so_far['items_port']}"
    )
    workers: int = setting("SEARCH_WORKERS", "WORKERS", default=1, minimum=1, maximum=64)  # processes of `api`
    metrics_port: int = setting(
        "SEARCH_METRICS_PORT", "METRICS_PORT", default=0, minimum=1, maximum=65535
    )  # of `consumer`; 0 is none
    metrics_dir: str = setting("PROMETHEUS_MULTIPROC_DIR", default="")  # set for the processes of `api` by their parent
    index_url: str = setting(
        "SEARCH_INDEX_URL",
        "INDEX_URL",
        schemes=("tantivy", "http", "https"),
        default=lambda so_far: f"tantivy:///{so_far['data_dir']}/index",
    )
    index_api_key: str = setting(
        "SEARCH_INDEX_API_KEY", "INDEX_API_KEY", default=""
    )  # Elasticsearch's, base64; instead of a password
    broker_url: str = setting(
        "SEARCH_BROKER_URL",
        "BROKER_URL",
        schemes=("sqlite", "amqp", "amqps"),
        default=lambda so_far: f"sqlite:///{so_far['data_dir']}/broker.db",
    )
    subscribers: tuple[str, ...] = setting("SEARCH_SUBSCRIBERS", "SUBSCRIBERS", default=SUBSCRIBERS)
    batch: int = setting("SEARCH_BATCH", default=1000, minimum=1, maximum=10_000)  # events applied together
    default_currency: str = setting("SEARCH_DEFAULT_CURRENCY", "DEFAULT_CURRENCY", default="EUR")  # ISO 4217
    cors_origins: tuple[str, ...] = setting("SEARCH_CORS_ORIGINS", "CORS_ORIGINS", origins=True, default=())
    log_level: str = setting("SEARCH_LOG_LEVEL", "LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = setting("SEARCH_LOG_FORMAT", "LOG_FORMAT", default="auto", choices=("auto", "json", "text"))
    failpoints: str = setting("SEARCH_FAILPOINTS", "FAILPOINTS", default="")  # see common.failpoints

    def __post_init__(self) -> None:
        super().__post_init__()
        check_subscribers(self.subscribers)
