"""The roof as an application: it holds only commands and pages that look into every room."""

from django.apps import AppConfig

from omni.celery import app as celery_app

__all__ = ["OmniConfig", "celery_app"]


class OmniConfig(AppConfig):
    name = "omni"
    label = "omni"
    verbose_name = "Omni"
