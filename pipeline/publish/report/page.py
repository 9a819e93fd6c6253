"""The report as one HTML page: tables, and charts that the script within the page draws."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from pipeline.publish.report.charts import Record, chart_data
from pipeline.publish.report.html import Html, cut, escape, joined, linked, script_json
from pipeline.publish.report.observed import Observed
from pipeline.publish.report.record_sections import (
    files_section,
    flow_section,
    notices_section,
    quality_section,
    regions_section,
    rejected_section,
    summary,
)
from pipeline.publish.report.run_sections import (
    Earlier,
    earlier_runs_section,
    plan_section,
    settings_section,
    time_section,
)
from pipeline.publish.report.samples import Sample

ASSETS = Path(__file__).parent / "assets"


def render(record: Record, observed: Observed, samples: Mapping[str, Sequence[Sample]], earlier: Earlier) -> str:
    """The page of a run.

    ============  ==============================================================
    ``record``    what ``run.json`` holds
    ``observed``  times and sizes that the record does not have
    ``samples``   of rejected records, by reason
    ``earlier``   the runs before this one
    ============  ==============================================================
    """
    sections: list[Html | None] = [
        summary(record),
        notices_section(record),
        quality_section(record),
        flow_section(record),
        regions_section(record),
        rejected_section(record, samples),
        time_section(record, observed),
        plan_section(record, observed),
        earlier_runs_section(record, earlier),
        files_section(record),
        settings_section(record),
    ]
    return Template((ASSETS / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"Logmill run {record['run_id']}"),
        style=(ASSETS / "page.css").read_text(encoding="utf-8"),
        body=joined(section for section in sections if section).text,
        attribution=linked(cut(f"{record['geo_attribution']} ({record['geo_build']})")).text,
        data=script_json(chart_data(record, observed, earlier.records)),
        library=(ASSETS / "echarts.min.js").read_text(encoding="utf-8"),
        script=(ASSETS / "page.js").read_text(encoding="utf-8"),
    )
