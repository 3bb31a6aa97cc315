"""The sidebar: the house by the work of a day, with what waits beside each queue."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from omni.desk import WORK, Waiting, queue_key, queue_spec, queue_url, waiting

# (model, or the name of a page of its own; title; icon)
GROUPS: list[tuple[Any, list[tuple[str, Any, str]]]] = [
    (
        _("Orders"),
        [
            ("orders.salesorder", _("All orders"), "receipt_long"),
            ("orders.channelorder", _("Channel orders"), "storefront"),
            ("orders.fulfilmentorder", _("Fulfilment orders"), "package_2"),
            ("orders.parcel", _("Shipments"), "local_shipping"),
            ("orders.channelrefund", _("Refunds"), "currency_exchange"),
            ("orders.return", _("Returns"), "assignment_return"),
            ("orders.orderhold", _("Holds"), "front_hand"),
        ],
    ),
    (
        _("Stock"),
        [
            ("inventory.skustock", _("SKU stock"), "inventory_2"),
            ("admin:inventory_matrix", _("Quota matrix"), "grid_on"),
            ("inventory.quotarule", _("Quota rules"), "rule_settings"),
            ("inventory.allocationrun", _("Allocation runs"), "balance"),
            ("inventory.promotionlock", _("Promotion locks"), "lock_clock"),
            ("inventory.revocation", _("Units being taken back"), "assignment_return"),
            ("inventory.safetyrule", _("Safety stock"), "shield"),
            ("inventory.rebalancepolicy", _("Rebalancing"), "sync_alt"),
            ("inventory.location", _("Locations"), "warehouse"),
            ("inventory.locationgroup", _("Location groups"), "hub"),
            ("inventory.poolingrule", _("Pooling rules"), "alt_route"),
            ("inventory.transfer", _("Transfers"), "local_shipping"),
            ("inventory.countsheet", _("Count sheets"), "fact_check"),
            ("inventory.stockpool", _("Pools"), "pie_chart"),
            ("inventory.shoppool", _("Shops and pools"), "account_tree"),
            ("inventory.shortage", _("Shortages"), "production_quantity_limits"),
            ("inventory.reservation", _("Reservations"), "bookmark"),
            ("inventory.stockhold", _("Stock holds"), "hourglass_top"),
            ("inventory.holdlimit", _("Limits of holds"), "timer"),
            ("inventory.stockmovement", _("Movements"), "swap_horiz"),
            ("inventory.publishedstock", _("Published stock"), "cell_tower"),
            ("inventory.stockcomparison", _("Stock compares"), "compare_arrows"),
            ("inventory.stockdifference", _("Stock differences"), "balance"),
            ("inventory.stockalert", _("Stock alerts"), "notifications"),
            ("inventory.alertrule", _("Alert rules"), "notification_important"),
            ("inventory.supplyrule", _("Supply rules and replenishment"), "local_shipping"),
        ],
    ),
    (
        _("Products"),
        [
            ("products.sku", _("SKUs"), "qr_code_2"),
            ("products.spu", _("Products (SPU)"), "category"),
            ("products.bundle", _("Bundles"), "featured_seasonal_and_gifts"),
            ("products.image", _("Images"), "image"),
            ("products.brand", _("Brands"), "verified"),
            ("products.category", _("Categories"), "account_tree"),
            ("products.categoryattribute", _("Category attributes"), "list_alt"),
            ("products.coderule", _("Code rules"), "pin"),
        ],
    ),
    (
        _("Listing and assortment"),
        [
            ("products.listing", _("Listings"), "sell"),
            ("products.listingrequest", _("Listing requests"), "swap_vert"),
            ("products.outeritem", _("Channel items"), "storefront"),
            ("integrations.listingdrift", _("Differences to channels"), "difference"),
            ("products.catalogue", _("Sales catalogues"), "menu_book"),
            ("products.assortmentrule", _("Assortment rules"), "rule_settings"),
            ("products.assortmentrun", _("Assortment runs"), "fact_check"),
            ("products.shop", _("Shops"), "store"),
        ],
    ),
    (
        _("Prices"),
        [
            ("products.price", _("Prices"), "payments"),
            ("products.floorprice", _("Floor prices"), "vertical_align_bottom"),
            ("products.publishedprice", _("Published prices"), "cell_tower"),
        ],
    ),
    (
        _("Connections"),
        [
            ("integrations.connection", _("Channel health"), "monitor_heart"),
            ("integrations.messagelog", _("Message log"), "forum"),
            ("integrations.inboundmessage", _("Inbound messages"), "move_to_inbox"),
            ("orders.dispatchnotice", _("Dispatch notices"), "mark_email_read"),
            ("kernel.outboxevent", _("Events and dead letters"), "drafts"),
            ("integrations.apikey", _("API keys"), "key"),
            ("django_celery_beat.periodictask", _("Schedules"), "schedule"),
        ],
    ),
    (
        _("Imports and jobs"),
        [
            ("kernel.import", _("Imports"), "upload_file"),
            ("kernel.importrow", _("Imported rows"), "rule"),
            ("kernel.importmapping", _("Column mappings"), "table_chart"),
            ("kernel.job", _("Jobs"), "pending_actions"),
        ],
    ),
    (
        _("Administration"),
        [
            ("auth.user", _("Users"), "person"),
            ("auth.group", _("Groups"), "group"),
            ("products.staffscope", _("Staff scopes"), "visibility"),
            ("orders.reviewrule", _("Review rules"), "rule"),
            ("kernel.auditentry", _("Audit"), "policy"),
        ],
    ),
]
ALARM_BADGES = {
    "orders.dispatchnotice": "dispatchnotice.failed",
    "integrations.inboundmessage": "inboundmessage.failed",
    "inventory.promotionlock": "promotionlock.short",
    "inventory.revocation": "revocation.old",
    "products.listingrequest": "listingrequest.refused",
    "kernel.outboxevent": "outboxevent.dead",
}


# Pages that are no list, and whose permission opens them.
OWN_PAGES = {"admin:inventory_matrix": "inventory.allocationrun"}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """What the viewer may open, group by group; the group that holds the present page is open."""
    pages = {model._meta.label_lower: page for model, page in admin.site._registry.items()}
    counts = waiting(request)
    work = [
        _queue_item(request, counts, *spec)
        for spec in WORK
        if queue_spec(*spec[:2])[0].has_view_permission(request)
    ]
    home = {
        "title": _("Today"),
        "icon": "dashboard",
        "link": reverse("admin:index"),
        "active": request.path == reverse("admin:index"),
    }
    navigation: list[dict[str, Any]] = [{"title": _("Work queues"), "items": [home, *work]}]
    for title, entries in GROUPS:
        items = [
            _own_page_item(request, label, name, icon)
            if label in OWN_PAGES
            else _page_item(request, counts, pages[label], label, name, icon)
            for label, name, icon in entries
            if OWN_PAGES.get(label, label) in pages
            and pages[OWN_PAGES.get(label, label)].has_view_permission(request)
        ]
        if items:
            navigation.append({"title": title, "separator": True, "collapsible": True, "items": items})
    return navigation


def _queue_item(
    request: HttpRequest, counts: dict[str, Waiting], model: Any, code: str, is_alarming: bool
) -> dict[str, Any]:
    _page, queue = queue_spec(model, code)
    link = queue_url(model, code)
    item = {"title": queue.title, "icon": queue.icon, "link": link, "active": request.path == link}
    found = counts.get(queue_key(model, code))
    if found and found.count:
        item |= {"badge": found.shown, "badge_variant": "danger" if is_alarming else "primary"}
    return item


def _own_page_item(request: HttpRequest, label: str, title: Any, icon: str) -> dict[str, Any]:
    link = reverse(label)
    return {"title": title, "icon": icon, "link": link, "active": request.path.startswith(link)}


def _page_item(
    request: HttpRequest, counts: dict[str, Waiting], page: Any, label: str, title: Any, icon: str
) -> dict[str, Any]:
    link = reverse(f"admin:{label.replace('.', '_')}_changelist")
    # The work queues are pages of the same tables: they have their own place in the sidebar. So have some others.
    inside = request.path.startswith(link) and not request.path.startswith((f"{link}queue/", *_own_links()))
    is_queue = request.path.startswith(f"{link}queue/") and request.path not in _work_links()
    active = inside or is_queue
    item: dict[str, Any] = {"title": title, "icon": icon, "link": link, "active": active}
    found = counts.get(ALARM_BADGES.get(label, ""))
    if found and found.count:
        item |= {"badge": found.shown, "badge_variant": "danger", "link": queue_url(page.model, found.code)}
    return item


def _own_links() -> tuple[str, ...]:
    return tuple(reverse(label) for label in OWN_PAGES)


def _work_links() -> set[str]:
    return {queue_url(model, code) for model, code, _alarming in WORK}
