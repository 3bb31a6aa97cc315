from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies: ClassVar = [("inventory", "0011_rules_of_stock_keep_their_history")]

    operations: ClassVar = [
        AddIndexConcurrently(
            model_name="stockpool",
            index=models.Index(
                fields=["label", "group", "sku"],
                condition=models.Q(kind__in=["quota", "lock", "revoking"]),
                name="pool_by_label",
            ),
        )
    ]
