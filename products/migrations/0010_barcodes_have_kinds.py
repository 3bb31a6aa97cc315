import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('products', '0009_image_library'),
    ]

    operations = [
        pgtrigger.migrations.RemoveTrigger(
            model_name='barcode',
            name='delete_delete',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='barcode',
            name='before_update',
        ),
        migrations.AddField(
            model_name='barcode',
            name='kind',
            field=models.CharField(choices=[('ean13', 'EAN-13'), ('ean8', 'EAN-8'), ('upc', 'UPC-A'), ('itf14', 'ITF-14'), ('internal', 'internal')], db_default='internal', default='internal', max_length=8, verbose_name='kind'),
        ),
        migrations.AddField(
            model_name='barcodehistory',
            name='kind',
            field=models.CharField(choices=[('ean13', 'EAN-13'), ('ean8', 'EAN-8'), ('upc', 'UPC-A'), ('itf14', 'ITF-14'), ('internal', 'internal')], db_default='internal', default='internal', max_length=8, verbose_name='kind'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='barcode',
            trigger=pgtrigger.compiler.Trigger(name='before_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "products_barcodehistory" ("code", "id", "kind", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sku_id") VALUES (OLD."code", OLD."id", OLD."kind", _pgh_attach_context(), NOW(), \'before\', OLD."id", OLD."sku_id"); RETURN NULL;', hash='c781558bef6383fe8f6a4f44a2bbfe45bdbf97c1', operation='UPDATE', pgid='pgtrigger_before_update_c4252', table='products_barcode', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='barcode',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "products_barcodehistory" ("code", "id", "kind", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sku_id") VALUES (OLD."code", OLD."id", OLD."kind", _pgh_attach_context(), NOW(), \'delete\', OLD."id", OLD."sku_id"); RETURN NULL;', hash='6881058b26c77a07e34600525b13ed0234827287', operation='DELETE', pgid='pgtrigger_delete_delete_689cf', table='products_barcode', when='AFTER')),
        ),
    ]
