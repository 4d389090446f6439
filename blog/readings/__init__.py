"""How readings of posts become views; docs/public-site.md tells why in this way.

request.py  who reads: the small request that a page sends, and what is kept of its sender
waiting.py  lines for readings that are not counted yet, where they survive the process
timer.py    when they are counted
settle.py   from lines to rows and sums
models.py   the tables: salts, readings of today, views by day
"""
