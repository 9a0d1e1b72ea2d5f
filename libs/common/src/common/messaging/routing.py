"""Topic routing as AMQP 0-9-1 defines it: words between dots, `*` for exactly one of them, `#` for any number."""


def matches(pattern: str, routing_key: str) -> bool:
    """Whether a binding with this pattern takes a message with this routing key."""
    return pattern == "#" or _match(_words(pattern), _words(routing_key))


def _words(text: str) -> list[str]:
    return text.split(".") if text else []


def _match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_match(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _match(rest, words[1:])
