"""All numbers are computed anew because a person wants to be sure, and it says how many were others."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inventory.models import PublishedStock
from inventory.plan_all import start_plan_all
from inventory.publish import plan_all_published_stock
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Job
from omni.wiring import JOBS
from products.models import StaffScope
from tests.factories.inventory import Scene
from tests.factories.products import ListingFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V9")]
PAGE = "admin:inventory_publishedstock_plan_all"


def listed(units: int = 10) -> Scene:
    scene = Scene(units)
    ListingFactory.create(shop=scene.shop, sku=scene.sku)
    return scene


def work() -> Job:
    job = claim_job(at=timezone.now())
    assert job is not None
    return run_job(job=job, works=JOBS)


def test_it_counts_what_is_new_and_what_is_another() -> None:
    listed()
    first = plan_all_published_stock(at=timezone.now())
    second = plan_all_published_stock(at=timezone.now())
    PublishedStock.objects.update(desired_quantity=7)
    listed()

    third = plan_all_published_stock(at=timezone.now())

    assert (first, second, third) == (1, 0, 2)
    assert set(PublishedStock.objects.values_list("desired_quantity", flat=True)) == {10}


def test_the_job_says_how_many_numbers_changed_and_is_begun_once() -> None:
    listed()
    listed()
    plan_all_published_stock(at=timezone.now())
    PublishedStock.objects.filter(pk=PublishedStock.objects.first().pk).update(desired_quantity=7)  # type: ignore[union-attr]

    first, again = (start_plan_all(at=timezone.now(), by="user:7") for _ in range(2))
    done = work()

    assert first.pk == again.pk == done.pk
    assert (done.state, done.result) == ("done", {"changed": 1, "numbers": 2})


def test_it_is_begun_on_the_list_of_published_numbers(client: Client) -> None:
    listed()
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    assert reverse(PAGE) in client.get(reverse("admin:inventory_publishedstock_changelist")).content.decode()
    assert client.get(reverse(PAGE)).status_code == 200
    assert not Job.objects.exists()

    begun = client.post(reverse(PAGE))
    work()

    assert begun["Location"] == reverse("admin:kernel_job_change", args=[Job.objects.get().pk])
    assert "1 of 1 numbers changed" in client.get(reverse(PAGE)).content.decode()


def test_it_is_for_people_who_may_see_every_shop(client: Client) -> None:
    scene = listed()
    user = User.objects.create_user("staff", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    StaffScope.objects.create(user=user, shop=scene.shop)
    client.force_login(user)

    assert client.post(reverse(PAGE)).status_code == 403
    assert (
        reverse(PAGE) not in client.get(reverse("admin:inventory_publishedstock_changelist")).content.decode()
    )
    assert not Job.objects.exists()
