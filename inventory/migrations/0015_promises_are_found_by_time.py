"""Promises and shortages are found by their day without a B-tree, which would cost each promise."""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("inventory", "0014_compares_keep_what_they_were_sent")]

    operations = [
        AddIndexConcurrently(
            model_name="reservation",
            index=django.contrib.postgres.indexes.BrinIndex(
                fields=["created_at", "changed_at"], name="reservation_by_time", pages_per_range=32
            ),
        ),
        AddIndexConcurrently(
            model_name="shortage",
            index=django.contrib.postgres.indexes.BrinIndex(
                fields=["created_at", "closed_at"], name="shortage_by_time", pages_per_range=32
            ),
        ),
    ]
