"""Keys that a client must show: read from a file, compared in a time that tells nothing about them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from pathlib import Path

from tonggan.errors import ConfigError


class Keys:
    """The keys of a server; without any, everybody may come.

    Args:
        keys: as clients send them, after ``Authorization: Bearer``.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = [key.encode() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    @classmethod
    def from_file(cls, path: Path) -> Keys:
        """One key a line; blank lines and lines that begin with ``#`` do not count.

        Raises:
            ConfigError: the file cannot be read, or holds no key.
        """
        who = f"key file {path}"
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                who, got=str(error), expected="a text file in UTF-8", remedy="Check the path given to --api-key-file"
            ) from error
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise ConfigError(who, got="no key", expected="one key a line", remedy="Write a key into it")
        return cls(keys)

    def allow(self, authorization: bytes) -> bool:
        """Whether the value of a request's ``Authorization`` header holds one of the keys, or none is needed."""
        scheme, _, given = authorization.partition(b" ")
        is_known = False
        for key in self._keys:  # all of them, so that the time does not depend on which one it is
            is_known |= hmac.compare_digest(key, given.strip())
        return not self._keys or (is_known and scheme.lower() == b"bearer")
