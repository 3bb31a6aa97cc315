"""Where the data, the sockets, the logs and the locks of one running copy lie."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


class UnsafeSocketFolder(Exception):
    """Somebody else owns, or can enter, the folder in which our sockets would lie."""


class Lock:
    """A whole-file lock that the kernel gives back when its last holder is gone, however it went."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Take the lock; return False instead of waiting when `wait` is off and somebody else has it."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(fd, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def fileno(self) -> int:
        """The descriptor to hand to a child that shall hold the lock as long as it lives."""
        if self._fd is None:
            raise ValueError(f"{self.path} is not held")
        return self._fd

    def is_held_by_another(self) -> bool:
        """Whether an exclusive lock of another holder is on the file now."""
        # A fresh description and a shared lock: our own shared locks and other askers do not count.
        probe = Lock(self.path)
        if not self.path.exists() or probe.acquire(shared=True, wait=False):
            probe.release()
            return False
        return True


def home() -> Path:
    """The folder of data and locks: OMNI_HOME, or `.omni` in the project."""
    return Path(os.environ.get("OMNI_HOME") or PROJECT / ".omni").absolute()


def open_home() -> Path:
    """Make the folder of data and locks if it is missing; only its owner may enter it."""
    folder = home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def socket_folder(folder: Path, *, user: int | None = None) -> Path:
    """Make the folder in which the sockets of `folder` lie: short, because a socket path may have 107 bytes.

    It belongs to us, or to `user` when we are root and the server is not.

    Raises UnsafeSocketFolder when the place is taken by another user: everyone may write to the temporary directory.
    """
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:10]
    place = Path(tempfile.gettempdir()) / f"omni-{os.geteuid()}-{name}"
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
        if user is not None:
            os.chown(place, user, user)
    found = place.lstat()
    if (
        found.st_uid != (os.geteuid() if user is None else user)
        or found.st_mode & 0o077
        or place.is_symlink()
    ):
        raise UnsafeSocketFolder(
            f"{place} belongs to another user or is open to others; remove it, or set TMPDIR"
        )
    return place


def secret_key() -> str:
    """The secret of this copy, made once: with it credentials are encrypted and sessions signed."""
    path = open_home() / "secret_key"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            # link refuses to replace: of two first starts at once, one wins and both read the same secret
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
