"""What every plugin in Python serves beside its stage, for a consensus protocol with a method step(event) -> list of actions.

What a protocol is written with is in protocol.py. The plugin protocol is docs/spec/plugin.md and docs/spec/consensus.md. examples/ordering-python has the same, explained step by step.
"""
import json
import os
import signal
import sys
import threading
from concurrent import futures
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ordo" / "consensus-rotation"

# Started by hand? Then say what this is. Started by ordo: go on in the environment that setup.sh made.
if os.environ.get("ORDO_PLUGIN") != "ordo-sequencer-plugin-v1":
    sys.exit(f"{sys.argv[0]} is an ordo plugin: start it with `ordo dev --consensus {sys.argv[0]}`")
if Path(sys.prefix) != VENV:
    python = VENV / "bin" / "python"
    if not python.exists():
        sys.exit(f"no Python environment at {VENV}: run {HERE}/setup.sh once")
    os.execv(python, [str(python), *sys.argv])

import grpc  # noqa: E402  (only there in the environment)

sys.path.insert(0, str(HERE / "proto"))
base, base_services = grpc.protos_and_services("ordo/v1/base.proto")
consensus, consensus_services = grpc.protos_and_services("ordo/v1/consensus.proto")
Action, ConsensusEvent = consensus.Action, consensus.ConsensusEvent

# Run streams at a time: each keeps a thread as long as it is open.
STREAMS = 256


def log(line):
    stamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # six digits behind the second, as the host wants it
    print(json.dumps({"@timestamp": stamp, **line}, default=str), file=sys.stderr, flush=True)


def serve(name, protocol):
    class Plugin(base_services.PluginServicer):
        def Describe(self, request, context):
            return base.DescribeResponse(name=name, version="0.1.0", stage=base.STAGE_CONSENSUS, capabilities=["network"])

        def Configure(self, request, context):
            answer = base.ConfigureResponse()
            try:
                if json.loads(request.config or b"{}") != {}:
                    raise ValueError("this plugin takes no configuration")
            except ValueError as problem:
                answer.diagnostics.add(severity=base.Diagnostic.ERROR, summary=str(problem), detail="remove it")
            return answer

        def Drain(self, request, context):
            return base.DrainResponse()  # nothing is kept here

    class Consensus(consensus_services.ConsensusServicer):
        def Run(self, events, context):
            machine = None
            for event in events:
                if event.HasField("start") != (machine is None):
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "run: Start is the first event of a stream, and only the first")
                machine = machine or protocol()
                actions = machine.step(event)
                for line in machine.lines():
                    log(line)
                yield consensus.Actions(seq=event.seq, actions=actions)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the node, which ends its plugins in order
    stop = threading.Event()
    limit = 256 << 20
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=STREAMS + 8),
        options=[("grpc.max_receive_message_length", limit), ("grpc.max_send_message_length", limit)],
    )
    base_services.add_PluginServicer_to_server(Plugin(), server)
    consensus_services.add_ConsensusServicer_to_server(Consensus(), server)

    def shutdown(_request, _context):
        stop.set()
        return b""  # plugin.Empty

    def check(_request, _context):
        return b"\x08\x01"  # HealthCheckResponse{status: SERVING}

    for service, method, handler in (
        ("plugin.GRPCController", "Shutdown", shutdown),
        ("grpc.health.v1.Health", "Check", check),
    ):
        handlers = {method: grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    socket = f"{os.environ['PLUGIN_UNIX_SOCKET_DIR']}/{os.getpid()}.sock"
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    print(f"1|1|unix|{socket}|grpc|", flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    # When the node is gone, so are we: it holds the other end of stdin.
    if os.environ.get("ORDO_PLUGIN_WATCH_STDIN"):
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    server.stop(grace=1).wait()
    os._exit(0)  # the thread that reads stdin is not waited for
