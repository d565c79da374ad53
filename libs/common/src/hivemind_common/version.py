"""The one place where the version of this build stands."""

VERSION = "0.1.0"
