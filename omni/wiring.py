"""Who hears of what, what can be imported and which long work there is: all of the house on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from integrations import reactions as outside
from integrations.compare_shelf import COMPARE_SHELF, compare_shelf
from integrations.compare_stock import JOB as COMPARE_STOCK
from integrations.compare_stock import compare_now
from inventory import events as stock
from inventory import reactions as shelves
from inventory.bundles import stock_objections
from inventory.plan_all import PLAN_ALL, plan_all
from inventory.quota import apply as granting
from inventory.quota.plan import PLAN as PLAN_ALLOCATION
from inventory.quota.plan import plan_allocation
from inventory.quota.replay import BACKTEST, replay_demand
from omni.kernel.events import Event
from omni.kernel.imports.target import Target
from omni.kernel.imports.works import import_works
from omni.kernel.jobs import Work
from omni.kernel.relay import Reaction
from orders import events as order
from orders import reactions as orders
from orders.bundles import order_objections
from orders.imports.online_retail import ONLINE_RETAIL
from orders.imports.order_lines import ORDER_LINES
from products import events as offer
from products import reactions as offers
from products.assortment.apply import APPLY, apply_assortment
from products.assortment.plan import PLAN, plan_assortment
from products.compose import Objection
from products.images.keep import RENDITIONS, make_renditions
from products.imports.listings import LISTINGS
from products.imports.prices import PRICES
from products.imports.skus import SKUS

REACTIONS: Mapping[type[Event], Sequence[Reaction]] = {
    offer.ProductsChanged: [
        offers.tell_list_prices_soon,
        offers.update_listings_soon,
        offers.look_at_changed_products,
    ],
    offer.BundlesChanged: [shelves.plan_bundles_soon],
    offer.ListingsChanged: [
        shelves.tell_stock_soon,
        offers.tell_prices_soon,
        offers.look_at_listed_skus,
        orders.retry_mapped_soon,
    ],
    stock.StockRaised: [shelves.grant_supply_soon],
    stock.PromisesWithdrawn: [orders.mark_lines_short],
    stock.ShortagesFilled: [orders.mark_lines_filled],
    order.OrdersCaptured: [orders.review_soon],
    order.OrdersApproved: [orders.source_soon],
    order.OrdersSourced: [outside.release_soon],
    order.OrdersShipped: [outside.report_parcels_soon],
    order.OrdersCancelled: [],
    order.CancellationsAsked: [outside.ask_to_stop_soon],
}

# Who is asked before a SKU becomes a bundle: it may neither lie anywhere nor be on its way by itself.
BUNDLE_OBJECTIONS: Sequence[Objection] = (stock_objections, order_objections)

IMPORT_TARGETS: Mapping[str, Target] = {
    target.name: target for target in (ORDER_LINES, ONLINE_RETAIL, SKUS, LISTINGS, PRICES)
}
JOBS: Mapping[str, Work] = {
    **import_works(IMPORT_TARGETS),
    RENDITIONS: make_renditions,
    PLAN: plan_assortment,
    APPLY: apply_assortment,
    BACKTEST: replay_demand,
    PLAN_ALLOCATION: plan_allocation,
    granting.APPLY: granting.apply_run,
    granting.UNDO: granting.unapply_run,
    COMPARE_STOCK: compare_now,
    COMPARE_SHELF: compare_shelf,
    PLAN_ALL: plan_all,
}
