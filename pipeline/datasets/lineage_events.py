"""Tells a catalogue of data about a run, in the events of OpenLineage: what it read, made and found.

Nothing of this fails a run: what cannot be sent becomes a note. The terms are those of https://openlineage.io/spec.
"""

import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.datasets.result import JobResult
from pipeline.datasets.tasks import Setting
from pipeline.sources.databases.address import is_database, parse_address
from pipeline.storage.urls import is_url, split_url
from pipeline.versions.folders import begin_of

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

    from pipeline.datasets.job import Job

API_KEY = "OPENLINEAGE_API_KEY"
"""The environment variable with the key for the address, as OpenLineage's own clients know it."""
_PRODUCER = "urn:logmill"
_SECONDS = 5.0


def tell_lineage(job: "Job", settings: Mapping[str, Setting], source: str, result: JobResult) -> str:
    """Send two events, of the beginning and the end of a run. Returns why that was not possible; empty: it was."""
    import attrs
    from openlineage.client.event_v2 import RunState

    end = RunState.FAIL if result.error else RunState.COMPLETE
    begin = begin_of(result.run_id)
    try:
        client = _open_client(str(settings["lineage_to"]))
        event = _event(job, str(settings["lineage_namespace"]), source, result)
        for state, moment in ((RunState.START, begin), (end, datetime.now(UTC).replace(tzinfo=None))):
            client.emit(attrs.evolve(event, eventType=state, eventTime=f"{moment.isoformat()}Z"))
    except Exception as fault:
        return f"the lineage was not sent: {type(fault).__name__}"
    return ""


def _open_client(to: str) -> Any:
    from openlineage.client import OpenLineageClient

    if not to.startswith(("http://", "https://")):
        from openlineage.client.transport.file import FileConfig, FileTransport

        Path(to).absolute().parent.mkdir(parents=True, exist_ok=True)
        return OpenLineageClient(transport=FileTransport(FileConfig(str(Path(to).absolute()), append=True)))
    from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport

    parts = urlsplit(to)
    key = os.environ.get(API_KEY)
    options: dict[str, Any] = {"auth": ApiKeyTokenProvider({"apiKey": key})} if key else {}
    if parts.path.strip("/"):
        options["endpoint"] = parts.path.lstrip("/")
    address = f"{parts.scheme}://{parts.netloc}"
    return OpenLineageClient(transport=HttpTransport(HttpConfig(address, timeout=_SECONDS, **options)))


def _event(job: "Job", namespace: str, source: str, result: JobResult) -> "RunEvent":
    """What the events of a run have in common."""
    from openlineage.client.event_v2 import Job as JobFact
    from openlineage.client.event_v2 import Run, RunEvent
    from openlineage.client.facet_v2 import documentation_job, error_message_run, nominal_time_run

    facets: dict[str, Any] = {"nominalTime": nominal_time_run.NominalTimeRunFacet(f"{result.as_of}Z")}
    if result.error:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(result.error, "Python")
    about = {"documentation": documentation_job.DocumentationJobFacet(job.description)}
    return RunEvent(
        eventTime=f"{begin_of(result.run_id).isoformat()}Z",
        producer=_PRODUCER,
        run=Run(str(uuid.uuid5(uuid.NAMESPACE_URL, result.run_id)), facets),
        job=JobFact(namespace, job.name, about),  # type: ignore[arg-type] # facets of one kind
        inputs=[_input(job, name, source) for name in result.sources],
        outputs=[_output(job, name, source, result) for name in result.tables],
    )


def _input(job: "Job", name: str, source: str) -> "InputDataset":
    from openlineage.client.event_v2 import InputDataset

    namespace, path = _place_of_source(job, name, source)
    return InputDataset(namespace, path, facets={"schema": _schema(job.sources[name].contract.columns)})


def _output(job: "Job", name: str, source: str, result: JobResult) -> "OutputDataset":
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import column_lineage_dataset as columns
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality
    from openlineage.client.facet_v2 import dataset_version_dataset, documentation_dataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    from pipeline.datasets.column_lineage import column_lineage

    one = job.datasets[name]
    where = {
        **{given: _place_of_source(job, given, source) for given in job.sources},
        **{made: _place_of_table(result.output, found.place) for made, found in result.tables.items()},
    }
    facets: dict[str, Any] = {
        "schema": _schema(one.contract.columns),
        "documentation": documentation_dataset.DocumentationDatasetFacet(one.description),
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(result.run_id),
        "dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet([
            quality.Assertion(check.check, check.outcome == "ok") for check in result.checks if check.table == name
        ]),
    }  # fmt: skip
    if lineage := column_lineage(job, one):
        facets["columnLineage"] = columns.ColumnLineageDatasetFacet({
            column: columns.Fields([columns.InputField(*where[given], field) for given, field in found])
            for column, found in lineage.items()
        })  # fmt: skip
    rows = statistics.OutputStatisticsOutputDatasetFacet(rowCount=result.tables[name].rows)
    return OutputDataset(*where[name], {"outputStatistics": rows}, facets=facets)


def _schema(columns: Mapping[str, Any]) -> Any:
    from openlineage.client.facet_v2 import schema_dataset

    return schema_dataset.SchemaDatasetFacet([
        schema_dataset.SchemaDatasetFacetFields(name, type(column).__name__, column.description)
        for name, column in columns.items()
    ])  # fmt: skip


def _place_of_source(job: "Job", name: str, source: str) -> tuple[str, str]:
    """Namespace and name, as OpenLineage names what lies there."""
    declared = job.sources[name]
    if is_database(source):
        address = parse_address(source)
        scheme = "postgres" if address.system == "postgresql" else address.system
        port = f":{address.port}" if address.port else ""
        return f"{scheme}://{address.host}{port}", ".".join(filter(None, (address.database, declared.table or name)))
    return _place_of_table(source, declared.path)


def _place_of_table(place: str, path: str) -> tuple[str, str]:
    if is_url(path) or is_url(place):
        bucket, key = split_url(path if is_url(path) else f"{place.rstrip('/')}/{path}")
        return bucket, key
    return "file", str(Path(place).absolute() / path)
