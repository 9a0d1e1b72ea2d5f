"""The image store in a bucket of S3, or of anything that speaks its protocol. The bucket must be there."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from common.errors import Unavailable
from common.images.store import Store

#: Seconds; and how often one call is tried.
CONNECT, READ, TRIES = 3, 10, 2


class S3Store(Store):
    """Objects below a prefix. Without keys boto3 looks where it always does: files, the role of the machine."""

    def __init__(
        self, bucket: str, prefix: str = "", *, endpoint: str = "", region: str = "", access_key: str = "", secret_key: str = ""
    ) -> None:
        """Connects when first used."""
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        config = Config(
            connect_timeout=CONNECT,
            read_timeout=READ,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
            # What others than AWS understand, too.
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=32,
        )
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint or None,
            region_name=region or "us-east-1",
            aws_access_key_id=access_key or None,
            aws_secret_access_key=secret_key or None,
            config=config,
        )

    def put(self, name: str, data: bytes) -> None:
        with _translated():
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=data,
                ContentType="image/jpeg",
                CacheControl="public, max-age=31536000, immutable",
            )

    def get(self, name: str) -> bytes | None:
        with _translated():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
                return data

    def ping(self) -> None:
        with _translated():
            self._client.head_bucket(Bucket=self._bucket)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:  # urllib3's are wrapped in botocore's
        raise Unavailable("the image store", str(error), 5) from error
