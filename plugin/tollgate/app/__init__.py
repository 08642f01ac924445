"""Build the processes: settings -> store -> use cases -> services. No other folder constructs.

`python -m tollgate.app` starts one of the two processes.

  base.py    what both are built on
  worker.py  serves Envoy
  admin.py   serves people
"""
