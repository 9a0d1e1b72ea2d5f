"""The settings that every service of listings has: each from `<SERVICE>_<NAME>`, else from `<NAME>`, else its default."""

from dataclasses import dataclass
from pathlib import Path

from common.config import setting
from common.messaging.topology import SUBSCRIBERS, check_subscribers
from common.security.config import SecurityConfig


@dataclass(frozen=True, kw_only=True)
class ListingsConfig(SecurityConfig):
    """A service's own names itself in `SERVICE`, as in `ROOMS`, and has a `port`. Raises WrongSetting through `common.config.load`."""

    data_dir: Path = setting("{SERVICE}_DATA_DIR", "DATA_DIR", default=Path(".data"))
    port: int = setting("{SERVICE}_PORT", minimum=1, maximum=65535)
    images_url: str = setting(
        "{SERVICE}_IMAGES_URL",
        "IMAGES_URL",
        schemes=("http", "https"),
        default=lambda so_far: f"http://127.0.0.1:{so_far['port']}/images",
    )
    images_store: str = setting(  # see common.images.connect
        "{SERVICE}_IMAGES_STORE",
        "IMAGES_STORE",
        schemes=("file", "s3"),
        default=lambda so_far: f"{so_far['data_dir'].absolute().as_uri()}/images",
    )
    images_access_key: str = setting("{SERVICE}_IMAGES_ACCESS_KEY", "IMAGES_ACCESS_KEY", "AWS_ACCESS_KEY_ID", default="")
    images_secret_key: str = setting("{SERVICE}_IMAGES_SECRET_KEY", "IMAGES_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", default="")
    images_allow: tuple[str, ...] = setting("{SERVICE}_IMAGES_ALLOW", "IMAGES_ALLOW", default=())  # see common.images.addresses
    images_lease: float = setting("{SERVICE}_IMAGES_LEASE", "IMAGES_LEASE", default=180.0, minimum=1)  # see common.images.table
    images_workers: int = setting("{SERVICE}_IMAGES_WORKERS", "IMAGES_WORKERS", default=8, minimum=1, maximum=64)  # threads
    workers: int = setting("{SERVICE}_WORKERS", "WORKERS", default=1, minimum=1, maximum=64)  # processes of `api`
    metrics_port: int = setting(
        "{SERVICE}_METRICS_PORT", "METRICS_PORT", default=0, minimum=1, maximum=65535
    )  # of processes without an API; 0 is none
    metrics_dir: str = setting("PROMETHEUS_MULTIPROC_DIR", default="")  # set for the processes of `api` by their parent
    database_url: str = setting(
        "{SERVICE}_DATABASE_URL",
        "DATABASE_URL",
        schemes=("sqlite", "postgresql+psycopg"),
        default=lambda so_far: f"sqlite:///{so_far['data_dir']}/{so_far['service']}.db",
    )
    broker_url: str = setting(
        "{SERVICE}_BROKER_URL",
        "BROKER_URL",
        schemes=("sqlite", "amqp", "amqps"),
        default=lambda so_far: f"sqlite:///{so_far['data_dir']}/broker.db",
    )
    subscribers: tuple[str, ...] = setting("{SERVICE}_SUBSCRIBERS", "SUBSCRIBERS", default=SUBSCRIBERS)
    outbox_max: int = setting("{SERVICE}_OUTBOX_MAX", "OUTBOX_MAX", default=250_000, minimum=1)  # events
    body_limit: int = setting("{SERVICE}_BODY_LIMIT", "BODY_LIMIT", default=1_048_576, minimum=1024, maximum=67_108_864)  # bytes
    cors_origins: tuple[str, ...] = setting("{SERVICE}_CORS_ORIGINS", "CORS_ORIGINS", default=(), origins=True)
    log_level: str = setting("{SERVICE}_LOG_LEVEL", "LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = setting("{SERVICE}_LOG_FORMAT", "LOG_FORMAT", default="auto", choices=("auto", "json", "text"))
    failpoints: str = setting("{SERVICE}_FAILPOINTS", "FAILPOINTS", default="")  # see common.failpoints

    def __post_init__(self) -> None:
        super().__post_init__()
        check_subscribers(self.subscribers)
