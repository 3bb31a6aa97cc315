"""Who buys and where they live: names, places and messages, spread over all 31 provinces of the mainland."""

from __future__ import annotations

import random

from .trades import Receiver

_PLACES = (
    ("北京", "北京市", "朝阳区", "100020"),
    ("天津", "天津市", "南开区", "300100"),
    ("河北省", "石家庄市", "长安区", "050000"),
    ("山西省", "太原市", "小店区", "030032"),
    ("内蒙古自治区", "呼和浩特市", "赛罕区", "010020"),
    ("辽宁省", "沈阳市", "和平区", "110001"),
    ("吉林省", "长春市", "南关区", "130022"),
    ("黑龙江省", "哈尔滨市", "道里区", "150010"),
    ("上海", "上海市", "浦东新区", "200120"),
    ("江苏省", "南京市", "鼓楼区", "210009"),
    ("浙江省", "杭州市", "余杭区", "311100"),
    ("安徽省", "合肥市", "蜀山区", "230031"),
    ("福建省", "厦门市", "思明区", "361001"),
    ("江西省", "南昌市", "东湖区", "330006"),
    ("山东省", "青岛市", "市南区", "266001"),
    ("河南省", "郑州市", "金水区", "450003"),
    ("湖北省", "武汉市", "洪山区", "430070"),
    ("湖南省", "长沙市", "岳麓区", "410013"),
    ("广东省", "深圳市", "南山区", "518051"),
    ("广西壮族自治区", "南宁市", "青秀区", "530022"),
    ("海南省", "海口市", "美兰区", "570203"),
    ("重庆", "重庆市", "渝北区", "401120"),
    ("四川省", "成都市", "武侯区", "610041"),
    ("贵州省", "贵阳市", "云岩区", "550001"),
    ("云南省", "昆明市", "五华区", "650021"),
    ("西藏自治区", "拉萨市", "城关区", "850000"),
    ("陕西省", "西安市", "雁塔区", "710061"),
    ("甘肃省", "兰州市", "城关区", "730030"),
    ("青海省", "西宁市", "城西区", "810001"),
    ("宁夏回族自治区", "银川市", "兴庆区", "750001"),
    ("新疆维吾尔自治区", "乌鲁木齐市", "天山区", "830002"),
)
_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN = (
    "伟",
    "芳",
    "娜",
    "敏",
    "静",
    "丽娟",
    "建国",
    "子涵",
    "浩然",
    "雨桐",
    "思远",
    "欣怡",
    "晓明",
    "玉兰",
)
_STREETS = ("文一西路", "人民路", "解放大道", "中山北路", "科技园路", "建设街", "滨江大道", "学府路")
_MESSAGES = (
    "请尽快发货，谢谢",
    "送人的，麻烦包装好一点🎁",
    "尺码 L & 颜色黑，别发错 <谢谢>",
    "工作日派送 😊👍",
    '不要放快递柜，打电话 "谢谢"',
    "A&B两件一起发；地址=公司",
)
_MEMOS = ("老客户，送小样", "已电话确认尺码", "发顺丰 & 加急", "客户要求周五前到⚠️")


def draw_receiver(rng: random.Random) -> Receiver:
    state, city, district, postcode = rng.choice(_PLACES)
    return Receiver(
        name=rng.choice(_SURNAMES) + rng.choice(_GIVEN),
        mobile=f"1{rng.choice('3578')}{rng.randrange(10**9):09d}",
        state=state,
        city=city,
        district=district,
        address=draw_address(rng),
        zip=postcode,
    )


def draw_address(rng: random.Random) -> str:
    return (
        f"{rng.choice(_STREETS)}{rng.randrange(1, 999)}号{rng.randrange(1, 30)}幢{rng.randrange(101, 2904)}室"
    )


def draw_nick(rng: random.Random) -> str:
    return f"{rng.choice('abctxyz小大')}**{rng.randrange(10)}"


def draw_message(rng: random.Random) -> str:
    return rng.choice(_MESSAGES) if rng.random() < 0.25 else ""


def draw_memo(rng: random.Random) -> str:
    return rng.choice(_MEMOS)


def mask(text: str) -> str:
    """The first character stays, as TOP shows receivers since oaid came."""
    return text[:1] + "*" * max(1, len(text) - 1) if text else ""


def mask_mobile(text: str) -> str:
    return text[:3] + "****" + text[-4:] if text else ""
