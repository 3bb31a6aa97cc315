from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.operations import AddIndexConcurrently, TrigramExtension
from django.db import migrations
from django.db.models.functions import Upper


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('products', '0011_trade_numbers_are_known'),
    ]

    operations = [
        TrigramExtension(),
        AddIndexConcurrently(
            model_name='sku',
            index=GinIndex(OpClass(Upper('name'), 'gin_trgm_ops'), name='sku_by_part_of_name'),
        ),
        AddIndexConcurrently(
            model_name='sku',
            index=GinIndex(OpClass(Upper('code'), 'gin_trgm_ops'), name='sku_by_part_of_code'),
        ),
        AddIndexConcurrently(
            model_name='spu',
            index=GinIndex(OpClass(Upper('name'), 'gin_trgm_ops'), name='spu_by_part_of_name'),
        ),
        AddIndexConcurrently(
            model_name='spu',
            index=GinIndex(OpClass(Upper('code'), 'gin_trgm_ops'), name='spu_by_part_of_code'),
        ),
    ]
