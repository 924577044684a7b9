"""Which plugins' settings can change while their objects are in use, and how."""

from loguru import logger

from homeport.config.loading import plugin_config
from homeport.config.settings import Settings
from homeport.domain.errors import HomeportError, PluginError
from homeport.plugin.construction import Construction
from homeport.plugin.protocols import Reconfigurable
from homeport.plugin.registry import PluginRegistry

_RENEWED = frozenset({"routers", "guards", "validators"})
"""Kinds whose objects are built anew when their settings change; the gateway holds them and nobody else."""
_APART = "commands"
"""Kind that lives in processes of its own."""
_FIXED = "backends"
"""Kind whose objects, or workers, have their settings from the start."""


class Succession:
    """Tells what becomes of each table ``[plugins.NAME]`` when it changes.

    What only the gateway holds, and what keeps no state, is built anew. An object that is
    ``Reconfigurable`` is told. All else keeps its settings until the next start.

    Args:
        registry: What plugins declared.
        construction: What was built of that.
    """

    def __init__(self, registry: PluginRegistry, construction: Construction) -> None:
        self._construction = construction
        self._classes = registry.config_classes()
        self._readers: dict[str, set[str]] = {}
        self._keeping: set[str] = set()
        for kind, known in registry.kinds().items():
            for entry in known.values():
                self._readers.setdefault(entry.record.table, set()).add(kind)
                if entry.record.keeps_state:
                    self._keeping.add(entry.record.table)

    def may_change(self, table: str) -> bool:
        """Whether other settings of a table can be put in force while the host runs."""
        return self._is_renewed(table) or self._are_told(table)

    def reconfigure(self, old: Settings, new: Settings) -> None:
        """Tell objects of their new settings: all of them, or none.

        Raises:
            PluginError: One cannot go by them; names it.
        """
        told: list[tuple[Reconfigurable, object]] = []
        for table, cls in self._classes.items():
            before, after = plugin_config(old, table, cls), plugin_config(new, table, cls)
            if before == after or not self.may_change(table):
                continue
            for each in self._construction.built_for(table):
                if not isinstance(each, Reconfigurable):
                    continue
                try:
                    each.reconfigure(after)
                except Exception as error:
                    _take_back(told)
                    raise PluginError(f"[plugins.{table}] cannot be put in force: {error}") from error
                told.append((each, before))

    def _is_renewed(self, table: str) -> bool:
        readers = self._readers.get(table, set()) - {_APART}
        return readers <= _RENEWED and (not readers or table not in self._keeping)

    def _are_told(self, table: str) -> bool:
        if _FIXED in self._readers.get(table, ()):
            return False
        built = self._construction.built_for(table)
        return bool(built) and all(isinstance(each, Reconfigurable) for each in built)


def _take_back(told: list[tuple[Reconfigurable, object]]) -> None:
    for each, config in reversed(told):
        try:
            each.reconfigure(config)
        except Exception as error:  # noqa: BLE001 - the others go back all the same
            reason = error.message if isinstance(error, HomeportError) else repr(error)
            logger.error("{} did not take its old settings back: {}", type(each).__name__, reason)
