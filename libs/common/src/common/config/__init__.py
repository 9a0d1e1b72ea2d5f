"""Configuration: the environment, read once, into a frozen dataclass. Nothing else reads the environment."""

from common.config.settings import load, setting, without_password

__all__ = ["load", "setting", "without_password"]
