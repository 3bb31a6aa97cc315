"""Bundles hold plain SKUs of their own brand; what cannot be one is refused in words, the others go on."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

import pytest
from django.utils import timezone

from omni.kernel.history import history_model
from omni.kernel.models import AuditEntry, OutboxEvent
from products import drift
from products.bundles import components_of
from products.compose import BundleDraft, CannotBeBundle, ComponentDraft, Composed, define_bundles
from products.define import ProductDraft, SkuDraft, define_products
from products.enter import ChangedMeanwhile, SkuEntry, enter_skus
from products.models import BundleComponent, Sku
from tests.factories.bundles import skus_of_one_brand
from tests.factories.products import SkuFactory
from tests.statements import StatementCounter

pytestmark = pytest.mark.django_db


def nobody_objects(_sku_ids: Collection[int]) -> dict[int, str]:
    return {}


def define(*drafts: BundleDraft, objection: object = nobody_objects) -> list[Composed]:
    return define_bundles(
        bundles=drafts,
        objections=[objection],  # type: ignore[list-item]
        reason="autumn",
        at=timezone.now(),
        by="user:1",
    )


def draft(bundle: Sku, *parts: Sku, units: int = 1, **values: Decimal) -> BundleDraft:
    return BundleDraft(bundle.pk, [ComponentDraft(part.pk, units, values.get("weight")) for part in parts])


def said(composed: Composed) -> str:
    assert composed.result == "refused"
    assert composed.refusal is not None
    return composed.refusal.detail


@pytest.fixture
def skus() -> list[Sku]:
    """Four plain SKUs of one brand at 10.00."""
    return skus_of_one_brand(4, list_price=Decimal("10.00"))


@pytest.mark.capability("P20")
def test_a_bundle_says_what_lies_in_it_and_its_history_says_who_put_it_there(skus: list[Sku]) -> None:
    bundle, one, two, _other = skus

    results = [
        *define(BundleDraft(bundle.pk, [ComponentDraft(one.pk, 2), ComponentDraft(two.pk, 1)])),
        *define(BundleDraft(bundle.pk, [ComponentDraft(one.pk, 2), ComponentDraft(two.pk, 1)])),
        *define(BundleDraft(bundle.pk, [ComponentDraft(one.pk, 3)])),
        *define(BundleDraft(bundle.pk, [])),
        *define(BundleDraft(bundle.pk, [])),
    ]

    assert [row.result for row in results] == ["new", "unchanged", "changed", "dissolved", "unchanged"]
    assert not BundleComponent.objects.exists()
    kept = (
        history_model(BundleComponent)
        .objects.order_by("pgh_id")
        .values_list("component_id", "units", "pgh_label")
    )
    assert list(kept) == [(two.pk, 1, "delete"), (one.pk, 2, "before"), (one.pk, 3, "delete")]
    acts = AuditEntry.objects.filter(action="bundle.defined", by="user:1", reason="autumn").order_by("pk")
    assert [len(act.detail["components"]) for act in acts] == [2, 1, 0]
    told = OutboxEvent.objects.filter(kind="products.BundlesChanged")
    assert [event.payload["sku_ids"] for event in told] == [[bundle.pk]] * 3


def test_without_shares_list_prices_times_units_are_the_weights(skus: list[Sku]) -> None:
    bundle, one, two, _other = skus
    Sku.objects.filter(pk=two.pk).update(list_price=Decimal("30.00"))
    define(BundleDraft(bundle.pk, [ComponentDraft(one.pk, 2), ComponentDraft(two.pk, 1)]))

    parts = components_of([bundle.pk, one.pk])

    assert set(parts) == {bundle.pk}
    assert [(part.sku_id, part.units, part.weight) for part in parts[bundle.pk]] == [
        (one.pk, 2, Decimal("20.00")),
        (two.pk, 1, Decimal("30.00")),
    ]


class TestRefused:
    def test_a_bundle_that_contains_itself(self, skus: list[Sku]) -> None:
        bundle, *_rest = skus

        assert "cannot contain itself" in said(define(draft(bundle, bundle))[0])

    def test_a_bundle_in_a_bundle_and_a_component_that_becomes_one(self, skus: list[Sku]) -> None:
        bundle, one, two, other = skus
        define(draft(bundle, one))

        [nested] = define(draft(other, bundle))
        [inner] = define(draft(one, two))

        assert f"{bundle.code} is a bundle itself" in said(nested)
        assert f"{one.code} is a component itself, of {bundle.code}" in said(inner)
        assert BundleComponent.objects.count() == 1

    def test_a_ring_within_one_batch(self, skus: list[Sku]) -> None:
        one, two, three, _other = skus

        first, second, third = define(draft(one, two), draft(two, three), draft(three, one))

        assert (first.result, second.result, third.result) == ("new", "refused", "refused")

    def test_another_brands_sku(self, skus: list[Sku]) -> None:
        stranger = SkuFactory.create(list_price=Decimal(1))

        assert f"{stranger.code} belongs to another brand" in said(define(draft(skus[0], stranger))[0])

    @pytest.mark.parametrize("units", [0, 1001])
    def test_a_number_of_units_that_cannot_be(self, skus: list[Sku], units: int) -> None:
        assert "from 1 to 1000 units" in said(define(draft(skus[0], skus[1], units=units))[0])

    def test_a_component_that_stands_there_twice(self, skus: list[Sku]) -> None:
        assert "stands there twice" in said(define(draft(skus[0], skus[1], skus[1]))[0])

    def test_a_sku_that_is_not_active(self, skus: list[Sku]) -> None:
        Sku.objects.filter(pk=skus[1].pk).update(is_active=False)

        assert f"{skus[1].code} is not active" in said(define(draft(skus[0], skus[1]))[0])

    def test_shares_that_are_said_for_some_only(self, skus: list[Sku]) -> None:
        parts = [ComponentDraft(skus[1].pk, 1, Decimal(1)), ComponentDraft(skus[2].pk)]

        assert "of every component, or of none" in said(define(BundleDraft(skus[0].pk, parts))[0])

    def test_shares_of_nothing(self, skus: list[Sku]) -> None:
        assert "more than 0" in said(define(draft(skus[0], skus[1], skus[2], weight=Decimal(0)))[0])

    def test_components_whose_prices_say_no_shares(self, skus: list[Sku]) -> None:
        Sku.objects.filter(pk=skus[1].pk).update(list_price=None)
        Sku.objects.filter(pk=skus[2].pk).update(currency="EUR")
        Sku.objects.filter(pk=skus[3].pk).update(list_price=0)

        texts = [
            said(define(draft(skus[0], *parts))[0])
            for parts in ([skus[1], skus[3]], [skus[2], skus[3]], [skus[3]])
        ]

        assert [text.rpartition(":")[0] for text in texts] == [
            f"{skus[1].code} has no list price",
            "The list prices are in several currencies",
            "All list prices are 0",
        ]
        assert not BundleComponent.objects.exists()

    def test_a_sku_to_which_somebody_objects_while_the_others_go_on(self, skus: list[Sku]) -> None:
        bundle, part, other, _rest = skus
        asked = []

        def objection(sku_ids: Collection[int]) -> dict[int, str]:
            asked.append(list(sku_ids))
            return {bundle.pk: "it lies in Shanghai"}

        refused, taken = define(draft(bundle, part), draft(other, part), objection=objection)

        assert isinstance(refused.refusal, CannotBeBundle)
        assert (said(refused), taken.result) == ("it lies in Shanghai", "new")
        assert asked == [sorted([bundle.pk, other.pk])]

    def test_nobody_is_asked_again_about_a_bundle(self, skus: list[Sku]) -> None:
        bundle, part, other, _rest = skus
        define(draft(bundle, part))

        [changed] = define(draft(bundle, other), objection=lambda _ids: {bundle.pk: "no"})

        assert changed.result == "changed"


class TestArchiving:
    def test_what_lies_in_a_bundle_is_not_taken_out_of_sight(self, skus: list[Sku]) -> None:
        bundle, part, _two, _other = skus
        define(draft(bundle, part))
        off = [ProductDraft(part.spu.code, {}, [SkuDraft(part.code, {"is_active": False})])]

        [by_page] = define_products(products=off, at=timezone.now(), by="user:1")
        with pytest.raises(ChangedMeanwhile, match=bundle.code):
            enter_skus(entries=[SkuEntry(part.code, is_active=False)], at=timezone.now(), by="user:1")
        still_active = Sku.objects.get(pk=part.pk).is_active
        define(BundleDraft(bundle.pk, []))
        [afterwards] = define_products(products=off, at=timezone.now(), by="user:1")

        assert by_page.refusal is not None
        assert f"{part.code} lies in {bundle.code}" in by_page.refusal.detail
        assert (still_active, afterwards.result) == (True, "changed")

    def test_nor_is_it_deleted(self, skus: list[Sku]) -> None:
        bundle, part, _two, _other = skus
        define(draft(bundle, part))

        with pytest.raises(Exception, match="protected foreign keys"):
            part.delete()


def test_statements_do_not_grow_with_the_bundles_but_for_the_audit(skus: list[Sku]) -> None:
    bundle, one, two, three = skus
    with StatementCounter() as of_one:
        define(draft(bundle, one))
    with StatementCounter() as of_two:
        define(draft(two, one), draft(three, one))

    assert of_two.statements - of_one.statements == 1


@pytest.mark.parametrize(
    ("code", "rows"),
    [
        ("bundles.hold_plain_skus", [(0, 1, None), (1, 2, None)]),
        ("bundles.are_of_one_brand", [(0, 4, None)]),
        ("bundles.prices_can_be_divided", [(0, 1, 1), (0, 2, None)]),
    ],
)
def test_doctor_finds_bundles_that_cannot_be(
    skus: list[Sku], code: str, rows: list[tuple[int, int, int | None]]
) -> None:
    every = [*skus, SkuFactory.create()]
    check = next(check for check in drift.CHECKS if check.code == code)
    sound = check.find(5)

    BundleComponent.objects.bulk_create(
        BundleComponent(bundle=every[outer], component=every[inner], units=1, weight=weight)
        for outer, inner, weight in rows
    )

    assert sound == []
    assert len(check.find(5)) == 1
