"""A job speaks the language of whoever started it, whatever the worker's own is."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from django.utils import timezone, translation

from omni.kernel.jobs import Progress, claim_job, run_job, start_job
from omni.kernel.models import Job

pytestmark = pytest.mark.django_db


def work_that_looks_at_its_language(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    yield Progress(done=1, total=1)
    return {"language": translation.get_language()}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_job_runs_in_the_language_in_which_it_was_asked_for(language: str) -> None:
    with translation.override(language):
        job = start_job(kind="look", title="Look", params={}, at=timezone.now(), by="user:1")

    claimed = claim_job(at=timezone.now(), job_id=job.pk)
    assert claimed is not None
    ended = run_job(job=claimed, works={"look": work_that_looks_at_its_language})

    assert (ended.state, ended.result) == (Job.State.DONE, {"language": language})
    assert translation.get_language() == "en"
