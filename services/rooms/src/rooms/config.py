"""The settings of rooms: each from `ROOMS_<NAME>`, else from `<NAME>`, else its default."""

from dataclasses import dataclass
from pathlib import Path

from common.config import setting


@dataclass(frozen=True, kw_only=True)
class Config:
    """Raises WrongSetting through `common.config.load`."""

    data_dir: Path = setting("ROOMS_DATA_DIR", "DATA_DIR", default=Path(".data"))
    host: str = setting("ROOMS_HOST", default="127.0.0.1")
    port: int = setting("ROOMS_PORT", default=8001, minimum=1, maximum=65535)
    workers: int = setting("ROOMS_WORKERS", "WORKERS", default=1, minimum=1, maximum=64)  # processes of `api`
    metrics_port: int = setting(
        "ROOMS_METRICS_PORT", "METRICS_PORT", default=0, minimum=1, maximum=65535
    )  # of `relay`; 0 is none
    metrics_dir: str = setting("PROMETHEUS_MULTIPROC_DIR", default="")  # set for the processes of `api` by their parent
    database_url: str = setting(
        "ROOMS_DATABASE_URL",
        "DATABASE_URL",
        schemes=("sqlite", "postgresql+psycopg"),
        default=lambda so_far: f"sqlite:///{so_far['data_dir']}/rooms.db",
    )
    broker_url: str = setting(
        "ROOMS_BROKER_URL",
        "BROKER_URL",
        schemes=("sqlite", "amqp", "amqps"),
        default=lambda so_far: f"sqlite:///{so_far['data_dir']}/broker.db",
    )
    outbox_max: int = setting("ROOMS_OUTBOX_MAX", "OUTBOX_MAX", default=250_000, minimum=1)  # events
    body_limit: int = setting("ROOMS_BODY_LIMIT", "BODY_LIMIT", default=1_048_576, minimum=1024, maximum=67_108_864)  # bytes
    cors_origins: tuple[str, ...] = setting("ROOMS_CORS_ORIGINS", "CORS_ORIGINS", default=(), origins=True)
    log_level: str = setting("ROOMS_LOG_LEVEL", "LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = setting("ROOMS_LOG_FORMAT", "LOG_FORMAT", default="auto", choices=("auto", "json", "text"))
    failpoints: str = setting("ROOMS_FAILPOINTS", "FAILPOINTS", default="")  # see common.failpoints
