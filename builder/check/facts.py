"""What is known of an image that is checked: read from it, and seen when it was started."""

from __future__ import annotations
