"""The rules, pure: standard library and a JSON decoder; nothing here awaits, reads a clock, draws a
random number or logs.
"""
