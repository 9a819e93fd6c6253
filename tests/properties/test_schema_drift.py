"""Columns that move, come and go between the files of a run change no value; what could mean two things is refused."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import FileRefused
from pipeline.reading.column_names import DELIMITERS, NO_NAMES, Names
from pipeline.reading.header import Header, read_header
from tests.examples import tries
from tests.harness import HEADER, IN_MEMORY, Harness

NAMES = HEADER.decode().strip().split(",")
WANTED = {
    "log_id": ("log_id", "event_id"),
    "user_id": ("user_id", "uid"),
    "ip_address": ("ip_address", "ip"),
    "watch_time": ("watch_time(min)", "minutes"),
}
OPTIONAL = {"column device_type": ("device_type",), "column absent": ("absent",)}
extras = st.lists(st.sampled_from(["", "x", "x", "LOG_ID", "watch_time", "é", "país"]), max_size=4)
events = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["ann", "bob"]), st.just("2026-01-01T00:00:00Z"),
        st.just("v"), st.just("tv"), st.sampled_from(["1.1.1.1", "1.1.1.2", "x"]), st.sampled_from(["1", "2.5", "bad"]),
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip


def find(header: str, optional: Names = NO_NAMES, wanted: Names = WANTED) -> Header:
    """The header of a file whose first line is ``header``."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        path = Path(folder) / "a.csv"
        path.write_text(header + "\n")
        found = read_header(path, wanted, 4096, optional)
    assert found
    return found


@given(st.data(), st.sampled_from(DELIMITERS))
def test_every_order_alias_and_surplus_is_understood(data: st.DataObject, delimiter: str) -> None:
    chosen = {role: data.draw(st.sampled_from(names)) for role, names in WANTED.items()}
    names = data.draw(st.permutations([*chosen.values(), "device_type", *data.draw(extras)]))
    header = find(delimiter.join(names), OPTIONAL)
    assert header.delimiter == delimiter
    assert header.names == tuple(names)
    expected = {role: names.index(name) for role, name in chosen.items()}
    assert header.columns == expected | {"column device_type": names.index("device_type")}


@given(st.data())
def test_two_columns_for_one_role_are_refused_whatever_their_order(data: st.DataObject) -> None:
    role, (own, other) = data.draw(st.sampled_from(list(WANTED.items())))
    twice = data.draw(st.sampled_from([own, other]))
    names = data.draw(st.permutations([*(aliases[0] for aliases in WANTED.values()), twice]))
    with pytest.raises(FileRefused) as refused:
        find(",".join(names))
    if twice == own:
        assert f"more than one column named {own!r}" in str(refused.value)
    else:
        assert f"more than one column for {role}" in str(refused.value)
        assert f"{role.upper()}_COLUMN" in str(refused.value)


def test_two_columns_of_a_rule_are_refused_too() -> None:
    names = [aliases[0] for aliases in WANTED.values()]
    with pytest.raises(FileRefused, match="more than one column named 'device_type'"):
        find(",".join([*names, "device_type", "device_type"]), OPTIONAL)


@pytest.mark.parametrize(
    ("there", "wanted", "message"),
    [
        (
            "Event ID",
            "log_id",
            r"missing 'log_id' under .* Is 'Event ID' the 'log_id'\? Then .* LOG_ID_COLUMN\.",
        ),
        ("USERID", "user_id", r"Is 'USERID' the 'user_id'\? Then add it to USER_ID_COLUMN\."),
        (
            "client_ip_address",
            "ip_address",
            r"Is 'client_ip_address' the 'ip_address'\? Then .* IP_ADDRESS_COLUMN",
        ),
        ("Watch-Time (min.)", "watch_time", r"Is 'Watch-Time \(min.\)' the .* Then add it to WATCH_TIME_COLUMN"),
        ("shoe size", "watch_time", r"missing 'watch_time\(min\)' under"),
    ],
)
def test_a_renamed_column_is_guessed_for_the_user_and_never_taken(there: str, wanted: str, message: str) -> None:
    names = [there if role == wanted else aliases[0] for role, aliases in WANTED.items()]
    with pytest.raises(FileRefused, match=message) as refused:
        find("made by x; y\n\n" + ",".join(["video_id", *names]))
    assert f"Line 3 has: video_id, {', '.join(names)}." in str(refused.value)


def test_a_rule_without_its_column_names_the_setting() -> None:
    names = [aliases[0] for aliases in WANTED.values()]
    with pytest.raises(FileRefused, match=r"Is 'De-vice' the 'device'\? Then name it in RECORD_RULES"):
        find(",".join([*names, "De-vice"]), wanted=WANTED | {"column device": ("device",)})


@tries(60)
@given(st.data(), st.lists(events, min_size=1, max_size=3))
def test_a_run_over_drifting_files_equals_one_over_plain_files(
    data: st.DataObject, files: list[list[tuple[str, ...]]]
) -> None:
    plain, drifting = [], []
    for rows in files:
        plain.append(HEADER + "".join(",".join(row) + "\n" for row in rows).encode())
        surplus = data.draw(extras)
        names = [*NAMES, *surplus]
        order = data.draw(st.permutations(range(len(names))))
        delimiter = data.draw(st.sampled_from(DELIMITERS))
        lines = [names, *([*row, *("?" for _ in surplus)] for row in rows)]
        drifting.append("".join(delimiter.join(line[column] for column in order) + "\n" for line in lines).encode())
    with Harness(plain) as harness:
        expected = harness.run()
    with Harness(drifting) as harness:
        found = harness.run()
    for name in ("totals", "records", "kept", "duplicates", "conflicts", "rejected", "users"):
        assert getattr(found, name) == getattr(expected, name), name
