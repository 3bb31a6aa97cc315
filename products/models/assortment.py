"""What a shop may sell, and what it is meant to sell: sales catalogues and assortment rules."""

from __future__ import annotations

import pghistory
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from products.models.master import Brand, Category, Sku
from products.models.offer import Listing, Shop


class Conditions(models.Model):
    """What a SKU must be like. What is empty is not asked for; of several tags or seasons one is enough.

    `category`: it and all below it. The list price lies between `price_from` and `price_to`, both included, and counts
    only in `currency`.
    """

    brand = models.ForeignKey(
        Brand, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("brand")
    )
    category = models.ForeignKey(
        Category,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("category"),
        help_text=_("With all categories below it."),
    )
    tags = ArrayField(
        models.CharField(max_length=32),
        verbose_name=_("tags"),
        blank=True,
        default=list,
        db_default=models.Value([], ArrayField(models.CharField(max_length=32))),
    )
    seasons = ArrayField(
        models.CharField(max_length=32),
        verbose_name=_("seasons"),
        blank=True,
        default=list,
        db_default=models.Value([], ArrayField(models.CharField(max_length=32))),
    )
    price_from = models.DecimalField(
        _("list price from"), max_digits=20, decimal_places=4, null=True, blank=True
    )
    price_to = models.DecimalField(_("list price to"), max_digits=20, decimal_places=4, null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, default="CNY", db_default="CNY")

    class Meta:
        abstract = True


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old), pghistory.DeleteEvent(), model_name="CatalogueHistory"
)
class Catalogue(Conditions):
    """A sales catalogue: what its shops may sell of the master. It holds the active SKUs that fit its conditions, and
    those picked by hand, but not those kept out by hand; without conditions only what was picked.

    Which SKUs that are is worked out whenever it is asked: nothing is kept that could be behind the master.
    """

    code = models.CharField(_("code"), max_length=32, unique=True)
    name = models.CharField(_("name"), max_length=120)
    note = models.TextField(_("note"), blank=True, default="", db_default="")
    is_active = models.BooleanField(
        _("in force"),
        default=True,
        db_default=True,
        help_text=_("In force, its shops may sell only what it holds."),
    )
    # Counts what changed in it, its picks and its shops: a preview knows by it that it was made with another one.
    version = models.PositiveIntegerField(_("version"), default=1, db_default=1, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("sales catalogue")
        verbose_name_plural = _("sales catalogues")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(price_from__isnull=True)
                | models.Q(price_to__isnull=True)
                | models.Q(price_to__gte=models.F("price_from")),
                name="a_catalogue_asks_for_a_price_that_exists",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="CataloguePickHistory",
)
class CataloguePick(models.Model):
    """A SKU that stands in a catalogue, or stays out of it, whatever the conditions say."""

    catalogue = models.ForeignKey(
        Catalogue, models.PROTECT, related_name="picks", verbose_name=_("sales catalogue"), db_index=False
    )
    sku = models.ForeignKey(Sku, models.CASCADE, related_name="+", verbose_name=_("SKU"))
    is_in = models.BooleanField(_("picked"))
    reason = models.CharField(_("reason"), max_length=200, db_default="")
    picked_by = models.CharField(_("picked by"), max_length=80)
    picked_at = models.DateTimeField(_("picked at"), db_default=Now())

    class Meta:
        verbose_name = _("SKU picked by hand")
        verbose_name_plural = _("SKUs picked by hand")
        constraints = [
            models.UniqueConstraint(fields=["catalogue", "sku"], name="a_sku_is_picked_once_per_catalogue"),
        ]

    def __str__(self) -> str:
        return f"{self.catalogue_id}/{self.sku_id}"


class ShopCatalogue(models.Model):
    """The one catalogue of a shop; the audit of the catalogue says who gave it to whom.

    `is_checked`: the listings of the shop have been looked at since the catalogue changed.
    """

    shop = models.OneToOneField(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"))
    catalogue = models.ForeignKey(
        Catalogue, models.PROTECT, related_name="shop_catalogues", verbose_name=_("sales catalogue")
    )
    is_checked = models.BooleanField(_("checked"), db_default=False)

    class Meta:
        verbose_name = _("catalogue of a shop")
        verbose_name_plural = _("catalogues of shops")

    def __str__(self) -> str:
        return f"{self.shop_id}: {self.catalogue_id}"


class OutsideListing(models.Model):
    """A listing that is on sale although the catalogue of its shop does not hold its SKU.

    Only a list for people: whether something may go on sale is asked of the catalogue itself.
    """

    listing = models.OneToOneField(
        Listing, models.CASCADE, primary_key=True, related_name="outside", verbose_name=_("listing")
    )
    catalogue = models.ForeignKey(
        Catalogue, models.PROTECT, related_name="+", verbose_name=_("sales catalogue"), db_index=False
    )
    since = models.DateTimeField(_("since"))

    class Meta:
        verbose_name = _("listing outside its catalogue")
        verbose_name_plural = _("listings outside their catalogues")

    def __str__(self) -> str:
        return str(self.listing_id)


@pghistory.track(
    pghistory.UpdateEvent("before", row=pghistory.Old),
    pghistory.DeleteEvent(),
    model_name="AssortmentRuleHistory",
)
class AssortmentRule(Conditions):
    """Which SKUs some shops are meant to sell (include), or not to sell (exclude), while its window is open.

    Of several rules that fit a SKU the one with the highest priority decides; of the same priority one that excludes,
    then the older one. A rule is never deleted: what it has done refers to it.
    """

    class Kind(models.TextChoices):
        INCLUDE = "include", _("include")
        EXCLUDE = "exclude", _("exclude")

    name = models.CharField(_("name"), max_length=120, unique=True)
    kind = models.CharField(_("kind"), max_length=7, choices=Kind.choices, default=Kind.INCLUDE)
    priority = models.PositiveSmallIntegerField(
        _("priority"), default=100, db_default=100, help_text=_("The highest number decides.")
    )
    shops = models.ManyToManyField(Shop, related_name="+", verbose_name=_("shops"))
    starts_at = models.DateTimeField(_("starts at"), null=True, blank=True)
    ends_at = models.DateTimeField(_("ends at"), null=True, blank=True)
    is_active = models.BooleanField(_("active"), default=True, db_default=True)
    # Counts what changed in it and its shops: a preview knows by it that it was made with another one.
    version = models.PositiveIntegerField(_("version"), default=1, db_default=1, editable=False)
    # Whether the clock has seen the window open, and close: each edge makes one run.
    is_opened = models.BooleanField(_("opened"), default=False, db_default=False, editable=False)
    is_closed = models.BooleanField(_("closed"), default=False, db_default=False, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now())

    class Meta:
        verbose_name = _("assortment rule")
        verbose_name_plural = _("assortment rules")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(price_from__isnull=True)
                | models.Q(price_to__isnull=True)
                | models.Q(price_to__gte=models.F("price_from")),
                name="a_rule_asks_for_a_price_that_exists",
            ),
            models.CheckConstraint(
                condition=models.Q(brand__isnull=False)
                | models.Q(category__isnull=False)
                | ~models.Q(tags=[])
                | ~models.Q(seasons=[])
                | models.Q(price_from__isnull=False)
                | models.Q(price_to__isnull=False),
                name="a_rule_asks_for_something",
            ),
            models.CheckConstraint(
                condition=models.Q(starts_at__isnull=True)
                | models.Q(ends_at__isnull=True)
                | models.Q(ends_at__gt=models.F("starts_at")),
                name="a_rule_ends_after_it_starts",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class AssortmentRun(models.Model):
    """What the rules mean for some shops, worked out at a moment, looked at, and then done or dropped.

    `basis`: the rules, catalogues and their versions that it was made with: with others it is not applied any more.
    """

    class State(models.TextChoices):
        PLANNING = "planning", _("being worked out")
        PLANNED = "planned", _("to be looked at")
        APPLYING = "applying", _("being applied")
        APPLIED = "applied", _("applied")
        DROPPED = "dropped", _("dropped")

    class Source(models.TextChoices):
        PERSON = "person", _("a person")
        CLOCK = "clock", _("a window that opened or closed")

    state = models.CharField(
        _("state"), max_length=8, choices=State.choices, default=State.PLANNING, db_default=State.PLANNING
    )
    source = models.CharField(_("asked for by"), max_length=6, choices=Source.choices)
    judged_at = models.DateTimeField(_("worked out for"))
    basis = models.JSONField(_("made with"), default=dict)
    job = models.ForeignKey(
        "kernel.Job", models.SET_NULL, null=True, related_name="+", verbose_name=_("job"), db_index=False
    )
    created_by = models.CharField(_("created by"), max_length=80)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    applied_by = models.CharField(_("applied by"), max_length=80, db_default="")
    applied_at = models.DateTimeField(_("applied at"), null=True)
    is_forgotten = models.BooleanField(_("rows forgotten"), db_default=False)

    class Meta:
        verbose_name = _("assortment run")
        verbose_name_plural = _("assortment runs")
        indexes = [
            models.Index(
                fields=["created_at"], condition=models.Q(is_forgotten=False), name="assortment_run_kept"
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class AssortmentShop(models.Model):
    """What a run means for one shop, in numbers.

    `listed`: listings on sale there when it was worked out. Where more than `LOSS_MAX` of them would be withdrawn, a
    person has to confirm it.
    """

    class State(models.TextChoices):
        PLANNING = "planning", _("being worked out")
        PLANNED = "planned", _("to be looked at")
        APPLYING = "applying", _("being applied")
        APPLIED = "applied", _("applied")
        DROPPED = "dropped", _("dropped")

    run = models.ForeignKey(
        AssortmentRun, models.PROTECT, related_name="shops", verbose_name=_("assortment run"), db_index=False
    )
    shop = models.ForeignKey(Shop, models.PROTECT, related_name="+", verbose_name=_("shop"), db_index=False)
    state = models.CharField(
        _("state"), max_length=8, choices=State.choices, default=State.PLANNING, db_default=State.PLANNING
    )
    listed = models.PositiveIntegerField(_("on sale"), db_default=0)
    drafts = models.PositiveIntegerField(_("to draft"), db_default=0)
    publishes = models.PositiveIntegerField(_("to put on sale"), db_default=0)
    withdraws = models.PositiveIntegerField(_("to take off sale"), db_default=0)
    held_back = models.PositiveIntegerField(_("taken off by a person"), db_default=0)
    waiting = models.PositiveIntegerField(_("on their way already"), db_default=0)
    kept = models.PositiveIntegerField(_("as they should be"), db_default=0)
    done = models.PositiveIntegerField(_("done"), db_default=0)
    skipped = models.PositiveIntegerField(_("skipped"), db_default=0)
    is_too_much = models.BooleanField(_("withdraws too much"), db_default=False)
    confirmed_by = models.CharField(_("confirmed by"), max_length=80, db_default="")
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True)
    reason = models.CharField(_("reason"), max_length=200, db_default="")
    planned_at = models.DateTimeField(_("worked out at"), null=True)

    class Meta:
        verbose_name = _("assortment of a shop")
        verbose_name_plural = _("assortments of shops")
        constraints = [models.UniqueConstraint(fields=["run", "shop"], name="a_run_judges_a_shop_once")]
        indexes = [
            models.Index(
                fields=["id"],
                condition=models.Q(state="planned", is_too_much=True, confirmed_by=""),
                name="assortment_to_confirm",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.run_id}: {self.shop}"


class AssortmentRow(models.Model):
    """One thing that a run would do, or did, to a SKU in a shop; what stays as it is has none.

    `rules`: those that fit, the one that decides first; `rule` is that one. `cause`: why. Rows come in millions and go
    again: no key of them is checked by the database, and none of what they name waits for them.
    """

    class Outcome(models.TextChoices):
        DRAFT = "draft", _("draft")
        PUBLISH = "publish", _("put on sale")
        WITHDRAW = "withdraw", _("take off sale")
        HELD_BACK = "held_back", _("leave off sale")

    class Cause(models.TextChoices):
        INCLUDED = "included", _("a rule includes it")
        EXCLUDED = "excluded", _("a rule excludes it")
        NO_RULE = "no_rule", _("no rule includes it any more")
        OUTSIDE = "outside", _("the catalogue of the shop does not hold it")
        INACTIVE = "inactive", _("it is not sold any more")

    class State(models.TextChoices):
        PLANNED = "planned", _("to be done")
        DONE = "done", _("done")
        SKIPPED = "skipped", _("skipped")

    run = models.ForeignKey(
        AssortmentRun,
        models.DO_NOTHING,
        related_name="rows",
        verbose_name=_("assortment run"),
        db_index=False,
        db_constraint=False,
    )
    shop = models.ForeignKey(
        Shop,
        models.DO_NOTHING,
        related_name="+",
        verbose_name=_("shop"),
        db_index=False,
        db_constraint=False,
    )
    sku = models.ForeignKey(
        Sku, models.DO_NOTHING, related_name="+", verbose_name=_("SKU"), db_index=False, db_constraint=False
    )
    listing = models.ForeignKey(
        Listing,
        models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("listing"),
        db_index=False,
        db_constraint=False,
    )
    outcome = models.CharField(_("change"), max_length=9, choices=Outcome.choices)
    cause = models.CharField(_("cause"), max_length=8, choices=Cause.choices)
    rule = models.ForeignKey(
        AssortmentRule,
        models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("rule that decides"),
        db_index=False,
        db_constraint=False,
    )
    rules = ArrayField(models.IntegerField(), verbose_name=_("rules that fit"), null=True)
    state = models.CharField(_("state"), max_length=7, choices=State.choices, db_default=State.PLANNED)
    detail = models.TextField(_("what came of it"), db_default="")

    class Meta:
        verbose_name = _("assortment line")
        verbose_name_plural = _("assortment lines")
        # One shop of one run is read at a time; which outcome a row has is then looked up in the index.
        indexes = [
            models.Index(fields=["run", "shop", "id"], include=["outcome", "state"], name="assortment_row")
        ]

    def __str__(self) -> str:
        return f"{self.outcome} {self.sku_id}"


class PlacedListing(models.Model):
    """A listing that a rule brought into its shop. When no rule wants it any more it is withdrawn; what people brought
    there is left to them, unless a rule excludes it by name.
    """

    listing = models.OneToOneField(
        Listing, models.CASCADE, primary_key=True, related_name="placed", verbose_name=_("listing")
    )
    run = models.ForeignKey(
        AssortmentRun, models.PROTECT, related_name="+", verbose_name=_("assortment run"), db_index=False
    )
    placed_at = models.DateTimeField(_("placed at"))

    class Meta:
        verbose_name = _("listing placed by a rule")
        verbose_name_plural = _("listings placed by rules")

    def __str__(self) -> str:
        return str(self.listing_id)
