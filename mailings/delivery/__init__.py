"""How the letters of an open run become sent mail. Nothing here knows a request.

dispatch.py   a worker's turn: open what is due, send what is planned, close what is done
hold.py       chunks in a worker's hands: whose turn it is, what is on its way
ledger.py     who takes which rows, and what is written of each
letter.py     compose once, fill in per recipient, to bytes
transport.py  letters out, and what each of the server's replies means

Beside it: runs.py opens and closes runs, limits.py says how many letters may go out now,
server_health.py what many answers in a row say of the server, journal.py keeps what is on the wire,
rescue.py takes back what a dead worker left, overlap.py sends on while PostgreSQL works, reasons.py
has our own words in the ledger, smtp/ is the client that all letters go through.

One way of a letter:

    Rota.take_chunk    a chunk of a run whose turn it is; a lease says who holds it
    ledger.claim       rows of it that may go out now: consent is part of the statement
    Transport.submit   into the queue of one loop over a few kept connections
    Letter.build       the bytes, when a server waits for them
    Journal            handed over -> answered, in a file that outlives the process
    Health.judge       is this answer about the person, the mailing, or the server?
    ledger.record      rows and the run's sums, in batches
    release_chunk      back, or done; the run closes when its last chunk is

A worker that dies leaves its lease and how far it had claimed. Its journal says which letters had
been handed to the mail server without an answer; those alone are in doubt, and the mailing decides
whether they are sent again or left as unknown.
"""
