"""A stand-in for a LiteLLM server: it answers the lists that an import reads, over a real socket,
and knows what its rows look like.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

MASTER = "sk-litellm-master"
SECRET = "sk-carried-over-from-litellm"
TOKEN = sha256(SECRET.encode()).hexdigest()

ROWS: dict[str, list[dict[str, Any]]] = {
    "budgets": [
        {
            "budget_id": "free-tier",
            "tpm_limit": 5,
            "max_budget": None,
            "budget_duration": None,
            "created_by": "admin",
        },
        {
            "budget_id": "shared",
            "max_budget": 2.0,
            "budget_duration": "30d",
            "rpm_limit": 7,
            "tpd_limit": 9,
        },
        {"budget_id": "own", "max_budget": 0.5, "budget_duration": "1d", "tpm_limit": None},
    ],
    "organizations": [
        {
            "organization_id": "acme",
            "organization_alias": "Acme",
            "budget_id": "acme-budget",
            "models": ["gpt-4o", "fast"],
            "spend": 40.5,
            "model_spend": {},
            "metadata": {"region": "eu"},
            "litellm_budget_table": {
                "budget_id": "acme-budget",
                "max_budget": 1000.0,
                "budget_duration": "30d",
                "budget_reset_at": "2099-01-01T00:00:00Z",
                "rpm_limit": 500,
            },
            "members": [
                {
                    "user_id": "ishaan",
                    "organization_id": "acme",
                    "user_role": "org_admin",
                    "spend": 3.5,
                    "budget_id": "acme-ishaan",
                    "litellm_budget_table": {"budget_id": "acme-ishaan", "max_budget": 30.0},
                },
                {"user_id": "krrish", "organization_id": "acme", "user_role": "admin"},
            ],
            "teams": [{"team_id": "core"}],
            "created_at": "2026-01-02T03:04:05.678000Z",
            "updated_at": "2026-01-02T03:04:05.678000Z",
            "created_by": "admin",
        }
    ],
    "tags": [
        {
            "name": "nightly",
            "description": "Batch runs",
            "models": [],
            "model_info": {},
            "spend": 2.25,
            "budget_id": "nightly-budget",
            "litellm_budget_table": {
                "budget_id": "nightly-budget",
                "max_budget": 20.0,
                "budget_duration": "7d",
            },
            "created_at": "2026-01-02T03:04:05.678000Z",
            "updated_at": "2026-01-02T03:04:05.678000Z",
        }
    ],
    "users": [
        {
            "user_id": "ishaan",
            "user_email": "ishaan@example.com",
            "user_role": "internal_user",
            "max_budget": 10.0,
            "spend": 1.25,
            "models": [],
            "teams": ["core"],
            "metadata": None,
            "key_count": 1,
            "created_at": "2026-01-02T03:04:05.678000Z",
        },
        {
            "user_id": "krrish",
            "user_role": "team",
            "spend": 0.0,
            "sso_user_id": "okta|1",
            "tpm_limit": 2**62,
        },
    ],
    "teams": [
        {
            "team_id": "core",
            "team_alias": "core-infra",
            "organization_id": "acme",
            "members_with_roles": [
                {"role": "admin", "user_id": "ishaan", "user_email": None},
                {"role": "user", "user_id": "krrish", "user_email": None},
                {"role": "user", "user_id": None, "user_email": "nobody@example.com"},
            ],
            "max_budget": 100.0,
            "spend": 20.5,
            "rpm_limit": 99,
            "blocked": False,
            "models": ["gpt-4o", "fast"],
            "metadata": {
                "team_member_budget_id": "shared",
                "cost_center": "x",
                "guardrails": ["pii"],
            },
            "litellm_model_table": {"model_aliases": '{"best": "gpt-4o"}', "created_by": "admin"},
            "keys": [],
        }
    ],
    "customers": [
        {
            "user_id": "palantir",
            "spend": 0.25,
            "blocked": False,
            "litellm_budget_table": {"budget_id": "free-tier"},
        },
        {
            "user_id": "anduril",
            "alias": "A",
            "spend": 0.0,
            "blocked": True,
            "default_model": "gpt-4o",
        },
    ],
    "keys": [
        {
            "token": TOKEN,
            "key_name": "sk-...tllm",
            "key_alias": "production",
            "user_id": "ishaan",
            "team_id": "core",
            "team_alias": "core-infra",
            "spend": 0.75,
            "max_budget": 1.0,
            "budget_duration": "30d",
            "budget_reset_at": "2099-01-01T00:00:00Z",
            "rpm_limit": 2,
            "budget_limits": [
                {"budget_duration": "1d", "max_budget": 0.9, "reset_at": "2026-11-29T00:00:00Z"}
            ],
            "models": ["gpt-4o", "fast"],
            "aliases": {"best": "gpt-4o"},
            "expires": None,
            "blocked": None,
            "metadata": {"model_rpm_limit": {"gpt-4o": 50}, "owner": "ops"},
            "model_max_budget": {"gpt-4o": {"budget_limit": 3.0, "time_period": "1d"}, "fast": 0.5},
            "model_spend": {"gpt-4o": 0.5, "fast": 0.5},
            "tags": ["a"],
            "allowed_routes": [],
            "soft_budget_cooldown": False,
            "created_at": "2026-01-02T03:04:05.678000Z",
        },
        {
            "token": "0" * 64,
            "key_name": "sk-...0000",
            "expires": "2024-01-19T01:21:12.816168",
            "blocked": True,
            "spend": 0,
            "org_id": "gone",
        },
        {"token": "1" * 64, "key_name": "sk-...1111", "team_id": "litellm-dashboard", "spend": 0},
    ],
}
MEMBERSHIPS = [
    {"user_id": "ishaan", "team_id": "core", "spend": 0.125, "budget_id": "own"},
    {"user_id": "krrish", "team_id": "core", "spend": 0.0, "budget_id": "shared"},
]


LOGS: list[dict[str, Any]] = []
"""The log of calls: a test writes it."""


def answer(path: str, query: Mapping[str, str]) -> Any:
    """What LiteLLM answers to a GET; keys come two to a page."""
    if path == "/key/list":
        page = int(query["page"])
        assert query["return_full_object"] == "true"
        return {
            "keys": ROWS["keys"][(page - 1) * 2 : page * 2],
            "total_count": 3,
            "current_page": page,
            "total_pages": 2,
        }
    if path == "/user/list":
        return {"users": ROWS["users"] if query["page"] == "1" else [], "total": 2}
    if path == "/spend/logs/v2":
        page = int(query["page"])
        return {"data": LOGS[(page - 1) * 2 : page * 2], "total_pages": -(-len(LOGS) // 2)}
    if path == "/team/info":
        return {"team_id": query["team_id"], "team_memberships": MEMBERSHIPS}
    # Older servers give all customers whatever page is asked for.
    return {
        "/team/list": ROWS["teams"],
        "/budget/list": ROWS["budgets"],
        "/customer/list": ROWS["customers"],
        "/organization/list": ROWS["organizations"],
        "/tag/list": ROWS["tags"],
        "/model/info": {
            "data": [
                {"model_name": "of-the-file", "model_info": {"db_model": False}},
                {"model_name": "of-the-database", "model_info": {"db_model": True}},
            ]
        },
    }.get(path)


class _Handler(BaseHTTPRequestHandler):
    missing: tuple[str, ...] = ()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        known = self.headers["authorization"] == f"Bearer {MASTER}"
        found = answer(url.path, dict(parse_qsl(url.query))) if known else {"error": "who are you?"}
        body = json.dumps(found).encode()
        self.send_response(401 if not known else 404 if url.path in self.missing else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def litellm(*missing: str) -> Iterator[str]:
    """Where such a server is. `missing`: paths that it does not have."""
    handler = type("_Handler", (_Handler,), {"missing": missing})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def dump() -> dict[str, Any]:
    """The same, as a file holds it."""
    teams = [{**row, "team_memberships": MEMBERSHIPS} for row in ROWS["teams"]]
    return {**ROWS, "teams": teams}
