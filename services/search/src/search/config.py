"""The settings of search: each from `SEARCH_<NAME>`, else from `<NAME>`, else its default."""

from dataclasses import dataclass
from pathlib import Path

from common.config import setting


@dataclass(frozen=True, kw_only=True)
class Config:
    """Raises WrongSetting through `common.config.load`."""

    data_dir: Path = setting("SEARCH_DATA_DIR", "DATA_DIR", default=Path(".data"))
    host: str = setting("SEARCH_HOST", default="127.0.0.1")
    port: int = setting("SEARCH_PORT", default=8003, minimum=1, maximum=65535)
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
    rooms_port: int = setting("ROOMS_PORT", default=8001, minimum=1, maximum=65535)
    rooms_url: str = setting(  # where the rooms service is asked about its rooms
        "SEARCH_ROOMS_URL",
        "ROOMS_URL",
        schemes=("http", "https"),
        default=lambda so_far: f"http://127.0.0.1:{so_far['rooms_port']}",
    )
    batch: int = setting("SEARCH_BATCH", default=1000, minimum=1, maximum=10_000)  # events applied together
    default_currency: str = setting("SEARCH_DEFAULT_CURRENCY", "DEFAULT_CURRENCY", default="EUR")  # ISO 4217
    cors_origins: tuple[str, ...] = setting("SEARCH_CORS_ORIGINS", "CORS_ORIGINS", origins=True, default=())
    log_level: str = setting("SEARCH_LOG_LEVEL", "LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = setting("SEARCH_LOG_FORMAT", "LOG_FORMAT", default="auto", choices=("auto", "json", "text"))
