"""Who a request comes from, and what it may do."""

from dataclasses import dataclass

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever `issuer` calls `subject`, with the scopes that it was given."""

    issuer: str
    subject: str
    scopes: frozenset[str]

    @property
    def owner(self) -> str:
        """Whose the listings are that it writes: `issuer|subject`, empty for who did not say who they are."""
        return f"{self.issuer}|{self.subject}" if self.subject else ""

    def may(self, scope: str) -> bool:
        return scope in self.scopes or self.is_admin

    @property
    def is_admin(self) -> bool:
        return ADMIN in self.scopes


#: Nobody in particular, who may read what everybody may.
ANONYMOUS = Principal("", "", frozenset())
#: Whoever reaches a service that has no issuer, which listens to its own machine alone: may do everything.
LOCAL = Principal("", "", frozenset({ADMIN}))
