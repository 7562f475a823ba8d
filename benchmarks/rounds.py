"""How often each thing is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rounds:
    """Numbers of rounds; those by default take about half an hour on two cores."""

    #: Interleaved pairs of single starts, and of batches of so many, which the pool holds.
    pairs: int = 15
    batches: int = 8
    batch: int = 10
    #: Times that a crowd of so many starts at once, and whether the peer's is timed, too.
    bursts: int = 2
    crowd: int = 50
    peer_burst: bool = True
    #: Sessions of each hub whose memory is read.
    idle: int = 5
    #: Sessions that the parts carry, the peer's, and seconds of watching them idle.
    sessions: int = 100
    peer_sessions: int = 20
    watch: float = 60.0
    stops: int = 8
    refills: int = 2
    #: Claims at few and at many containers, and how many those are.
    claims: int = 20
    few: int = 10
    many: int = 300
    browsers: int = 5
    #: Requests for each of the portal's pages.
    pages: int = 40
    #: Rounds in which published functions and their peers are called, seconds of each, times that
    #: one is started from zero and that one grows, and slow clients beside a normal one.
    api_rounds: int = 15
    api_seconds: float = 4.0
    api_zeros: int = 10
    api_growths: int = 4
    api_slow: int = 1000


FULL = Rounds()
QUICK = Rounds(
    pairs=3, batches=2, batch=3, bursts=1, crowd=6, peer_burst=False, idle=2, sessions=6,
    peer_sessions=6, watch=10, stops=3, refills=1, claims=4, many=40, browsers=1, pages=5,
    api_rounds=3, api_seconds=2.0, api_zeros=2, api_growths=1, api_slow=200,
)  # fmt: skip
