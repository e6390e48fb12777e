"""What an action and its versions are made of."""

from typing import Annotated

from msgspec import UNSET, UnsetType

from freehold.domain.extensions.triggers import TriggerId
from freehold.kernel.declare import Length, OpenPart, Part

LONGEST_CODE = 100_000
DEFAULT_CODE = "module.exports = () => {}"


class ActionTrigger(Part):
    """A trigger the action is written for; the members of the catalogue are accepted and left out."""

    id: TriggerId
    version: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    runtimes: list[str] | UnsetType = UNSET
    default_runtime: str | UnsetType = UNSET
    compatible_triggers: list[dict[str, str]] | UnsetType = UNSET
    binding_policy: str | UnsetType = UNSET


class Dependency(Part):
    """An npm package by name and version."""

    name: Annotated[str, Length(1, 214)]
    version: Annotated[str, Length(1, 256)] = "latest"
    registry_url: Annotated[str, Length(0, 2048)] | UnsetType = UNSET
    """Kept and shown, and no more: where packages come from is the operator's setting."""


class ActionSecret(OpenPart):
    """A secret of an action: the value goes to the vault, the rest is kept and shown."""

    name: Annotated[str, Length(1, 128)]
    value: Annotated[str, Length(0, 4096)] | UnsetType = UNSET
    updated_at: str | UnsetType = UNSET


class ModuleReference(Part):
    """A module of shared code that the action includes."""

    module_id: str | UnsetType = UNSET
    module_name: str | UnsetType = UNSET
    module_version_id: str | UnsetType = UNSET
    module_version_number: int | UnsetType = UNSET


class BuildError(Part):
    """Why an action could not be built."""

    id: str
    msg: str
    url: str = ""
