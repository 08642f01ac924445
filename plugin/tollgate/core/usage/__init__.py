"""Read what a reply used from its bytes as they pass.

Sans-IO: feed bytes, ask for usage; no file or socket is read here.

  reader.py    the public face: one UsageReader per reply
  reading.py   the result: what the reply reported and what it showed
  output.py    names under which an API's replies hold output; seen.py counts it
  counts.py    values as whole counts; tally.py merges what several documents report
  meaning.py   brings counts to one meaning; passes.py handles runs of models billed one by one
  native.py    what Envoy's own filters can read; fields.py reads what they found
  framing/     bytes to documents: JSON, SSE and NDJSON, AWS event streams, content codings
  apis/        where each API keeps its usage: providers.yaml, rare_apis.yaml, and their reader
"""

from tollgate.core.usage.apis.api import Api
from tollgate.core.usage.apis.table import load_apis
from tollgate.core.usage.reader import UsageReader

__all__ = ["Api", "UsageReader", "load_apis"]
