"""Object stores by URL: a local directory, an S3 bucket, or this process's memory."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, MemoryStore, S3Store

from controlplane.adapters.objects.bucket import Bucket
from controlplane.domain.errors import Unavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CONNECT_S = 5
ANSWER_S = 30
RETRIES = 3
RETRY_S = 20


def open_objects(url: str, endpoint: str = "") -> Bucket:
    """file:///DIRECTORY, s3://BUCKET[/PREFIX] or memory:///.

    S3 takes region and credentials from the environment (AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what
    else its own tools know); `endpoint` is the URL of a server that is not Amazon's. Nothing is dialled yet.
    Raises Unavailable when the directory cannot be made, ValueError for another URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        root = Path(unquote(parts.path))
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                "OBJECT_STORE_AWAY", f"{root} cannot be made ({error.strerror}): give another QUARTERDECK_OBJECTS_URL"
            ) from error
        bucket = Bucket(LocalStore(root), str(root), root)
        bucket.sweep()
        return bucket
    if parts.scheme == "s3":
        client: ClientConfig = {
            "connect_timeout": timedelta(seconds=CONNECT_S),
            "timeout": timedelta(seconds=ANSWER_S),
            "allow_http": endpoint.startswith("http://"),
        }
        retry: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)}
        given = {"endpoint": endpoint} if endpoint else {}
        store = S3Store.from_url(url, client_options=client, retry_config=retry, **given)  # type: ignore[arg-type]
        return Bucket(store, url)
    if parts.scheme == "memory":
        return Bucket(MemoryStore(), "memory")
    raise ValueError("an object store is file:///DIRECTORY or s3://BUCKET/PREFIX")
