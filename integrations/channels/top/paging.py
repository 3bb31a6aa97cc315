"""Reading a list of TOP completely although it shifts while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from integrations.channels.top.translate import CHINA
from integrations.contract import ChannelUnavailable

PAGE_SIZE = 100  # the largest that TOP gives
_PASSES_MAX = 4
_PAGES_MAX = 100_000
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[dict[str, Any]]
    total: int | None  # None: the answer did not say
    has_next: bool


class ReadPage(Protocol):
    """Reads one page; TOP gives either the total (`is_counting`) or has_next, the cheaper one, never both."""

    def __call__(self, *, page_no: int, is_counting: bool) -> Page: ...


def read_whole_list(*, read_page: ReadPage, id_name: str) -> Iterator[list[dict[str, Any]]]:
    """Every row of the list at least once, page by page; rows may repeat.

    TOP sorts by modified time, newest first. A row that is modified while we read leaves the window, and
    all behind it move one place forward: read forwards, one row slips past every page border; read from the
    last page to the first, it is merely read twice (channels.md section 3). What enters late moves the
    others backwards instead; so the rows are counted at the end, and the list is read again when some are
    missing.
    """
    first = read_page(page_no=1, is_counting=True)
    if _is_whole(first):
        yield first.rows
        return
    for _ in range(_PASSES_MAX):
        seen: set[object] = set()
        for page in _read_once(read_page, _last_page(read_page, first)):
            seen.update(row.get(id_name) for row in page.rows)
            yield page.rows
        first = read_page(page_no=1, is_counting=True)
        if first.total is None or len(seen) >= first.total:
            return
    raise ChannelUnavailable(f"a list of {first.total} rows did not hold still in {_PASSES_MAX} readings")


def _is_whole(first: Page) -> bool:
    if first.total is None:
        return not first.has_next and len(first.rows) < PAGE_SIZE
    return len(first.rows) >= first.total


def _last_page(read_page: ReadPage, first: Page) -> int:
    if first.total is not None:
        return max(1, -(-first.total // PAGE_SIZE))
    # no total although we asked for it: walk to the end once, only to learn where it is
    for page_no in range(1, _PAGES_MAX):
        if not read_page(page_no=page_no, is_counting=False).has_next:
            return page_no
    raise ChannelUnavailable(f"a list did not end after {_PAGES_MAX} pages")


def _read_once(read_page: ReadPage, last: int) -> Iterator[Page]:
    beyond = last
    page = read_page(page_no=beyond, is_counting=False)
    while page.has_next and beyond < _PAGES_MAX:
        # the list has grown since it was counted
        yield page
        beyond += 1
        page = read_page(page_no=beyond, is_counting=False)
    yield page
    for page_no in order_of_pages(last):
        yield read_page(page_no=page_no, is_counting=False)


def order_of_pages(last: int) -> Sequence[int]:
    """The pages that are still to be read when the last one has been."""
    return range(last - 1, 0, -1)


def slice_period(*, since: datetime, until: datetime, step: timedelta) -> Iterator[tuple[str, str]]:
    """[since, until] as consecutive periods of at most `step`, as TOP writes moments.

    TOP knows whole seconds only: the first is rounded down, the last up. Neighbours share their border
    second, because whether a bound is inclusive is nowhere promised.
    """
    start = since.astimezone(CHINA).replace(microsecond=0)
    end = until.astimezone(CHINA)
    end = end.replace(microsecond=0) + (_SECOND if end.microsecond else timedelta(0))
    while True:
        stop = min(start + step, end)
        yield _written(start), _written(stop)
        if stop >= end:
            return
        start = stop


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
