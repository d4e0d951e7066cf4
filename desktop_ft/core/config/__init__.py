"""The configuration of a run: one frozen tree, declared once, with its YAML, its checks and its draft."""

from desktop_ft.core.config.check import SETTINGS as SETTINGS
from desktop_ft.core.config.check import problems_of as problems_of
from desktop_ft.core.config.check import validate as validate
from desktop_ft.core.config.draft import Draft as Draft
from desktop_ft.core.config.fields import SettingInfo as SettingInfo
from desktop_ft.core.config.files import config_from_values as config_from_values
from desktop_ft.core.config.files import dump_config as dump_config
from desktop_ft.core.config.files import json_schema as json_schema
from desktop_ft.core.config.files import load_config as load_config
from desktop_ft.core.config.files import parse_override as parse_override
from desktop_ft.core.config.files import save_config as save_config
from desktop_ft.core.config.files import set_value as set_value
from desktop_ft.core.config.schema import DEMO as DEMO
from desktop_ft.core.config.schema import SCHEMA_VERSION as SCHEMA_VERSION
from desktop_ft.core.config.schema import RunConfig as RunConfig
