"""Small networks: their contract."""

from __future__ import annotations

from contracts import check_member
from tonggan.floor.small_network import NetworkConfig


def test_contract() -> None:
    check_member(NetworkConfig(networks=2, width=32, epochs=40))
