import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pghistory', '0007_auto_20250421_0444'),
        ('products', '0019_assortment_rules'),
    ]

    operations = [
        migrations.CreateModel(
            name='BundleComponent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('units', models.PositiveIntegerField(verbose_name='units in each bundle')),
                ('weight', models.DecimalField(decimal_places=4, max_digits=20, null=True, verbose_name='share of the price')),
                ('bundle', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='components', to='products.sku', verbose_name='bundle')),
                ('component', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='part_of', to='products.sku', verbose_name='component')),
            ],
            options={
                'verbose_name': 'bundle component',
                'verbose_name_plural': 'bundle components',
            },
        ),
        migrations.CreateModel(
            name='BundleComponentHistory',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
                ('units', models.PositiveIntegerField(verbose_name='units in each bundle')),
                ('weight', models.DecimalField(decimal_places=4, max_digits=20, null=True, verbose_name='share of the price')),
                ('bundle', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.sku', verbose_name='bundle')),
                ('component', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.sku', verbose_name='component')),
                ('pgh_context', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context')),
                ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='products.bundlecomponent')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.AddIndex(
            model_name='bundlecomponent',
            index=models.Index(fields=['component', 'bundle'], name='bundles_of_a_component'),
        ),
        migrations.AddConstraint(
            model_name='bundlecomponent',
            constraint=models.UniqueConstraint(fields=('bundle', 'component'), name='a_bundle_names_each_component_once'),
        ),
        migrations.AddConstraint(
            model_name='bundlecomponent',
            constraint=models.CheckConstraint(condition=models.Q(('units__gt', 0)), name='a_component_is_in_its_bundle'),
        ),
        migrations.AddConstraint(
            model_name='bundlecomponent',
            constraint=models.CheckConstraint(condition=models.Q(('weight__gte', 0), ('weight__isnull', True), _connector='OR'), name='no_share_is_below_zero'),
        ),
        migrations.AddConstraint(
            model_name='bundlecomponent',
            constraint=models.CheckConstraint(condition=models.Q(('bundle', models.F('component')), _negated=True), name='no_bundle_contains_itself'),
        ),
        migrations.CreateModel(
            name='Bundle',
            fields=[
            ],
            options={
                'verbose_name': 'bundle',
                'verbose_name_plural': 'bundles',
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('products.sku',),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='bundlecomponent',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_bundlecomponenthistory" ("bundle_id", "component_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "units", "weight") VALUES (OLD."bundle_id", OLD."component_id", OLD."id", _pgh_attach_context(), NOW(), \'before\', OLD."id", OLD."units", OLD."weight"); RETURN NULL;', hash='be9f721c639c0a45804db74c9a926edd0150852b', operation='UPDATE', pgid='pgtrigger_before_update_7e959', table='products_bundlecomponent', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='bundlecomponent',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_bundlecomponenthistory" ("bundle_id", "component_id", "id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "units", "weight") VALUES (OLD."bundle_id", OLD."component_id", OLD."id", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."units", OLD."weight"); RETURN NULL;', hash='818fa47375b7264ffb341f90ea3db1c9f74e929e', operation='DELETE', pgid='pgtrigger_delete_delete_f1431', table='products_bundlecomponent', when='AFTER')),
        ),
    ]
