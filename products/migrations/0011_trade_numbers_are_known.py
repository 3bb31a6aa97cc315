from django.db import migrations
from django.db.models import Max

BATCH = 5000
DIGITS = {8: 'ean8', 12: 'upc', 13: 'ean13', 14: 'itf14'}


def is_trade_number(code):
    if not (code.isascii() and code.isdigit() and len(code) in DIGITS):
        return False
    weighted = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(code[:-1])))
    is_ours = code[0] in {8: '02', 12: '24', 13: '2', 14: ''}[len(code)]
    return -weighted % 10 == int(code[-1]) and not is_ours


def say_kinds(apps, schema_editor):
    """Barcodes that were there before had no kind. Of two that are one number the older one has it."""
    Barcode = apps.get_model('products', 'Barcode')
    last, seen = 0, set()
    newest = Barcode.objects.aggregate(newest=Max('pk'))['newest'] or 0
    while last < newest:
        rows = list(Barcode.objects.filter(pk__gt=last, pk__lte=newest).order_by('pk')[:BATCH])
        if not rows:
            break
        last = rows[-1].pk
        changed = []
        for row in rows:
            if row.kind == 'internal' and is_trade_number(row.code) and row.code.zfill(14) not in seen:
                row.kind = DIGITS[len(row.code)]
                changed.append(row)
            if row.kind != 'internal':
                seen.add(row.code.zfill(14))
        Barcode.objects.bulk_update(changed, ['kind'])


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('products', '0010_barcodes_have_kinds'),
    ]

    operations = [
        migrations.RunPython(say_kinds, migrations.RunPython.noop),
    ]
