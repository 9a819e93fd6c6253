"""An object is read as a file: from any byte, ahead, over cut connections, and never with other bytes."""

import io
import random
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from pipeline.reading.header import read_header
from pipeline.storage import faults, reader
from pipeline.storage.objects import look_at, write_object
from pipeline.storage.reader import ObjectReader, open_object, read_range
from pipeline.storage.urls import ObjectUrl
from tests.storage_servers import answer_with, found_at, odd_server

DATA = random.Random(1).randbytes(9_000_000)


@pytest.fixture
def url(bucket: str) -> str:
    write_object(f"{bucket}/log.csv", DATA)
    return f"{bucket}/log.csv"


def test_reads_are_those_of_a_file(url: str) -> None:
    with open_object(url) as stream:
        assert stream.read(10) == DATA[:10]
        assert stream.readline() == DATA[10 : DATA.index(b"\n", 10) + 1]
        stream.seek(8_999_990)
        assert stream.read(100) == DATA[-10:]
        assert stream.read(100) == b""
        assert stream.seek(0, 2) == len(DATA)
        position = stream.seek(1_000_000)
        while chunk := stream.read(2**21):
            assert chunk == DATA[position : position + 2**21]
            position += len(chunk)
        assert position == len(DATA)


class Requests:
    """A server of one object that counts requests and what is under way, and may cut connections."""

    def __init__(self, data: bytes, cut_every: int = 0) -> None:
        self.data, self.cut_every = data, cut_every
        self.ranges: list[tuple[int, int]] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "HEAD":
            return answer_with(handler, 200, self.data, ETag='"v1"', Last_Modified="Mon, 30 Nov 2026 10:00:00 GMT")
        first, last = map(int, re.findall(r"\d+", handler.headers["Range"]))
        with self._lock:
            self.ranges.append((first, last + 1))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        body = self.data[first : last + 1]
        handler.send_response(206)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Content-Range", f"bytes {first}-{last}/{len(self.data)}")
        handler.send_header("ETag", '"v1"')
        handler.send_header("Last-Modified", "Mon, 30 Nov 2026 10:00:00 GMT")
        handler.end_headers()
        with self._lock:
            self.at_once -= 1
        if self.cut_every and len(body) > self.cut_every:
            handler.wfile.write(body[: self.cut_every])
            handler.wfile.flush()
            handler.connection.close()
            handler.close_connection = True
        else:
            handler.wfile.write(body)
        return None


def read_all(url: str, stop: int | None = None) -> bytes:
    pieces = []
    with open_object(url, stop) as stream:
        while piece := stream.read(2**20):
            pieces.append(piece)
    return b"".join(pieces)


def test_a_connection_that_is_cut_goes_on_where_it_ended() -> None:
    server = Requests(DATA[:3_000_000], cut_every=300_000)
    with odd_server(server.answer) as endpoint, found_at(endpoint):
        assert read_all("s3://bucket/log.csv") == DATA[:3_000_000]
    assert len(server.ranges) >= 10
    assert sum(stop - start for start, stop in server.ranges) < 30_000_000
    starts = [start for start, _ in server.ranges]
    assert starts == sorted(starts), "no byte is read twice"


def test_a_connection_that_is_always_cut_is_told() -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Length", "100")
        handler.send_header("Content-Range", "bytes 0-99/100")
        handler.send_header("ETag", '"v1"')
        handler.send_header("Last-Modified", "Mon, 30 Nov 2026 10:00:00 GMT")
        handler.end_headers()
        handler.wfile.flush()
        handler.connection.close()
        handler.close_connection = True

    told = pytest.raises(faults.StorageFault, match="the connection is cut again and again")
    with odd_server(cut) as endpoint, found_at(endpoint), told:
        read_range(ObjectUrl("s3://bucket/log.csv", 100, 0, '"v1"'), 0, 100)


def test_reading_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: list[int] = []

    def stream(_: ObjectUrl, start: int, stop: int) -> Iterator[bytes]:
        for position in range(start, stop, 1000):
            pulled.append(position)
            yield DATA[position : min(position + 1000, stop)]

    monkeypatch.setattr(reader, "stream_range", stream)
    monkeypatch.setattr(reader, "FIRST_BYTES", 1000)
    monkeypatch.setattr(reader, "CHUNK_BYTES", 1000)
    found = ObjectUrl("s3://bucket/log.csv", 1_000_000, 0, '"v1"')
    with ObjectReader(found) as raw:
        for number in range(300):
            assert raw.read(1000) == DATA[number * 1000 : number * 1000 + 1000]
            assert len(pulled) <= number + 1 + reader.AHEAD + 1


def test_readers_of_chunks_go_back_to_the_last_line_without_a_request() -> None:
    server = Requests(DATA)
    with odd_server(server.answer) as endpoint, found_at(endpoint), open_object("s3://bucket/log.csv") as stream:
        position = 0
        while position < 8_000_000:
            stream.seek(position)
            assert stream.read(700_000) == DATA[position : position + 700_000]
            position += 700_000 - 1 - position % 997
    assert len(server.ranges) <= 2


def test_a_stream_goes_on_over_small_gaps() -> None:
    server = Requests(DATA)
    with odd_server(server.answer) as endpoint, found_at(endpoint), open_object("s3://bucket/log.csv") as stream:
        assert stream.read(100_000) + stream.read(100_000) == DATA[:200_000]
        for place in range(300_000, 8_500_000, 700_000):
            stream.seek(place)
            assert stream.read(50_000) == DATA[place : place + 50_000]
        stream.seek(1_000_000)
        assert stream.read(50_000) == DATA[1_000_000:1_050_000]
    assert len(server.ranges) <= 4


def test_nothing_behind_the_stop_is_read_ahead() -> None:
    server = Requests(DATA)
    with (
        odd_server(server.answer) as endpoint,
        found_at(endpoint),
        open_object("s3://bucket/log.csv", stop=4_000_000) as stream,
    ):
        position = 0
        while position < 4_000_000:
            position += len(stream.read(300_000))
        assert stream.read(100) == DATA[position : position + 100]
    assert max(stop for _, stop in server.ranges) <= 4_200_000 + reader.FIRST_BYTES
    assert len(server.ranges) <= 6


def test_a_part_of_a_log_takes_two_requests() -> None:
    """As splits are read: the end of a line, what lies before it, all records, and the end of the last one."""
    server, start, stop = Requests(DATA), 2_000_000, 6_000_000
    with odd_server(server.answer) as endpoint, found_at(endpoint), open_object("s3://b/log.csv", stop) as stream:
        stream.seek(start - 1)
        line = stream.readline()
        stream.seek(start - 16_384)
        assert stream.read(16_384) == DATA[start - 16_384 : start]
        stream.seek(start - 1 + len(line))
        read = stream.read(stop - stream.tell()) + stream.read(1000)
        assert read == DATA[start - 1 + len(line) : stop + 1000]
    assert [first for first, _ in server.ranges] == [start - 1 - reader.BEFORE_BYTES, start - 1 + reader.FIRST_BYTES]
    assert server.ranges[-1][1] == stop + reader.FIRST_BYTES


def test_looks_at_a_few_places_take_few_bytes() -> None:
    server = Requests(DATA)
    with odd_server(server.answer) as endpoint, found_at(endpoint), open_object("s3://bucket/log.csv") as stream:
        for place in (0, 8_000_000, 2_000_000, 4_000_000):
            stream.seek(place)
            assert stream.read(16_384) == DATA[place : place + 16_384]
    assert sum(stop - start for start, stop in server.ranges) <= 4 * reader.FIRST_BYTES


def test_an_object_that_changes_is_told(url: str) -> None:
    found = look_at(url)
    with open_object(found) as stream:
        assert stream.read(100) == DATA[:100]
        write_object(url, DATA[::-1])
        stream.seek(5_000_000)
        with pytest.raises(OSError, match="it changed while it was read") as told:
            stream.read(100)
    assert told.value.errno == faults.CHANGED


def test_any_order_of_reads_finds_the_bytes_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"FIRST_BYTES": 500, "BEFORE_BYTES": 300, "CHUNK_BYTES": 1000, "SKIPPED_BYTES": 3000, "BEHIND_BYTES": 400}
    for name, size in sizes.items():
        monkeypatch.setattr(reader, name, size)

    def stream(_: ObjectUrl, start: int, stop: int) -> Iterator[bytes]:
        for position in range(start, stop, 300):
            yield DATA[position : min(position + 300, stop)]

    monkeypatch.setattr(reader, "stream_range", stream)
    found = ObjectUrl("s3://bucket/log.csv", 60_000, 0, '"v1"')
    for seed in range(20):
        dice = random.Random(seed)
        with io.BytesIO(DATA[:60_000]) as file, io.BufferedReader(ObjectReader(found, 40_000), 64) as stream_:
            for _ in range(200):
                near = file.tell() + dice.randint(-600, 4000)
                place = dice.choice([file.tell(), max(0, near), max(0, near), dice.randrange(61_000)])
                size = dice.choice([1, 50, 700, 2500])
                assert stream_.seek(place) == file.seek(place)
                assert stream_.read(size) == file.read(size)


def test_a_server_without_etags_is_asked_whether_the_object_is_as_old() -> None:
    conditions: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        written = "Mon, 30 Nov 2026 10:00:00 GMT"
        if handler.command == "HEAD":
            return answer_with(handler, 200, DATA[:1000], Last_Modified=written)
        conditions.append(handler.headers["If-Unmodified-Since"])
        if len(conditions) > 1:
            return answer_with(handler, 412)
        return answer_with(
            handler, 206, DATA[:1000], Last_Modified=written, Content_Range="bytes 0-999/1000", ETag='"new"'
        )

    with odd_server(answer) as endpoint, found_at(endpoint):
        found = look_at("s3://bucket/log.csv")
        assert found.etag == ""
        assert read_range(found, 0, 1000) == DATA[:1000]
        with pytest.raises(OSError, match="it changed while it was read"):
            read_range(found, 0, 1000)
    assert conditions == ["Mon, 30 Nov 2026 10:00:00 GMT"] * 2


def test_a_look_at_a_header_asks_for_no_more_than_it_reads(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage sends a stream until it is told to stop, and works for it."""
    url = f"{bucket}/a.csv"
    write_object(url, b"log_id,user_id,ip_address,watch_time(min)\n" + b"1,u,8.8.8.8,1\n" * 20_000)

    def refuse(*_: object) -> None:
        raise AssertionError("a stream was begun")

    monkeypatch.setattr(reader, "_Stream", refuse)
    found = read_header(look_at(url), {name: (name,) for name in ("log_id", "user_id", "ip_address")}, 2**20)
    assert found
    assert found.data_start == 42
