"""Framings of replies: from bytes to the documents in them.

encoding.py        gzip, deflate, br, zstd to plain bytes, bounded
machine.py         what a machine for one framing is; the one for JSON
events.py          the one for SSE and NDJSON
event_stream.py    the one for AWS event stream
json_documents.py  from the bytes of a JSON document to its wanted fields
scan.py            the same for what is too long to keep, or damaged
"""
