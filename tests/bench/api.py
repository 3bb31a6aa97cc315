"""How fast orders come in over HTTP: one and fifty per request, against granian with two workers."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from tests.bench import capture, raw
from tests.bench.measure import Lap, Result, Run, median, percentile, run_together, spread, timed_pieces
from tests.bench.size import Size

# Two clients alone may both be given to one worker: the kernel shares connections out by chance.
WEB_WORKERS, CLIENTS, PER_REQUEST = 2, 4, 50
START_SECONDS_MAX = 60


def run(size: Size) -> list[Result]:
    """Each repeat: raw batch, 50 per request, raw one by one, one per request."""
    from integrations.keys import issue_key
    from products.models import Shop
    from tests.bench.goods import lay_out

    goods = lay_out(skus=size.skus, order_policy="request")
    raw.prepare(os.environ["DATABASE_URL"], skus=size.skus)
    shop = Shop.objects.get(pk=goods.shop_ids[0])
    key = issue_key(name="bench", scopes=["orders:write", "orders:read"], at=datetime.now(UTC), by="bench")
    batches: tuple[list[Run], list[Run]] = ([], [])
    singles: tuple[list[Run], list[Run]] = ([], [])
    with web_server() as port:
        common = {"port": port, "key": key.text, "shop": shop.code, "skus": size.skus}
        for repeat in range(size.repeats):
            seeds = [repeat * 10 + client for client in range(CLIENTS)]
            batches[0].append(capture.measure_raw(size, name=f"a{repeat}"))
            batches[1].append(_send(common, seeds, requests=size.batches * 4, per_request=PER_REQUEST))
            number = size.batches * 20
            singles[0].append(
                run_together(store_raw_singles, [{"number": number, "skus": size.skus, "name": f"s{repeat}"}])
            )
            singles[1].append(_send(common, seeds, requests=number, per_request=1))
    statements, commits = count_of_one(key.text, shop.code, size.skus)
    return [
        _raw_result(f"raw batch of {capture.RAW_BATCH}, 1 client", batches[0]),
        _result(f"{PER_REQUEST} per request", *batches, least=0.22, p99_ms=250),
        _raw_result("raw, one order per transaction, 1 client", singles[0]),
        _result("1 per request", *singles, least=0.4, p99_ms=50),
        Result("statements of one order", statements, "", target="≤ 20", ok=statements <= 20),
        Result("commits of one order", commits, "", target="1", ok=commits == 1),
    ]


def _send(common: dict[str, Any], seeds: Sequence[int], *, requests: int, per_request: int) -> Run:
    return run_together(
        send_orders,
        [{**common, "seed": seed, "requests": requests, "per_request": per_request} for seed in seeds],
    )


def _raw_result(name: str, runs: Sequence[Run]) -> Result:
    rates = [run.rate for run in runs]
    return Result(name, median(rates), "orders/s", spread(rates))


def _result(name: str, baseline: Sequence[Run], runs: Sequence[Run], *, least: float, p99_ms: int) -> Result:
    rates = [run.rate for run in runs]
    ratio = median([ours.rate / bare.rate for ours, bare in zip(runs, baseline, strict=True)])
    p99 = median([percentile(run.seconds, 0.99) for run in runs]) * 1000
    return Result(
        f"{name}, {CLIENTS} clients, {WEB_WORKERS} web workers",
        median(rates),
        "orders/s",
        spread(rates),
        ratio_to_raw=ratio,
        target=f"ratio ≥ {least}, p99 ≤ {p99_ms} ms",
        ok=ratio >= least and p99 <= p99_ms,
        more={"p50_ms": median([percentile(run.seconds, 0.5) for run in runs]) * 1000, "p99_ms": p99},
    )


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    """The product behind granian, as `make up` starts it, on a free port and the bench's database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    argv = [
        *(str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "omni.wsgi:application"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(WEB_WORKERS)),
        *("--blocking-threads", "4", "--backlog", "512", "--no-ws", "--no-log"),
    ]
    # its own process group: the server's workers end with it
    server = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LOG_LEVEL": "ERROR"}
    )
    try:
        _wait_until_it_answers(port, server)
        yield port
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_it_answers(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/livez")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("the web server of the bench did not answer in time")


def count_of_one(key: str, shop: str, skus: int) -> tuple[int, int]:
    """Statements and commits of one request that brings one order, counted inside the product."""
    from django.test import Client

    from tests.statements import StatementCounter

    client, bodies = Client(), _bodies(shop, skus, seed=77, requests=2, per_request=1)
    answers = []
    for body in bodies:  # the first notes the key's use, which happens once a minute
        with StatementCounter() as counter:
            answers.append(
                client.post(
                    "/api/v1/orders",
                    body,
                    content_type="application/json",
                    headers={"Authorization": f"Bearer {key}", "Idempotency-Key": str(uuid4())},
                )
            )
    if any(answer.status_code != 201 for answer in answers):
        raise RuntimeError(f"the order was not taken: {answers[-1].content!r}")
    return counter.statements, counter.commits


# --- in the processes ---------------------------------------------------------------------------------------


def send_orders(
    *, port: int, key: str, shop: str, skus: int, seed: int, requests: int, per_request: int
) -> Lap:
    bodies = _bodies(shop, skus, seed=seed, requests=requests + 4, per_request=per_request)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    path = "/api/v1/orders" if per_request == 1 else "/api/v1/orders/batch"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(body: bytes) -> int:
        connection.request("POST", path, body, {**headers, "Idempotency-Key": str(uuid4())})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201) or text.count(b'"new"') != per_request:
            raise RuntimeError(f"not every order was taken: {answer.status} {text[:400]!r}")
        return per_request

    for body in bodies[:4]:  # warm: both workers
        send(body)
    gc.freeze()
    return timed_pieces(send, bodies[4:])


def store_raw_singles(*, number: int, skus: int, name: str) -> Lap:
    payloads = [json.dumps(order) for order in _orders(skus, seed=1, number=100, per_request=1)]
    orders = raw.make_orders(number=number + 50, skus=skus, name=name, payloads=payloads)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:

        def store(order: raw.Order) -> int:
            raw.store_one(connection, order)
            return 1

        for order in orders[:50]:  # warm: prepared
            store(order)
        gc.freeze()
        return timed_pieces(store, orders[50:])


def _bodies(shop: str, skus: int, *, seed: int, requests: int, per_request: int) -> list[bytes]:
    orders = _orders(skus, seed=seed, number=requests * per_request, per_request=per_request)
    if per_request == 1:
        return [json.dumps({"shop": shop, **order}).encode() for order in orders]
    return [
        json.dumps({"shop": shop, "orders": orders[start : start + per_request]}).encode()
        for start in range(0, len(orders), per_request)
    ]


def _orders(skus: int, *, seed: int, number: int, per_request: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        {
            "outer_id": f"web-{per_request}-{seed}-{position}-{rng.getrandbits(32):08x}",
            "placed_at": now,
            "paid_at": now,
            "currency": "CNY",
            "total_amount": "258.00",
            "buyer": f"buyer {position}",
            "receiver": {
                "name": "张伟",
                "mobile": "13800138000",
                "province": "广东省",
                "city": "广州市",
                "district": "天河区",
                "address": "体育西路 1 号",
            },
            "lines": [
                {
                    "outer_line_id": str(number),
                    "sku": f"BENCH-{sku}",
                    "quantity": 1,
                    "unit_price": "129.00",
                    "amount": "129.00",
                    "title": "Bench product 红 M",
                }
                for number, sku in enumerate(rng.sample(range(1, skus + 1), 2), 1)
            ],
        }
        for position in range(number)
    ]
