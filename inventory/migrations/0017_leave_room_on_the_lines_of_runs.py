"""Lines of runs come by the hundred thousand and are changed once or twice: on their own page no index is touched."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inventory", "0016_where_a_location_comes_back_to")]

    operations = [
        migrations.RunSQL(
            sql="ALTER TABLE inventory_allocationline SET (fillfactor = 60)",
            reverse_sql="ALTER TABLE inventory_allocationline RESET (fillfactor)",
        )
    ]
