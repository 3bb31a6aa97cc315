"""Which SKUs a choice of options gives: the ones that are there, and the ones that would come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from django.utils.translation import gettext as _

from omni.kernel.canonical import canonical_json
from omni.kernel.errors import BadInput
from products.models import CategoryAttribute, Sku, Spu
from products.template import of_sku, option_names, template_of

GRID_MAX = 1000

Choices = Mapping[str, Sequence[str]]


class BadGrid(BadInput):
    """The options that were chosen do not make a grid of this product; `fields` says which are wrong."""

    code = "bad_grid"


@dataclass(frozen=True, slots=True)
class Cell:
    """One SKU of the grid. `options`: what it is, in the words of the template; `sku`: None until it is made."""

    attributes: dict[str, str]
    options: tuple[str, ...]
    sku: Sku | None

    @property
    def key(self) -> bytes:
        return options_key(self.attributes)

    def name_for(self, spu: Spu) -> str:
        """`Velvet Lipstick red S`."""
        return " ".join([spu.name, *self.options])[:240]


def options_key(attributes: Mapping[str, Any]) -> bytes:
    """The same for the same options, in whatever order they are written."""
    return canonical_json(dict(attributes))


def plan_grid(*, spu: Spu, choices: Choices) -> list[Cell]:
    """Every combination of the options chosen, in the order of the template. Nothing is written.

    `choices`: option codes by attribute code. An attribute that is not required may be left out. Raises BadGrid.
    """
    template = of_sku(template_of(spu.category_id))
    chosen = _read_choices(template, choices)
    if prod(len(codes) for _attribute, codes in chosen) > GRID_MAX:
        raise BadGrid(_("A grid has at most %d SKUs: choose fewer options.") % GRID_MAX)
    existing = {options_key(sku.attributes): sku for sku in Sku.objects.filter(spu=spu)}
    cells = []
    for combination in product(*(codes for _attribute, codes in chosen)):
        pairs = list(zip((attribute for attribute, _codes in chosen), combination, strict=True))
        attributes = {attribute.code: code for attribute, code in pairs}
        options = tuple(option_names(attribute)[code] for attribute, code in pairs)
        cells.append(Cell(attributes, options, existing.get(options_key(attributes))))
    return cells


def _read_choices(
    template: Sequence[CategoryAttribute], choices: Choices
) -> list[tuple[CategoryAttribute, list[str]]]:
    known = {attribute.code: attribute for attribute in template}
    faults = {
        code: [_("It does not tell the SKUs of this product apart.")] for code in choices if code not in known
    }
    chosen = []
    for code, attribute in known.items():
        wanted, options = set(choices.get(code, ())), option_names(attribute)
        if unknown := sorted(wanted - options.keys()):
            faults[code] = [_("There is no option “%s”.") % unknown[0]]
        elif not wanted and attribute.is_required:
            faults[code] = [_("%s is required.") % attribute.name]
        elif wanted:
            chosen.append((attribute, [option for option in options if option in wanted]))
    if faults:
        raise BadGrid(next(iter(faults.values()))[0], fields=faults)
    if not chosen:
        raise BadGrid(_("Choose at least one option. Its category says what tells SKUs apart."))
    return chosen
