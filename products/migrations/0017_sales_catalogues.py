import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pghistory', '0007_auto_20250421_0444'),
        ('products', '0016_listings_are_called'),
    ]

    operations = [
        migrations.CreateModel(
            name='Catalogue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)), default=list, size=None, verbose_name='tags')),
                ('seasons', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)), default=list, size=None, verbose_name='seasons')),
                ('price_from', models.DecimalField(blank=True, decimal_places=4, max_digits=20, null=True, verbose_name='list price from')),
                ('price_to', models.DecimalField(blank=True, decimal_places=4, max_digits=20, null=True, verbose_name='list price to')),
                ('currency', models.CharField(db_default='CNY', default='CNY', max_length=3, verbose_name='currency')),
                ('code', models.CharField(max_length=32, unique=True, verbose_name='code')),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('note', models.TextField(blank=True, db_default='', default='', verbose_name='note')),
                ('is_active', models.BooleanField(db_default=True, default=True, help_text='In force, its shops may sell only what it holds.', verbose_name='in force')),
                ('version', models.PositiveIntegerField(db_default=1, default=1, editable=False, verbose_name='version')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at')),
                ('brand', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.brand', verbose_name='brand')),
                ('category', models.ForeignKey(blank=True, help_text='With all categories below it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.category', verbose_name='category')),
            ],
            options={
                'verbose_name': 'sales catalogue',
                'verbose_name_plural': 'sales catalogues',
            },
        ),
        migrations.CreateModel(
            name='CatalogueHistory',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)), default=list, size=None, verbose_name='tags')),
                ('seasons', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)), default=list, size=None, verbose_name='seasons')),
                ('price_from', models.DecimalField(blank=True, decimal_places=4, max_digits=20, null=True, verbose_name='list price from')),
                ('price_to', models.DecimalField(blank=True, decimal_places=4, max_digits=20, null=True, verbose_name='list price to')),
                ('currency', models.CharField(db_default='CNY', default='CNY', max_length=3, verbose_name='currency')),
                ('code', models.CharField(max_length=32, verbose_name='code')),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('note', models.TextField(blank=True, db_default='', default='', verbose_name='note')),
                ('is_active', models.BooleanField(db_default=True, default=True, help_text='In force, its shops may sell only what it holds.', verbose_name='in force')),
                ('version', models.PositiveIntegerField(db_default=1, default=1, editable=False, verbose_name='version')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at')),
                ('brand', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.brand', verbose_name='brand')),
                ('category', models.ForeignKey(blank=True, db_constraint=False, help_text='With all categories below it.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.category', verbose_name='category')),
                ('pgh_context', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context')),
                ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='products.catalogue')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='CataloguePick',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_in', models.BooleanField(verbose_name='picked')),
                ('reason', models.CharField(db_default='', max_length=200, verbose_name='reason')),
                ('picked_by', models.CharField(max_length=80, verbose_name='picked by')),
                ('picked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='picked at')),
                ('catalogue', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='picks', to='products.catalogue', verbose_name='sales catalogue')),
                ('sku', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='products.sku', verbose_name='SKU')),
            ],
            options={
                'verbose_name': 'SKU picked by hand',
                'verbose_name_plural': 'SKUs picked by hand',
            },
        ),
        migrations.CreateModel(
            name='CataloguePickHistory',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
                ('is_in', models.BooleanField(verbose_name='picked')),
                ('reason', models.CharField(db_default='', max_length=200, verbose_name='reason')),
                ('picked_by', models.CharField(max_length=80, verbose_name='picked by')),
                ('picked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='picked at')),
                ('catalogue', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.catalogue', verbose_name='sales catalogue')),
                ('pgh_context', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context')),
                ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='products.cataloguepick')),
                ('sku', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.sku', verbose_name='SKU')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='OutsideListing',
            fields=[
                ('listing', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='outside', serialize=False, to='products.listing', verbose_name='listing')),
                ('since', models.DateTimeField(verbose_name='since')),
                ('catalogue', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.catalogue', verbose_name='sales catalogue')),
            ],
            options={
                'verbose_name': 'listing outside its catalogue',
                'verbose_name_plural': 'listings outside their catalogues',
            },
        ),
        migrations.CreateModel(
            name='ShopCatalogue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_checked', models.BooleanField(db_default=False, verbose_name='checked')),
                ('catalogue', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='shop_catalogues', to='products.catalogue', verbose_name='sales catalogue')),
                ('shop', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.shop', verbose_name='shop')),
            ],
            options={
                'verbose_name': 'catalogue of a shop',
                'verbose_name_plural': 'catalogues of shops',
            },
        ),
        migrations.AddConstraint(
            model_name='catalogue',
            constraint=models.CheckConstraint(condition=models.Q(('price_from__isnull', True), ('price_to__isnull', True), ('price_to__gte', models.F('price_from')), _connector='OR'), name='a_catalogue_asks_for_a_price_that_exists'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='catalogue',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_cataloguehistory" ("brand_id", "category_id", "code", "created_at", "currency", "id", "is_active", "name", "note", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "price_from", "price_to", "seasons", "tags", "version") VALUES (OLD."brand_id", OLD."category_id", OLD."code", OLD."created_at", OLD."currency", OLD."id", OLD."is_active", OLD."name", OLD."note", _pgh_attach_context(), NOW(), \'before\', OLD."id", OLD."price_from", OLD."price_to", OLD."seasons", OLD."tags", OLD."version"); RETURN NULL;', hash='17ea9c45c7cdbff2c5007942b1b49a17c96cb00a', operation='UPDATE', pgid='pgtrigger_before_update_03000', table='products_catalogue', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='catalogue',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_cataloguehistory" ("brand_id", "category_id", "code", "created_at", "currency", "id", "is_active", "name", "note", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "price_from", "price_to", "seasons", "tags", "version") VALUES (OLD."brand_id", OLD."category_id", OLD."code", OLD."created_at", OLD."currency", OLD."id", OLD."is_active", OLD."name", OLD."note", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."price_from", OLD."price_to", OLD."seasons", OLD."tags", OLD."version"); RETURN NULL;', hash='6db9e61157df5e82d312ddf5f468f4561e7f4576', operation='DELETE', pgid='pgtrigger_delete_delete_712c8', table='products_catalogue', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='cataloguepick',
            constraint=models.UniqueConstraint(fields=('catalogue', 'sku'), name='a_sku_is_picked_once_per_catalogue'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='cataloguepick',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_cataloguepickhistory" ("catalogue_id", "id", "is_in", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "picked_at", "picked_by", "reason", "sku_id") VALUES (OLD."catalogue_id", OLD."id", OLD."is_in", _pgh_attach_context(), NOW(), \'before\', OLD."id", OLD."picked_at", OLD."picked_by", OLD."reason", OLD."sku_id"); RETURN NULL;', hash='18bc390fefb035f9a37d0c1707b75596078daa40', operation='UPDATE', pgid='pgtrigger_before_update_92446', table='products_cataloguepick', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='cataloguepick',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_cataloguepickhistory" ("catalogue_id", "id", "is_in", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "picked_at", "picked_by", "reason", "sku_id") VALUES (OLD."catalogue_id", OLD."id", OLD."is_in", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."picked_at", OLD."picked_by", OLD."reason", OLD."sku_id"); RETURN NULL;', hash='ded4c1b64727db7b8b71359148da87348a414e37', operation='DELETE', pgid='pgtrigger_delete_delete_7bb00', table='products_cataloguepick', when='AFTER')),
        ),
    ]
