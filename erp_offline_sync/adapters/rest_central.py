"""The plain-REST central, by `requests`: one request in, one Reply out.

Nothing is repeated here, no redirect is followed, and no address is called but those below the configured URL.
Whatever the line or the central does ends in the Reply, in bounded time and memory; the credentials appear in none
of what leaves this module. On the way it learns what the central's wall clock means: its zone, and how far its
clock is from ours.
"""

from __future__ import annotations

import ipaddress
import json
import re
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

import requests
from urllib3.exceptions import HTTPError

from erp_offline_sync import __version__
from erp_offline_sync.adapters.bounded_http import Address, Guard, GuardedSession
from erp_offline_sync.engine.classify import Verdict, http_date, read_probe
from erp_offline_sync.engine.errors import InvalidRequest, SettingsError
from erp_offline_sync.engine.model import Gap, Instant, Json, Reply, Wire
from erp_offline_sync.engine.paths import check_path, document_path

__all__ = ["ClockOffset", "RestCentral", "check_url", "mask"]

ANSWER_LIMIT = 32 * 1024 * 1024
"""Bytes of an answer, unpacked."""
PROBE_SECONDS = 30.0
"""The deadline of a probe and of the small questions beside it."""
FOUND_AT_MOST = 20
CREATED_AT_MOST = 1000
_CHUNK = 64 * 1024
_IDLE = 4.0
"""Seconds after which a kept connection is not used again: servers close theirs, and a request that meets the
closing is lost in doubt."""
_SLACK = 1.0
_OFFSET_AGE = 600.0
"""Seconds for which a more exact measurement of the clock outlives a newer one."""
_UNMEASURED = timedelta(hours=24)
_ANY_ZONE = timedelta(hours=14)

_PROBE = "/api/method/frappe.auth.get_logged_user"
_TIME_ZONE = "/api/method/frappe.client.get_time_zone"
_VERSIONS = "/api/method/frappe.utils.change_log.get_versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """The central's clock minus ours, in seconds; the truth lies within `uncertainty` of it."""

    seconds: float
    uncertainty: float


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret in it replaced by stars."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


# The configured address

_HOST = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")


def check_url(url: Any, *, allow_plain_http: bool = False) -> str:
    """The central's URL as it is used, without a slash at its end. Raises SettingsError saying what is wrong.

    https with a host, perhaps a port and a path; http only to this machine, or where `allow_plain_http`.
    """
    if not isinstance(url, str) or not url.strip():
        raise SettingsError("The URL of the central is missing")
    url = url.strip()
    if not url.isprintable() or re.search(r"[\s\\]", url):
        raise SettingsError("The URL of the central holds a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError("The URL of the central cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise SettingsError("The URL of the central must begin with https:// (or http:// on this machine)")
    if "@" in parts.netloc:
        raise SettingsError("The URL of the central must not hold a user or password")
    if "?" in url or "#" in url:
        raise SettingsError("The URL of the central must not hold a query or a fragment")
    if not _PREFIX.fullmatch(parts.path) or {".", ".."} & set(parts.path.split("/")):
        raise SettingsError("The path in the URL of the central is not plain")
    if port == 0 or parts.netloc.endswith(":"):
        raise SettingsError("The port in the URL of the central is wrong")
    host = _checked_host(parts.hostname or "", parts.netloc)
    if parts.scheme == "http" and not allow_plain_http and not _on_this_machine(host):
        raise SettingsError("The URL of the central must begin with https://: without it anyone can listen")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _checked_host(host: str, netloc: str) -> str:
    if "[" in netloc or _NUMERIC.fullmatch(host):
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise SettingsError("The address in the URL of the central is not written plainly") from None
        reason = _unfit(address)
        if reason or "%" in host:
            raise SettingsError(f"The URL of the central names {reason or 'an address with a zone'}")
        return str(address)
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise SettingsError("The URL of the central has no proper host name")
    return host


def _on_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _unfit(address: Address) -> str | None:
    """Why no central can be at this address; private networks are fine."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address.sixtofour or address.teredo:
            return "an IPv4 address in disguise"
        if address in _NAT64:  # how lines without IPv4 reach any host that has nothing else
            return _unfit(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.is_link_local:
        return "a link-local address, where clouds keep their secrets"
    if address.is_multicast or address.is_unspecified or (address.version == 4 and address.is_reserved):
        return "an address that no host has"
    return None


class _Secret(str):
    """Text that does not show itself in tracebacks with variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class RestCentral:
    """The port `Central` over plain REST. One call at a time; threads wait for each other.

    Times in seconds: `connect_timeout` to make a connection, `read_timeout` between two bytes of the answer,
    `total_timeout` for a whole delivery (default: both together). `clock_now` gives aware UTC. Raises SettingsError
    for a wrong address, key or CA file.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        api_secret: str,
        *,
        ca_file: str | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
        total_timeout: float | None = None,
        allow_plain_http: bool = False,
        clock_now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = check_url(url, allow_plain_http=allow_plain_http)
        self._secrets = tuple(_Secret(_checked_credential(text)) for text in (api_key, api_secret))
        self._authorization = _Secret("token " + ":".join(self._secrets))
        if ca_file and not Path(ca_file).is_file():
            raise SettingsError("The CA file of the central is not there")
        self._verify: bool | str = ca_file or True
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._total = connect_timeout + read_timeout if total_timeout is None else total_timeout
        self._now = clock_now
        self._monotonic = monotonic
        self._loopback_only = self._url.startswith("http://") and not allow_plain_http
        self._guard = Guard(connect_timeout=connect_timeout, refuse=self._refuse, monotonic=monotonic)
        self._session = GuardedSession(self._guard)
        self._lock = threading.RLock()
        self._used = monotonic()
        self._user: str | None = None
        self._zone: tzinfo | None = None
        self._zone_name: str | None = None
        self._offset: ClockOffset | None = None
        self._offset_at = 0.0

    def __repr__(self) -> str:
        return f"<RestCentral {self._url}>"

    @property
    def url(self) -> str:
        return self._url

    @property
    def deadline(self) -> float:
        return self._total + _SLACK

    def close(self) -> None:
        """Close the connections. The object can be used again afterwards."""
        with self._lock:
            self._session.close()

    # the port

    def deliver(self, wire: Wire, *, key: str) -> Reply:
        body = None if wire.body is None else wire.body.encode()
        return self._call(wire.method, wire.path, body=body, key=key)

    def fetch(self, doctype: str, name: str) -> Reply:
        return self._call("GET", document_path(doctype, name))

    def find(self, doctype: str, filters: Json) -> Reply:
        return self._list(doctype, [[field, "=", value] for field, value in filters.items()], FOUND_AT_MOST)

    def versions(self, doctype: str, names: Sequence[str]) -> Reply:
        """How these documents stand: `{"data": [{"name", "modified", "modified_by"}]}`; those that there are."""
        fields = ("name", "modified", "modified_by")
        return self._list(doctype, [["name", "in", list(names)]], len(names), fields)

    def find_created_since(self, doctype: str, since: datetime) -> Reply:
        trouble = self._learn()
        if self._user is None:
            return trouble or Reply(gap=Gap.NOT_SENT, detail="the central did not name our user")
        filters = [["owner", "=", self._user], ["creation", ">=", self._earliest_wall_clock(since)]]
        return self._list(doctype, filters, CREATED_AT_MOST)

    def probe(self) -> Reply:
        reply = self._call("GET", _PROBE, seconds=min(PROBE_SECONDS, self._total))
        outcome = read_probe(reply)
        if outcome.verdict is Verdict.APPLIED:
            self._user = outcome.name
            if self._zone_name is None:
                self._learn_zone()
        return reply

    def instant(self, wall_clock: str) -> Instant | None:
        naive = _naive(wall_clock)
        if naive is None:
            return None
        self._learn()
        offset = self._offset
        if self._zone is None or offset is None:
            return None
        first, second = (
            naive.replace(tzinfo=self._zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1)
        )
        # Apart in the hour that occurs twice, and in the one that does not occur.
        apart = abs((second - first).total_seconds())
        at = min(first, second) - timedelta(seconds=offset.seconds)
        return Instant(at=at, uncertainty=offset.uncertainty + apart)

    # what is learned

    @property
    def user(self) -> str | None:
        """The central's user that the key belongs to; None before the first good probe."""
        return self._user

    @property
    def time_zone(self) -> str | None:
        """The name of the central's zone; None before it was learned."""
        return self._zone_name

    def clock_offset(self) -> ClockOffset | None:
        """How far the central's clock is from ours; None before a first answer with a date."""
        return self._offset

    def server_info(self) -> Mapping[str, str] | None:
        """Versions of the central's apps by name; None where it does not tell."""
        reply = self._call("GET", _VERSIONS, seconds=min(PROBE_SECONDS, self._total))
        message = (
            reply.body.get("message") if reply.status == 200 and isinstance(reply.body, Mapping) else None
        )
        if not isinstance(message, Mapping):
            return None
        return {
            str(app): str(told["version"])
            for app, told in message.items()
            if isinstance(told, Mapping) and told.get("version")
        }

    def mask(self, text: str) -> str:
        """The text without the key and the secret."""
        return mask(text, self._secrets)

    def _learn(self) -> Reply | None:
        """Learn what is missing; answers the reply of a probe that was needed."""
        if self._user is None:
            return self.probe()
        if self._zone_name is None:
            self._learn_zone()
        return None

    def _learn_zone(self) -> None:
        reply = self._call("GET", _TIME_ZONE, seconds=min(PROBE_SECONDS, self._total))
        message = (
            reply.body.get("message") if reply.status == 200 and isinstance(reply.body, Mapping) else None
        )
        name = message.get("time_zone") if isinstance(message, Mapping) else None
        if not isinstance(name, str) or not name:
            return
        self._zone_name = name
        try:
            # Machines without a list of zones know this one all the same.
            self._zone = timezone.utc if name == "UTC" else ZoneInfo(name)
        except (OSError, ValueError, LookupError):  # no such zone, or no zones on this machine
            self._zone = None

    def _earliest_wall_clock(self, since: datetime) -> str:
        """The smallest wall-clock time that the central can have shown since then."""
        offset = self._offset
        if offset is None:
            begin = since - _UNMEASURED
        else:
            begin = since + timedelta(seconds=offset.seconds - offset.uncertainty - 1.0)
        if self._zone is None:
            shown = begin.astimezone(timezone.utc).replace(tzinfo=None) - _ANY_ZONE
        else:
            # Where clocks are put back soon, later moments show earlier times.
            moments = [begin + timedelta(minutes=15 * step) for step in range(13)]
            offsets = (moment.astimezone(self._zone).utcoffset() or timedelta() for moment in moments)
            shown = begin.astimezone(timezone.utc).replace(tzinfo=None) + min(offsets)
        return shown.strftime("%Y-%m-%d %H:%M:%S.%f")

    def _measure(self, date: str | None, age: str | None, before: datetime, seconds: float) -> None:
        central = http_date(date)
        if central is None or age not in (None, "0"):  # an answer from a cache tells an old date
            return
        # The header is cut to whole seconds, and was written at some moment between sending and answer.
        middle = before + timedelta(seconds=seconds / 2)
        measured = ClockOffset(
            seconds=(central - middle).total_seconds() + 0.5, uncertainty=1.0 + seconds / 2
        )
        at = self._monotonic()
        kept = self._offset
        if kept is None or measured.uncertainty <= kept.uncertainty or at - self._offset_at > _OFFSET_AGE:
            self._offset, self._offset_at = measured, at

    # one call

    def _list(
        self, doctype: str, filters: list[list[Any]], limit: int, fields: Sequence[str] = ("name",)
    ) -> Reply:
        query = urlencode(
            {"filters": json.dumps(filters), "fields": json.dumps(fields), "limit_page_length": limit},
            quote_via=quote,
        )
        return self._call("GET", f"{document_path(doctype)}?{query}", checked=True)

    def _refuse(self, address: Address) -> str | None:
        """The Guard's question, asked of each address that the host's name stands for."""
        if self._loopback_only:
            return None if address.is_loopback else "without https only this machine may be called"
        reason = _unfit(address)
        return f"the host's name stands for {reason}" if reason else None

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        key: str | None = None,
        seconds: float | None = None,
        checked: bool = False,
        kind: str = "application/json",
        unread: bool = False,
    ) -> Reply:
        """The only way out. Never raises for what the line or the central does. `unread`: the body is left so."""
        try:
            prepared = self._prepare(method, path if checked else check_path(path), body, key, kind)
        except (InvalidRequest, requests.RequestException, ValueError) as error:
            # Shaped like a refusal, because that is what it is: a person looks at the request.
            reason = str(error) if isinstance(error, InvalidRequest) else type(error).__name__
            return Reply(
                status=400,
                is_json=True,
                body={"exc_type": "InvalidRequest", "_error_message": f"Not sent: {reason}"},
                detail="refused before it was sent",
            )
        with self._lock:
            if self._monotonic() - self._used > _IDLE:
                self._session.close()
            try:
                with self._guard.call(self._total if seconds is None else seconds):
                    return self._exchange(prepared, unread=unread)
            except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
                self._session.close()
                return self._without_answer(error)
            except BaseException as error:
                # A job's time limit strikes anywhere, and the frames below hold the credentials: they are left out.
                self._session.close()
                raise error.with_traceback(None) from None
            finally:
                self._used = self._monotonic()

    def _prepare(
        self, method: str, path: str, body: bytes | None, key: str | None, kind: str
    ) -> requests.PreparedRequest:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Authorization": self._authorization,
            "User-Agent": f"erp_offline_sync/{__version__}",
        }
        if body is not None:
            headers["Content-Type"] = kind
        if key is not None:
            headers["Idempotency-Key"] = key
        request = requests.Request(method.upper(), self._url + path, headers=headers, data=body)
        prepared = request.prepare()
        if not str(prepared.url).startswith(f"{self._url}/api/"):
            raise InvalidRequest("The path leads away from the central's API")
        return prepared

    def _exchange(self, prepared: requests.PreparedRequest, *, unread: bool) -> Reply:
        before, began = self._now(), self._monotonic()
        timeout = (self._connect_timeout, min(self._read_timeout, self._guard.left))
        response = self._session.send(
            prepared, stream=True, timeout=timeout, verify=self._verify, allow_redirects=False, proxies={}
        )
        headers = response.headers
        self._measure(headers.get("Date"), headers.get("Age"), before, self._monotonic() - began)
        status = response.status_code
        known: dict[str, Any] = {
            "status": status,
            "retry_after": _short(headers.get("Retry-After")),
            "request_id": _short(headers.get("X-Frappe-Request-Id")),
        }
        kind = _kind(headers.get("Content-Type"))
        try:
            content = self._read(response)
            if self._guard.expired:
                raise _CutOff("not all of it in time")
            if not kind.endswith("json"):
                return Reply(**known, detail=kind or "no content type")
            if unread:
                return Reply(**known, is_json=True, unread=zlib.compress(content, 1), detail=kind)
            return Reply(**known, is_json=True, body=json.loads(content), detail=kind)
        except (_CutOff, RecursionError, HTTPError, HTTPException, OSError, ValueError) as error:
            # A status alone is no answer: what it was about may be in the part that did not come.
            self._session.close()
            cut = str(error) if isinstance(error, _CutOff) else "the answer broke off"
            if self._guard.expired:
                cut = "no answer in time"
            return Reply(**known, gap=Gap.NO_ANSWER, detail=cut)
        finally:
            response.close()

    def _read(self, response: requests.Response) -> bytes:
        """The whole body, unpacked. Raises _CutOff where it is too large or not whole."""
        packed = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("identity", "", "gzip"):
            raise _CutOff("an answer packed in an unknown way")
        unpack = zlib.decompressobj(wbits=31) if packed == "gzip" else None
        content, received = bytearray(), 0
        while chunk := response.raw.read(_CHUNK, decode_content=False):
            received += len(chunk)
            try:
                # Asked for one byte more than allowed, a bomb shows itself and is not unpacked further.
                content += (
                    unpack.decompress(chunk, ANSWER_LIMIT + 1 - len(content)) if unpack is not None else chunk
                )
            except zlib.error:
                raise _CutOff("the answer cannot be unpacked") from None
            if len(content) > ANSWER_LIMIT:
                raise _CutOff("the answer is too large")
        expected = response.headers.get("Content-Length", "")
        if expected.isdigit() and received < int(expected) and response.request.method != "HEAD":
            raise _CutOff("the answer broke off")
        if unpack is not None and received and not unpack.eof:
            raise _CutOff("the answer broke off")
        return bytes(content)

    def _without_answer(self, error: Exception) -> Reply:
        guard = self._guard
        if guard.sending:
            detail = "no answer in time" if guard.expired or _timed_out(error) else _cause(error)
            return Reply(gap=Gap.NO_ANSWER, detail=self.mask(detail))
        distrust = _distrust(error)
        if distrust is not None or guard.refused:
            return Reply(gap=Gap.TLS, detail=self.mask(distrust or guard.trouble))
        detail = guard.trouble or ("no connection in time" if guard.expired else _cause(error))
        return Reply(gap=Gap.NOT_SENT, detail=self.mask(detail))


class _CutOff(Exception):
    """The answer did not come whole; the text says why, without values."""


def _checked_credential(text: Any) -> str:
    if not isinstance(text, str) or not text:
        raise SettingsError("The API key or secret of the central is missing")
    if not re.fullmatch(r"[\x21-\x39\x3b-\x7e]+", text):
        raise SettingsError("The API key or secret of the central holds a character that no key has")
    return text


def _short(header: str | None) -> str | None:
    """A header's text, where it is one that may be kept."""
    return header[:140] if header and header.isprintable() else None


def _kind(content_type: str | None) -> str:
    """`text/html` of `text/html; charset=utf-8`; nothing where it is no such thing."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind if re.fullmatch(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}", kind) else ""


def _naive(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    # At the ends of the calendar there is no room for an offset.
    return moment if moment.tzinfo is None and 1900 <= moment.year <= 9000 else None


def _causes(error: BaseException) -> Iterable[BaseException]:
    """The error and what it wraps; urllib3 and requests keep it in different places."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return seen


def _cause(error: Exception) -> str:
    """The class of the innermost error: their texts may hold addresses and headers."""
    return type(list(_causes(error))[-1]).__name__


def _timed_out(error: Exception) -> bool:
    return any(isinstance(one, TimeoutError | requests.Timeout) for one in _causes(error))


def _distrust(error: Exception) -> str | None:
    """Why TLS did not trust the connection; None where the error is no matter of trust."""
    for one in _causes(error):
        if isinstance(one, ssl.SSLCertVerificationError):
            return one.verify_message or "the certificate was not verified"
    for one in _causes(error):
        if isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return f"TLS: {one.reason or type(one).__name__}".replace("_", " ").lower()
    return None
