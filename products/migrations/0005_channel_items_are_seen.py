import django.db.models.deletion
import django.db.models.functions.datetime
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('products', '0004_products_by_tag'),
    ]

    operations = [
        # Titles are compared by it; made twice it is made once.
        TrigramExtension(),
        migrations.CreateModel(
            name='OuterItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('outer_item_id', models.CharField(max_length=64, verbose_name='outer item id')),
                ('outer_sku_id', models.CharField(db_default='', max_length=64, verbose_name='outer SKU id')),
                ('title', models.CharField(db_default='', max_length=240, verbose_name='title')),
                ('outer_code', models.CharField(db_default='', max_length=64, verbose_name="seller's code")),
                ('barcode', models.CharField(db_default='', max_length=64, verbose_name='barcode')),
                ('price', models.DecimalField(decimal_places=4, max_digits=20, null=True, verbose_name='price')),
                ('quantity', models.IntegerField(null=True, verbose_name='quantity')),
                ('is_listed', models.BooleanField(null=True, verbose_name='listed on the channel')),
                ('state', models.CharField(choices=[('unmapped', 'unmapped'), ('mapped', 'mapped'), ('ignored', 'ignored')], db_default='unmapped', default='unmapped', max_length=10, verbose_name='state')),
                ('source', models.CharField(choices=[('channel', 'the channel'), ('order', 'an order')], max_length=10, verbose_name='told by')),
                ('note', models.TextField(db_default='', verbose_name='note')),
                ('first_seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='first seen')),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='last seen')),
                ('shop', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.shop', verbose_name='shop')),
            ],
            options={
                'verbose_name': 'channel item',
                'verbose_name_plural': 'channel items',
                'indexes': [models.Index(condition=models.Q(('state', 'unmapped')), fields=['-id'], name='outer_item_unmapped')],
                'constraints': [models.UniqueConstraint(fields=('shop', 'outer_item_id', 'outer_sku_id'), name='an_outer_sku_is_seen_once')],
            },
        ),
    ]
