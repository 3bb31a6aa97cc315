from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('products', '0020_bundles'),
    ]

    operations = [
        migrations.AlterField(
            model_name='assortmentrow',
            name='outcome',
            field=models.CharField(choices=[('draft', 'draft'), ('publish', 'put on sale'), ('withdraw', 'take off sale'), ('held_back', 'leave off sale')], max_length=9, verbose_name='change'),
        ),
        migrations.AlterField(
            model_name='assortmentrow',
            name='state',
            field=models.CharField(choices=[('planned', 'to be done'), ('done', 'done'), ('skipped', 'skipped')], db_default='planned', max_length=7, verbose_name='state'),
        ),
    ]
