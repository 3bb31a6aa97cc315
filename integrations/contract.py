"""What every channel and warehouse adapter promises; the rest of Omni knows no other word about the outside
world.

An adapter translates; it decides and stores nothing. It is built for one connection and one sweep:
`TopAdapter(base_url=..., credentials={...}, settings={...}, http=HttpClient(...))`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Protocol

from django.utils.functional import Promise

from orders.draft import OrderDraft, Receiver, RefundDraft
from products.observe import SeenItem

# --- errors -------------------------------------------------------------------------------------------------


class ChannelUnavailable(Exception):
    """The other side could not answer now: try again later. `retry_seconds` is its own word, if it gave one.

    `is_throttled`: we asked too often (not a sign of ill health). `is_unknown_outcome`: a write may or may
    not have taken effect; read back before repeating it.
    """

    def __init__(
        self,
        detail: str,
        *,
        retry_seconds: int | None = None,
        is_throttled: bool = False,
        is_unknown_outcome: bool = False,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_seconds = retry_seconds
        self.is_throttled = is_throttled
        self.is_unknown_outcome = is_unknown_outcome


class ChannelRejected(Exception):
    """The other side understood and refused: repeating the same call is useless. `code` is its own error
    code.

    `is_auth`: the credentials are wrong, expired or withdrawn; the connection stops until a person mends
    them.
    """

    def __init__(self, detail: str, *, code: str = "", is_auth: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.is_auth = is_auth


# --- capabilities: data, not if-chains ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can do and how it must be handled (channels.md section 2)."""

    honesty: Literal["A", "B", "C"]  # A real server, B independent counterpart, C our own sandbox only
    pull_window_max: timedelta
    pull_lag: timedelta  # never ask for anything newer than now − lag
    pull_overlap: timedelta
    stock_basis: Literal["sellable", "on_hand"]
    stock_batch_max: int
    partial_ship: bool
    one_parcel_per_line: bool = False  # it keeps one parcel number per order line: later parcels go untold
    refunds: bool = False
    prices: bool = False
    listings: bool = False  # it lists and delists items, and shows its shelf
    titles: bool = False  # it lets us say what its items are called
    reopens_open_orders: bool = (
        False  # the change feed misses changes: open orders are read again, see orders.rereads
    )
    receiver: Literal["plain", "masked"] = "plain"


# --- what a person must tell an adapter ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that an adapter must or may be told about its account, and how a form asks for it.

    `name`: its key; `sender.city` is the key `city` of the object `sender`. `kind`: `pairs` is a table of our words and
    theirs, `choice` one of `choices`, `number` is not negative.
    """

    name: str
    label: Promise
    help: Promise | str = ""
    kind: Literal["text", "number", "yes_no", "pairs", "choice"] = "text"
    is_required: bool = False
    choices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """How an account of this kind is set up.

    `credentials`: what is kept secret. `credential_sets`: one of these sets of their names must be complete.
    """

    title: Promise
    address: Promise  # what the base URL is
    credentials: Sequence[Need]
    credential_sets: Sequence[Sequence[str]]
    settings: Sequence[Need]


# --- what goes out, and what comes back line by line --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StockLine:
    """The number of units of one listing that may be sold now. Absolute, never a difference."""

    key: int  # the caller's handle, handed back in the result
    outer_item_id: str
    outer_sku_id: str
    sku_code: str
    quantity: int


@dataclass(frozen=True, slots=True)
class PriceLine:
    key: int
    outer_item_id: str
    outer_sku_id: str
    sku_code: str
    price: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class ListingLine:
    """Put this on sale, or take it off. `is_whole_item`: nothing else of the item stays on sale.

    `quantity`: what may be sold of it now; a channel may want to know before it puts something on sale.
    """

    key: int
    outer_item_id: str
    outer_sku_id: str
    sku_code: str
    quantity: int
    is_whole_item: bool = True


@dataclass(frozen=True, slots=True)
class TitleLine:
    """What an item is called. Of one item there comes one line."""

    key: int
    outer_item_id: str
    title: str


@dataclass(frozen=True, slots=True)
class DispatchLine:
    """Tell the channel that these lines of an order left in this parcel."""

    key: int
    outer_id: str
    outer_line_ids: Sequence[str]
    quantities: Sequence[int]  # of the same length as outer_line_ids
    is_whole_order: bool
    carrier_code: str
    tracking_no: str


@dataclass(frozen=True, slots=True)
class LineResult:
    """`ok`, or why not. `is_final`: repeating is useless (a person must look).

    Else it is tried again later.
    """

    key: int
    ok: bool
    code: str = ""
    detail: str = ""
    is_final: bool = False
    retry_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class BadPayload:
    """Something the channel sent that could not be translated: it is parked with its reason, never lost."""

    outer_id: str
    reason: str
    detail: str
    payload: Mapping[str, Any]


FindKnown = Callable[[Mapping[str, datetime]], Collection[str]]
"""Of these orders, each with the moment of its last change, the ones that are stored in that version or a later one."""


def find_none(_listed: Mapping[str, datetime]) -> Collection[str]:
    """Nothing is stored yet."""
    return ()


class ChannelAdapter(Protocol):
    """One sales channel."""

    capabilities: Capabilities
    description: Description

    def greet(self) -> str:
        """Ask one cheap question, once, that only the right address and credentials answer; change nothing.

        Returns what the other side calls the account; empty: it does not say.
        Raises ChannelUnavailable, ChannelRejected.
        """
        ...

    def pull_orders(
        self, *, since: datetime, until: datetime, find_known: FindKnown = find_none
    ) -> Iterator[list[OrderDraft | BadPayload]]:
        """Every order that changed in [since, until], in pages, complete with its details.

        An adapter that reads details one by one asks `find_known` about the orders of each page, and leaves out those
        that are stored as they are listed: so a run that was cut short goes on where it was, however wide its window.

        Nothing may be missing when the iterator ends: paging against a list that shifts is the adapter's
        concern. Raises ChannelUnavailable or ChannelRejected; the caller then keeps its cursor where it was.
        """
        ...

    def read_orders(self, *, outer_ids: Sequence[str]) -> list[OrderDraft | BadPayload]:
        """The named orders as they are now; one that the channel does not know is left out."""
        ...

    def list_order_ids(self, *, since: datetime, until: datetime) -> Iterator[list[str]]:
        """Only the ids of the orders *placed* in the period: for the nightly comparison."""
        ...

    def pull_refunds(
        self, *, since: datetime, until: datetime
    ) -> Iterator[list[RefundDraft | BadPayload]]: ...

    def push_stock(self, *, lines: Sequence[StockLine]) -> list[LineResult]:
        """Set absolute quantities: one result per line, in the order given.

        One bad line never fails the others.
        """
        ...

    def push_prices(self, *, lines: Sequence[PriceLine]) -> list[LineResult]: ...

    def list_items(self, *, lines: Sequence[ListingLine]) -> list[LineResult]:
        """Put items on sale; one that is on sale already is `ok`. One result per line, in the order given."""
        ...

    def delist_items(self, *, lines: Sequence[ListingLine]) -> list[LineResult]:
        """Take items off sale; one that is off already is `ok`.

        Where other parts of an item stay on sale, the line is taken off by having nothing of it to sell.
        """
        ...

    def update_items(self, *, lines: Sequence[TitleLine]) -> list[LineResult]:
        """Call items otherwise; one that is called so already is `ok`. One result per line, in the order given."""
        ...

    def read_items(self) -> Iterator[list[SeenItem]]:
        """Everything that the shop has, on sale or not, in pages. Raises ChannelUnavailable or ChannelRejected.

        What a page tells was read after the page was asked for: nothing of it is older.
        """
        ...

    def push_dispatch(self, *, lines: Sequence[DispatchLine]) -> list[LineResult]:
        """Idempotent: a parcel that the channel already knows is `ok`.

        With `one_parcel_per_line` no line comes that the channel has been told of in another parcel.
        """
        ...


# --- warehouses ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    line_no: str
    sku_code: str
    sku_name: str
    quantity: int
    actual_price: Decimal
    outer_id: str
    outer_line_id: str


@dataclass(frozen=True, slots=True)
class DeliveryOrder:
    """A fulfilment order as handed to a warehouse."""

    number: str
    warehouse_code: str
    owner_code: str
    shop_name: str
    platform_code: str  # TB, TM, JD, …, OTHERS
    carrier_code: str
    created_at: datetime
    placed_at: datetime
    paid_at: datetime | None
    receiver: Receiver
    buyer_message: str
    seller_memo: str
    lines: Sequence[DeliveryLine]


@dataclass(frozen=True, slots=True)
class WarehouseAnswer:
    """The warehouse's word on one request. `outer_id`: its own id of the document."""

    key: str
    ok: bool
    outer_id: str = ""
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WarehouseStock:
    sku_code: str
    quantity: int  # units that a picker can count
    locked: int
    inventory_type: str  # ZP good, CC defective, …


@dataclass(frozen=True, slots=True)
class StockPage:
    """Some of what a warehouse has. `total`: rows of all pages, as it says itself."""

    rows: Sequence[WarehouseStock]
    total: int


class WarehouseAdapter(Protocol):
    """One warehouse (WMS)."""

    description: Description

    def greet(self) -> str:
        """As that of a channel."""
        ...

    def create_delivery(self, *, order: DeliveryOrder) -> WarehouseAnswer:
        """Idempotent by `order.number`: an order that the warehouse already has is `ok`."""
        ...

    def find_delivery(self, *, number: str) -> WarehouseAnswer | None:
        """Read back after an unknown outcome; None: the warehouse does not have it."""
        ...

    def count_sent(self, *, number: str) -> int | None:
        """Units of this order that have left by now, in all its parcels; None: this warehouse cannot say."""
        ...

    def cancel_delivery(
        self, *, number: str, warehouse_code: str, owner_code: str, reason: str
    ) -> WarehouseAnswer:
        """Ask; the synchronous answer decides."""
        ...

    def read_stock(
        self, *, warehouse_code: str, owner_code: str, sku_codes: Sequence[str]
    ) -> list[WarehouseStock]:
        """What it has of these SKUs; one that it does not know has no row."""
        ...

    def list_stock(self, *, warehouse_code: str, owner_code: str) -> Iterator[StockPage]:
        """All that it has, page by page; one SKU may come in several rows, which add up.

        When the iterator ends nothing is missing: a list that shifted while it was read raises ChannelUnavailable.
        """
        ...


# --- what a warehouse tells us (call-backs), translated by its adapter module -------------------------------


@dataclass(frozen=True, slots=True)
class ParcelNotice:
    carrier_code: str
    tracking_no: str
    items: Sequence[tuple[str, int]]  # (sku code, quantity)
    weight_grams: int | None = None


@dataclass(frozen=True, slots=True)
class DeliveryNotice:
    """`deliveryorder.confirm`: what left the warehouse. `event_key`: the same event has the same key."""

    event_key: str
    number: str
    warehouse_code: str
    state: Literal["shipped", "part_shipped", "cancelled", "rejected", "exception", "accepted"]
    raw_state: str
    is_final: bool
    happened_at: datetime | None
    parcels: Sequence[ParcelNotice]
    lines: Sequence[tuple[str, str, int]]  # (line number, sku code, actual quantity)
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProgressNotice:
    """`orderprocess.report`: a step inside the warehouse, for the timeline only; may come out of order."""

    event_key: str
    number: str
    step: str
    happened_at: datetime | None
    operator: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StockChangeNotice:
    """`stockchange.report`: a movement inside the warehouse that Omni did not ask for.

    `quantity` is signed.
    """

    event_key: str
    warehouse_code: str
    owner_code: str
    sku_code: str
    quantity: int
    reason: str
    happened_at: datetime | None
    inventory_type: str = "ZP"  # ZP good, CC defective, …: only good units are sellable


WarehouseNotice = DeliveryNotice | ProgressNotice | StockChangeNotice
WarehouseNotices = list[WarehouseNotice]
JsonObject = dict[str, Any]
