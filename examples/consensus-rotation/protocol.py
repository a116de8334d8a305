"""What a consensus protocol in Python is written with: typed actions, dispatch of events, lines in the log. Copy it beside serve.py.

    class Mine(Protocol):
        def start(self, e):             # one method for each event that it wants, named as docs/spec/consensus.md names it
            self.info("begins", validators=len(e.validators))
            return [build(attempt=1, idle_ms=5)]

The methods are start, ready, create_block, timer, built, verdict, message, decided, failed, signed. Each gets its event and returns a list of actions.
"""
from serve import Action, ConsensusEvent

EVENTS = [field.name for field in ConsensusEvent.DESCRIPTOR.oneofs_by_name["event"].fields]
LINES = 32  # the most lines of one event


class Protocol:
    """A pure state machine: no clock, no socket, no file, no random number; the same events give the same actions."""

    def step(self, event):
        kind = event.WhichOneof("event")  # None: of a later minor
        if kind == "start":
            keys = [v.key for v in event.start.validators]
            me = event.start.self
            self._lines, self._fields = [], {"height": event.start.height, "validator": keys.index(me) if me in keys else "none"}
        elif kind == "decided":
            self._fields["height"] = event.decided.height + 1
        handle = getattr(self, kind, None) if kind in EVENTS else None
        return handle(getattr(event, kind)) if handle else []

    def debug(self, text, **fields):
        self._add("debug", text, fields)

    def info(self, text, **fields):
        self._add("info", text, fields)

    def warn(self, text, **fields):
        self._add("warn", text, fields)

    def error(self, text, **fields):
        self._add("error", text, fields)

    def _add(self, level, text, fields):
        if len(self._lines) < LINES:
            self._lines.append({"@level": level, "@message": text, **self._fields, **fields})

    def lines(self):
        """Takes the lines that were written since the last call: what runs the protocol writes them to the log."""
        taken, self._lines = self._lines, []
        return taken


def sender(message):
    return getattr(message, "from")  # a word of Python's own


def build(attempt, **limits):  # round, deadline_ms, idle_ms, max_transactions, allow_empty, reuse_attempt, publish
    return Action(build=Action.Build(attempt=attempt, **limits))


def seal(attempt):
    return Action(seal=Action.Seal(attempt=attempt))


def abandon(attempt):
    return Action(abandon=Action.Abandon(attempt=attempt))


def validate(attempt, value, sender, round=0):
    return Action(validate=Action.Validate(attempt=attempt, value=value, round=round, **{"from": sender}))


def decide(attempt, value, certificate=b""):
    return Action(decide=Action.Decide(attempt=attempt, value=value, certificate=certificate))


def set_timer(id, after_ms):
    return Action(set_timer=Action.SetTimer(id=id, after_ms=after_ms))


def cancel_timer(id):
    return Action(cancel_timer=Action.CancelTimer(id=id))


def send(to, data):
    return Action(send=Action.Send(to=to, data=data))


def broadcast(data):
    return Action(send=Action.Send(data=data))


def persist(data):
    return Action(persist=Action.Persist(data=data))


def persist_lasting(data):
    return Action(persist=Action.Persist(data=data, lasting=True))


def sign(id, kind, round, data):
    return Action(sign=Action.Sign(id=id, kind=kind, round=round, data=data))


def report(kind, about, data):
    return Action(report=Action.Report(kind=kind, about=about, data=data))


def halt(reason):
    return Action(halt=Action.Halt(reason=reason))
