"""What a person may see follows from their scopes: nothing without one, a brand with its shops, or one shop."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User

from products.models import Brand, Shop, StaffScope
from products.scope import scope_of, visible_brand_ids, visible_shop_ids

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    return User.objects.create_user("staff", "staff@example.com", "x", is_staff=True)


@pytest.fixture
def shops() -> tuple[Shop, Shop, Shop]:
    """Two shops of one brand, and one of another."""
    lumi, kaya = (Brand.objects.create(code=code, name=code) for code in ("lumi", "kaya"))
    made = [
        Shop.objects.create(code=code, name=code, channel="top", brand=brand)
        for code, brand in (("lumi-1", lumi), ("lumi-2", lumi), ("kaya-1", kaya))
    ]
    return made[0], made[1], made[2]


def brand_of(shop: Shop) -> int:
    assert shop.brand_id is not None
    return shop.brand_id


def test_without_a_scope_nothing_is_seen(person: User, shops: tuple[Shop, Shop, Shop]) -> None:
    assert visible_shop_ids(person) == frozenset()
    assert visible_brand_ids(person) == frozenset()


def test_a_superuser_sees_everything(shops: tuple[Shop, Shop, Shop]) -> None:
    boss = User.objects.create_superuser("boss", "boss@example.com", "x")

    assert visible_shop_ids(boss) is None
    assert visible_brand_ids(boss) is None


def test_a_brand_is_seen_with_all_of_its_shops(person: User, shops: tuple[Shop, Shop, Shop]) -> None:
    StaffScope.objects.create(user=person, brand=shops[0].brand)

    assert visible_shop_ids(person) == frozenset({shops[0].pk, shops[1].pk})
    assert visible_brand_ids(person) == frozenset({brand_of(shops[0])})


def test_a_shop_is_seen_with_its_brands_products_but_without_the_other_shops(
    person: User, shops: tuple[Shop, Shop, Shop]
) -> None:
    StaffScope.objects.create(user=person, shop=shops[0])

    assert visible_shop_ids(person) == frozenset({shops[0].pk})
    assert visible_brand_ids(person) == frozenset({brand_of(shops[0])})


def test_scopes_add_up(person: User, shops: tuple[Shop, Shop, Shop]) -> None:
    StaffScope.objects.create(user=person, shop=shops[0])
    StaffScope.objects.create(user=person, brand=shops[2].brand)

    assert visible_shop_ids(person) == frozenset({shops[0].pk, shops[2].pk})


def test_who_is_not_signed_in_or_was_made_inactive_sees_nothing(
    person: User, shops: tuple[Shop, Shop, Shop]
) -> None:
    StaffScope.objects.create(user=person, shop=shops[0])
    person.is_active = False

    assert visible_shop_ids(person) == frozenset()
    assert not scope_of(AnonymousUser()).shop_ids
