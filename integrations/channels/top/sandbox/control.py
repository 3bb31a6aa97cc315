"""The control plane under /_control/: what tests and drills may see and do that no seller could.

JSON in, JSON out, unsigned, loopback only. The list of addresses is in the docstring of the package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from . import lives, refunds, shelf
from .catalogue import Listing
from .faults import FAULTS, UnknownFault
from .gateway import Gateway
from .market import Market, Refused
from .pace import Pacemaker
from .trades import Trade
from .truth import tell_truth

Body = Mapping[str, Any]
Told = dict[str, Any]


class Control:
    def __init__(self, *, market: Market, gateway: Gateway, pacemaker: Pacemaker) -> None:
        self._market = market
        self._gateway = gateway
        self._pacemaker = pacemaker
        self._acts: Mapping[str, Callable[[Body], Told]] = {
            "orders": self._place,
            "cancel": self._on_trade(lambda trade, body: lives.cancel(market, trade)),
            "pay": self._on_trade(lambda trade, body: lives.pay(market, trade)),
            "finish": self._on_trade(lambda trade, body: lives.finish(market, trade)),
            "modify": self._on_trade(self._modify),
            "refund": self._on_line(refunds.ask_refund),
            "agree": self._on_line(refunds.agree),
            "withdraw": self._on_line(refunds.withdraw),
            "refuse": self._on_line(refunds.refuse),
            "stock": self._set_stock,
            "item": self._edit_item,
            "faults": self._set_faults,
            "expire": self._expire,
            "renew": self._renew,
            "pace": self._set_pace,
            "reset": self._reset,
        }

    def read(self, name: str, query: Mapping[str, str]) -> tuple[int, Told]:
        if name == "truth":
            return 200, tell_truth(self._market, is_brief=query.get("brief") in ("1", "true"))
        if name == "faults":
            return 200, self._tell_faults()
        if name == "calls":
            return 200, dict(self._gateway.calls)
        return 404, {"error": f"nothing to read under {name}"}

    def act(self, name: str, body: Body) -> tuple[int, Told]:
        act = self._acts.get(name)
        if act is None:
            return 404, {"error": f"no act {name}"}
        try:
            return 200, act(body)
        except Refused as refused:
            return 409, {"error": refused.detail, "code": refused.sub_code}
        except (UnknownFault, KeyError, TypeError, ValueError) as wrong:
            return 400, {"error": f"{type(wrong).__name__}: {wrong}"}

    # orders

    def _place(self, body: Body) -> Told:
        if "lines" in body:
            wanted = [(self._find_sku(line), int(line.get("num", 1))) for line in body["lines"]]
            placed = [
                lives.place_given_order(self._market, wanted=wanted, is_paid=bool(body.get("paid", True)))
                for _ in range(int(body.get("count", 1)))
            ]
            return {"tids": [str(trade.tid) for trade in placed]}
        is_plain = bool(body.get("plain", False))
        drawn = [lives.place_random_order(self._market, is_plain=is_plain) for _ in range(int(body["count"]))]
        return {"tids": [str(trade.tid) for trade in drawn if trade is not None]}

    def _find_sku(self, line: Body) -> Listing:
        sku_id = int(line["sku_id"]) if "sku_id" in line else None
        return shelf.find_sku(self._market, sku_id=sku_id, outer_sku_id=line.get("outer_sku_id"))

    def _on_trade(self, change: Callable[[Trade, Body], None]) -> Callable[[Body], Told]:
        def act(body: Body) -> Told:
            with self._market.writing():
                trade = self._market.trade(int(body["tid"]))
                change(trade, body)
                return {"tid": str(trade.tid), "status": trade.status}

        return act

    def _on_line(self, change: Callable[[Market, Trade, int], None]) -> Callable[[Body], Told]:
        def change_line(trade: Trade, body: Body) -> None:
            oid = int(body["oid"]) if "oid" in body else None
            change(self._market, trade, refunds.position_of(trade, oid))

        return self._on_trade(change_line)

    def _modify(self, trade: Trade, body: Body) -> None:
        if "address" in body:
            lives.change_address(self._market, trade, address=str(body["address"]))
        if "memo" in body or "address" not in body:
            lives.change_memo(self._market, trade, memo=str(body.get("memo", "")))

    # the shop and the traps

    def _set_stock(self, body: Body) -> Told:
        with self._market.writing():
            listing = self._find_sku(body)
            shelf.set_quantity(self._market, listing, max(0, int(body["quantity"])))
            return {"sku_id": str(listing.sku_id), "quantity": listing.quantity}

    def _edit_item(self, body: Body) -> Told:
        price = round(float(body["price"]) * 100) if "price" in body else None
        is_on_sale = bool(body["is_on_sale"]) if "is_on_sale" in body else None
        num_iid = int(body["num_iid"])
        shelf.edit(self._market, num_iid=num_iid, title=body.get("title"), price=price, is_on_sale=is_on_sale)
        return {"num_iid": str(num_iid)}

    def _tell_faults(self) -> Told:
        dice = self._market.dice
        return {
            name: {
                "probability": dice.probabilities[name],
                "fallen": dice.fallen[name],
                "description": fault.description,
            }
            for name, fault in FAULTS.items()
        }

    def _set_faults(self, body: Body) -> Told:
        self._market.dice.change(body)
        return self._tell_faults()

    def _expire(self, body: Body) -> Told:
        seconds = body.get("seconds")
        self._gateway.expire_session(math.inf if seconds is None else float(seconds))
        return {"is_expired": True}

    def _renew(self, body: Body) -> Told:
        self._gateway.renew_session(str(body.get("session", "")))
        return {"session": self._gateway.seller.session}

    def _set_pace(self, body: Body) -> Told:
        self._pacemaker.rate = max(0.0, float(body["rate"]))
        return {"rate": self._pacemaker.rate}

    def _reset(self, body: Body) -> Told:
        self._market.reset()
        return tell_truth(self._market, is_brief=True)
