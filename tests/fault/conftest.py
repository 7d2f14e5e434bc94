"""The fault rounds have the fixtures of the scenarios."""
import importlib.util
import os

_path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scenario", "conftest.py")
_spec = importlib.util.spec_from_file_location("scenario_conftest", _path)
_scenario = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_scenario)
fleet, new_fleet = _scenario.fleet, _scenario.new_fleet
