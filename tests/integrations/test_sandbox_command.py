"""`manage.py sandbox` fills in what this copy knows, and leaves alone what was given."""

from __future__ import annotations

from pathlib import Path

from integrations.management.commands.sandbox import command_line


def test_the_warehouse_takes_its_port_files_and_call_back_from_this_copy(tmp_path: Path) -> None:
    (tmp_path / "qimen-stock.json").write_text("[]")

    line = command_line("qimen", given=["--pace", "1"], web_port=8100, folder=tmp_path)

    told = dict(zip(line[::2], line[1::2], strict=True))
    assert told == {
        "--pace": "1",
        "--port": "8102",
        "--state": str(tmp_path / "qimen.sqlite3"),
        "--stock": str(tmp_path / "qimen-stock.json"),
        "--callback": "http://127.0.0.1:8100/api/v1/webhooks/qimen/qimen-shanghai/",
    }


def test_what_was_given_stands(tmp_path: Path) -> None:
    given = ["--port=9009", "--state", "here"]

    line = command_line("top", given=given, web_port=8100, folder=tmp_path)

    assert line == given
