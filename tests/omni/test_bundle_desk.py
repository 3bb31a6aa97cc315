"""What lies in a bundle is said on a page of its own, which asks stock and orders; other pages show it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from omni.kernel.models import AuditEntry
from orders.models import SalesOrder
from products.models import BundleComponent, Sku, StaffScope
from tests.factories.bundles import make_bundle, skus_of_one_brand
from tests.factories.inventory import Scene, put_stock
from tests.factories.orders import line_draft, make_house
from tests.factories.products import ListingFactory, SkuFactory
from tests.statements import StatementCounter

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P20")]


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def page(sku: Sku) -> str:
    return reverse("admin:products_bundle_change", args=[sku.pk])


def put_in(client: Client, bundle: Sku, *rows: tuple[Sku, int, str], reason: str = "") -> Any:
    """Send the page's form with these rows: (component, units, share)."""
    known = {row.component_id: row.pk for row in BundleComponent.objects.filter(bundle=bundle)}
    named = {sku.pk for sku, _units, _weight in rows}
    forms: list[dict[str, Any]] = [
        {"id": ident, "component": component_id, "units": 1, "DELETE": "on"}
        for component_id, ident in known.items()
        if component_id not in named
    ]
    # What is there already comes first, as on the page.
    for sku, units, weight in sorted(rows, key=lambda row: row[0].pk not in known):
        forms.append({"id": known.get(sku.pk, ""), "component": sku.pk, "units": units, "weight": weight})
    answers: dict[str, Any] = {
        f"components-{number}-{name}": value
        for number, form in enumerate(forms)
        for name, value in {"bundle": bundle.pk, **form}.items()
    }
    counts = {"components-TOTAL_FORMS": len(forms), "components-INITIAL_FORMS": len(known)}
    return client.post(page(bundle), {**answers, **counts, "reason": reason})


def inside(bundle: Sku) -> list[tuple[int, int, Any]]:
    rows = BundleComponent.objects.filter(bundle=bundle).order_by("pk")
    return list(rows.values_list("component_id", "units", "weight"))


def test_a_sku_becomes_a_bundle_is_changed_and_is_a_plain_sku_again(boss: Client) -> None:
    bundle, cup, pot = skus_of_one_brand(3, list_price=10)

    made = put_in(boss, bundle, (cup, 2, "3"), (pot, 1, "2"), reason="gift season")
    first = inside(bundle)
    changed = put_in(boss, bundle, (cup, 4, ""))
    second = inside(bundle)
    dissolved = put_in(boss, bundle)

    assert [answer.status_code for answer in (made, changed, dissolved)] == [302, 302, 302]
    assert first == [(cup.pk, 2, 3), (pot.pk, 1, 2)]
    assert (second, inside(bundle)) == ([(cup.pk, 4, None)], [])
    acts = AuditEntry.objects.filter(action="bundle.defined", object_id=str(bundle.pk)).order_by("pk")
    by = f"user:{User.objects.get().pk}"
    assert [(act.by, act.reason) for act in acts] == [(by, "gift season"), (by, ""), (by, "")]


def test_what_is_refused_is_said_above_the_rows_and_nothing_happens(boss: Client) -> None:
    bundle, cup, stocked = skus_of_one_brand(3, list_price=10)
    scene = Scene()
    put_stock(scene.location, stocked, 3)

    for sku, part, text in (
        (bundle, bundle, "cannot contain itself"),
        (stocked, cup, "3 units of it are on hand"),
        (bundle, SkuFactory.create(list_price=1), "belongs to another brand"),
    ):
        answer = put_in(boss, sku, (part, 1, ""))

        assert answer.status_code == 200
        assert text in answer.content.decode()

    assert not BundleComponent.objects.exists()


def test_the_list_shows_bundles_alone_in_a_fixed_number_of_statements(boss: Client) -> None:
    cup, pot = skus_of_one_brand(2)
    bundles = [make_bundle({cup: 2, pot: 1})]
    boss.get(reverse("admin:products_bundle_changelist"))
    with StatementCounter() as of_one:
        first = boss.get(reverse("admin:products_bundle_changelist"))
    bundles += [make_bundle({cup: 2}), make_bundle({pot: 2})]
    with StatementCounter() as of_three:
        second = boss.get(reverse("admin:products_bundle_changelist"))

    assert [row.code for row in first.context["cl"].result_list] == [bundles[0].code]
    assert {row.code for row in second.context["cl"].result_list} == {row.code for row in bundles}
    assert of_three.statements == of_one.statements
    assert f"{cup.code} × 2, {pot.code} × 1" in second.content.decode()


def test_a_person_composes_bundles_of_their_own_brands_only(client: Client) -> None:
    bundle, cup = skus_of_one_brand(2, list_price=10)
    foreign = SkuFactory.create(list_price=10)
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_sku", "change_sku"]))
    StaffScope.objects.create(user=user, brand=bundle.spu.brand)
    client.force_login(user)

    taken = put_in(client, bundle, (cup, 1, ""))
    strange_part = put_in(client, bundle, (foreign, 1, ""))
    strange_bundle = client.get(page(foreign))

    assert (taken.status_code, strange_part.status_code) == (302, 200)
    assert strange_bundle.status_code in (302, 404)
    assert inside(bundle) == [(cup.pk, 1, None)]


def test_who_may_only_look_changes_nothing(client: Client) -> None:
    bundle, cup = skus_of_one_brand(2, list_price=10)
    user = User.objects.create_user("reader", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_sku"))
    StaffScope.objects.create(user=user, brand=bundle.spu.brand)
    client.force_login(user)

    assert client.get(page(bundle)).status_code == 200
    assert put_in(client, bundle, (cup, 1, "")).status_code == 403
    assert inside(bundle) == []


def test_the_page_of_a_sku_shows_what_lies_in_it_and_in_what_it_lies(boss: Client) -> None:
    cup, pot = skus_of_one_brand(2)
    bundle = make_bundle({cup: 2, pot: 1})

    of_bundle = boss.get(reverse("admin:products_sku_change", args=[bundle.pk]))
    of_part = boss.get(reverse("admin:products_sku_change", args=[cup.pk]))

    assert [(row.component_id, row.units) for row in of_bundle.context["components"]] == [
        (cup.pk, 2),
        (pot.pk, 1),
    ]
    assert f'href="{page(bundle)}"' in of_bundle.content.decode()
    assert f'href="{page(bundle)}">{bundle.code}</a>' in of_part.content.decode()
    assert "2 in each bundle" in of_part.content.decode()


def test_the_stock_page_of_a_bundle_says_which_component_is_the_scarcest(boss: Client) -> None:
    scene = Scene(9)
    bundle = make_bundle({scene.sku: 2})
    ListingFactory.create(shop=scene.shop, sku=bundle)

    shown = boss.get(reverse("admin:inventory_skustock_change", args=[bundle.pk]))

    assert f"{scene.sku.code}: 9 sellable ÷ 2 in each, the scarcest" in shown.content.decode()
    assert [shop.sellable for shop in shown.context["shops"]] == [4]


def test_the_page_of_an_order_groups_what_lies_in_a_bundle_under_it_and_cancels_whole_ones(
    boss: Client,
) -> None:
    house = make_house(stock=10)
    bundle = make_bundle({house.sku: 2})
    order = house.order(line_draft(bundle, 3, outer_line_id="L-7", title="Tea set"))
    url = reverse("admin:orders_salesorder_change", args=[order.pk])
    act = reverse("admin:orders_salesorder_act", args=[order.pk, "units"])

    before = boss.get(url)
    wrong = boss.post(act, {"lines": "L-7 = 9", "note": "too many"}, follow=True)
    boss.post(act, {"lines": "L-7 = 1\n", "note": "changed his mind"})
    after = boss.get(url)

    rows = before.context["lines"]
    assert ["bundle" in row for row in rows] == [True, False]
    assert "Tea set" in before.content.decode()
    # What the button asks for can be read on the page.
    assert before.content.decode().count(">L-7<") == 1
    assert "only 3 whole bundles are open" in wrong.content.decode()
    assert [row["cancelled"] for row in after.context["lines"] if "bundle" in row] == [1]
    assert "of it cancelled" in after.content.decode()
    assert SalesOrder.objects.get().lines.get().cancelled_quantity == 2


def test_a_bundle_of_yesterday_still_says_what_was_sold(boss: Client) -> None:
    house = make_house(stock=10)
    bundle = make_bundle({house.sku: 2})
    order = house.order(line_draft(bundle, 1))
    put_in(boss, bundle)

    shown = boss.get(reverse("admin:orders_salesorder_change", args=[order.pk]))

    assert bundle.code in shown.content.decode()
