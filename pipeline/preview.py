"""What a run would do and whether it could begin, without one: nothing is changed."""

from config import Config
from pipeline.cache import cache_folder
from pipeline.engines.choose import choose_engine
from pipeline.fingerprint import fingerprint
from pipeline.forecast import Forecast, forecast
from pipeline.geo import GeoTable
from pipeline.intermediate import Workspace
from pipeline.outlook import FileState, Stock, take_stock
from pipeline.output import Output
from pipeline.pace import load_pace
from pipeline.planner import plan
from pipeline.record_rules import rule_columns
from pipeline.request import Request
from pipeline.setup import Setup


def check_before_work(config: Config) -> None:
    """Find early what would stop a run whatever its input: the output's place, Java, rules, the key, the geo table."""
    setup = Setup.of(config)
    Output(config.OUTPUT_DIR).check()
    choose_engine(config)
    setup.load_geo()


def plan_run(config: Config, request: Request) -> list[FileState]:
    """What a run would do with every file. Changes nothing; raises as a run would where it could not begin."""
    setup = Setup.of(config)
    return _take_stock(setup, request, setup.load_geo()).states


def forecast_run(config: Config, request: Request) -> Forecast:
    """What a run would do and take. Changes nothing; raises as a run would where it could not begin."""
    setup = Setup.of(config)
    engine, pace, geo = choose_engine(config).adder(config), load_pace(cache_folder()), setup.load_geo()
    columns = rule_columns(setup.rules, setup.columns)
    stock = _take_stock(setup, request, geo)
    return forecast(config, stock, geo, columns, engine=engine, compiled=setup.plain, pace=pace)


def _take_stock(setup: Setup, request: Request, geo: GeoTable) -> Stock:
    config = setup.config
    job = setup.make_job(Workspace(config.INTERMEDIATE_DIR), plan(config, [], spark=False), geo, None)
    return take_stock(config, request, fingerprint(job, setup.columns))
