"""What the product is measured against, on the same machine and in the same minutes."""

from __future__ import annotations

import multiprocessing
import shutil
import smtplib
import subprocess
import time

from harness import Product
from servers import rate_receiver
from table import Row

DJANGO_MAIL = """
import time
from django.core.mail import EmailMultiAlternatives, get_connection
connection = get_connection()
connection.open()
text, page = "The new harvest has come. " * 45, "<p>The new harvest has come. </p>" * {lines}
mails = []
for n in range({n}):
    mail = EmailMultiAlternatives(f"News for client {{n}}", text, "news@vestnik.test",
        [f"c{{n}}@example.com"], headers={{"List-Unsubscribe": f"<https://x.test/u/{{n}}/>"}})
    mail.attach_alternative(page, "text/html")
    mails.append(mail)
start = time.monotonic()
connection.send_messages(mails)
result = time.monotonic() - start
"""


def has_source() -> bool:
    return bool(shutil.which("smtp-source"))


def run_smtp_source(port: int, letters: int, sessions: int, size: int) -> float:
    """Send letters of `size` bytes over kept connections; return the seconds it took."""
    start = time.monotonic()
    subprocess.run(
        ["smtp-source", "-4", "-d", "-s", str(sessions), "-l", str(size), "-m", str(letters)]
        + ["-f", "a@x.test", "-t", "b@x.test", "-M", "x.test", f"127.0.0.1:{port}"],
        check=True,
    )
    return time.monotonic() - start


def measure_smtp_source(letters: int, sessions: int, size: int) -> Row:
    sink = rate_receiver()
    before = sink.cpu()
    seconds = run_smtp_source(sink.port, letters, sessions, size)
    cpu = round((sink.cpu() - before) * 1000 / letters, 4)
    sink.stop()
    return Row(f"smtp-source -d -s {sessions}", letters, letters / seconds, cpu_receiver=cpu)


def measure_django(letters: int, size: int) -> Row:
    letters = min(letters, 5000)  # Its rate does not depend on the number.
    lines = max(size - 1800, 330) // 33  # the rest are headers and text
    sink = rate_receiver()
    product = Product("sqlite", sink, clients=0)
    seconds = product.python(DJANGO_MAIL.format(n=letters, lines=lines))
    product.close()
    sink.stop()
    return Row("Django's send_messages, 1 connection", letters, letters / seconds)


# --- A plain client in lock-step ----------------------------------------------------------------


class LockStep:
    """Python's smtplib over one connection, with a letter that is ready; opened anew when closed."""

    def __init__(self, port: int, letter: bytes) -> None:
        self.port, self.letter = port, letter
        self.client: smtplib.SMTP | None = None

    def send(self, recipient: str) -> None:
        while True:
            try:
                self.client = self.client or smtplib.SMTP("127.0.0.1", self.port)
                self.client.sendmail("a@x.test", [recipient], self.letter)
                return
            except (smtplib.SMTPException, OSError):
                self.close()

    def close(self) -> None:
        if self.client:
            self.client.close()
        self.client = None


def run_lock_step(port: int, letters: int, connections: int, size: int) -> float:
    """Send over kept connections, a process each; return the seconds from first to last."""
    letter = b"Message-ID: <plain@x.test>\r\n\r\n" + b"x" * 76 + b"\r\n"
    letter += (b"y" * 76 + b"\r\n") * ((size - len(letter)) // 78)
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(connections + 1)

    def run(part: int) -> None:
        client = LockStep(port, letter)
        ready.wait()
        for number in range(part, letters, connections):
            client.send(f"p{number}@example.com")
        client.close()

    clients = [context.Process(target=run, args=(part,)) for part in range(connections)]
    for client in clients:
        client.start()
    ready.wait()
    start = time.monotonic()
    for client in clients:
        client.join()
    return time.monotonic() - start
