from django.db import migrations, models

NAME = 'a_product_has_each_choice_of_options_once'


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('products', '0006_codes_by_rule'),
    ]

    operations = [
        # Django would lock the table for as long as the index takes.
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    f"CREATE UNIQUE INDEX CONCURRENTLY {NAME} ON products_sku (spu_id, attributes)"
                    " WHERE NOT (attributes = '{}'::jsonb)",
                    f"DROP INDEX CONCURRENTLY {NAME}",
                ),
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name='sku',
                    constraint=models.UniqueConstraint(condition=models.Q(('attributes', {}), _negated=True), fields=('spu', 'attributes'), name=NAME),
                ),
            ],
        ),
    ]
