"""An SMTP client for many letters over a few kept connections. It knows no mailing.

protocol.py  what both parts speak: servers, replies, what may go wrong
connect.py   from a TCP connection to a session that takes letters; waits, so it runs in a thread
session.py   letters over an open session; never waits: a loop calls it when something came in
pool.py      that loop over several sessions: letters in, what became of them out

RFC 5321 (SMTP), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 6531 (SMTPUTF8).
"""
