import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0014_what_parked_orders_wait_for'),
        ('products', '0020_bundles'),
    ]

    operations = [
        migrations.AddField(
            model_name='salesorderline',
            name='bundle_units',
            field=models.PositiveIntegerField(null=True, verbose_name='units in each bundle'),
        ),
        migrations.AddField(
            model_name='salesorderline',
            name='bundle_weight',
            field=models.DecimalField(decimal_places=4, max_digits=24, null=True, verbose_name='weight in the bundle'),
        ),
        migrations.CreateModel(
            name='BundleLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('outer_line_id', models.CharField(max_length=64, verbose_name='outer line id')),
                ('title', models.CharField(db_default='', max_length=240, verbose_name='title')),
                ('quantity', models.PositiveIntegerField(verbose_name='bundles')),
                ('unit_price', models.DecimalField(decimal_places=4, max_digits=20, verbose_name='unit price')),
                ('amount', models.DecimalField(decimal_places=4, max_digits=20, verbose_name='amount')),
                ('order', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='bundles', to='orders.salesorder', verbose_name='order')),
                ('sku', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.sku', verbose_name='bundle')),
            ],
            options={
                'verbose_name': 'bundle in an order',
                'verbose_name_plural': 'bundles in orders',
            },
        ),
        migrations.AddField(
            model_name='salesorderline',
            name='bundle',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='lines', to='orders.bundleline', verbose_name='bundle'),
        ),
        migrations.AddConstraint(
            model_name='bundleline',
            constraint=models.UniqueConstraint(fields=('order', 'outer_line_id'), name='a_bundle_is_one_line_of_its_order'),
        ),
        migrations.AddConstraint(
            model_name='bundleline',
            constraint=models.CheckConstraint(condition=models.Q(('quantity__gt', 0)), name='a_bundle_line_orders_something'),
        ),
    ]
