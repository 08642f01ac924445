"""h2spec against our own HTTP/2: every section passes, or stands in KNOWN with its reason.

`make h2spec` runs it.

python -m tests.http2.h2spec PATH-OF-H2SPEC
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from tollgate.adapters.envoy.grpc.call import Call, Limits, streaming
from tollgate.adapters.envoy.grpc.own import OwnServer

_DEPRECATED = (
    "RFC 9113, section 5.3: priorities of streams are deprecated, and this server reads none"
)
# What h2spec 2.2.1 asks, after RFC 7540, and is not done: by package and description.
KNOWN = {
    ("http2/5.3.1", "Sends HEADERS frame that depend on itself"): _DEPRECATED,
    ("http2/5.3.1", "Sends PRIORITY frame that depend on itself"): _DEPRECATED,
}
# h2spec compresses fields by a table although it is told that there is none (settings that a client
# need not heed before it has acknowledged them), and opens one stream more than may be open.
_TABLE_BYTES, _STREAMS = 4096, 100
_PATIENCE_S = 300


class Page:
    """Answers with a few bytes once it has been asked, whatever it was."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def received(self, message: bytes) -> None:
        pass

    def ended(self, *, whole: bool) -> None:
        self._call.answer(b"tollgate")


async def failures(program: str) -> dict[tuple[str, str], str]:
    """What failed, by package and description, and what was seen instead."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = OwnServer(
        {"/": streaming(Page)}, Limits(streams=_STREAMS), header_table_bytes=_TABLE_BYTES
    )
    await server.start(f"127.0.0.1:{port}")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ("-h", "127.0.0.1", "-p", str(port), "-o", "5", "-j", str(report))
        process = await asyncio.create_subprocess_exec(
            program, *options, stdout=asyncio.subprocess.DEVNULL
        )
        await asyncio.wait_for(process.wait(), _PATIENCE_S)
        found = list(ET.parse(report).getroot().iter("testcase"))
    await server.stop(0)
    print(f"h2spec: {len(found)} cases")
    return {
        (case.get("package", ""), case.get("classname", "")): " ".join(
            "".join(case.itertext()).split()
        )
        for case in found
        if case.find("failure") is not None or case.find("error") is not None
    }


def main() -> None:
    """Print what fails; exit with 1 where that is not what is known."""
    found = asyncio.run(failures(sys.argv[1]))
    for case, seen in found.items():
        print(
            f"{'known ' if case in KNOWN else 'FAILED'} {' '.join(case)}: {KNOWN.get(case, seen)}"
        )
    for case in KNOWN.keys() - found.keys():
        print(f"PASSES {' '.join(case)}: take it out of KNOWN")
    raise SystemExit(found.keys() != KNOWN.keys())


if __name__ == "__main__":
    main()
