"""What a failure is for people, the next step, and for scripts, an exit code."""

from __future__ import annotations

from hivemind_client.cli.refusals import UnreadableFileError, UsageError
from hivemind_client.envfile import EnvFileError
from hivemind_client.errors import ApiError, ClientError, InvalidInputError, NotHivemindError, UnreachableError
from hivemind_client.settings import SettingsError

_BY_CODE = {
    "missing_api_key": "hm login --key-stdin signs in; hm setup starts a new server; does a proxy strip X-API-Key?",
    "invalid_api_key": "hm login --key-stdin takes another key",
    "invalid_session": "sign in again: hm login --email ADDRESS",
    "invalid_credentials": "look at the address and the password; both are told apart by no answer",
    "second_factor_required": "this account has a second factor; sign in with a key: hm login --key-stdin",
    "local_login_disabled": "people sign in at the proxy here; hm takes a key: hm login --key-stdin",
    "setup_token_required": "--setup-token-file F, where F is the file setup-token in the server's data folder",
    "already_registered": "sign in: hm login --key-stdin, or hm login --email ADDRESS",
    "insufficient_scope": "hm whoami shows what this key may do; ask an administrator for one that may",
    "bot_not_allowed": "an administrator can add you to its allowed_users",
    "not_found": "look at the URL: hm health says whether a Hivemind server answers there",
    "bot_not_found": "hm bot list shows the bots that you may see",
    "snippet_not_found": "hm knowledge list SLUG shows the snippets and their ids",
    "conversation_not_found": "without --conversation a new one begins",
    "rate_limited": "the limit is per minute, and of wrong passwords ten in a quarter of an hour",
    "slug_taken": "choose another slug; an archived bot keeps its own",
    "slug_immutable": "hm bot clone SLUG NEW makes another bot of it",
    "unknown_template": "hm template list shows those that there are, customer-support for one",
    "bot_paused": "hm bot resume SLUG lets it answer again",
    "version_not_found": "hm bot prompt SLUG --versions lists them",
    "golden_question_not_found": "hm bot question list SLUG shows the questions and their ids",
    "too_many_questions": "hm bot question delete SLUG ID makes room",
    "precondition_failed": "look at it again, and make your change anew",
    "malformed_yaml": "mend the document; --dry-run shows what it would do",
    "looks_like_secret": "take it out; if everybody may know it: --allow-secret REASON",
    "payload_too_large": "send less at a time",
    "provider_unavailable": "hm health says how the provider is",
    "price_unknown": "set a price for this model, or use the provider quote, which costs nothing",
    "unavailable": "hm health says what is down",
    "internal": "the server's log has the whole story",
}


PARTLY_DONE = 11


def hint_for(error: ClientError) -> str:
    """The next step after this; empty when its own words are all there is."""
    if not isinstance(error, ApiError):
        return error.hint
    hint = error.hint or _BY_CODE.get(error.code, "")
    if error.retry_after:
        hint = f"{hint}; try again in {error.retry_after} s" if hint else f"try again in {error.retry_after} s"
    request_id = error.document.get("request_id")
    if error.status >= 500 and isinstance(request_id, str):
        hint = f"{hint} (request {request_id})" if hint else f"request {request_id}"
    return hint


def exit_code(error: ClientError) -> int:
    """What a failure is for scripts."""
    match error:
        case UsageError() | InvalidInputError():
            return 2
        case SettingsError() | EnvFileError() | UnreadableFileError():
            return 3
        case UnreachableError():
            return 5
        case NotHivemindError():
            return 6
        case ApiError():
            return _exit_code_of_status(error.status)
        case _:
            return 1


def _exit_code_of_status(status: int) -> int:
    if status >= 500:
        return 8
    return {401: 4, 403: 4, 402: 7, 429: 7, 404: 9}.get(status, 1)
