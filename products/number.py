"""Give codes by rule: numbers are counted up, never used twice, and taken by one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _
from stdnum import ean

from omni.kernel.audit import record_act
from omni.kernel.errors import DomainError
from omni.kernel.sql import fetch_all
from products.codes import CODE_MAX, CannotMakeCode, check_pattern, patterns_of, stem_of
from products.models import Brand, CodeRule
from products.models.coding import CodeKind

ROUNDS_MAX = 40

# In key order: two that number the same products wait for each other. Whoever gives up gives its numbers back, and
# nobody has seen them: the row stays locked until then.
TAKE_NUMBERS = """
    INSERT INTO products_codecounter AS c (kind, stem, last_number)
    SELECT %s, stem, count FROM unnest(%s::text[], %s::bigint[]) AS n(stem, count) ORDER BY stem
    ON CONFLICT (kind, stem) DO UPDATE SET last_number = c.last_number + excluded.last_number
    RETURNING stem, last_number
"""
TAKEN = {
    CodeKind.SPU.value: "SELECT code FROM products_spu WHERE code = ANY(%s)",
    CodeKind.SKU.value: "SELECT code FROM products_sku WHERE code = ANY(%s)",
    CodeKind.BARCODE.value: "SELECT code FROM products_barcode WHERE code = ANY(%s)",
}


class CodeTaken(DomainError):
    """The rule gives a code that something else has, and has no number to go on with."""

    code = "code_taken"


@dataclass(frozen=True, slots=True)
class Nameless:
    """Something that wants a code. `values`: what the parts of a pattern stand for, by their names."""

    brand_id: int
    values: Mapping[str, str] = field(default_factory=dict)


def give_codes(*, kind: CodeKind, things: Sequence[Nameless]) -> list[str]:
    """A new code for each, in the caller's transaction. Codes that somebody has typed in are passed over.

    Raises CannotMakeCode, CodeTaken.
    """
    patterns = patterns_of(kind.value, {thing.brand_id for thing in things})
    stems = [stem_of(patterns[thing.brand_id], thing.values) for thing in things]
    codes: list[str] = [stem if not width else "" for stem, width in stems]
    _refuse_taken(kind, [code for code in codes if code])
    for round_number in range(ROUNDS_MAX):
        waiting = [place for place, code in enumerate(codes) if not code]
        if not waiting:
            return codes
        numbers = _take_numbers(kind, Counter(stems[place][0] for place in waiting), round_number)
        made: dict[int, str] = {}
        for place in waiting:
            stem, width = stems[place]
            number = next(numbers[stem])
            made[place] = _with_number(kind, stem, number, width)
        taken = {row[0] for row in fetch_all(TAKEN[kind.value], [list(made.values())])}
        for place, code in made.items():
            if code not in taken:
                codes[place] = code
    raise CodeTaken(_("All the next codes of this rule are taken: change the rule."))


@transaction.atomic
def set_code_rule(*, kind: CodeKind, brand_id: int | None, pattern: str, at: datetime, by: str) -> CodeRule:
    """How codes of a kind are made from now on, for one brand or for all that have no rule of their own.

    Codes that were given stay. Raises BadPattern.
    """
    check_pattern(kind.value, pattern)
    brand = Brand.objects.get(pk=brand_id) if brand_id is not None else None
    rule, is_new = CodeRule.objects.select_for_update(of=("self",)).get_or_create(
        kind=kind.value, brand=brand, defaults={"pattern": pattern}
    )
    if not is_new and rule.pattern == pattern:
        return rule
    rule.pattern = pattern
    rule.save(update_fields=["pattern"])
    record_act(by=by, action="code_rule.set", subject=rule, detail={"kind": kind.value, "pattern": pattern})
    return rule


def _take_numbers(kind: CodeKind, wanted: Counter[str], round_number: int) -> dict[str, Iterator[int]]:
    # Where people have typed codes by hand the counter lags behind: each round looks twice as far ahead.
    counts = {stem: max(count, 2**round_number if round_number else 0) for stem, count in wanted.items()}
    rows = fetch_all(TAKE_NUMBERS, [kind.value, list(counts), list(counts.values())])
    return {
        # The last of them: in the first round that is all of them, later those before were looked past.
        stem: iter(range(last - wanted[stem] + 1, last + 1))
        for stem, last in rows
    }


def _with_number(kind: CodeKind, stem: str, number: int, width: int) -> str:
    code = stem.replace("#", f"{number:0{width}d}")
    if kind == CodeKind.BARCODE:
        if len(code) != len(stem) - 1 + width:
            raise CannotMakeCode(_("All the numbers of this rule are used up: change the rule."))
        return code + str(ean.calc_check_digit(code))
    if len(code) > CODE_MAX:
        raise CannotMakeCode(_("The code would be longer than %d characters.") % CODE_MAX)
    return code


def _refuse_taken(kind: CodeKind, codes: Sequence[str]) -> None:
    twice = [code for code, count in Counter(codes).items() if count > 1]
    taken = twice or [row[0] for row in fetch_all(TAKEN[kind.value], [codes])] if codes else []
    if taken:
        raise CodeTaken(
            _("The rule gives the code %s, which is taken: give this one a code by hand, or change the rule.")
            % taken[0]
        )
