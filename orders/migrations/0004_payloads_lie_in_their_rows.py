"""Payloads are encrypted: the server cannot compress them, and should not try, nor move them out of their rows."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_watch_cancellations")]

    operations = [
        migrations.RunSQL(
            sql=[
                "ALTER TABLE orders_channelorderversion ALTER COLUMN payload SET STORAGE EXTERNAL",
                "ALTER TABLE orders_channelorderversion SET (toast_tuple_target = 8160)",
                "ALTER TABLE orders_salesorder ALTER COLUMN receiver SET STORAGE EXTERNAL",
            ],
            reverse_sql=[
                "ALTER TABLE orders_channelorderversion ALTER COLUMN payload SET STORAGE EXTENDED",
                "ALTER TABLE orders_channelorderversion RESET (toast_tuple_target)",
                "ALTER TABLE orders_salesorder ALTER COLUMN receiver SET STORAGE EXTENDED",
            ],
        )
    ]
