"""What the demo's brands sell: pure data, and the codes, prices and quantities that follow from it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

SEED = 7

BRANDS = {
    "LM": "露米 Lumi",
    "NH": "诺豪斯 Nordhaus",
    "KY": "鸢行 Kiteway",
}
# code, name, parent
CATEGORIES = (
    ("beauty", "美妆个护 Beauty", ""),
    ("skincare", "护肤 Skincare", "beauty"),
    ("makeup", "彩妆 Make-up", "beauty"),
    ("bodycare", "身体护理 Body care", "beauty"),
    ("giftsets", "礼盒 Gift sets", "beauty"),
    ("home", "家居 Home", ""),
    ("kitchen", "厨房 Kitchen", "home"),
    ("textiles", "家纺 Textiles", "home"),
    ("lighting", "灯具 Lighting", "home"),
    ("outdoor", "户外 Outdoor", ""),
    ("apparel", "服装 Apparel", "outdoor"),
    ("bags", "箱包 Bags", "outdoor"),
    ("camping", "露营 Camping", "outdoor"),
)

_VOLUMES = ("30ml", "50ml", "100ml")
_SHADES = ("豆沙 Rosewood", "正红 True red", "奶茶 Milk tea", "浆果 Berry")
_SETS = ("单件 Single", "两件装 Set of 2", "四件装 Set of 4")
_COLOURS = ("米白 Off-white", "石墨 Graphite", "雾蓝 Mist blue")
_BEDS = ("1.2m", "1.5m", "1.8m", "2.0m")
_SIZES = ("S", "M", "L", "XL")
_LITRES = ("18L", "26L", "38L")

# brand, category, name, price of the smallest, what its SKUs differ in
FAMILIES = (
    ("LM", "skincare", "玻尿酸保湿精华 Hydra Serum", 189, _VOLUMES),
    ("LM", "skincare", "烟酰胺亮肤精华 Bright Serum", 219, _VOLUMES),
    ("LM", "skincare", "积雪草修护面霜 Cica Cream", 168, _VOLUMES),
    ("LM", "skincare", "氨基酸洁面乳 Amino Cleanser", 79, _VOLUMES),
    ("LM", "skincare", "神经酰胺爽肤水 Ceramide Toner", 129, _VOLUMES),
    ("LM", "skincare", "清透防晒乳 SPF50 Sun Fluid", 139, _VOLUMES),
    ("LM", "skincare", "视黄醇晚霜 Retinol Night Cream", 259, _VOLUMES),
    ("LM", "skincare", "维C眼霜 Vita-C Eye Cream", 199, _VOLUMES),
    ("LM", "makeup", "丝绒口红 Velvet Lipstick", 129, _SHADES),
    ("LM", "makeup", "水光唇釉 Glass Lip Tint", 99, _SHADES),
    ("LM", "makeup", "柔雾腮红 Soft Blush", 109, _SHADES),
    ("LM", "makeup", "四色眼影 Quartet Eyeshadow", 169, _SHADES),
    ("LM", "makeup", "持妆粉底 Long-wear Foundation", 229, _SHADES),
    ("LM", "makeup", "纤长睫毛膏 Lash Mascara", 119, _SHADES),
    ("LM", "bodycare", "乳木果身体乳 Shea Body Milk", 89, _VOLUMES),
    ("LM", "bodycare", "海盐磨砂膏 Sea Salt Scrub", 99, _VOLUMES),
    ("LM", "bodycare", "雪松沐浴露 Cedar Shower Gel", 69, _VOLUMES),
    ("LM", "bodycare", "护手霜 Hand Cream", 39, _VOLUMES),
    ("LM", "bodycare", "无硅油洗发水 Silicone-free Shampoo", 79, _VOLUMES),
    ("LM", "bodycare", "修护发膜 Repair Hair Mask", 119, _VOLUMES),
    ("NH", "kitchen", "手冲咖啡壶 Pour-over Kettle", 269, _COLOURS),
    ("NH", "kitchen", "铸铁炒锅 Cast-iron Wok", 399, _COLOURS),
    ("NH", "kitchen", "白瓷餐盘 Porcelain Plate", 59, _SETS),
    ("NH", "kitchen", "马克杯 Mug", 49, _COLOURS),
    ("NH", "kitchen", "不锈钢保温杯 Thermos", 129, _COLOURS),
    ("NH", "kitchen", "胡桃木砧板 Walnut Board", 189, _SETS),
    ("NH", "kitchen", "玻璃储物罐 Storage Jar", 39, _SETS),
    ("NH", "kitchen", "主厨刀 Chef's Knife", 329, _SETS),
    ("NH", "textiles", "长绒棉床单 Long-staple Sheet", 299, _BEDS),
    ("NH", "textiles", "天丝被套 Tencel Duvet Cover", 429, _BEDS),
    ("NH", "textiles", "羽绒被 Down Duvet", 899, _BEDS),
    ("NH", "textiles", "荞麦枕 Buckwheat Pillow", 119, _SETS),
    ("NH", "textiles", "亚麻桌布 Linen Tablecloth", 159, _COLOURS),
    ("NH", "textiles", "羊毛毯 Wool Throw", 359, _COLOURS),
    ("NH", "textiles", "毛圈浴巾 Terry Towel", 79, _COLOURS),
    ("NH", "lighting", "阅读台灯 Reading Lamp", 239, _COLOURS),
    ("NH", "lighting", "纸艺吊灯 Paper Pendant", 319, _COLOURS),
    ("NH", "lighting", "感应夜灯 Sensor Night Light", 59, _SETS),
    ("NH", "lighting", "落地灯 Floor Lamp", 699, _COLOURS),
    ("NH", "lighting", "磁吸灯带 Magnetic Light Strip", 99, _SETS),
    ("KY", "apparel", "冲锋衣 Hard-shell Jacket", 899, _SIZES),
    ("KY", "apparel", "抓绒衣 Fleece", 329, _SIZES),
    ("KY", "apparel", "速干T恤 Quick-dry Tee", 119, _SIZES),
    ("KY", "apparel", "徒步长裤 Trekking Trousers", 299, _SIZES),
    ("KY", "apparel", "羽绒背心 Down Vest", 459, _SIZES),
    ("KY", "apparel", "防晒衣 Sun Hoodie", 239, _SIZES),
    ("KY", "apparel", "羊毛袜 Merino Socks", 59, _SETS),
    ("KY", "apparel", "遮阳帽 Sun Hat", 89, _COLOURS),
    ("KY", "bags", "徒步背包 Hiking Pack", 459, _LITRES),
    ("KY", "bags", "通勤双肩包 Commuter Pack", 359, _LITRES),
    ("KY", "bags", "防水收纳袋 Dry Sack", 69, _LITRES),
    ("KY", "bags", "腰包 Hip Bag", 129, _COLOURS),
    ("KY", "bags", "旅行袋 Duffel", 399, _LITRES),
    ("KY", "camping", "双人帐篷 Two-person Tent", 1299, _COLOURS),
    ("KY", "camping", "四季睡袋 Four-season Sleeping Bag", 699, _COLOURS),
    ("KY", "camping", "折叠椅 Folding Chair", 199, _COLOURS),
    ("KY", "camping", "便携气炉 Gas Stove", 259, _SETS),
    ("KY", "camping", "钛杯 Titanium Cup", 149, _SETS),
    ("KY", "camping", "头灯 Head Torch", 159, _COLOURS),
    ("KY", "camping", "登山杖 Trekking Poles", 279, _SETS),
)

# What is sold as one and lies as several: code, brand, category, name, option, price, SKU codes with their units.
BUNDLES = (
    (
        "LM-SET-1",
        "LM",
        "giftsets",
        "水润护肤礼盒 Hydration Gift Set",
        "礼盒装 Gift box",
        399,
        (("LM-001-01", 1), ("LM-005-01", 2)),
    ),
)

# Twelve digits for items, thirteen to nineteen for SKUs, as TOP has grown over the years: none fits a 32-bit number,
# and the longest do not fit a float.
_FIRST_ITEM = 720_000_000_100
_FIRST_SKU = (5_201_000_000_100, 4_710_000_000_000_100, 1_876_543_210_987_654_100)


@dataclass(frozen=True, slots=True)
class DemoSku:
    code: str
    name: str
    option: str  # what it is called
    option_code: str
    price: Decimal
    barcode: str
    weight_grams: int
    outer_item_id: str
    outer_sku_id: str
    central: int  # units at the start, in the central warehouse
    branch: int
    store: int
    safety: int
    inside: tuple[tuple[str, int], ...] = ()  # of a bundle: SKU codes with the units in each


@dataclass(frozen=True, slots=True)
class DemoSpu:
    code: str
    name: str
    brand: str
    category: str
    skus: tuple[DemoSku, ...]


def demo_goods() -> list[DemoSpu]:
    """Every product with its SKUs, bundles last. The same list on every call and machine."""
    rng, serial = random.Random(SEED), iter(range(1, 10_000))
    plain = [_spu(number, family, rng, serial) for number, family in enumerate(FAMILIES, 1)]
    return [*plain, *(_bundle(len(plain) + n, bundle, serial) for n, bundle in enumerate(BUNDLES, 1))]


def gtin13(number: int) -> str:
    """A valid GTIN-13 out of GS1's range for use inside a company (prefix 200): it is nobody's product."""
    digits = f"200{number:09d}"
    odd, even = digits[::2], digits[1::2]
    total = sum(map(int, odd)) + 3 * sum(map(int, even))
    return f"{digits}{-total % 10}"


def option_code(option: str) -> str:
    """`两件装 Set of 2` → `Set-of-2`: the part that machines can write."""
    return "-".join(word for word in option.split() if word.isascii())


def _spu(
    number: int, family: tuple[str, str, str, int, tuple[str, ...]], rng: random.Random, serial: Iterator[int]
) -> DemoSpu:
    brand, category, name, price, options = family
    code = f"{brand}-{number:03d}"
    first_sku = _FIRST_SKU[number % len(_FIRST_SKU)]
    skus = tuple(
        DemoSku(
            code=f"{code}-{place:02d}",
            name=f"{name} {option}",
            option=option,
            option_code=option_code(option),
            price=_price(price, place, options),
            barcode=gtin13(next(serial)),
            weight_grams=rng.randrange(80, 2400, 10),
            outer_item_id=str(_FIRST_ITEM + number),
            outer_sku_id=str(first_sku + number * 10 + place),
            central=_quantity(rng, number, place),
            branch=rng.randrange(20, 160),
            store=rng.randrange(2, 12),
            safety=rng.choice((0, 2, 5)),
        )
        for place, option in enumerate(options, 1)
    )
    return DemoSpu(code, name, brand, category, skus)


def _bundle(
    number: int,
    bundle: tuple[str, str, str, str, str, int, tuple[tuple[str, int], ...]],
    serial: Iterator[int],
) -> DemoSpu:
    code, brand, category, name, option, price, inside = bundle
    sku = DemoSku(
        code=f"{code}-01",
        name=f"{name} {option}",
        option=option,
        option_code=option_code(option),
        price=Decimal(price),
        barcode=gtin13(next(serial)),
        weight_grams=600,
        outer_item_id=str(_FIRST_ITEM + number),
        # The sandbox sells the lowest ids most: a bundle among them is seen to be sold.
        outer_sku_id=str(_FIRST_SKU[0] - number),
        central=0,
        branch=0,
        store=0,
        safety=0,
        inside=inside,
    )
    return DemoSpu(code, name, brand, category, (sku,))


def _price(price: int, place: int, options: tuple[str, ...]) -> Decimal:
    """Sizes and sets cost more with each step, colours and shades do not."""
    steps = 0 if options in (_SHADES, _COLOURS, _SIZES) else place - 1
    return Decimal(price) * (10 + 6 * steps) / 10


def _quantity(rng: random.Random, number: int, place: int) -> int:
    """Plenty of most, few of some: a shop in which nothing ever runs short shows nothing."""
    return rng.randrange(3, 9) if number % 9 == 0 and place == 1 else rng.randrange(120, 480)
