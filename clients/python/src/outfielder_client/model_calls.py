"""The calls on stored models, once, as programs."""

from typing import Any

from outfielder_client.connection import Connection, locate
from outfielder_client.effects import Items, Program
from outfielder_client.uploads import delete


class ModelCalls:
    """Models, their versions and aliases."""

    connection: Connection

    def models(self) -> Items[dict[str, Any]]:
        """All models, by name."""
        return self.connection.pages("/models", "models", {})

    def model(self, name: str) -> Program[dict[str, Any]]:
        """One model: versions, aliases, horizon and the like."""
        return self.connection.call("GET", locate("models", name))

    def version(self, name: str, version: int | str) -> Program[dict[str, Any]]:
        """The manifest of a version, by number or alias."""
        return self.connection.call("GET", locate("models", name, "versions", version))

    def delete_version(self, name: str, version: int) -> Program[None]:
        """Removes a version. Raises Conflict while an alias names it."""
        return delete(self.connection, locate("models", name, "versions", version))

    def set_alias(self, name: str, alias: str, version: int) -> Program[dict[str, Any]]:
        """Lets an alias, such as `champion`, name a version."""
        return self.connection.call("PUT", locate("models", name, "aliases", alias), {"version": version})

    def set_default(self, name: str) -> Program[dict[str, Any]]:
        """Makes a model the one that answers requests without a model."""
        return self.connection.call("PUT", "/models/default", {"name": name})

    def leaderboard(self, *, metric: str | None = None, part: str | None = None) -> Program[list[dict[str, Any]]]:
        """Versions and baselines ranked by their stored scores, in groups of the same data and horizon."""
        answer = yield from self.connection.call("GET", "/leaderboard", params={"metric": metric, "part": part})
        groups: list[dict[str, Any]] = answer["leaderboard"]
        return groups
