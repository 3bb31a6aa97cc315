"""An ERP posts its figures and decides on differences; alerts and suggestions are read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inventory.models import (
    AlertRule,
    DailyDemand,
    StockComparison,
    StockDifference,
    SupplyRule,
)
from inventory.supply.watch import watch_stock
from tests.factories.api import Caller
from tests.factories.inventory import Scene
from tests.factories.products import BrandFactory, ShopFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def scene() -> Scene:
    return Scene(20)


def body(scene: Scene, units: int = 19, **changes: Any) -> dict[str, Any]:
    return {
        "number": "ERP-1",
        "location": scene.location.code,
        "basis": "gross",
        "cut_off_at": timezone.now().isoformat(),
        "figures": [{"sku": scene.sku.code, "quantity": units}],
        **changes,
    }


@pytest.mark.capability("V19")
def test_figures_are_compared_and_what_nobody_knows_is_handed_back(scene: Scene, caller: Caller) -> None:
    sent = body(scene)
    sent["figures"].append({"sku": "NOBODY", "quantity": 3})

    answer = caller.post("stock/compares", sent)

    told = answer.json()
    assert answer.status_code == 201, told
    assert (told["number"], told["compared"], told["differing"], told["basis"]) == ("ERP-1", 1, 1, "gross")
    assert told["unknown"] == [{"sku": "NOBODY", "reason": "no SKU has this code"}]
    [row] = caller.get("stock/differences?state=open").json()["results"]
    assert (row["sku"], row["ours"], row["theirs"], row["difference"]) == (scene.sku.code, 20, 19, -1)
    assert caller.get(f"stock/compares/{told['id']}").json() == told
    assert scene.level.on_hand == 20


@pytest.mark.capability("V19")
@pytest.mark.parametrize("name", ["basis", "cut_off_at", "number", "location", "figures"])
def test_what_a_figure_means_must_be_said_and_the_answer_names_what_is_missing(
    name: str, scene: Scene, caller: Caller
) -> None:
    sent = body(scene)
    del sent[name]

    answer = caller.post("stock/compares", sent)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [name]
    assert not StockComparison.objects.exists()


@pytest.mark.capability("V19")
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"basis": "about"}, 400, None),
        ({"cut_off_at": "2026-01-01"}, 400, None),
        ({"cut_off_at": "2099-01-01T00:00:00Z"}, 400, "cut_off_in_the_future"),
        ({"location": "nowhere"}, 400, None),
        ({"figures": []}, 400, "nothing_compared"),
        ({"figures": [{"sku": "A", "quantity": -1}]}, 400, None),
    ],
)
def test_what_cannot_be_compared_is_refused(
    changes: dict[str, Any], status: int, code: str | None, scene: Scene, caller: Caller
) -> None:
    answer = caller.post("stock/compares", body(scene, **changes))

    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code
    assert not StockComparison.objects.exists()


@pytest.mark.capability("V19")
def test_the_same_number_is_answered_and_not_compared_again_and_an_older_cut_off_is_refused(
    scene: Scene, caller: Caller
) -> None:
    sent = body(scene)
    first = caller.post("stock/compares", sent)

    again = caller.post("stock/compares", sent)
    other = caller.post("stock/compares", {**sent, "is_complete": True})
    early: dict[str, Any] = {
        "number": "ERP-0",
        "cut_off_at": (timezone.now() - timedelta(hours=1)).isoformat(),
    }
    older = caller.post("stock/compares", body(scene, **early))

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert (other.status_code, older.status_code) == (409, 409)
    assert older.json()["code"] == "older_than_the_newest"
    assert StockDifference.objects.get().times == 1


@pytest.mark.capability("V19")
def test_a_key_for_some_shops_cannot_say_what_does_not_lie_there(scene: Scene) -> None:
    stranger = Caller(ShopFactory.create(brand=BrandFactory.create()))

    complete = stranger.post("stock/compares", body(scene, is_complete=True))
    unseen = stranger.post("stock/compares", body(scene))

    assert complete.status_code == 400
    assert unseen.json()["unknown"] == [{"sku": scene.sku.code, "reason": "no SKU has this code"}]
    assert not StockDifference.objects.exists()
    assert stranger.get("stock/differences").json()["results"] == []


@pytest.mark.capability("V19")
def test_differences_are_booked_and_explained_with_one_result_per_row(scene: Scene, caller: Caller) -> None:
    other = Scene(5)
    caller.post("stock/compares", body(scene))
    caller.post("stock/compares", body(other, 9, number="ERP-2"))
    first, second = StockDifference.objects.order_by("pk").values_list("pk", flat=True)

    booked = caller.post("stock/differences/book", {"ids": [first, 10**9], "reason": "counted"})
    taken = caller.post("stock/differences/take", {"ids": [second]})
    explained = caller.post("stock/differences/explain", {"ids": [second], "reason": "under way"})
    unsaid = caller.post("stock/differences/explain", {"ids": [second]})

    assert [row["ok"] for row in booked.json()["results"]] == [True, False]
    assert taken.json()["results"][0]["ok"]
    assert explained.json()["results"][0]["ok"]
    assert (unsaid.status_code, list(unsaid.json()["fields"])) == (400, ["reason"])
    assert (scene.level.on_hand, other.level.on_hand) == (19, 5)


def test_a_key_that_may_only_read_changes_nothing(scene: Scene) -> None:
    reader = Caller(scopes=frozenset({"stock:read"}))

    for path in ("compares", "differences/book", "differences/explain", "differences/take"):
        assert reader.post(f"stock/{path}", body(scene)).status_code == 403

    assert not StockComparison.objects.exists()


@pytest.mark.capability("V14")
def test_alerts_are_listed(scene: Scene, caller: Caller) -> None:
    AlertRule.objects.create(group=scene.location.group, units=30)
    watch_stock(sku_ids=None, at=timezone.now())

    [row] = caller.get(f"stock/alerts?state=open&sku={scene.sku.code}").json()["results"]

    assert (row["group"], row["shop"], row["level"], row["sellable"]) == (
        scene.location.group.code,
        None,
        30,
        20,
    )


@pytest.mark.capability("V14")
def test_suggestions_come_in_pages_with_every_number(caller: Caller) -> None:
    scenes = [Scene(1), Scene(1), Scene(1)]
    for scene in scenes:
        SupplyRule.objects.create(group=scene.location.group)
        DailyDemand.objects.create(
            day=timezone.localdate() - timedelta(days=2), shop=scene.shop, sku=scene.sku, units=56
        )

    first = caller.get("stock/suggestions?page_size=2").json()
    rest = caller.client.get(first["next"]).json()
    one = caller.get(f"stock/suggestions?group={scenes[1].location.group.code}").json()

    assert [row["sku"] for row in first["results"]] == [scenes[0].sku.code, scenes[1].sku.code]
    assert [row["sku"] for row in rest["results"]] == [scenes[2].sku.code]
    assert rest["next"] is None
    [row] = one["results"]
    assert (row["per_day"], row["reorder_point"], row["need"], row["suggested"]) == ("2.00", 14, 41, 41)
    assert len(row["terms"]) == 3


@pytest.mark.parametrize("query", ["cursor=x", "page_size=0", "colour=red", "group=a&group=b"])
def test_what_suggestions_do_not_know_is_refused(query: str, caller: Caller) -> None:
    assert caller.get(f"stock/suggestions?{query}").status_code == 400
