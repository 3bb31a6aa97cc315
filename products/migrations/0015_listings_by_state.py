from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations, models


class Migration(migrations.Migration):

    # The table is large and people work while this runs: nothing here keeps writers waiting.
    atomic = False

    dependencies = [
        ('products', '0014_listings_have_a_way'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='listing',
            index=models.Index(condition=models.Q(('state', 'submitted')), fields=['id'], name='listing_submitted'),
        ),
        AddIndexConcurrently(
            model_name='listing',
            index=models.Index(condition=models.Q(('state', 'approved')), fields=['id'], name='listing_approved'),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    'CREATE UNIQUE INDEX CONCURRENTLY a_sku_is_drafted_once_per_shop'
                    ' ON products_listing (shop_id, sku_id) WHERE outer_item_id IS NULL',
                    'DROP INDEX CONCURRENTLY a_sku_is_drafted_once_per_shop',
                )
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name='listing',
                    constraint=models.UniqueConstraint(condition=models.Q(('outer_item_id__isnull', True)), fields=('shop', 'sku'), name='a_sku_is_drafted_once_per_shop'),
                ),
            ],
        ),
        AddConstraintNotValid(
            model_name='listing',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['listed', 'delisted']), _negated=True), ('outer_item_id__isnull', False), _connector='OR'), name='what_is_on_a_channel_has_an_item_there', violation_error_message='What is on its channel has an outer item id there.'),
        ),
        ValidateConstraint(model_name='listing', name='what_is_on_a_channel_has_an_item_there'),
    ]
