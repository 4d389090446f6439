"""How a mailing becomes sent mail. Nothing here knows a request.

schedule.py   which moment comes next: pure functions of values
letter.py     compose once, fill in per recipient, to bytes
transport.py  the SMTP conversation; replies sorted into accepted / later / never / trouble
journal.py    what was on the wire when a worker died
dispatch.py   open a run, claim recipients, record results, take over what a dead worker left

A worker that dies leaves its rows in `sending`. Its journal says which of them had been handed
to the mail server without an answer; those alone are in doubt, and the mailing decides whether
they are sent again or left as unknown.
"""
