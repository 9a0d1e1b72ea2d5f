"""The settings of widgets: each from `WIDGETS_<NAME>`, else from `<NAME>`, else its default."""

from dataclasses import dataclass
from typing import ClassVar

from common.config import setting
from common.listings.config import ListingsConfig


@dataclass(frozen=True, kw_only=True)
class Config(ListingsConfig):
    """Raises WrongSetting through `common.config.load`."""

    SERVICE: ClassVar = "WIDGETS"

    port: int = setting("{SERVICE}_PORT", default=8999, minimum=1, maximum=65535)
