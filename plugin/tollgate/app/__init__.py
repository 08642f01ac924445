"""The only folder that constructs: settings -> store -> use cases -> doors.

`python -m tollgate.app` starts its two processes.

base.py    what both are built on
worker.py  serves Envoy
admin.py   serves people
"""
