import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pghistory', '0007_auto_20250421_0444'),
        ('products', '0005_channel_items_are_seen'),
    ]

    operations = [
        migrations.CreateModel(
            name='CodeCounter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('spu', 'product code'), ('sku', 'SKU code'), ('barcode', 'internal barcode')], max_length=8, verbose_name='kind')),
                ('stem', models.CharField(help_text='The code with # for its number.', max_length=200, verbose_name='stem')),
                ('last_number', models.BigIntegerField(verbose_name='last number')),
            ],
            options={
                'verbose_name': 'code counter',
                'verbose_name_plural': 'code counters',
            },
        ),
        migrations.CreateModel(
            name='CodeRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('spu', 'product code'), ('sku', 'SKU code'), ('barcode', 'internal barcode')], max_length=8, verbose_name='kind')),
                ('pattern', models.CharField(max_length=120, verbose_name='pattern')),
            ],
            options={
                'verbose_name': 'code rule',
                'verbose_name_plural': 'code rules',
            },
        ),
        migrations.CreateModel(
            name='CodeRuleHistory',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
                ('kind', models.CharField(choices=[('spu', 'product code'), ('sku', 'SKU code'), ('barcode', 'internal barcode')], max_length=8, verbose_name='kind')),
                ('pattern', models.CharField(max_length=120, verbose_name='pattern')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.AddConstraint(
            model_name='codecounter',
            constraint=models.UniqueConstraint(fields=('kind', 'stem'), name='a_stem_is_counted_once'),
        ),
        migrations.AddField(
            model_name='coderule',
            name='brand',
            field=models.ForeignKey(blank=True, help_text='Empty: every brand without a rule of its own.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='code_rules', to='products.brand', verbose_name='brand'),
        ),
        migrations.AddField(
            model_name='coderulehistory',
            name='brand',
            field=models.ForeignKey(blank=True, db_constraint=False, help_text='Empty: every brand without a rule of its own.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.brand', verbose_name='brand'),
        ),
        migrations.AddField(
            model_name='coderulehistory',
            name='pgh_context',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context'),
        ),
        migrations.AddField(
            model_name='coderulehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='products.coderule'),
        ),
        migrations.AddConstraint(
            model_name='coderule',
            constraint=models.UniqueConstraint(fields=('kind', 'brand'), name='a_brand_has_one_rule_a_kind', nulls_distinct=False),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='coderule',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_coderulehistory" ("brand_id", "id", "kind", "pattern", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (OLD."brand_id", OLD."id", OLD."kind", OLD."pattern", _pgh_attach_context(), NOW(), \'before\', OLD."id"); RETURN NULL;', hash='9ca19d1108be7bb9850040bbdfc66f6dee8234ff', operation='UPDATE', pgid='pgtrigger_before_update_b8330', table='products_coderule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='coderule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_coderulehistory" ("brand_id", "id", "kind", "pattern", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (OLD."brand_id", OLD."id", OLD."kind", OLD."pattern", _pgh_attach_context(), NOW(), \'delete\', OLD."id"); RETURN NULL;', hash='35c3a42bfb9d210b7aee41f5f87bbcba01a4a6be', operation='DELETE', pgid='pgtrigger_delete_delete_62a29', table='products_coderule', when='AFTER')),
        ),
    ]
