"""From IMAGES_STORE to the store that it names."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from common.errors import WrongSetting
from common.images.directory import DirectoryStore
from common.images.store import Store

SETTING = "IMAGES_STORE"


def open_store(url: str, access_key: str = "", secret_key: str = "") -> Store:
    """`file:///an/absolute/folder` or `s3://bucket/prefix?endpoint=…&region=…`. Connects when first used. Raises WrongSetting."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return DirectoryStore(Path(unquote(parts.path)))
    options = dict(parse_qsl(parts.query))
    if unknown := options.keys() - {"endpoint", "region"}:
        raise WrongSetting(SETTING, f"has `endpoint` and `region` behind the `?`, not {', '.join(sorted(unknown))}")
    if not options.get("endpoint", "http://").startswith(("http://", "https://")):
        raise WrongSetting(SETTING, "`endpoint` must start with http:// or https://")
    if bool(access_key) != bool(secret_key):
        raise WrongSetting("IMAGES_ACCESS_KEY", "must be set together with IMAGES_SECRET_KEY")
    from common.images.s3 import S3Store  # boto3 takes half a second to import, which who keeps files need not wait for

    return S3Store(parts.netloc, unquote(parts.path), access_key=access_key, secret_key=secret_key, **options)
