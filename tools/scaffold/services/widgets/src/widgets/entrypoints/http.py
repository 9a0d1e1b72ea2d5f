"""The HTTP operations of `openapi.yaml`, one method each; the name is the operationId. Most are those of all listings."""

from dataclasses import dataclass
from pathlib import Path

from common.listings.controller import Answer, Controller
from common.listings.fields import PROVIDER, sanitised

SPEC = Path(__file__).parent / "openapi.yaml"


@dataclass(frozen=True)
class WidgetsController(Controller):
    def index(self, limit: int, provider: str | None = None, is_visible: bool | None = None, cursor: str | None = None) -> Answer:
        provider = None if provider is None else sanitised(provider, "provider", PROVIDER)
        return self.page(limit, cursor, {"provider": provider, "is_visible": is_visible})
