import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pghistory', '0007_auto_20250421_0444'),
        ('products', '0002_history_keeps_what_was_before'),
    ]

    operations = [
        migrations.CreateModel(
            name='CategoryAttribute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(max_length=32, verbose_name='code')),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('kind', models.CharField(choices=[('text', 'text'), ('number', 'number'), ('choice', 'choice'), ('yes_no', 'yes or no')], max_length=8, verbose_name='kind')),
                ('unit', models.CharField(blank=True, db_default='', default='', max_length=16, verbose_name='unit')),
                ('is_required', models.BooleanField(db_default=False, default=False, verbose_name='required')),
                ('is_variant', models.BooleanField(db_default=False, default=False, verbose_name='tells SKUs apart')),
                ('options', models.JSONField(blank=True, default=list, verbose_name='options')),
                ('position', models.PositiveSmallIntegerField(db_default=0, default=0, verbose_name='position')),
            ],
            options={
                'verbose_name': 'category attribute',
                'verbose_name_plural': 'category attributes',
            },
        ),
        migrations.CreateModel(
            name='CategoryAttributeHistory',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('id', models.BigIntegerField()),
                ('code', models.CharField(max_length=32, verbose_name='code')),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('kind', models.CharField(choices=[('text', 'text'), ('number', 'number'), ('choice', 'choice'), ('yes_no', 'yes or no')], max_length=8, verbose_name='kind')),
                ('unit', models.CharField(blank=True, db_default='', default='', max_length=16, verbose_name='unit')),
                ('is_required', models.BooleanField(db_default=False, default=False, verbose_name='required')),
                ('is_variant', models.BooleanField(db_default=False, default=False, verbose_name='tells SKUs apart')),
                ('options', models.JSONField(blank=True, default=list, verbose_name='options')),
                ('position', models.PositiveSmallIntegerField(db_default=0, default=0, verbose_name='position')),
            ],
            options={
                'abstract': False,
            },
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='spu',
            name='delete_delete',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='spu',
            name='before_update',
        ),
        migrations.AddField(
            model_name='spu',
            name='attributes',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict, verbose_name='attributes'),
        ),
        migrations.AddField(
            model_name='spu',
            name='description',
            field=models.TextField(blank=True, db_default='', default='', verbose_name='description'),
        ),
        migrations.AddField(
            model_name='spu',
            name='season',
            field=models.CharField(blank=True, db_default='', default='', max_length=32, verbose_name='season'),
        ),
        migrations.AddField(
            model_name='spu',
            name='tags',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)), default=list, size=None, verbose_name='tags'),
        ),
        migrations.AddField(
            model_name='spuhistory',
            name='attributes',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict, verbose_name='attributes'),
        ),
        migrations.AddField(
            model_name='spuhistory',
            name='description',
            field=models.TextField(blank=True, db_default='', default='', verbose_name='description'),
        ),
        migrations.AddField(
            model_name='spuhistory',
            name='season',
            field=models.CharField(blank=True, db_default='', default='', max_length=32, verbose_name='season'),
        ),
        migrations.AddField(
            model_name='spuhistory',
            name='tags',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)), default=list, size=None, verbose_name='tags'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='spu',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_spuhistory" ("attributes", "brand_id", "category_id", "code", "created_at", "description", "id", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "season", "tags") VALUES (OLD."attributes", OLD."brand_id", OLD."category_id", OLD."code", OLD."created_at", OLD."description", OLD."id", OLD."name", _pgh_attach_context(), NOW(), \'before\', OLD."id", OLD."season", OLD."tags"); RETURN NULL;', hash='ccd6cd3af563b5e240700ac88390b9a749a28dcd', operation='UPDATE', pgid='pgtrigger_before_update_fd568', table='products_spu', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='spu',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_spuhistory" ("attributes", "brand_id", "category_id", "code", "created_at", "description", "id", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "season", "tags") VALUES (OLD."attributes", OLD."brand_id", OLD."category_id", OLD."code", OLD."created_at", OLD."description", OLD."id", OLD."name", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."season", OLD."tags"); RETURN NULL;', hash='2cce19ae631dc477a2a1451d4c1c79fdf1215709', operation='DELETE', pgid='pgtrigger_delete_delete_0495d', table='products_spu', when='AFTER')),
        ),
        migrations.AddField(
            model_name='categoryattribute',
            name='category',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='attributes', to='products.category', verbose_name='category'),
        ),
        migrations.AddField(
            model_name='categoryattributehistory',
            name='category',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.category', verbose_name='category'),
        ),
        migrations.AddField(
            model_name='categoryattributehistory',
            name='pgh_context',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context'),
        ),
        migrations.AddField(
            model_name='categoryattributehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='products.categoryattribute'),
        ),
        migrations.AddConstraint(
            model_name='categoryattribute',
            constraint=models.UniqueConstraint(fields=('category', 'code'), name='an_attribute_is_defined_once'),
        ),
        migrations.AddConstraint(
            model_name='categoryattribute',
            constraint=models.CheckConstraint(condition=models.Q(('is_variant', False), ('kind', 'choice'), _connector='OR'), name='what_tells_skus_apart_is_a_choice'),
        ),
        migrations.AddConstraint(
            model_name='categoryattribute',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'choice'), models.Q(('options', []), _negated=True)), models.Q(models.Q(('kind', 'choice'), _negated=True), ('options', [])), _connector='OR'), name='a_choice_and_nothing_else_has_options'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='categoryattribute',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_categoryattributehistory" ("category_id", "code", "id", "is_required", "is_variant", "kind", "name", "options", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "unit") VALUES (OLD."category_id", OLD."code", OLD."id", OLD."is_required", OLD."is_variant", OLD."kind", OLD."name", OLD."options", _pgh_attach_context(), NOW(), \'before\', OLD."id", OLD."position", OLD."unit"); RETURN NULL;', hash='c4b5be16de3155dc368cc93ed24aa4bfbd349c76', operation='UPDATE', pgid='pgtrigger_before_update_e8e2b', table='products_categoryattribute', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='categoryattribute',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_categoryattributehistory" ("category_id", "code", "id", "is_required", "is_variant", "kind", "name", "options", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "unit") VALUES (OLD."category_id", OLD."code", OLD."id", OLD."is_required", OLD."is_variant", OLD."kind", OLD."name", OLD."options", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."position", OLD."unit"); RETURN NULL;', hash='132b465abd1016748abee36c56b2b140ebd88fe1', operation='DELETE', pgid='pgtrigger_delete_delete_69d09', table='products_categoryattribute', when='AFTER')),
        ),
    ]
