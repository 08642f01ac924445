"""Requests of LiteLLM's Terraform providers and of its Python client, as they come over the wire.

Written down from the sources of github.com/BerriAI/terraform-provider-litellm and
github.com/ncecere/terraform-provider-litellm, and of `litellm.proxy.client` 1.109.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

Request = tuple[str, str, Any]


@dataclass(frozen=True)
class Resource:
    """A resource of a provider: what it sends one after the other, and how it reads.

    `place`: where in the answer of a read the fields are. `silent`: fields that are written only.
    """

    create: Request
    read: Request
    updates: tuple[Request, ...]
    delete: Request
    place: tuple[str | int, ...] = ()
    silent: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    gone: Any = 404


KEY = "sk-terraform-0123456789"
TOKEN = sha256(KEY.encode()).hexdigest()
# Go writes an absent list as null, and leaves out what is empty.
BERRIAI_KEY = Resource(
    (
        "POST",
        "/key/generate",
        {
            "key": KEY,
            "models": ["gpt-4o", "fast"],
            "max_budget": 100.5,
            "user_id": "ann",
            "team_id": "core",
            "max_parallel_requests": 4,
            "metadata": {"owner": "ops", "cost": "7"},
            "tpm_limit": 1000,
            "rpm_limit": 60,
            "budget_duration": "30d",
            "allowed_cache_controls": ["no-cache"],
            "soft_budget": 50.0,
            "key_alias": "ci",
            "duration": "90d",
            "aliases": {"best": "gpt-4o"},
            "config": {"a": "b"},
            "permissions": {"c": "d"},
            "model_max_budget": {"gpt-4o": 10},
            "model_rpm_limit": {"fast": 5},
            "model_tpm_limit": {"fast": 500},
            "blocked": False,
        },
    ),
    ("GET", f"/key/info?key={TOKEN}", None),
    (
        (
            "POST",
            "/key/update",
            {
                "key": TOKEN,
                "team_id": "core",
                "metadata": {"owner": "dev"},
                "budget_duration": "7d",
                "key_alias": "ci",
                "aliases": {},
                "permissions": {},
                "model_max_budget": {"gpt-4o": 2.5},
                "model_rpm_limit": {},
                "model_tpm_limit": {},
                "blocked": True,
                "max_budget": 7,
                "tpm_limit": 10,
                "models": ["gpt-4o"],
            },
        ),
        # What is not set in the configuration is sent as empty text.
        (
            "POST",
            "/key/update",
            {
                "key": TOKEN,
                "team_id": "",
                "metadata": {},
                "budget_duration": "",
                "key_alias": "",
                "aliases": {},
                "permissions": {},
                "model_max_budget": {},
                "model_rpm_limit": {},
                "model_tpm_limit": {},
                "blocked": False,
            },
        ),
    ),
    ("POST", "/key/delete", {"keys": [TOKEN]}),
    ("info",),
    ("key", "duration"),
)
NCECERE_KEY = Resource(
    (
        "POST",
        "/key/service-account/generate",
        {
            "key": KEY,
            "team_id": "core",
            "models": ["all-team-models"],
            "key_alias": "robot",
            "metadata": {"service_account_id": "robot", "logging": [{"callback": "x"}]},
            "max_budget": 0.1,
            "rpm_limit_type": "best_effort_throughput",
        },
    ),
    ("GET", f"/key/info?key={KEY}", None),
    (
        (
            "POST",
            "/key/update",
            {
                "key": KEY,
                "key_alias": "robot",
                "team_id": "core",
                "models": ["all-team-models"],
                "max_budget": 0.3,
                "tpm_limit": 0,
            },
        ),
    ),
    ("POST", "/key/delete", {"keys": [KEY]}),
    ("info",),
    ("key", "rpm_limit_type"),
)
TEAM = Resource(
    (
        "POST",
        "/team/new",
        {
            "team_id": "t",
            "team_alias": "Team",
            "organization_id": "acme",
            "max_budget": 12.25,
            "budget_duration": "1mo",
            "tpm_limit": 7,
            "rpm_limit": 8,
            "models": ["gpt-4o"],
            "model_aliases": {"a": "gpt-4o"},
            "model_rpm_limit": {"gpt-4o": 1},
            "model_tpm_limit": {"gpt-4o": 2},
            "team_member_budget": 3.5,
            "team_member_rpm_limit": 4,
            "team_member_tpm_limit": 5,
            "blocked": False,
            "metadata": {"x": "y"},
        },
    ),
    ("GET", "/team/info?team_id=t", None),
    (
        (
            "POST",
            "/team/update",
            {
                "team_id": "t",
                "team_alias": "Renamed",
                "max_budget": None,
                "budget_duration": None,
                "rpm_limit": 80,
                "blocked": True,
            },
        ),
        (
            "POST",
            "/team/update",
            {
                "team_id": "t",
                "team_alias": "Renamed",
                "tpm_limit": None,
                "team_member_budget": None,
                "blocked": False,
            },
        ),
    ),
    ("POST", "/team/delete", {"team_ids": ["t"]}),
    ("team_info",),
)
MEMBER = Resource(
    (
        "POST",
        "/team/member_add",
        {
            "member": [{"role": "admin", "user_id": "bob", "user_email": "bob@example.com"}],
            "team_id": "core",
            "max_budget_in_team": 2.5,
        },
    ),
    ("GET", "/team/info?team_id=core", None),
    (
        (
            "POST",
            "/team/member_update",
            {
                "user_id": "bob",
                "user_email": "bob@example.com",
                "team_id": "core",
                "role": "user",
                "max_budget_in_team": 0.0,
            },
        ),
        (
            "POST",
            "/team/member_update",
            {
                "user_id": "bob",
                "user_email": "bob@example.com",
                "team_id": "core",
                "role": "user",
                "max_budget_in_team": None,
            },
        ),
    ),
    (
        "POST",
        "/team/member_delete",
        {"user_id": "bob", "user_email": "bob@example.com", "team_id": "core"},
    ),
    ("team_memberships", 0),
    ("member", "user_email"),
    {"max_budget_in_team": "litellm_budget_table.max_budget"},
    (),
)
USER = Resource(
    (
        "POST",
        "/user/new",
        {
            "user_id": "u",
            "user_alias": "U",
            "user_email": "u@example.com",
            "user_role": "internal_user",
            "teams": ["core"],
            "models": ["gpt-4o"],
            "max_budget": 5,
            "budget_duration": "30d",
            "tpm_limit": 1,
            "rpm_limit": 2,
            "auto_create_key": False,
            "metadata": {"a": "b"},
        },
    ),
    ("GET", "/user/info?user_id=u", None),
    (
        (
            "POST",
            "/user/update",
            {
                "user_id": "u",
                "user_alias": "V",
                "max_budget": None,
                "user_role": "proxy_admin_viewer",
                "rpm_limit": 3,
            },
        ),
    ),
    ("POST", "/user/delete", {"user_ids": ["u"]}),
    ("user_info",),
    ("auto_create_key",),
)
BUDGET = Resource(
    (
        "POST",
        "/budget/new",
        {
            "budget_id": "b",
            "max_budget": 1.5,
            "soft_budget": 1.0,
            "max_parallel_requests": 2,
            "tpm_limit": 3,
            "tpd_limit": 4,
            "rpm_limit": 5,
            "budget_duration": "28d",
        },
    ),
    ("POST", "/budget/info", {"budgets": ["b"]}),
    (
        (
            "POST",
            "/budget/update",
            {
                "budget_id": "b",
                "max_budget": None,
                "soft_budget": None,
                "budget_duration": None,
                "tpd_limit": 44,
            },
        ),
    ),
    ("POST", "/budget/delete", {"id": "b"}),
    (0,),
    (),
    {},
    (),
)
ORGANIZATION = Resource(
    (
        "POST",
        "/organization/new",
        {
            "organization_id": "o",
            "organization_alias": "O",
            "metadata": {"a": "b"},
            "models": ["gpt-4o"],
            "max_budget": 9.5,
            "budget_duration": "30d",
            "tpm_limit": 1,
            "rpm_limit": 2,
            "blocked": True,
        },
    ),
    ("POST", "/organization/info", {"organizations": ["o"]}),
    (
        (
            "POST",
            "/organization/update",
            {"organization_id": "o", "organization_alias": "P", "max_budget": 10},
        ),
    ),
    ("DELETE", "/organization/delete", {"organization_ids": ["o"]}),
    (0,),
    (),
    {},
    (),
)
TAG = Resource(
    ("POST", "/tag/new", {"name": "n", "description": "d", "max_budget": 3.0,
                          "budget_duration": "7d"}),
    ("POST", "/tag/info", {"names": ["n"]}),
    (("POST", "/tag/update", {"name": "n", "description": "e", "max_budget": 4.0}),),
    ("POST", "/tag/delete", {"name": "n"}),
    ("n",),
    (),
    {},
    (),
)  # fmt: skip
RESOURCES = {
    "key of LiteLLM's provider": BERRIAI_KEY,
    "key of a service account": NCECERE_KEY,
    "team": TEAM,
    "team member": MEMBER,
    "user": USER,
    "budget": BUDGET,
    "organization": ORGANIZATION,
    "tag": TAG,
}
PYTHON_CLIENT: list[Request] = [
    ("POST", "/user/new", {"user_id": "ann", "user_email": "ann@example.com"}),
    ("GET", "/user/list?page=1&page_size=10", None),
    ("GET", "/user/info?user_id=ann", None),
    ("POST", "/team/new", {"team_id": "core"}),
    ("GET", "/team/list?user_id=ann", None),
    ("POST", "/key/generate", {"key": KEY, "models": ["gpt-4o"], "aliases": {"a": "gpt-4o"},
                               "spend": 0.5, "duration": "1h", "key_alias": "k", "team_id": "core",
                               "user_id": "ann", "config": {}}),
    ("GET", f"/key/info?key={KEY}", None),
    ("GET", "/key/list?page=1&size=10&user_id=ann&team_id=core&key_alias=k&return_full_object=true",
     None),
    ("POST", "/key/update", {"key": KEY, "key_alias": "k2", "models": [], "spend": 0.1,
                             "duration": "2h", "aliases": {}}),
    ("GET", "/models", None),
    ("GET", "/v1/model/info", None),
    ("GET", "/model_group/info", None),
    ("GET", "/health/readiness", None),
    ("POST", "/model/new", {"model_name": "m", "litellm_params": {"model": "openai/gpt-4o",
                            "api_key": "sk-x"}, "model_info": {"id": "m1"}}),
    ("POST", "/model/update", {"model_name": "m", "litellm_params": {"model": "openai/gpt-4o-mini"},
                               "model_info": {"id": "m1"}}),
    ("POST", "/model/delete", {"id": "m1"}),
    ("POST", "/key/delete", {"keys": [KEY]}),
    ("POST", "/user/delete", {"user_ids": ["ann"]}),
]  # fmt: skip
MODEL = {
    "model_name": "gpt",
    "litellm_params": {
        "custom_llm_provider": "openai", "model": "openai/gpt-4o", "api_key": "sk-x",
        "merge_reasoning_content_in_choices": False, "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
    },
    "model_info": {"id": "6f0c5a9e", "db_model": True, "base_model": "gpt-4o", "tier": "free",
                   "mode": "chat"},
    "additional": {},
}  # fmt: skip
