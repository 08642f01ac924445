"""What a reply used, read from its bytes as they pass.

It reads no file and no socket: feed bytes, ask for usage.

reader.py        the public face: one UsageReader per reply, which chooses a machine by type and
first byte
reading.py       what it comes to: what was told, and what was shown
encoding.py      gzip, deflate, br, zstd to plain bytes, bounded
framing.py       what a machine for one framing is; the one for JSON
events.py        the one for SSE and NDJSON
event_stream.py  the one for AWS event stream
output.py        under which names an API's replies hold output; seen.py: counting it
documents.py     from the bytes of a JSON document to its wanted fields
scan.py          the same for what is too long to keep, or damaged
counts.py        values as whole counts; tally.py: merging what several documents tell
meaning.py       bringing counts to one meaning; passes.py: runs of models that are billed one by
one
api.py           what is known of one API; paths.py: where in a document a fact is
native.py        what Envoy's own filters can read; fields.py: the same from what they found
table.py         building the table of APIs from providers.yaml
"""

from tollgate.core.usage.apis.api import Api
from tollgate.core.usage.apis.table import load_apis
from tollgate.core.usage.reader import UsageReader

__all__ = ["Api", "UsageReader", "load_apis"]
