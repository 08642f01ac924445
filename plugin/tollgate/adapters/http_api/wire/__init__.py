"""What travels over HTTP: requests as they are checked, answers as they are printed.

One module per noun.
"""
