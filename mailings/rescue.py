"""What workers that died on this machine left behind.

Elsewhere their leases run out by themselves; but only this machine has their journals.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from mailings import journal
from mailings.delivery import ledger
from mailings.models import Chunk


def free_abandoned(now: datetime) -> None:
    """Settle the letters of dead workers by their journals, and free their chunks."""
    leased = Chunk.objects.filter(leased_until__gte=now)
    for worker in set(leased.values_list("worker", flat=True)):
        if not journal.is_abandoned(worker):
            continue
        for pk in leased.filter(worker=worker).values_list("pk", flat=True):
            _settle_and_free(pk, worker, now)
        ledger.forget_journal(worker)


def _settle_and_free(chunk_id: int, dead_worker: str, now: datetime) -> None:
    with transaction.atomic():
        held = Chunk.objects.filter(pk=chunk_id, worker=dead_worker)
        chunk = held.select_for_update(of=("self",)).select_related("attempt__mailing").first()
        if chunk is None:
            return
        ledger.settle_dead_worker(chunk, now)
        held.update(worker="", leased_until=None, claimed_to=0)
