"""The HTTP operations of `openapi.yaml`, one method each; the name is the operationId. Most are those of all listings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from common.listings.controller import Answer, Controller
from common.listings.fields import PROVIDER, sanitised
from common.security.current import principal
from items.domain import CATEGORY

SPEC = Path(__file__).parent / "openapi.yaml"


@dataclass(frozen=True)
class ItemsController(Controller):
    def seen(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Who puts something into a hidden room does not learn where that is."""
        room = shown["room"]
        hidden = room is not None and not room["is_visible"] and not principal().is_admin
        return {**shown, "room": None} if hidden else shown

    def index(
        self,
        limit: int,
        room_id: str | None = None,
        category: str | None = None,
        provider: str | None = None,
        is_visible: bool | None = None,
        cursor: str | None = None,
    ) -> Answer:
        wanted = {
            "room_id": None if room_id is None else str(UUID(room_id)),
            "category": None if category is None else sanitised(category, "category", CATEGORY),
            "provider": None if provider is None else sanitised(provider, "provider", PROVIDER),
            "is_visible": is_visible,
        }
        return self.page(limit, cursor, wanted)
