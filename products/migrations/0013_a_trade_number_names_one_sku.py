from django.db import migrations, models
from django.db.models.functions import LPad

NAME = 'a_trade_number_names_one_sku'


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('products', '0012_products_are_found_by_name'),
    ]

    operations = [
        # Django would lock the table for as long as the index takes.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    f"CREATE UNIQUE INDEX CONCURRENTLY {NAME} ON products_barcode (LPAD(code, 14, '0'))"
                    " WHERE NOT (kind = 'internal')",
                    f"DROP INDEX CONCURRENTLY {NAME}",
                ),
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name='barcode',
                    constraint=models.UniqueConstraint(
                        LPad('code', 14, models.Value('0')),
                        condition=models.Q(('kind', 'internal'), _negated=True),
                        name=NAME,
                    ),
                ),
            ],
        ),
    ]
