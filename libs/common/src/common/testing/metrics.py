"""Reading what /metrics shows."""

from prometheus_client.parser import text_string_to_metric_families


def sample(page: str | bytes, name: str, **labels: str) -> float:
    """The sum of the samples of this name that have these labels, `atrium_` understood; 0 where there is none."""
    text = page if isinstance(page, str) else page.decode()
    return sum(
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == f"atrium_{name}" and labels.items() <= each.labels.items()
    )


def shows(page: str | bytes, name: str) -> bool:
    """Whether there is any sample of this name: a gauge that nobody could answer has none."""
    text = page if isinstance(page, str) else page.decode()
    return any(line.startswith(f"atrium_{name}{{") for line in text.splitlines())
