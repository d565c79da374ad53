"""The servers of a test run, and what a service is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from hivemind_common.embedded.nats import EmbeddedNats
from hivemind_common.embedded.postgres import EmbeddedPostgres
from hivemind_common.environment import Environment, HostPort, read_environment
from hivemind_common.runtime import Service
from hivemind_common.secrets import SecretStr

ANY_PORT = HostPort("127.0.0.1", 0)


@dataclass(frozen=True)
class Servers:
    """A Postgres and a NATS that run."""

    postgres: EmbeddedPostgres
    nats: EmbeddedNats
    password: SecretStr

    def dsn(self, role: str, database: str) -> SecretStr:
        """Return the URL of a test's database for a role."""
        return self.postgres.dsn(role, self.password, database)

    def environment(self, service: Service, database: str, **variables: str) -> Environment:
        """Return what a service reads at its start; `variables` are set as an operator would set them."""
        environment, _ = read_environment(variables)
        return environment.model_copy(
            update={
                "bind": ANY_PORT,
                "ops_bind": ANY_PORT,
                "nats_url": self.nats.url_for(service.name),
                "database_url": self.dsn(service.login_role, database) if service.login_role else None,
            }
        )
