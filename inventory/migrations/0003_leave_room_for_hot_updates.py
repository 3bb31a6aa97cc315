"""Hot rows keep free space on their page, so that an update stays on it and touches no index."""

from django.db import migrations

HOT = ["stocklevel", "stockpool", "publishedstock", "reservation"]


class Migration(migrations.Migration):
    dependencies = [("inventory", "0002_initial")]

    operations = [
        migrations.RunSQL(
            sql=[
                f"ALTER TABLE inventory_{table} SET "
                "(fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.02)"
                for table in HOT
            ],
            reverse_sql=[
                f"ALTER TABLE inventory_{table} RESET "
                "(fillfactor, autovacuum_vacuum_threshold, autovacuum_vacuum_scale_factor)"
                for table in HOT
            ],
        )
    ]
