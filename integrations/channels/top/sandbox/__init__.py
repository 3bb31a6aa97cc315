"""A stand-in for Taobao's open platform (TOP): its own process, its own orders and stock, its own mistakes.

It shares no code with the adapter and uses only the standard library, so that a misunderstanding in one is
not repeated in the other. What it does follows TOP's documentation as the specification quotes it; the
honesty level is C: nobody at Taobao has seen it.

    python -m integrations.channels.top.sandbox --port 9001 --seed 7 --state top.db \\
        --catalogue top.json --rate 0.5 --faults all --app-key K --secret S --session T

The gateway is `POST /router/rest`. `GET /` is a page for people. `--list-faults` names the traps.

The control plane is JSON, unsigned and on loopback only. Ids are strings in it; a refused act answers 409, a
wrong one 400.

    GET  /_control/truth           counts; every order with its lines, how many times each was accepted as
                                   sent, and every attempt; every SKU with its shown quantity and its sold
                                   units; every refund case
    GET  /_control/truth?brief=1   the counts only
    GET  /_control/faults          every trap: probability, how often it fell, what it does
    POST /_control/faults          {"name": probability, …}
    GET  /_control/calls           calls by method
    POST /_control/orders          {"count": 20, "plain": false} random orders; plain: paid at once and then left
                                   in peace; or {"lines": [{"sku_id" | "outer_sku_id", "num"}], "count": 1,
                                   "paid": true} exactly these lines, 409 when the shelf shows less
                                   → {"tids": […]}
    POST /_control/pay             {"tid"}
    POST /_control/cancel          {"tid"} closed unpaid, or paid back in full when nothing was sent
    POST /_control/finish          {"tid"} the buyer confirms what was sent
    POST /_control/modify          {"tid", "memo"?, "address"?} without either the memo changes
    POST /_control/refund          {"tid", "oid"?} opens a case for a line, the first one by default
    POST /_control/agree           {"tid", "oid"?} the line is paid back and closed
    POST /_control/withdraw        {"tid", "oid"?} the buyer withdraws
    POST /_control/refuse          {"tid", "oid"?} the seller refuses
    POST /_control/stock           {"sku_id" | "outer_sku_id", "quantity"} what the platform shows
    POST /_control/item            {"num_iid", "title"?, "price"?, "is_on_sale"?} edited in the back office
    POST /_control/expire          {"seconds"?} the session is invalid that long, or until renewed
    POST /_control/renew           {"session"?} valid again, under a new session if one is given
    POST /_control/pace            {"rate"} random orders a second
    POST /_control/reset           {} no orders, the shelves as in the catalogue
"""
