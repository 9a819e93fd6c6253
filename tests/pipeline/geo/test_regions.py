"""Tables of regions: what a valid one gives, and the line that makes one invalid."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.geo.regions import CONTINENT_OF_CODE, CONTINENTS_CSV, is_text_to_readers, read_regions
from pipeline.publish.region_files import partition_folder
from tests.names_of_regions import OF_ANOTHER_TYPE, TEXTS


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "regions.csv"


def test_comments_blank_lines_quotes_and_a_byte_order_mark(table: Path) -> None:
    text = '# ours\ncountry,region\n\nDE,EMEA\nFR,EMEA\n# America\nUS,"A, M/R"\nJP,État ü\n'
    table.write_text(text, encoding="utf-8-sig")
    assert read_regions(table) == {"DE": "EMEA", "FR": "EMEA", "US": "A, M/R", "JP": "État ü"}


def test_the_longest_name(table: Path) -> None:
    table.write_text(f"country,region\nDE,{'x' * 64}\n")
    assert read_regions(table) == {"DE": "x" * 64}


def test_the_longest_name_in_bytes_is_that_of_a_folder(table: Path, tmp_path: Path) -> None:
    name = "𝕏" * 61
    table.write_text(f"country,region\nDE,{name}\n", encoding="utf-8")
    assert read_regions(table) == {"DE": name}
    (tmp_path / partition_folder(name)).mkdir()
    table.write_text("country,region\nDE,{}\n".format("é" * 32 + ":" * 32), encoding="utf-8")
    (tmp_path / partition_folder(read_regions(table)["DE"])).mkdir()


def test_spellings_that_look_the_same_are_one_region(table: Path) -> None:
    """é as one character (NFC) and as e with an accent (NFD); Å as the sign of the unit, too."""
    composed, taken_apart = "Am\u00e9rica \u00c5", "Ame\u0301rica A\u030a"
    table.write_text(f"country,region\nUS,{composed}\nBR,{taken_apart}\nMX,Am\u00e9rica \u212b\n", encoding="utf-8")
    assert read_regions(table) == dict.fromkeys(("US", "BR", "MX"), composed)
    table.write_text(f"country,region\nUS,{taken_apart}\n", encoding="utf-8")
    assert read_regions(table) == {"US": composed}
    table.write_text(f"country,region\nUS,{composed}\nBR,{taken_apart.upper()}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 3: .*one spelling"):
        read_regions(table)


INVALID = {
    "nothing": ("", 1, "no country is listed"),
    "header alone": ("country,region\n", 1, "no country is listed"),
    "other header": ("land,region\nDE,EMEA\n", 1, "the header is 'land,region'"),
    "one field": ("country,region\nDE\n", 2, "1 fields"),
    "three fields": ("country,region\nDE,EMEA,x\n", 2, "3 fields"),
    "small letters": ("country,region\nDE,EMEA\nde,EMEA\n", 3, "country 'de'"),
    "a name of a country": ("country,region\nGermany,EMEA\n", 2, "country 'Germany'"),
    "a country twice": ("country,region\nDE,EMEA\n\nDE,APAC\n", 4, "country DE for the second time"),
    "empty region": ("country,region\nDE,\n", 2, "1 to 64 printable"),
    "white space": ("country,region\nDE, EMEA\n", 2, "1 to 64 printable"),
    "digits": ("country,region\nDE,01\n", 2, "a name with a letter"),
    "a date": ("country,region\nDE,2026-01-01\n", 2, "a name with a letter"),
    "hive's null": ("country,region\nDE,__HIVE_DEFAULT_PARTITION__\n", 2, "a name with a letter"),
    "a number to some readers": ("country,region\nFR,EMEA\nDE,1e5\n", 3, "takes for a number"),
    "a tabulator": ("country,region\nDE,E\tA\n", 2, "1 to 64 printable"),
    "65 characters": (f"country,region\nDE,{'x' * 65}\n", 2, "1 to 64 printable"),
    "245 bytes": (f"country,region\nDE,{'𝕏' * 61}x\n", 2, "at most 244 bytes"),
    "64 characters of 4 bytes": (f"country,region\nDE,{'𝕏' * 64}\n", 2, "at most 244 bytes"),
    "reserved": ("country,region\nDE,PRIVATE\n", 2, "a name other than INVALID, PRIVATE, UNKNOWN"),
    "reserved, in another case": ("country,region\nDE,Unknown\n", 2, "a name other than INVALID, PRIVATE, UNKNOWN"),
    "two spellings": ("country,region\nDE,Emea\nFR,EMEA\n", 3, "region 'EMEA' beside 'Emea'"),
}


@pytest.mark.parametrize(("content", "line", "reason"), INVALID.values(), ids=INVALID)
def test_the_first_line_that_breaks_a_rule_is_named(table: Path, content: str, line: int, reason: str) -> None:
    table.write_text(content)
    with pytest.raises(ConfigError) as raised:
        read_regions(table)
    assert str(raised.value).startswith(f"GEO_REGIONS: {table} line {line}: found ")
    assert reason in str(raised.value)
    assert str(raised.value).endswith("Correct that line and run again.")


@pytest.mark.parametrize("content", [None, b"country,region\nDE,\xe4\n"], ids=["missing", "not UTF-8"])
def test_an_unreadable_table_is_named(table: Path, content: bytes | None) -> None:
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot read .*regions\.csv"):
        read_regions(table)


def test_the_shipped_table_is_of_continents() -> None:
    regions = read_regions(CONTINENTS_CSV)
    assert len(regions) > 240
    assert {regions[code] for code in ("DE", "FR", "GB")} == {"Europe"}
    assert (regions["US"], regions["BR"], regions["JP"], regions["EG"]) == (
        *("North America", "South America"),
        *("Asia", "Africa"),
    )
    assert set(regions.values()) == set(CONTINENT_OF_CODE.values())


@pytest.mark.parametrize("name", OF_ANOTHER_TYPE)
def test_a_name_that_a_reader_takes_for_a_value_of_another_type_is_refused(name: str, table: Path) -> None:
    assert not is_text_to_readers(name)
    table.write_text(f'country,region\nDE,"{name}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 2: found region .*Correct that line"):
        read_regions(table)


@pytest.mark.parametrize("name", TEXTS)
def test_a_name_that_is_text_to_every_reader_is_taken(name: str, table: Path) -> None:
    table.write_text('country,region\nDE,"{}"\n'.format(name.replace('"', '""')), encoding="utf-8")
    assert read_regions(table) == {"DE": name}
