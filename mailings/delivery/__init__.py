"""How a mailing becomes sent mail. Nothing here knows a request.

schedule.py   which moment comes next: pure functions of values
runs.py       a run from its opening to its end: whom it plans, when it adds up
ledger.py     who holds which chunk, who may get a letter, what is written of each
dispatch.py   a worker's turn: chunk in, letters out, answers in
letter.py     compose once, fill in per recipient, to bytes (plaintext.py: the text part)
transport.py  kept connections, and what the server's replies mean (smtp.py: one session)
journal.py    what was on the wire when a worker died
reasons.py    words of ours in the ledger

A worker that dies leaves its rows in `sending`. Its journal says which of them had been handed
to the mail server without an answer; those alone are in doubt, and the mailing decides whether
they are sent again or left as unknown.
"""
