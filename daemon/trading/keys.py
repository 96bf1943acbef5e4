"""The keys of an exchange account: read from a credential of their own, never from the configuration."""

import os
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from bus.errors import ConfigError

_HELP: Final = 'a JSON object like {"apiKey": "…", "secret": "…"}, with "password" where the exchange wants one'


class Keys(BaseModel):
    """What ccxt signs requests with, by its own names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    apiKey: SecretStr  # noqa: N815 # ccxt's name
    secret: SecretStr
    password: SecretStr | None = None

    def plain(self) -> dict[str, str]:
        """Return them for ccxt."""
        return {name: value.get_secret_value() for name, value in self if value is not None}


def read_keys(credential: str) -> Keys:
    """Read a file, or a systemd credential (LoadCredential=) by its name. Raises ConfigError without the content."""
    path = Path(os.environ.get("CREDENTIALS_DIRECTORY", ""), credential)
    try:
        return Keys.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"live.credentials: {path} cannot be read: {error.strerror}") from None
    except ValidationError:
        raise ConfigError(f"live.credentials: {path} is not {_HELP}") from None
