"""What counts without being read: files used again, files not in the input, predecessors of refused files."""

from pipeline.history.carry_over import Intake, carry_over
from pipeline.history.inventory import Inventory
from pipeline.history.known_files import KnownFile, KnownSplit
from pipeline.history.known_list import FilesByPath
from pipeline.preprocess.ledger import FileLedger, Phase1Result
from pipeline.reading.input_files import InputFile
from tests.pipeline.history.samples import HEADER, counts, known_file


def file_of(id_: int, path: str, rows: int, **more: str) -> KnownFile:
    return known_file(id_, path, splits=(KnownSplit(id_, 16, 100, True, counts(handed_over=rows, rejected=0)),), **more)


REUSED = file_of(1, "/logs/b.csv", 10)
MISSING = file_of(2, "/logs/old.csv", 200, shown="logs/old.csv")
REPLACED = file_of(3, "/logs/c.csv", 3000)
OF_OTHER_SETTINGS = file_of(4, "/logs/d.csv", 40_000, fingerprint="old")
INTAKE = Intake(
    Inventory(
        reused=FilesByPath.of({"b.csv": REUSED}),
        fresh=("a.csv", "c.csv", "d.csv"),
        replaced={"c.csv": REPLACED, "d.csv": OF_OTHER_SETTINGS},
    ),
    (MISSING,),
)
READ = FileLedger(InputFile("a.csv", (100, 0, 0), HEADER), (), "hash of a")


def test_rows_of_files_that_are_not_read_are_known() -> None:
    assert INTAKE.known_rows == 210
    assert Intake(Inventory(), ()).known_rows == 0


def test_all_that_counts_is_in_order_of_its_path() -> None:
    counted = carry_over(INTAKE, Phase1Result((READ,), {}, 5), [7], "settings")
    assert [ledger.file.path for ledger in counted.phase1.ledgers] == ["a.csv", "b.csv", "logs/old.csv"]
    assert [ledger.handed_over for ledger in counted.phase1.ledgers] == [0, 10, 200]
    assert [ledger.at_hand for ledger in counted.phase1.ledgers] == [True, True, False]
    assert counted.phase1.resumed_splits == 5
    assert counted.read == (READ,)
    assert counted.ids == {7, 1, 2}
    assert counted.predecessors == {}


def test_a_refused_file_counts_as_it_did_before() -> None:
    refused = {"c.csv": "it is torn", "d.csv": "it is torn", "new.csv": "it has no header"}
    counted = carry_over(INTAKE, Phase1Result((READ,), refused), [7], "settings")
    assert counted.predecessors == {"c.csv": REPLACED}, "rows of other settings cannot be mixed in"
    assert [ledger.file.path for ledger in counted.phase1.ledgers] == ["/logs/c.csv", "a.csv", "b.csv", "logs/old.csv"]
    assert counted.ids == {7, 1, 2, 3}
    assert counted.phase1.refused == refused


def test_nothing_is_carried_over_into_a_first_run() -> None:
    counted = carry_over(Intake(Inventory(fresh=("a.csv",)), ()), Phase1Result((READ,)), [7], "settings")
    assert (counted.phase1.ledgers, counted.read, counted.ids) == ((READ,), (READ,), {7})
