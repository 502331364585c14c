"""Where an error happened, said by whoever knows it."""

from collections.abc import Iterator
from contextlib import contextmanager

from plumbline.interface import PlumblineError


@contextmanager
def located(where: str) -> Iterator[None]:
    """Puts ``where`` in front of the place that an error inside names, and keeps its type. ISO-003."""
    try:
        yield
    except PlumblineError as error:
        place = f"{where}, {error.where}" if error.where else where
        raise type(error)(error.what, where=place, hint=error.hint) from error.__cause__
