"""The peers: how each bus is started, sent to and listened to, as its own documentation does.

Every message is a name and bytes; the first eight of the bytes are the time of sending, which the
harness puts there. All brokers and sockets are on loopback, without keys and without TLS.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from array import array
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Protocol

from benchmarks.peers.programs import find, ros_packages, running
from benchmarks.signals import streams
from scot.room import free_ports

Where = dict[str, Any]
"""What a process needs to meet the others: ports, folders; may be pickled."""
Take = Callable[[str, Any], None]
PREFIX = "or1/device/"
EVERY_MS = 50
UNBOUNDED = 1 << 30
DEPTH = 8192
NAMES = ("hello", "block", *(s.channel.name for _, group in streams(False) for s in group))
"""What one publisher speaks of, for a bus where each needs a topic of its own."""


class Sender(Protocol):
    """One publisher's connection."""

    def send(self, name: str, data: bytes) -> None:
        """Publish one message; may wait for room."""

    def flush(self) -> None:
        """Hand over all that was sent."""


class Bus:
    """One peer with a blocking interface.

    Attributes:
        name: of the bus and its client.
        modules: that must be there, by the name of what to install for them.
        program: that must be there, if any.
    """

    name: str
    modules: ClassVar[dict[str, str]] = {}
    program: ClassVar[str] = ""

    def absent(self) -> str:
        """Return what to install, or nothing when all is there."""
        lacking = [package for module, package in self.modules.items() if not _has(module)]
        if self.program and find(self.program) is None:
            lacking.append(self.program)
        return ", ".join(lacking)

    def serve(self, folder: Path) -> AbstractContextManager[Where]:
        """Run the broker, if there is one."""
        return nullcontext({"ports": free_ports(4)})

    def sending(self, where: Where, number: int = 0) -> AbstractContextManager[Sender]:
        """Connect a publisher; `number` tells those of one run apart."""
        raise NotImplementedError

    def receive(self, where: Where, take: Take, stopped: Callable[[], bool]) -> None:
        """Give every message to `take` until `stopped`, which is asked each `EVERY_MS` at least."""
        raise NotImplementedError


def _has(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


class Proxy(Bus):
    """libzmq's C proxy between PUB and SUB."""

    name = "C proxy"

    @contextmanager
    def serve(self, folder: Path) -> Iterator[Where]:
        """Run the proxy in a process of its own."""
        import multiprocessing as mp

        where = {"ports": free_ports(2)}
        here, there = mp.Pipe()
        process = mp.get_context("spawn").Process(target=_proxy, args=(where, there), daemon=True)
        process.start()
        there.close()
        here.recv()
        try:
            yield where
        finally:
            process.terminate()
            process.join(5)

    @contextmanager
    def sending(self, where: Where, number: int = 0) -> Iterator[Sender]:
        """Connect a PUB."""
        import zmq

        class Pub:
            def __init__(self, sock: Any) -> None:
                self.sock = sock

            def send(self, name: str, data: bytes) -> None:
                self.sock.send(f"{PREFIX}{name}\0".encode(), zmq.SNDMORE)
                self.sock.send(data, copy=len(data) < 65_536)

            def flush(self) -> None:
                """It sends at once."""

        with zmq.Context() as context, context.socket(zmq.PUB) as pub:
            pub.setsockopt(zmq.SNDHWM, 0 if not number else 8)
            pub.setsockopt(zmq.LINGER, 0)
            pub.connect(f"tcp://127.0.0.1:{where['ports'][0]}")
            yield Pub(pub)

    def receive(self, where: Where, take: Take, stopped: Callable[[], bool]) -> None:
        """Take from a SUB."""
        import zmq

        with zmq.Context() as context, context.socket(zmq.SUB) as sub:
            sub.setsockopt(zmq.RCVHWM, 0)
            sub.setsockopt(zmq.RCVTIMEO, EVERY_MS)
            sub.connect(f"tcp://127.0.0.1:{where['ports'][1]}")
            sub.setsockopt(zmq.SUBSCRIBE, PREFIX.encode())
            skip, count = len(PREFIX), 0
            while True:
                try:
                    topic = sub.recv()
                    take(topic[skip:-1].decode(), sub.recv(copy=False).buffer)
                    count += 1
                except zmq.Again:
                    count = 0
                if count % 64 == 0 and stopped():
                    return


def _proxy(where: Where, pipe: Any) -> None:
    import zmq

    with (
        zmq.Context() as context,
        context.socket(zmq.XSUB) as xsub,
        context.socket(zmq.XPUB) as xpub,
    ):
        for sock, port in zip((xsub, xpub), where["ports"], strict=True):
            sock.setsockopt(zmq.SNDHWM, 0)
            sock.setsockopt(zmq.RCVHWM, 0)
            sock.bind(f"tcp://127.0.0.1:{port}")
        pipe.send("ready")
        zmq.proxy(xsub, xpub)


class Mqtt(Bus):
    """mosquitto and paho, QoS 0."""

    name = "MQTT"
    modules: ClassVar = {"paho.mqtt.client": "paho-mqtt"}
    program = "mosquitto"

    @contextmanager
    def serve(self, folder: Path) -> Iterator[Where]:
        """Run mosquitto, with nothing that would make it drop."""
        (port,) = free_ports(1)
        conf = folder / "mosquitto.conf"
        lines = [
            f"listener {port} 127.0.0.1",
            "allow_anonymous true",
            "set_tcp_nodelay true",
            "max_queued_messages 0",
            "max_queued_bytes 0",
            "log_type error",
            *(["user root"] if os.getuid() == 0 else []),
        ]
        conf.write_text("\n".join(lines) + "\n")
        with running(["mosquitto", "-c", str(conf)], port, folder / "log"):
            yield {"port": port}

    def _client(self, where: Where) -> Any:
        import socket

        from paho.mqtt import client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        def at_once(_client: Any, _data: Any, sock: Any) -> None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.max_queued_messages_set(0)
        client.on_socket_open = at_once
        client.connect("127.0.0.1", where["port"])
        return client

    @contextmanager
    def sending(self, where: Where, number: int = 0) -> Iterator[Sender]:
        """Connect a client with its own thread, as paho has it."""

        class Publishing:
            def __init__(self, client: Any) -> None:
                self.client = client

            def send(self, name: str, data: bytes) -> None:
                self.client.publish(PREFIX + name, data)

            def flush(self) -> None:
                """Its thread does."""

        client = self._client(where)
        client.loop_start()
        yield Publishing(client)
        client.loop_stop()

    def receive(self, where: Where, take: Take, stopped: Callable[[], bool]) -> None:
        """Run the client's loop here."""
        client = self._client(where)
        skip = len(PREFIX)
        client.on_connect = lambda client, *_: client.subscribe(PREFIX + "#")
        client.on_message = lambda _client, _data, got: take(got.topic[skip:], got.payload)
        while not stopped():
            client.loop(EVERY_MS / 1e3)


class Redis(Bus):
    """Redis publish and subscribe by redis-py with hiredis; a burst is one pipeline."""

    name = "Redis"
    modules: ClassVar = {"redis": "redis", "hiredis": "hiredis"}
    program = "redis-server"

    @contextmanager
    def serve(self, folder: Path) -> Iterator[Where]:
        """Run the server without persistence and without a limit for subscribers."""
        (port,) = free_ports(1)
        options = {
            "port": str(port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(folder),
            "client-output-buffer-limit": "pubsub 0 0 0",
        }
        pairs = [word for key, value in options.items() for word in (f"--{key}", value)]
        with running(["redis-server", *pairs], port, folder / "log"):
            yield {"port": port}

    @contextmanager
    def sending(self, where: Where, number: int = 0) -> Iterator[Sender]:
        """Connect a client."""
        import redis

        with redis.Redis(port=where["port"]) as client:
            yield _Pipeline(client)

    def receive(self, where: Where, take: Take, stopped: Callable[[], bool]) -> None:
        """Take from a pattern subscription."""
        import redis

        skip, count = len(PREFIX), 0
        with redis.Redis(port=where["port"]) as client:
            subscribed = client.pubsub(ignore_subscribe_messages=True)
            subscribed.psubscribe(PREFIX + "*")
            while True:
                got = subscribed.get_message(timeout=EVERY_MS / 1e3)
                count = count + 1 if got else 0
                if got:
                    take(got["channel"][skip:].decode(), got["data"])
                if count % 64 == 0 and stopped():
                    return


class _Pipeline:
    def __init__(self, client: Any) -> None:
        self.pipeline = client.pipeline(transaction=False)

    def send(self, name: str, data: bytes) -> None:
        self.pipeline.publish(PREFIX + name, data)

    def flush(self) -> None:
        self.pipeline.execute()


class Zenoh(Bus):
    """Zenoh's Python binding, peer to peer over TCP, publishers that wait for room."""

    name = "zenoh"
    modules: ClassVar = {"zenoh": "eclipse-zenoh"}

    def _open(self, listen: list[int], connect: list[int]) -> Any:
        import json

        import zenoh

        config = zenoh.Config()
        config.insert_json5("mode", '"peer"')
        config.insert_json5("scouting/multicast/enabled", "false")
        for what, ports in (("listen", listen), ("connect", connect)):
            ends = json.dumps([f"tcp/127.0.0.1:{port}" for port in ports])
            config.insert_json5(f"{what}/endpoints", ends)
        return zenoh.open(config)

    @contextmanager
    def sending(self, where: Where, number: int = 0) -> Iterator[Sender]:
        """Listen as a peer."""
        import zenoh

        class Puts:
            def __init__(self, session: Any) -> None:
                self.session = session
                self.publishers: dict[str, Any] = {}

            def send(self, name: str, data: bytes) -> None:
                publisher = self.publishers.get(name)
                if publisher is None:
                    block = zenoh.CongestionControl.BLOCK
                    declare = self.session.declare_publisher
                    publisher = declare(PREFIX + name, congestion_control=block)
                    self.publishers[name] = publisher
                publisher.put(data)

            def flush(self) -> None:
                """It sends by itself."""

        with self._open([where["ports"][number]], []) as session:
            yield Puts(session)

    def receive(self, where: Where, take: Take, stopped: Callable[[], bool]) -> None:
        """Subscribe with a callback."""
        import time

        skip = len(PREFIX)
        with self._open([], where["ports"][:1]) as session:
            subscriber = session.declare_subscriber(
                PREFIX + "**", lambda got: take(str(got.key_expr)[skip:], got.payload.to_bytes())
            )
            while not stopped():
                time.sleep(EVERY_MS / 1e3)
            subscriber.undeclare()


class Dds(Bus):
    """Cyclone DDS by its Python binding: reliable, keep all."""

    name = "DDS"
    modules: ClassVar = {"cyclonedds": "cyclonedds"}

    def _topic(self, where: Where) -> tuple[Any, Any, Any, Any]:
        os.environ["CYCLONEDDS_URI"] = (
            "<CycloneDDS><Domain id='any'><General><Interfaces><NetworkInterface name='lo' "
            "multicast='true'/></Interfaces><AllowMulticast>true</AllowMulticast></General>"
            "</Domain></CycloneDDS>"
        )
        from cyclonedds.core import Policy, Qos
        from cyclonedds.domain import DomainParticipant
        from cyclonedds.topic import Topic
        from cyclonedds.util import duration

        from benchmarks.peers.message import Message

        participant = DomainParticipant(where["ports"][0] % 200)
        reliable = Policy.Reliability.Reliable(duration(seconds=5))
        qos = Qos(reliable, Policy.History.KeepAll)
        return participant, Topic(participant, "load", Message, qos=qos), qos, Message

    @contextmanager
    def sending(self, where: Where, number: int = 0) -> Iterator[Sender]:
        """Make a writer."""
        from cyclonedds.pub import DataWriter

        participant, topic, qos, message = self._topic(where)
        writer = DataWriter(participant, topic, qos=qos)

        class Writing:
            def send(self, name: str, data: bytes) -> None:
                writer.write(message(name=name, data=data))

            def flush(self) -> None:
                """It sends at once."""

        yield Writing()

    def receive(self, where: Where, take: Take, stopped: Callable[[], bool]) -> None:
        """Take from a reader as its wait set says."""
        from cyclonedds.core import InstanceState, ReadCondition, SampleState, ViewState, WaitSet
        from cyclonedds.sub import DataReader
        from cyclonedds.util import duration

        participant, topic, qos, message = self._topic(where)
        reader = DataReader(participant, topic, qos=qos)
        waiting = WaitSet(participant)
        anything = SampleState.Any | ViewState.Any | InstanceState.Any
        waiting.attach(ReadCondition(reader, anything))
        while not stopped():
            if waiting.wait(duration(milliseconds=EVERY_MS)):
                for got in reader.take(N=128):
                    if isinstance(got, message):
                        take(got.name, bytes(got.data))


class Ros2(Bus):
    """rclpy over Fast DDS: reliable, one topic a name, on this host only."""

    name = "ROS 2"

    def absent(self) -> str:
        """Say so when it is not there."""
        return "" if ros_packages() is not None else "ros-rclpy in an environment of its own"

    def _node(self, where: Where) -> tuple[Any, Any, Any]:
        import sys

        sys.path.append(str(ros_packages()))
        os.environ["ROS_DOMAIN_ID"] = str(where["ports"][0] % 100)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["ROS_LOG_DIR"] = where["folder"]
        rclpy = importlib.import_module("rclpy")
        message = importlib.import_module("std_msgs.msg").UInt8MultiArray
        rclpy.init()
        return rclpy, rclpy.create_node(f"node{os.getpid()}"), message

    @contextmanager
    def serve(self, folder: Path) -> Iterator[Where]:
        """It has no broker."""
        yield {"ports": free_ports(1), "folder": str(folder)}

    @contextmanager
    def sending(self, where: Where, number: int = 0) -> Iterator[Sender]:
        """Make a publisher for each name."""
        _, node, message = self._node(where)
        topics = {name: node.create_publisher(message, PREFIX + name, DEPTH) for name in NAMES}

        class Publishing:
            def send(self, name: str, data: bytes) -> None:
                topics[name].publish(message(data=array("B", data)))

            def flush(self) -> None:
                """It sends at once."""

        yield Publishing()

    def receive(self, where: Where, take: Take, stopped: Callable[[], bool]) -> None:
        """Spin a node that listens to every name."""
        rclpy, node, message = self._node(where)

        def listen(name: str) -> None:
            node.create_subscription(message, PREFIX + name, lambda m: take(name, m.data), DEPTH)

        for name in NAMES:
            listen(name)
        executor = rclpy.executors.SingleThreadedExecutor()
        executor.add_node(node)
        while not stopped():
            executor.spin_once(timeout_sec=EVERY_MS / 1e3)


class Nats(Bus):
    """nats-server and nats-py; the harness speaks to it from the event loop.

    Args:
        uvloop: on uvloop, as ours is, and not on asyncio's own loop.
    """

    modules: ClassVar = {"nats": "nats-py"}
    program = "nats-server"

    def __init__(self, uvloop: bool) -> None:
        self.uvloop = uvloop
        self.name = "NATS, uvloop" if uvloop else "NATS"

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on its event loop."""
        if self.uvloop:
            import uvloop

            uvloop.run(work)
        else:
            asyncio.run(work)

    @contextmanager
    def serve(self, folder: Path) -> Iterator[Where]:
        """Run the server with room for pictures and for slow readers."""
        (port,) = free_ports(1)
        conf = folder / "nats.conf"
        conf.write_text(
            f"listen: 127.0.0.1:{port}\nmax_payload: 8MB\nmax_pending: 512MB\n"
            'write_deadline: "10s"\n'
        )
        with running(["nats-server", "-c", str(conf)], port, folder / "log"):
            yield {"port": port}

    @staticmethod
    async def connect(where: Where) -> Any:
        """Return a connection."""
        import nats

        return await nats.connect(f"nats://127.0.0.1:{where['port']}", pending_size=32 << 20)

    @staticmethod
    async def subscribe(client: Any, take: Take) -> None:
        """Give every message to `take`."""
        skip = len(PREFIX)

        async def got(message: Any) -> None:
            take(message.subject[skip:], message.data)

        await client.subscribe(
            PREFIX.replace("/", ".") + ">",
            cb=got,
            pending_msgs_limit=UNBOUNDED,
            pending_bytes_limit=UNBOUNDED,
        )
        await client.flush()

    @staticmethod
    async def send(client: Any, name: str, data: bytes) -> None:
        """Publish one message."""
        await client.publish(PREFIX.replace("/", ".") + name, data)


PEERS: dict[str, Bus] = {
    "proxy": Proxy(),
    "nats": Nats(uvloop=False),
    "nats-uvloop": Nats(uvloop=True),
    "mqtt": Mqtt(),
    "redis": Redis(),
    "zenoh": Zenoh(),
    "dds": Dds(),
    "ros2": Ros2(),
}
