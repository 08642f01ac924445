"""What a reply used, read from its bytes as they pass. It reads no file and no socket: feed bytes, ask for usage.

reader.py        the public face: one UsageReader per reply
encoding.py      gzip, deflate, br, zstd to plain bytes, bounded
framing.py       what a machine for one framing is; the one for JSON
events.py        the one for SSE and NDJSON
event_stream.py  the one for AWS event stream
deltas.py        counting the output seen, for streams that are cut
documents.py     from the bytes of a JSON document to its wanted fields
scan.py          the same for what is too long to keep, or damaged
tally.py         merging what several documents tell, and bringing it to one meaning
api.py           what is known of one API; paths.py: where in a document a fact is
native.py        what Envoy's own filters can read; fields.py: the same from what they found
table.py         building the table of APIs from providers.yaml
"""

from tollgate.core.usage.api import Api
from tollgate.core.usage.reader import UsageReader
from tollgate.core.usage.table import load_apis

__all__ = ["Api", "UsageReader", "load_apis"]
