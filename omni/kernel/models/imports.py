"""Tables that come in as files: the file, how its columns are understood, and every one of its rows."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from omni.kernel.models.job import Job


class ImportMapping(models.Model):
    """How the columns of a kind of file are understood: mapped once, used for every file like it.

    `columns`: field of the target → heading in the file. `options`: how the file is written (encoding, separator,
    sheet, time zone, decimal mark, …; see `omni.kernel.imports.options`).
    """

    name = models.CharField(_("name"), max_length=80)
    target = models.CharField(_("what is imported"), max_length=80)
    columns = models.JSONField(_("columns"))
    options = models.JSONField(_("options"), default=dict, blank=True)
    saved_by = models.CharField(_("saved by"), max_length=80)
    saved_at = models.DateTimeField(_("saved at"), db_default=Now())

    class Meta:
        verbose_name = _("column mapping")
        verbose_name_plural = _("column mappings")
        constraints = [models.UniqueConstraint(fields=["target", "name"], name="a_mapping_has_its_own_name")]

    def __str__(self) -> str:
        return self.name


class Import(models.Model):
    """One file on its way in. The counts are those of its rows and are written with them.

    `columns` and `options` are a copy of the mapping, so that a mapping that changes later explains nothing away.
    `params`: what the target needs besides the file, such as the shop. `header`: the headings as read.
    `read_lines`: how far the file has been read; `is_read`: to its end. `file` is empty once it is no longer kept.
    """

    class State(models.TextChoices):
        UPLOADED = "uploaded", _("uploaded")
        PREVIEWED = "previewed", _("previewed")
        COMMITTING = "committing", _("being taken")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        UNDONE = "undone", _("undone")
        FORGOTTEN = "forgotten", _("forgotten: its rows and its file are no longer kept")

    target = models.CharField(_("what is imported"), max_length=80)
    mapping = models.ForeignKey(
        ImportMapping, models.SET_NULL, null=True, related_name="+", verbose_name=_("column mapping")
    )
    file = models.FileField(_("file"), max_length=200, upload_to="imports/%Y/%m/")
    file_name = models.CharField(_("file name"), max_length=200)
    file_hash = models.CharField(_("SHA-256"), max_length=64)
    file_bytes = models.PositiveBigIntegerField(_("size"))
    header = models.JSONField(_("headings"), default=list)
    columns = models.JSONField(_("columns"), default=dict)
    options = models.JSONField(_("options"), default=dict)
    params = models.JSONField(_("parameters"), default=dict)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.UPLOADED)
    message = models.TextField(_("message"), db_default="")
    is_read = models.BooleanField(_("read to its end"), db_default=False)
    read_lines = models.PositiveIntegerField(_("read up to line"), db_default=0)
    lines = models.PositiveIntegerField(_("rows"), db_default=0)
    new = models.PositiveIntegerField(_("new"), db_default=0)
    changed = models.PositiveIntegerField(_("changed"), db_default=0)
    unchanged = models.PositiveIntegerField(_("unchanged"), db_default=0)
    error = models.PositiveIntegerField(_("with errors"), db_default=0)
    done = models.PositiveIntegerField(_("taken"), db_default=0)
    summary = models.JSONField(_("what it made"), default=dict)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+", verbose_name=_("job"))
    created_by = models.CharField(_("created by"), max_length=80)
    created_at = models.DateTimeField(_("created at"), db_default=Now())
    finished_at = models.DateTimeField(_("finished at"), null=True)

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        indexes = [models.Index(fields=["target", "-id"], name="import_by_target")]

    def __str__(self) -> str:
        return self.file_name


class ImportRow(models.Model):
    """One row of a file, from the moment it is read until somebody has done with it.

    `raw`: the cells as they stand in the file. `values`: what the mapping made of them, null when it could not.
    `group_key`: rows with the same key stand or fall together (the lines of one order). `row_key`: names the same
    content in whatever file it comes again. `outcome`: the target's word for what became of the row (`taken`,
    `returned`, `parked`), set for rows of every status but `staged`. `changes`: field → [old, new].
    """

    class Status(models.TextChoices):
        STAGED = "staged", _("read")
        NEW = "new", _("new")
        CHANGED = "changed", _("changed")
        UNCHANGED = "unchanged", _("unchanged")
        ERROR = "error", _("error")
        DONE = "done", _("taken")
        SETTLED = "settled", _("settled later")  # an error that a later attempt has taken
        DISMISSED = "dismissed", _("dismissed")
        UNDONE = "undone", _("undone")

    run = models.ForeignKey(
        Import, models.CASCADE, related_name="rows", db_index=False, verbose_name=_("import")
    )
    line_no = models.PositiveIntegerField(_("line"))
    raw = models.JSONField(_("cells"))
    values = models.JSONField(_("values"), null=True)
    group_key = models.CharField(_("belongs together by"), max_length=200, db_default="")
    row_key = models.UUIDField(_("content key"), null=True)
    phase = models.PositiveSmallIntegerField(_("phase"), db_default=0)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, db_default=Status.STAGED)
    outcome = models.CharField(_("outcome"), max_length=20, db_default="")
    reason = models.CharField(_("reason"), max_length=40, db_default="")
    column = models.CharField(_("column"), max_length=120, db_default="")
    detail = models.TextField(_("detail"), db_default="")
    changes = models.JSONField(_("changes"), null=True)
    result = models.JSONField(_("result"), null=True)
    undo = models.JSONField(_("undo data"), null=True)

    class Meta:
        verbose_name = _("imported row")
        verbose_name_plural = _("imported rows")
        constraints = [models.UniqueConstraint(fields=["run", "line_no"], name="a_line_is_read_once")]
        indexes = [
            models.Index(
                fields=["run", "group_key"], condition=~models.Q(group_key=""), name="import_row_by_group"
            ),
            # What is still to be done, in the order in which it is done. Empties itself.
            models.Index(
                fields=["run", "phase", "line_no"],
                condition=models.Q(status__in=["staged", "new", "changed"]),
                name="import_row_to_do",
            ),
            models.Index(
                fields=["run", "line_no"], condition=models.Q(status="error"), name="import_row_error"
            ),
            models.Index(fields=["row_key"], condition=models.Q(status="error"), name="import_row_parked"),
            models.Index(fields=["id"], condition=models.Q(status="error"), name="import_row_open"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}:{self.line_no}"
