"""What a reply used, read from its bytes as they pass.

It reads no file and no socket: feed bytes, ask for usage.

reader.py    the public face: one UsageReader per reply, which chooses a machine by type and first byte
reading.py   what it comes to: what was told, and what was shown
output.py    under which names an API's replies hold output; seen.py: counting it
counts.py    values as whole counts; tally.py: merging what several documents tell
meaning.py   bringing counts to one meaning; passes.py: runs of models that are billed one by one
native.py    what Envoy's own filters can read; fields.py: the same from what they found
framing/     from bytes to documents: JSON, SSE and NDJSON, AWS event streams, content codings
apis/        where each API keeps its usage: providers.yaml, rare_apis.yaml, and their reading
"""

from tollgate.core.usage.apis.api import Api
from tollgate.core.usage.apis.table import load_apis
from tollgate.core.usage.reader import UsageReader

__all__ = ["Api", "UsageReader", "load_apis"]
