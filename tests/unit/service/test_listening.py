"""The socket of the service."""

from __future__ import annotations

import socket

import pytest

from sxdask.core.errors import SystemFaultError
from sxdask.service.listening import listening


def test_connections_send_each_part_of_a_reply_at_once():
    with (
        listening("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_that_is_taken_is_one_readable_line():
    with (
        listening("127.0.0.1", 0) as listener,
        pytest.raises(SystemFaultError, match="cannot listen on"),
        listening("127.0.0.1", listener.getsockname()[1]),
    ):
        pass
