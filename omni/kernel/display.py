"""How amounts and ages are written for people, in their language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from babel.core import Locale
from babel.numbers import format_currency, format_decimal
from django.utils import timezone
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from omni.kernel.money import round_money, smallest_unit

# Django's zh_Hans format sets no thousands separator and groups by four: amounts go through Babel instead.
_LOCALES = {"en": Locale("en"), "zh-hans": Locale("zh", script="Hans")}


def _locale() -> Locale:
    return _LOCALES.get(get_language() or "en", _LOCALES["en"])


@dataclass(frozen=True, slots=True)
class Money:
    """An amount with its currency. `text()`: `¥1,296.94` or `CN¥1,296.94`, as the
    reader's language writes it, rounded half up to what can be paid."""

    amount: Decimal
    currency: str

    def text(self) -> str:
        amount = round_money(self.amount, unit=smallest_unit(self.currency))
        return format_currency(amount, self.currency, locale=_locale())


def number_text(value: int | Decimal) -> str:
    """A count with the reader's thousands separators."""
    return format_decimal(value, locale=_locale())


def age_text(since: datetime | None, *, at: datetime | None = None) -> str:
    """How long ago, in one unit that a person can act on: `3 min`, `5 h`, `2 d`. Future moments: `0 min`."""
    if since is None:
        return "–"
    passed = max((at or timezone.now()) - since, timedelta())
    minutes = int(passed.total_seconds()) // 60
    if minutes < 60:
        return _("%(count)d min") % {"count": minutes}
    if minutes < 48 * 60:
        return _("%(count)d h") % {"count": minutes // 60}
    days = minutes // (24 * 60)
    return ngettext("%(count)d day", "%(count)d days", days) % {"count": days}
