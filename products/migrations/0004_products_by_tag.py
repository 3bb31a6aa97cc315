import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('products', '0003_templates_of_categories'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='spu',
            index=django.contrib.postgres.indexes.GinIndex(fields=['tags'], name='spu_by_tag'),
        ),
    ]
