import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('kernel', '0004_imports_are_forgotten'),
        ('pghistory', '0007_auto_20250421_0444'),
        ('products', '0018_what_was_asked_when'),
    ]

    operations = [
        migrations.CreateModel(
            name='AssortmentRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)), default=list, size=None, verbose_name='tags')),
                ('seasons', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), blank=True, db_default=models.Value([], django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None)), default=list, size=None, verbose_name='seasons')),
                ('price_from', models.DecimalField(blank=True, decimal_places=4, max_digits=20, null=True, verbose_name='list price from')),
                ('price_to', models.DecimalField(blank=True, decimal_places=4, max_digits=20, null=True, verbose_name='list price to')),
                ('currency', models.CharField(db_default='CNY', default='CNY', max_length=3, verbose_name='currency')),
                ('name', models.CharField(max_length=120, unique=True, verbose_name='name')),
                ('kind', models.CharField(choices=[('include', 'include'), ('exclude', 'exclude')], default='include', max_length=7, verbose_name='kind')),
                ('priority', models.PositiveSmallIntegerField(db_default=100, default=100, help_text='The highest number decides.', verbose_name='priority')),
                ('starts_at', models.DateTimeField(blank=True, null=True, verbose_name='starts at')),
                ('ends_at', models.DateTimeField(blank=True, null=True, verbose_name='ends at')),
                ('is_active', models.BooleanField(db_default=True, default=True, verbose_name='active')),
                ('version', models.PositiveIntegerField(db_default=1, default=1, editable=False, verbose_name='version')),
                ('is_opened', models.BooleanField(db_default=False, default=False, editable=False, verbose_name='opened')),
                ('is_closed', models.BooleanField(db_default=False, default=False, editable=False, verbose_name='closed')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at')),
                ('brand', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.brand', verbose_name='brand')),
                ('category', models.ForeignKey(blank=True, help_text='With all categories below it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.category', verbose_name='category')),
                ('shops', models.ManyToManyField(related_name='+', to='products.shop', verbose_name='shops')),
            ],
            options={
                'verbose_name': 'assortment rule',
                'verbose_name_plural': 'assortment rules',
            },
        ),
        migrations.CreateModel(
            name='AssortmentRuleHistory',
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
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('kind', models.CharField(choices=[('include', 'include'), ('exclude', 'exclude')], default='include', max_length=7, verbose_name='kind')),
                ('priority', models.PositiveSmallIntegerField(db_default=100, default=100, help_text='The highest number decides.', verbose_name='priority')),
                ('starts_at', models.DateTimeField(blank=True, null=True, verbose_name='starts at')),
                ('ends_at', models.DateTimeField(blank=True, null=True, verbose_name='ends at')),
                ('is_active', models.BooleanField(db_default=True, default=True, verbose_name='active')),
                ('version', models.PositiveIntegerField(db_default=1, default=1, editable=False, verbose_name='version')),
                ('is_opened', models.BooleanField(db_default=False, default=False, editable=False, verbose_name='opened')),
                ('is_closed', models.BooleanField(db_default=False, default=False, editable=False, verbose_name='closed')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at')),
                ('brand', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.brand', verbose_name='brand')),
                ('category', models.ForeignKey(blank=True, db_constraint=False, help_text='With all categories below it.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='products.category', verbose_name='category')),
                ('pgh_context', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='pghistory.context')),
                ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='products.assortmentrule')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='AssortmentRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('planning', 'being worked out'), ('planned', 'to be looked at'), ('applying', 'being applied'), ('applied', 'applied'), ('dropped', 'dropped')], db_default='planning', default='planning', max_length=8, verbose_name='state')),
                ('source', models.CharField(choices=[('person', 'a person'), ('clock', 'a window that opened or closed')], max_length=6, verbose_name='asked for by')),
                ('judged_at', models.DateTimeField(verbose_name='worked out for')),
                ('basis', models.JSONField(default=dict, verbose_name='made with')),
                ('created_by', models.CharField(max_length=80, verbose_name='created by')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at')),
                ('applied_by', models.CharField(db_default='', max_length=80, verbose_name='applied by')),
                ('applied_at', models.DateTimeField(null=True, verbose_name='applied at')),
                ('is_forgotten', models.BooleanField(db_default=False, verbose_name='rows forgotten')),
                ('job', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='kernel.job', verbose_name='job')),
            ],
            options={
                'verbose_name': 'assortment run',
                'verbose_name_plural': 'assortment runs',
            },
        ),
        migrations.CreateModel(
            name='AssortmentRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('outcome', models.CharField(choices=[('draft', 'draft'), ('publish', 'put on sale'), ('withdraw', 'take off sale'), ('held_back', 'leave off sale')], max_length=9, verbose_name='outcome')),
                ('cause', models.CharField(choices=[('included', 'a rule includes it'), ('excluded', 'a rule excludes it'), ('no_rule', 'no rule includes it any more'), ('outside', 'the catalogue of the shop does not hold it'), ('inactive', 'it is not sold any more')], max_length=8, verbose_name='cause')),
                ('rules', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), null=True, size=None, verbose_name='rules that fit')),
                ('state', models.CharField(choices=[('planned', 'planned'), ('done', 'done'), ('skipped', 'skipped')], db_default='planned', max_length=7, verbose_name='state')),
                ('detail', models.TextField(db_default='', verbose_name='what came of it')),
                ('listing', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='products.listing', verbose_name='listing')),
                ('shop', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='products.shop', verbose_name='shop')),
                ('sku', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='products.sku', verbose_name='SKU')),
                ('rule', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='products.assortmentrule', verbose_name='rule that decides')),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='rows', to='products.assortmentrun', verbose_name='assortment run')),
            ],
            options={
                'verbose_name': 'assortment line',
                'verbose_name_plural': 'assortment lines',
            },
        ),
        migrations.CreateModel(
            name='AssortmentShop',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('planning', 'being worked out'), ('planned', 'to be looked at'), ('applying', 'being applied'), ('applied', 'applied'), ('dropped', 'dropped')], db_default='planning', default='planning', max_length=8, verbose_name='state')),
                ('listed', models.PositiveIntegerField(db_default=0, verbose_name='on sale')),
                ('drafts', models.PositiveIntegerField(db_default=0, verbose_name='to draft')),
                ('publishes', models.PositiveIntegerField(db_default=0, verbose_name='to put on sale')),
                ('withdraws', models.PositiveIntegerField(db_default=0, verbose_name='to take off sale')),
                ('held_back', models.PositiveIntegerField(db_default=0, verbose_name='taken off by a person')),
                ('waiting', models.PositiveIntegerField(db_default=0, verbose_name='on their way already')),
                ('kept', models.PositiveIntegerField(db_default=0, verbose_name='as they should be')),
                ('done', models.PositiveIntegerField(db_default=0, verbose_name='done')),
                ('skipped', models.PositiveIntegerField(db_default=0, verbose_name='skipped')),
                ('is_too_much', models.BooleanField(db_default=False, verbose_name='withdraws too much')),
                ('confirmed_by', models.CharField(db_default='', max_length=80, verbose_name='confirmed by')),
                ('confirmed_at', models.DateTimeField(null=True, verbose_name='confirmed at')),
                ('reason', models.CharField(db_default='', max_length=200, verbose_name='reason')),
                ('planned_at', models.DateTimeField(null=True, verbose_name='worked out at')),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='shops', to='products.assortmentrun', verbose_name='assortment run')),
                ('shop', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.shop', verbose_name='shop')),
            ],
            options={
                'verbose_name': 'assortment of a shop',
                'verbose_name_plural': 'assortments of shops',
            },
        ),
        migrations.CreateModel(
            name='PlacedListing',
            fields=[
                ('listing', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='placed', serialize=False, to='products.listing', verbose_name='listing')),
                ('placed_at', models.DateTimeField(verbose_name='placed at')),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.assortmentrun', verbose_name='assortment run')),
            ],
            options={
                'verbose_name': 'listing placed by a rule',
                'verbose_name_plural': 'listings placed by rules',
            },
        ),
        migrations.AddConstraint(
            model_name='assortmentrule',
            constraint=models.CheckConstraint(condition=models.Q(('price_from__isnull', True), ('price_to__isnull', True), ('price_to__gte', models.F('price_from')), _connector='OR'), name='a_rule_asks_for_a_price_that_exists'),
        ),
        migrations.AddConstraint(
            model_name='assortmentrule',
            constraint=models.CheckConstraint(condition=models.Q(('brand__isnull', False), ('category__isnull', False), models.Q(('tags', []), _negated=True), models.Q(('seasons', []), _negated=True), ('price_from__isnull', False), ('price_to__isnull', False), _connector='OR'), name='a_rule_asks_for_something'),
        ),
        migrations.AddConstraint(
            model_name='assortmentrule',
            constraint=models.CheckConstraint(condition=models.Q(('starts_at__isnull', True), ('ends_at__isnull', True), ('ends_at__gt', models.F('starts_at')), _connector='OR'), name='a_rule_ends_after_it_starts'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='assortmentrule',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_assortmentrulehistory" ("brand_id", "category_id", "created_at", "currency", "ends_at", "id", "is_active", "is_closed", "is_opened", "kind", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "price_from", "price_to", "priority", "seasons", "starts_at", "tags", "version") VALUES (OLD."brand_id", OLD."category_id", OLD."created_at", OLD."currency", OLD."ends_at", OLD."id", OLD."is_active", OLD."is_closed", OLD."is_opened", OLD."kind", OLD."name", _pgh_attach_context(), NOW(), \'before\', OLD."id", OLD."price_from", OLD."price_to", OLD."priority", OLD."seasons", OLD."starts_at", OLD."tags", OLD."version"); RETURN NULL;', hash='c9aa315e7f9c050c4192ce8f8adab9059447be47', operation='UPDATE', pgid='pgtrigger_before_update_9636b', table='products_assortmentrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='assortmentrule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_assortmentrulehistory" ("brand_id", "category_id", "created_at", "currency", "ends_at", "id", "is_active", "is_closed", "is_opened", "kind", "name", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "price_from", "price_to", "priority", "seasons", "starts_at", "tags", "version") VALUES (OLD."brand_id", OLD."category_id", OLD."created_at", OLD."currency", OLD."ends_at", OLD."id", OLD."is_active", OLD."is_closed", OLD."is_opened", OLD."kind", OLD."name", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."price_from", OLD."price_to", OLD."priority", OLD."seasons", OLD."starts_at", OLD."tags", OLD."version"); RETURN NULL;', hash='8dcd78865bc81b8aee5c7e9d854a34c84effb1b2', operation='DELETE', pgid='pgtrigger_delete_delete_89f5a', table='products_assortmentrule', when='AFTER')),
        ),
        migrations.AddIndex(
            model_name='assortmentrun',
            index=models.Index(condition=models.Q(('is_forgotten', False)), fields=['created_at'], name='assortment_run_kept'),
        ),
        migrations.AddIndex(
            model_name='assortmentrow',
            index=models.Index(fields=['run', 'shop', 'id'], include=('outcome', 'state'), name='assortment_row'),
        ),
        migrations.AddIndex(
            model_name='assortmentshop',
            index=models.Index(condition=models.Q(('confirmed_by', ''), ('is_too_much', True), ('state', 'planned')), fields=['id'], name='assortment_to_confirm'),
        ),
        migrations.AddConstraint(
            model_name='assortmentshop',
            constraint=models.UniqueConstraint(fields=('run', 'shop'), name='a_run_judges_a_shop_once'),
        ),
    ]
