"""Split replies into documents, one machine per framing.

encoding.py        gzip, deflate, br, zstd to plain bytes, bounded
machine.py         the interface of a machine; the machine for JSON
events.py          the machine for SSE and NDJSON
event_stream.py    the machine for AWS event streams
json_documents.py  from the bytes of a JSON document to its wanted fields
scan.py            the same for what is too long to keep, or damaged
"""
