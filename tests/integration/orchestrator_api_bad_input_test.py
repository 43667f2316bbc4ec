"""What bad input gets: a problem document each, and a server that is still up."""

import base64
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.servers import photos
from tests.servers.orchestrator_api import Api, orchestrator_api
from tests.servers.postgres import fresh_database

pytestmark = pytest.mark.needs("postgres")
MIB = 2**20
NOWHERE = "0190b5a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def api(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with fresh_database(postgres_url) as url, orchestrator_api(url, tmp_path_factory.mktemp("blobs")) as running:
        yield running


@pytest.fixture(scope="module")
def client(api: Api) -> Iterator[httpx.Client]:
    with api.client() as client:
        yield client


def is_problem(answer: httpx.Response, status: int, code: str, *, field: str | None = None) -> dict[str, Any]:
    """Asserts an RFC 9457 document that leaks nothing."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert set(document) == {"type", "title", "status", "detail", "instance", "code", "errors"}
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:g3:problem:{code}"
    assert document["detail"]
    for leak in ("Traceback", "Error(", "PIL", "psycopg", "site-packages", "sqlalchemy"):
        assert leak not in answer.text
    if field is not None:
        assert [fault["field"] for fault in document["errors"]] == [field]
    return document


@pytest.fixture(autouse=True)
def _still_up(api: Api, client: httpx.Client) -> Iterator[None]:
    yield
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)


def multipart(client: httpx.Client, data: bytes, **options: Any) -> httpx.Response:
    return client.post("/v1/jobs", files={"photo": ("photo", data)}, **options)


def as_json(client: httpx.Client, **change: Any) -> httpx.Response:
    body = {"photo": base64.b64encode(photos.jpeg()).decode()} | change
    # escaped, so that lone surrogates can be sent
    content = json.dumps({name: value for name, value in body.items() if value is not ...})
    return client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("kind", photos.acceptable())
def test_unusual_photos_are_converted(client: httpx.Client, kind: str) -> None:
    answer = multipart(client, photos.acceptable()[kind])
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("kind", photos.unacceptable())
def test_unusable_photos_are_rejected_both_ways(client: httpx.Client, kind: str) -> None:
    data = photos.unacceptable()[kind]
    is_problem(multipart(client, data), 422, "rejected", field="photo")
    is_problem(as_json(client, photo=base64.b64encode(data).decode()), 422, "rejected", field="photo")


def test_a_photo_over_the_limit_is_413(client: httpx.Client) -> None:
    data = photos.jpeg() + bytes(20 * MIB)
    is_problem(multipart(client, data), 413, "too_large", field="photo")
    is_problem(as_json(client, photo=base64.b64encode(data).decode()), 413, "too_large", field="photo")
    is_problem(multipart(client, data + bytes(20 * MIB)), 413, "too_large", field="photo")


def test_a_photo_just_under_the_limit_is_taken_both_ways(client: httpx.Client) -> None:
    # trailing bytes after the end of a JPEG are legal
    data = photos.jpeg().ljust(20 * MIB, b"\0")
    assert multipart(client, data).status_code == 202
    assert as_json(client, photo=base64.b64encode(data).decode()).status_code == 202


def test_a_chunked_body_is_cut_off_when_it_is_over_the_limit(api: Api, client: httpx.Client) -> None:
    """Endless bytes without a stated length: the answer comes long before they end."""
    sent = 0
    host, port = urlsplit(api.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: g3\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
            b"Authorization: " + client.headers["authorization"].encode() + b"\r\n\r\n"
        )
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        connection.settimeout(5)
        try:
            while sent < 200 * MIB:
                connection.sendall(chunk)
                sent += 0x10000
        except OSError:
            pass
    assert sent < 60 * MIB


def test_an_announced_length_over_the_limit_is_refused_before_a_byte_is_sent(api: Api, client: httpx.Client) -> None:
    host, port = urlsplit(api.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: g3\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n"
            b"Expect: 100-continue\r\nAuthorization: " + client.headers["authorization"].encode() + b"\r\n\r\n"
        )
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"photo": ...}, "rejected", "photo"),
        ({"photo": 7}, "rejected", "photo"),
        ({"photo": None}, "rejected", "photo"),
        ({"photo": "not base64!"}, "rejected", "photo"),
        ({"photo": ""}, "rejected", "photo"),
        ({"photo_url": "https://example.org/a.jpg"}, "not_yet", "photo_url"),
        ({"unknown": 1}, "rejected", "unknown"),
        ({"label": 7}, "rejected", "label"),
        ({"label": "x" * 256}, "rejected", "label"),
        ({"label": "a\0b"}, "rejected", "label"),
        ({"label": "\ud800"}, "rejected", "label"),
        ({"parameters": []}, "rejected", "parameters"),
        ({"parameters": "{}"}, "rejected", "parameters"),
        ({"parameters": {"temprature": 1}}, "rejected", "parameters.temprature"),
        ({"parameters": {"profile": "best"}}, "rejected", "parameters.profile"),
        ({"parameters": {"profile": 1}}, "rejected", "parameters.profile"),
        ({"parameters": {"strategy": "G3"}}, "rejected", "parameters.strategy"),
        ({"parameters": {"temperature": "1"}}, "rejected", "parameters.temperature"),
        ({"parameters": {"temperature": 2.1}}, "rejected", "parameters.temperature"),
        ({"parameters": {"temperature": True}}, "rejected", "parameters.temperature"),
        ({"parameters": {"temperature": 10**400}}, "rejected", "parameters.temperature"),
        ({"parameters": {"samples_per_prompt": 0}}, "rejected", "parameters.samples_per_prompt"),
        ({"parameters": {"samples_per_prompt": 33}}, "rejected", "parameters.samples_per_prompt"),
        ({"parameters": {"samples_per_prompt": 5.0}}, "rejected", "parameters.samples_per_prompt"),
        ({"parameters": {"samples_per_prompt": 10**30}}, "rejected", "parameters.samples_per_prompt"),
        ({"parameters": {"references_per_prompt": [51]}}, "rejected", "parameters.references_per_prompt"),
        ({"parameters": {"references_per_prompt": [1] * 17}}, "rejected", "parameters.references_per_prompt"),
        ({"parameters": {"references_per_prompt": 5}}, "rejected", "parameters.references_per_prompt"),
        ({"parameters": {"retrieved_candidates": 101}}, "rejected", "parameters.retrieved_candidates"),
        ({"parameters": {"top_k": 0}}, "rejected", "parameters.top_k"),
        ({"parameters": {"gallery": 1001}}, "rejected", "parameters.gallery"),
        ({"parameters": {"strategy": "knn", "gallery": 5}}, "rejected", "parameters.gallery"),
        ({"parameters": {"strategy": "img2loc", "ranking": "consensus"}}, "rejected", "parameters.ranking"),
        (
            {"parameters": {"abstain_below": {"probability": 0.5, "within_km": 30}}},
            "rejected",
            "parameters.abstain_below.within_km",
        ),
        ({"parameters": {"abstain_below": {"probability": 2}}}, "rejected", None),
        ({"parameters": {"hints": {"country_codes": ["France"]}}}, "rejected", "parameters.hints.country_codes"),
        ({"parameters": {"excluded_references": [""]}}, "rejected", "parameters.excluded_references"),
        ({"parameters": {"excluded_authors": ["a\0"]}}, "rejected", "parameters.excluded_authors"),
        ({"parameters": {"excluded_authors": ["\udfff"]}}, "rejected", "parameters.excluded_authors.0"),
        (
            {"parameters": {"hints": {"circle": {"center": {"latitude": 91, "longitude": 0}, "radius_km": 1}}}},
            "rejected",
            "parameters.hints.circle.center.latitude",
        ),
        (
            {"parameters": {"hints": {"circle": {"center": {"latitude": 9, "longitude": 0}, "radius_km": 0}}}},
            "rejected",
            "parameters.hints.circle.radius_km",
        ),
        (
            {"parameters": {"hints": {"circle": {"center": {"latitude": 9, "longitude": 0}, "radius_km": 1e9}}}},
            "rejected",
            "parameters.hints.circle.radius_km",
        ),
        (
            {"parameters": {"hints": {"bounding_box": {"south": 2, "west": 0, "north": 1, "east": 1}}}},
            "rejected",
            "parameters.hints.bounding_box.south",
        ),
    ],
    ids=lambda value: json.dumps(value, default=str)[:60] if isinstance(value, dict) else None,
)
def test_wrong_fields_are_named(client: httpx.Client, change: dict[str, Any], code: str, field: str) -> None:
    is_problem(as_json(client, **change), 422, code, field=field)


def test_several_faults_are_told_at_once(client: httpx.Client) -> None:
    answer = as_json(client, label=7, parameters={"temperature": "hot", "top_k": None, "nonsense": 1})
    document = is_problem(answer, 422, "rejected")
    assert {fault["field"] for fault in document["errors"]} == {
        "label",
        "parameters.temperature",
        "parameters.nonsense",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1, 2",
        b'{"photo": NaN}',
        b'{"photo": "a", "photo": "b"}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"photo": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(8),
)
def test_broken_json_is_malformed(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, 400, "malformed")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"photo"', b"7"])
def test_json_that_is_no_object_is_rejected(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, 422, "rejected")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\n--x--"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: text/plain\r\n\r\nno name\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\ncut short',
        ),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x--"),
    ],
)
def test_broken_multipart_is_refused(client: httpx.Client, content_type: str, body: bytes) -> None:
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": content_type})
    assert answer.status_code in {400, 422}
    is_problem(answer, answer.status_code, "malformed" if answer.status_code == 400 else "rejected")


def test_multipart_parts_are_judged(client: httpx.Client) -> None:
    photo = ("photo", ("a.jpg", photos.jpeg()))
    is_problem(client.post("/v1/jobs", files=[photo, photo]), 422, "rejected")
    is_problem(client.post("/v1/jobs", files=[photo], data={"nonsense": "1"}), 422, "rejected", field="nonsense")
    is_problem(client.post("/v1/jobs", files=[photo], data={"label": ["a", "b"]}), 422, "rejected")
    is_problem(client.post("/v1/jobs", files=[photo], data={"parameters": "{"}), 400, "malformed", field="parameters")
    is_problem(client.post("/v1/jobs", files=[photo], data={"parameters": "[]"}), 422, "rejected", field="parameters")
    is_problem(client.post("/v1/jobs", files=[photo], data={"photo_url": "x"}), 422, "not_yet", field="photo_url")
    is_problem(client.post("/v1/jobs", files={"image": photo[1]}), 422, "rejected", field="image")
    is_problem(client.post("/v1/jobs", files={"label": (None, "a")}), 422, "rejected", field="photo")
    is_problem(client.post("/v1/jobs", files={"photo": (None, "text")}), 422, "rejected", field="photo")
    is_problem(client.post("/v1/jobs", files=[photo], data={"label": "x" * 300_000}), 413, "too_large")


@pytest.mark.parametrize("content_type", ["", "text/plain", "image/jpeg", "application/x-www-form-urlencoded"])
def test_other_content_types_are_415(client: httpx.Client, content_type: str) -> None:
    answer = client.post("/v1/jobs", content=photos.jpeg(), headers={"Content-Type": content_type})
    is_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_bad_idempotency_key_is_rejected(client: httpx.Client, key: str) -> None:
    answer = multipart(client, photos.jpeg(), headers={"Idempotency-Key": key})
    is_problem(answer, 422, "rejected", field="Idempotency-Key")


@pytest.mark.parametrize("job_id", [NOWHERE, "7", "not-a-uuid", NOWHERE.replace("-", ""), "{" + NOWHERE + "}", "%00"])
def test_unknown_and_impossible_ids_are_missing(client: httpx.Client, job_id: str) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/events")):
        is_problem(client.request(method, f"/v1/jobs/{job_id}{path}"), 404, "missing")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"state": "sleeping"}, "state"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(bytes(32)).decode()}, "cursor"),
        ({"cursor": "a" * 500}, "cursor"),
    ],
)
def test_bad_listings_are_rejected(client: httpx.Client, query: dict[str, str], field: str) -> None:
    is_problem(client.get("/v1/jobs", params=query), 422, "rejected", field=field)


def test_a_tampered_cursor_is_rejected(client: httpx.Client) -> None:
    for seed in range(2):
        assert multipart(client, photos.jpeg(seed)).status_code == 202
    cursor = client.get("/v1/jobs", params={"limit": 1}).json()["next_cursor"]
    for at in range(0, len(cursor), 7):
        other = "A" if cursor[at] != "A" else "B"
        tampered = cursor[:at] + other + cursor[at + 1 :]
        is_problem(client.get("/v1/jobs", params={"cursor": tampered}), 422, "rejected", field="cursor")


def test_a_bad_last_event_id_is_rejected(client: httpx.Client) -> None:
    job = multipart(client, photos.jpeg()).json()
    answer = client.get(f"/v1/jobs/{job['job_id']}/events", headers={"Last-Event-ID": "-1"})
    is_problem(answer, 422, "rejected", field="Last-Event-ID")


@pytest.mark.parametrize("header", [None, "Bearer", "Basic Zzo=", "Bearer g3_00000000_" + "a" * 43])
def test_without_a_known_key_nothing_works(api: Api, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    with api.client("") as stranger:
        for method, path in (
            ("POST", "/v1/jobs"),
            ("GET", "/v1/jobs"),
            ("GET", f"/v1/jobs/{NOWHERE}"),
            ("POST", f"/v1/jobs/{NOWHERE}/cancel"),
            ("GET", f"/v1/jobs/{NOWHERE}/events"),
        ):
            answer = stranger.request(method, path, headers=headers)
            is_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_unknown_paths_and_methods_are_problems_too(client: httpx.Client) -> None:
    for path in ("/", "/v1", "/v2/jobs", "/v1/jobs/", "/docs", "/v1/jobs/%2e%2e/%2e%2e/etc/passwd"):
        is_problem(client.get(path), 404, "missing")
    answer = client.put("/v1/jobs", content=b"")
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


def test_a_crash_inside_tells_only_an_id(api: Api, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("secret internals at /some/path")

    monkeypatch.setattr(api.jobs, "page", crash)
    document = is_problem(client.get("/v1/jobs"), 500, "internal")
    assert "secret" not in json.dumps(document)
    assert document["instance"].startswith("urn:uuid:")


def test_what_is_wrong_makes_the_api_unready(api: Api, client: httpx.Client) -> None:
    ill = ["the broker is away"]
    api.health.add("broker", lambda: ill[0] if ill else None)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "problems": {"broker": "the broker is away"}})
    assert client.get("/healthz").status_code == 200
    ill.clear()


def test_the_document_describes_every_route_with_its_problems(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/cancel",
        "/v1/jobs/{job_id}/events",
        "/v1/ingests",
        "/v1/ingests/{ingest_id}",
        "/v1/ingests/{ingest_id}/cancel",
        "/v1/ingests/{ingest_id}/rejects",
        "/readyz",
    }
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    for path, operations in document["paths"].items():
        if path.startswith("/v1"):
            for operation in operations.values():
                assert "application/problem+json" in operation["responses"]["401"]["content"]
                assert operation["security"]
    names = set(document["components"]["schemas"])
    references = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert references <= names
    assert "HTTPValidationError" not in names


def test_metrics_count_by_route_and_not_by_id(client: httpx.Client) -> None:
    client.get(f"/v1/jobs/{NOWHERE}")
    metrics = client.get("/metrics").text
    assert 'g3_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}' in metrics
    assert NOWHERE not in metrics
