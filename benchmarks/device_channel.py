"""Messages between two processes, of 1 to ``MOST`` bytes.

multiprocessing's pipe takes two system calls for a message above 16 KiB, whose reader wakes up for the first and waits for
the second; here it is one. Whoever waits polls, as the loops of engines do, unless it is told to sleep: then the other
side's message finds it on a core that slept too, whose caches are cold.
"""

from __future__ import annotations

import socket
import struct
import time

LENGTH = struct.Struct("<I")
MOST = 1 << 20
PATIENCE = 10.0
"""Seconds until a wait for the other side is a failure."""


class Channel:
    """One end. Raises EOFError once the other end is gone, and TimeoutError where it does nothing for too long."""

    def __init__(self, end: socket.socket, sleeps: bool) -> None:
        self.end, self.sleeps = end, sleeps
        self.room = memoryview(bytearray(MOST))

    def __reduce__(self) -> tuple[type[Channel], tuple[socket.socket, bool]]:
        return Channel, (self.end, self.sleeps)

    def send(self, message: bytes | memoryview) -> None:
        try:
            sent = self.end.sendmsg([LENGTH.pack(len(message)), message])
        except BlockingIOError as error:
            raise TimeoutError("nobody receives") from error
        if sent < LENGTH.size + len(message):
            raise TimeoutError("nobody receives")

    def receive(self) -> bytes:
        latest = time.monotonic() + PATIENCE
        while not (self.sleeps or self.waiting()):
            if time.monotonic() > latest:
                raise TimeoutError("nobody sends")
        (length,) = LENGTH.unpack(self._take(LENGTH.size))
        return bytes(self._take(length))

    def _take(self, length: int) -> memoryview:
        try:
            came = self.end.recv_into(self.room, length, socket.MSG_WAITALL)
        except BlockingIOError as error:
            raise TimeoutError("nobody sends") from error
        if came < length:
            raise TimeoutError("nobody sends") if came else EOFError
        return self.room[:length]

    def waiting(self) -> bool:
        """Whether there is something to receive."""
        try:
            self.end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self.end.close()


def channels(sleep: bool) -> tuple[Channel, Channel]:
    """Both ends of one. Either may go to another process. sleep: instead of polling."""
    patience = struct.pack("@ll", int(PATIENCE), 0)
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MOST)  # as far as the system lets it
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, patience)
    return Channel(ends[0], sleep), Channel(ends[1], sleep)
