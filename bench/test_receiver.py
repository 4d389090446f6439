"""What the receiver's log says must be true: `make bench-faults` believes it."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from faults import was_read_before
from processes import wait_for
from servers import Receiver
from yardsticks import run_lock_step

ENVELOPE = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<%s>\r\nDATA\r\n"
BODY = b"Message-ID: <1@x.test>\r\n\r\nHello\r\n.\r\n"


@pytest.fixture
def start() -> Iterator[Callable[..., Receiver]]:
    started = []

    def start(*options: str) -> Receiver:
        started.append(Receiver(*options))
        return started[-1]

    yield start
    for receiver in started:
        if receiver.process.poll() is None:
            receiver.stop()


class Client:
    """A connection on which a test says what it wants."""

    def __init__(self, receiver: Receiver) -> None:
        self.sock = socket.create_connection(("127.0.0.1", receiver.port), timeout=10)
        self.replies = self.sock.makefile("rb")

    def hear(self) -> int:
        """Read one reply; return its code, 0 where the connection was closed."""
        while line := self.replies.readline():
            if line[3:4] == b" ":
                return int(line[:3])
        return 0

    def say(self, words: bytes, replies: int = 1) -> list[int]:
        self.sock.sendall(words)
        return [self.hear() for _ in range(replies)]

    def begin(self, recipient: bytes = b"c1@example.com") -> None:
        assert self.hear() == 220
        assert self.say(b"EHLO test\r\n") == [250]
        assert self.say(ENVELOPE % recipient, 3) == [250, 250, 354]

    def close(self) -> None:
        self.replies.close()
        self.sock.close()


def test_a_letter_is_logged_with_recipient_and_message_id(start):
    receiver = start()
    client = Client(receiver)
    client.begin()
    assert client.say(BODY) == [250]
    wait_for(lambda: receiver.taken, "the letter is logged")
    letter = receiver.letters[0]
    assert (letter.recipient, letter.message_id) == ("c1@example.com", "<1@x.test>")
    assert letter.size == len(BODY)


def test_commands_sent_along_with_a_letter_do_not_prove_that_its_reply_was_read(start):
    receiver = start()
    client = Client(receiver)
    client.begin()
    client.sock.sendall(BODY + ENVELOPE % b"c2@example.com")
    client.close()
    wait_for(lambda: receiver.taken, "the letter is logged")
    receiver.stop()
    assert receiver.read == set()


def test_the_next_body_proves_it(start):
    receiver = start()
    client = Client(receiver)
    client.begin()
    assert client.say(BODY + ENVELOPE % b"c2@example.com", 4) == [250, 250, 250, 354]
    client.sock.sendall(b"Subject: half a let")
    wait_for(lambda: receiver.look() or receiver.read, "the reply is known to be read")
    assert receiver.read == {1}
    assert len(receiver.letters) == 1


def test_rset_proves_it_and_quit_does_not(start):
    receiver = start()
    for word in (b"QUIT\r\n", b"RSET\r\n"):
        client = Client(receiver)
        client.begin()
        client.say(BODY)
        client.say(word)
    receiver.stop()
    assert len(receiver.letters) == 2
    assert receiver.read == {2}


def test_quit_in_the_place_of_a_body_proves_nothing(start):
    receiver = start()
    client = Client(receiver)
    client.begin()
    assert client.say(BODY + ENVELOPE % b"c2@example.com", 4) == [250, 250, 250, 354]
    client.sock.sendall(b"QUIT\r\n")
    client.close()
    receiver.stop()
    assert len(receiver.letters) == 1
    assert receiver.read == set()


def test_a_cut_after_the_dot_takes_the_letter_and_withholds_the_answer(start):
    receiver = start("--cut", "dot=1")
    client = Client(receiver)
    client.begin()
    assert client.say(BODY) == [0]
    receiver.stop()
    assert len(receiver.letters) == 1
    assert receiver.cuts == {"dot": 1}
    assert receiver.read == set()


def test_the_answer_before_a_cut_is_sent(start):
    receiver = start("--cut", "mail=1")
    client = Client(receiver)
    assert client.hear() == 220
    assert client.say(b"EHLO test\r\nMAIL FROM:<a@x.test>\r\n", 2) == [250, 0]
    receiver.stop()
    assert receiver.cuts == {"mail": 1}


def test_too_many_letters_and_too_many_connections_are_told_421(start):
    receiver = start("--close-after", "1", "--connections", "1")
    client = Client(receiver)
    client.begin()
    assert Client(receiver).hear() == 421
    assert client.say(BODY + ENVELOPE % b"c2@example.com", 3) == [250, 421, 0]
    receiver.stop()
    assert receiver.goodbyes == {"closed": 1, "refused": 1}


def test_a_slow_domain_complains_above_its_rate_and_others_do_not(start):
    receiver = start("--slow", "slow.test=2")
    client = Client(receiver)
    assert client.hear() == 220
    recipients = (b"a@slow.test", b"b@x.test", b"b@slow.test", b"c@x.test", b"c@slow.test")
    words = b"".join(b"RCPT TO:<%s>\r\n" % recipient for recipient in recipients)
    assert client.say(words, 5) == [250, 250, 250, 250, 421]
    assert client.hear() == 0
    receiver.stop()
    assert [domain for _moment, domain in receiver.complaints] == ["slow.test"]


def test_the_log_says_when_each_letter_began(start):
    receiver = start("--commands")
    client = Client(receiver)
    client.begin()
    wait_for(lambda: receiver.look() or receiver.data, "DATA is logged")
    assert receiver.bodies == []
    before = time.time()
    client.say(BODY)
    client.say(b"QUIT\r\n")
    receiver.stop()
    assert [recipient for _moment, recipient in receiver.data] == ["c1@example.com"]
    assert len(receiver.bodies) == 1
    assert receiver.data[0][0] <= before <= receiver.bodies[0][0] <= receiver.letters[0].time


def test_the_plain_client_sends_every_letter_once(start):
    receiver = start("--no-pipelining", "--close-after", "10")
    run_lock_step(receiver.port, 100, 4, 4096)
    receiver.stop()
    assert {letter.recipient for letter in receiver.letters} == {
        f"p{n}@example.com" for n in range(100)
    }
    assert len(receiver.letters) == 100


def test_doubled_is_beyond_where_an_earlier_copy_had_its_reply_read(start):
    receiver = start()
    client = Client(receiver)
    client.begin()
    client.say(BODY)
    client.say(b"RSET\r\n")
    client.say(ENVELOPE % b"c1@example.com", 3)
    client.say(BODY)
    receiver.stop()
    assert receiver.read == {1}
    assert was_read_before(receiver.letters, receiver.read)
    assert not was_read_before(receiver.letters, {2})
