"""A public internet that is not there: its names, and one server on loopback behind all of them."""

import _socket
import socket
import threading
from contextlib import contextmanager

import pytest
import requests_hardened.ip_filter
import urllib3.util.connection

PUBLIC = "93.184.216.34"


class Internet:
    """Answers for names, and leads every connection to a server; remembers both.

    `names` has the answers for a name one after the other, the last for ever: addresses, or an
    exception; a number is seconds that the answer takes. What is no name resolves to itself.
    """

    def __init__(self, names, port=None):
        self.names = {name: list(answers) for name, answers in names.items()}
        self.port = port
        self.asked, self.connected = [], []
        self.over = threading.Event()

    def getaddrinfo(self, host, port, *arguments, **options):
        self.asked.append(host)
        answers = self.names.get(host)
        if answers is None:
            return _socket.getaddrinfo(host, port, *arguments, **options)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, float):
            self.over.wait(answer)
            answer = [PUBLIC]
        if isinstance(answer, Exception):
            raise answer
        return [entry for each in answer for entry in _socket.getaddrinfo(each, port, 0, 1)]

    def create_connection(self, address, timeout, **_):
        self.connected.append(address)
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def __getattr__(self, name):  # everything else of the module `socket`
        return getattr(socket, name)


@contextmanager
def internet(names, port=None):
    """Lets the guarded way to the net see this one."""
    net = Internet(names, port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests_hardened.ip_filter, "socket", net)
        if port is not None:
            patch.setattr(urllib3.util.connection, "create_connection", net.create_connection)
        yield net
    net.over.set()
