"""Say which column is what, and keep it for the next file of the kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.errors import BadInput, DomainError
from omni.kernel.imports.limits import BY_DOOR
from omni.kernel.imports.options import Options
from omni.kernel.imports.target import Target
from omni.kernel.imports.upload import read_header
from omni.kernel.models import Import, ImportMapping, ImportRow


class MissingColumn(BadInput):
    """A required column is mapped to nothing, or to a heading that the file does not have."""

    code = "missing_column"


class ImportIsOver(DomainError):
    """The import has gone too far for this."""

    code = "import_is_over"


@transaction.atomic
def map_columns(
    *,
    run_id: int,
    target: Target,
    columns: Mapping[str, str],
    options: Mapping[str, Any] | None = None,
    mapping: ImportMapping | None = None,
) -> Import:
    """Set which heading holds which field, and how the file is to be read. What was previewed before is forgotten.

    Raises MissingColumn, BadInput, ImportIsOver.
    """
    run = Import.objects.select_for_update().get(pk=run_id)
    if run.state not in (Import.State.UPLOADED, Import.State.PREVIEWED, Import.State.FAILED) or run.done:
        raise ImportIsOver(
            _("This import has been taken already; upload the file again to map it differently.")
        )
    chosen = Options.from_json({**run.options, **(options or {})})
    kind, door = run.options["kind"], run.options["door"]
    run.header = read_header(Path(run.file.path), kind, chosen, limits=BY_DOOR[door])
    run.columns = check_columns(target, columns, run.header, chosen)
    run.options = {**chosen.to_json(), "kind": kind, "door": door}
    run.mapping = mapping
    ImportRow.objects.filter(run=run).delete()
    run.state, run.is_read, run.read_lines, run.message = Import.State.UPLOADED, False, 0, ""
    run.lines = run.new = run.changed = run.unchanged = run.error = 0
    run.save()
    return run


def check_columns(
    target: Target, columns: Mapping[str, str], header: list[str], options: Options
) -> dict[str, str]:
    """The columns that are mapped, without those mapped to nothing. Raises MissingColumn, BadInput."""
    known = {field.name: field for field in target.fields}
    strangers = sorted(set(columns) - set(known))
    if strangers:
        raise BadInput(_("There is no field %s.") % ", ".join(strangers))
    chosen = {name: heading for name, heading in columns.items() if heading}
    absent = {name: heading for name, heading in chosen.items() if heading not in header}
    if absent:
        raise MissingColumn(
            _("The file has no column %(absent)s. It has: %(header)s.")
            % {
                "absent": ", ".join(f"“{heading}”" for heading in absent.values()),
                "header": ", ".join(header),
            },
            fields={name: [heading] for name, heading in absent.items()},
        )
    lacking = [
        field
        for field in target.fields
        if field.is_required and field.name not in chosen and not options.constants.get(field.name)
    ]
    if lacking:
        raise MissingColumn(
            _("Say which column holds: %s.") % ", ".join(str(field.label) for field in lacking),
            fields={field.name: [str(field.label)] for field in lacking},
        )
    return chosen


@transaction.atomic
def save_mapping(
    *,
    target: Target,
    name: str,
    columns: Mapping[str, str],
    options: Mapping[str, Any],
    at: datetime,
    by: str,
) -> ImportMapping:
    """Keep a mapping under a name; one of the same name is replaced. What concerns one file only is left out."""
    name = name.strip()
    if not name or len(name) > 80:
        raise BadInput(_("A mapping needs a name of at most 80 characters."), fields={"name": []})
    kept = Options.from_json(options).to_json()
    return ImportMapping.objects.update_or_create(
        target=target.name,
        name=name,
        defaults={"columns": dict(columns), "options": kept, "saved_by": by, "saved_at": at},
    )[0]
