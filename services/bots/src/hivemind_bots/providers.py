"""Who answers: the instance's provider, a bot's own, and how they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from hivemind_common.contracts.bots import BotSettings, Effective, ProviderUnavailableError, Tier
from hivemind_common.contracts.health import ComponentHealth, Condition
from hivemind_common.environment import Environment
from hivemind_common.errors import ValidationFailedError
from hivemind_common.telemetry import get_logger

QUOTE: Final = "quote"
"""The provider that is always there: no model, the best passages of the bot's knowledge."""

INSTANCE: Final = "default"
"""The name of the provider that the environment configures."""

log = get_logger()


class Providers:
    """The providers of this instance."""

    def __init__(self, environment: Environment) -> None:
        self._kind = environment.provider
        self._model = environment.llm_model
        self._local = environment.llm_local if environment.llm_local is not None else self._kind in {QUOTE, "ollama"}
        self._fault = "" if self._kind == QUOTE else f"this version cannot speak to {self._kind} yet"

    def start(self) -> None:
        """Say in the log when the instance's provider cannot be used: its bots are degraded, and nothing is stopped."""
        if self._fault:
            log.warning("llm.ping", message=f"LLM startup ping FAILED: {self._fault}", provider=self._kind)

    def health(self) -> ComponentHealth:
        """Tell how the instance's provider is."""
        if self._fault:
            return ComponentHealth(status=Condition.DEGRADED, detail=f"LLM startup ping FAILED: {self._fault}")
        return ComponentHealth(status=Condition.OK, detail=self._kind)

    def check(self, settings: BotSettings, *, named: Collection[str] = ("provider", "fallbacks"), at: str = "") -> None:
        """Refuse a bot that names a provider which does not exist, in a member that was `named`."""
        names = {f"{at}provider": settings.provider} if "provider" in named else {}
        if "fallbacks" in named:
            places = enumerate(settings.fallbacks)
            names.update({f"{at}fallbacks.{place}.provider": each.provider for place, each in places})
        for path, name in names.items():
            if name not in {None, QUOTE, INSTANCE}:
                raise ValidationFailedError.at(path, "unknown", f"must be {QUOTE} or {INSTANCE}")

    def effective(self, settings: BotSettings) -> Effective:
        """Return what a turn would use now."""
        if QUOTE in {settings.provider, self._kind}:
            return Effective(provider=QUOTE, model=QUOTE)
        return Effective(provider=INSTANCE, model=settings.model or self._model)

    def is_local(self, effective: Effective) -> bool:
        """Whether nothing leaves the operator's own machines."""
        return effective.provider == QUOTE or self._local

    def are_allowed(self, settings: BotSettings) -> bool:
        """Whether the bot's tier allows the provider that a turn would use."""
        if settings.tier is not Tier.RESTRICTED or settings.allow_hosted_provider:
            return True
        return self.is_local(self.effective(settings))

    def is_down(self, effective: Effective) -> bool:
        """Whether a turn would be refused for want of it."""
        return effective.provider != QUOTE and bool(self._fault)

    def refusal(self, effective: Effective) -> ProviderUnavailableError:
        """Return the refusal of a turn whose provider does not answer."""
        return ProviderUnavailableError(
            f"the provider {effective.provider} does not answer: {self._fault}",
            retry_after=30,
            facts={"provider": effective.provider, "reason": self._fault},
        )
