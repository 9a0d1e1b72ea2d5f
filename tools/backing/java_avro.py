"""Apache Avro for Java, from Maven Central: in the tests it reads what we write, as another language's Avro."""

from __future__ import annotations

from pathlib import Path

from backing import maven

_ARTIFACTS = (
    ("org.apache.avro", "avro", "1.12.1"),
    ("com.fasterxml.jackson.core", "jackson-core", "2.20.0"),
    ("com.fasterxml.jackson.core", "jackson-databind", "2.20.0"),
    ("com.fasterxml.jackson.core", "jackson-annotations", "2.20"),
    ("org.apache.commons", "commons-compress", "1.28.0"),
    ("org.slf4j", "slf4j-api", "2.0.17"),
)


def jars(*, fetch: bool) -> list[Path]:
    """What a class path needs; downloaded first when `fetch`, else `CannotStart` where something is missing."""
    return [maven.artifact(*artifact, "jar", fetch=fetch) for artifact in _ARTIFACTS]
