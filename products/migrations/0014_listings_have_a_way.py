import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('products', '0013_a_trade_number_names_one_sku'),
    ]

    operations = [
        migrations.CreateModel(
            name='ListingRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('batch', models.UUIDField(verbose_name='batch')),
                ('act', models.CharField(choices=[('publish', 'put on sale'), ('withdraw', 'take off sale')], max_length=10, verbose_name='act')),
                ('state', models.CharField(choices=[('due', 'due'), ('done', 'done'), ('refused', 'refused'), ('cancelled', 'cancelled')], db_default='due', max_length=10, verbose_name='state')),
                ('scheduled_at', models.DateTimeField(verbose_name='planned for')),
                ('not_before', models.DateTimeField(verbose_name='not before')),
                ('attempts', models.PositiveSmallIntegerField(db_default=0, verbose_name='attempts')),
                ('answer', models.TextField(db_default='', verbose_name='answer')),
                ('reason', models.TextField(db_default='', verbose_name='reason')),
                ('requested_by', models.CharField(max_length=80, verbose_name='asked by')),
                ('requested_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='asked at')),
                ('answered_at', models.DateTimeField(null=True, verbose_name='answered at')),
            ],
            options={
                'verbose_name': 'listing request',
                'verbose_name_plural': 'listing requests',
            },
        ),
        migrations.AlterModelOptions(
            name='listing',
            options={'permissions': [('approve_listing', 'Can approve and reject listings')], 'verbose_name': 'listing', 'verbose_name_plural': 'listings'},
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='listing',
            name='delete_delete',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='listing',
            name='before_update',
        ),
        migrations.AddField(
            model_name='listing',
            name='state_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='state since'),
        ),
        migrations.AddField(
            model_name='listing',
            name='state_by',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=80, verbose_name='state by'),
        ),
        migrations.AddField(
            model_name='listing',
            name='state_reason',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='reason'),
        ),
        migrations.AddField(
            model_name='listinghistory',
            name='state_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='state since'),
        ),
        migrations.AddField(
            model_name='listinghistory',
            name='state_by',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=80, verbose_name='state by'),
        ),
        migrations.AddField(
            model_name='listinghistory',
            name='state_reason',
            field=models.TextField(blank=True, db_default='', default='', editable=False, verbose_name='reason'),
        ),
        migrations.AlterField(
            model_name='listing',
            name='outer_item_id',
            field=models.CharField(blank=True, default=None, max_length=64, null=True, verbose_name='outer item id'),
        ),
        migrations.AlterField(
            model_name='listing',
            name='state',
            field=models.CharField(choices=[('draft', 'draft'), ('submitted', 'submitted'), ('rejected', 'rejected'), ('approved', 'approved'), ('listed', 'listed'), ('delisted', 'delisted')], db_default='listed', default='listed', max_length=10, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='listinghistory',
            name='outer_item_id',
            field=models.CharField(blank=True, default=None, max_length=64, null=True, verbose_name='outer item id'),
        ),
        migrations.AlterField(
            model_name='listinghistory',
            name='state',
            field=models.CharField(choices=[('draft', 'draft'), ('submitted', 'submitted'), ('rejected', 'rejected'), ('approved', 'approved'), ('listed', 'listed'), ('delisted', 'delisted')], db_default='listed', default='listed', max_length=10, verbose_name='state'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='listing',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_listinghistory" ("created_at", "id", "outer_item_id", "outer_sku_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "price", "shop_id", "sku_id", "state", "state_at", "state_by", "state_reason", "title") VALUES (OLD."created_at", OLD."id", OLD."outer_item_id", OLD."outer_sku_id", _pgh_attach_context(), NOW(), \'before\', OLD."id", OLD."price", OLD."shop_id", OLD."sku_id", OLD."state", OLD."state_at", OLD."state_by", OLD."state_reason", OLD."title"); RETURN NULL;', hash='84bb79590bca20c7e8f0617578652b7b8f2cf96b', operation='UPDATE', pgid='pgtrigger_before_update_c225d', table='products_listing', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='listing',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_listinghistory" ("created_at", "id", "outer_item_id", "outer_sku_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "price", "shop_id", "sku_id", "state", "state_at", "state_by", "state_reason", "title") VALUES (OLD."created_at", OLD."id", OLD."outer_item_id", OLD."outer_sku_id", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."price", OLD."shop_id", OLD."sku_id", OLD."state", OLD."state_at", OLD."state_by", OLD."state_reason", OLD."title"); RETURN NULL;', hash='80f2f53891899e8379fc27bd6f6ddc8acda8926c', operation='DELETE', pgid='pgtrigger_delete_delete_48b97', table='products_listing', when='AFTER')),
        ),
        migrations.AddField(
            model_name='listingrequest',
            name='listing',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='products.listing', verbose_name='listing'),
        ),
        migrations.AddField(
            model_name='listingrequest',
            name='shop',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='products.shop', verbose_name='shop'),
        ),
        migrations.AddIndex(
            model_name='listingrequest',
            index=models.Index(condition=models.Q(('state', 'due')), fields=['shop', 'not_before'], name='listing_request_due'),
        ),
        migrations.AddIndex(
            model_name='listingrequest',
            index=models.Index(condition=models.Q(('state', 'refused')), fields=['id'], name='listing_request_refused'),
        ),
        migrations.AddIndex(
            model_name='listingrequest',
            index=models.Index(fields=['listing', '-id'], name='request_by_listing'),
        ),
        migrations.AddIndex(
            model_name='listingrequest',
            index=models.Index(fields=['batch'], name='request_by_batch'),
        ),
        migrations.AddConstraint(
            model_name='listingrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'due')), fields=('listing', 'act'), name='an_act_that_waits_is_asked_for_once'),
        ),
    ]
