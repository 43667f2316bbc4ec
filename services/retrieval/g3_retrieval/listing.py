"""Listing the references of a version in pages: what a page holds, and the token that names the next one."""

import base64
import binascii
import json
from dataclasses import dataclass

from g3_kit.errors import Rejected

from g3_retrieval.references import Reference, Vectors, Version, check_model, check_name, check_text


@dataclass(frozen=True, slots=True)
class Page:
    """References in the order of their ids, and what is stored of each, float32 [n, 3d], if that was asked for."""

    references: tuple[Reference, ...]
    stored: Vectors | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a listing stands: all of `version` up to the id `after` has been given."""

    version: str
    model: str
    after: str

    @staticmethod
    def behind(version: Version, after: str) -> "Cursor":
        """Behind `after` in `version`."""
        return Cursor(version.name, version.model, after)

    @staticmethod
    def read(token: str) -> "Cursor":
        """From a token. Raises `Rejected` for what no page gave."""
        try:
            parts = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
        except (ValueError, binascii.Error):
            parts = None
        if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(part, str) for part in parts):
            raise Rejected("page_token must be the next_page_token of an earlier page", field="page_token")
        cursor = Cursor(*parts)
        check_name(cursor.version, "page_token")
        check_model(cursor.model)
        check_text(cursor.after, "page_token")
        return cursor

    def token(self) -> str:
        """As a token: opaque to callers, good for ever, on every replica."""
        return base64.urlsafe_b64encode(json.dumps([self.version, self.model, self.after]).encode()).decode()
