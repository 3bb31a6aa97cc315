from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0013_history_keeps_what_was_before'),
    ]

    operations = [
        migrations.AddField(
            model_name='parkedorder',
            name='wants',
            field=models.JSONField(editable=False, null=True, verbose_name='unknown lines'),
        ),
    ]
