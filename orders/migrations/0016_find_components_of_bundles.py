from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    # The table is large and people work while this runs: nothing here keeps writers waiting.
    atomic = False

    dependencies = [
        ('orders', '0015_bundles'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='salesorderline',
            index=models.Index(condition=models.Q(('bundle__isnull', False)), fields=['bundle'], name='order_lines_of_bundles'),
        ),
    ]
