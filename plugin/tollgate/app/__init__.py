"""Build the processes: settings -> store -> use cases -> services. No other folder constructs.

`python -m tollgate.app` runs one of the processes; a gateway's supervisor has them forked.

  base.py      what worker and admin server are built on
  worker.py    serves Envoy
  admin.py     serves people
  recorder.py  keeps the history
  forks/       the process that forks these three
"""
