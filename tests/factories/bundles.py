"""Bundles for tests: composed by the operation by which they really come."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from django.utils import timezone

from omni.wiring import BUNDLE_OBJECTIONS
from products.compose import BundleDraft, ComponentDraft, Composed, define_bundles
from products.models import Sku
from tests.factories.products import SkuFactory


def compose(
    bundle: Sku, units: Mapping[Sku, int], *, weights: Mapping[Sku, Decimal | int] | None = None
) -> Composed:
    """Say what lies in a bundle, as the page of a SKU does."""
    components = [
        ComponentDraft(sku.pk, count, None if weights is None else Decimal(weights[sku]))
        for sku, count in units.items()
    ]
    [composed] = define_bundles(
        bundles=[BundleDraft(bundle.pk, components)],
        objections=BUNDLE_OBJECTIONS,
        at=timezone.now(),
        by="test",
    )
    return composed


def make_bundle(units: Mapping[Sku, int], *, weights: Mapping[Sku, Decimal | int] | None = None) -> Sku:
    """A new SKU of the components' brand that is a bundle of them; without weights each has the same share."""
    product = next(iter(units)).spu
    bundle = SkuFactory.create(spu=product)
    composed = compose(bundle, units, weights=weights or dict.fromkeys(units, 1))
    assert composed.result == "new", composed
    return bundle


def skus_of_one_brand(count: int, **values: object) -> list[Sku]:
    """Plain SKUs of one product."""
    first = SkuFactory.create(**values)
    return [first, *(SkuFactory.create(spu=first.spu, **values) for _number in range(count - 1))]
