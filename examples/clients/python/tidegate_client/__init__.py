"""Sends readings to Tidegate and loses none while its disk lasts. See `Client`."""
from .client import Client, Closed

__all__ = ["Client", "Closed"]
